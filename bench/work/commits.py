"""Commits with a worker of another process beside them and without; and what it costs to tell it of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from statistics import median
from threading import Event, Thread
from typing import Any

import psycopg

from bench.ledger.databases import Server
from bench.ledger.ours import in_threads
from bench.ledger.pgbench import FloorTables, Pgbench
from bench.measure import Effort, Run, compare
from bench.report import Report, Table
from bench.work.databases import Database, open_database
from bench.work.lifecycles import LIFECYCLES, Begin, TaskLifecycle, create_tasks
from bench.work.processes import Elsewhere
from bench.work.workers import Working, wait_done
from stateward.engine import Engine

__all__ = ["Sender", "measure_commits", "measure_telling"]

_THREADS = 8
_EVENTS = 1600
_ROUNDS = 3
_SENDERS, _THREADS_OF_EACH = 3, 4
_CLIENTS = 8
_ENTITIES = 20_000
_CHANNEL = "stateward_work"
_TRIGGER = f"""
CREATE FUNCTION bench_tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY {_CHANNEL}; RETURN NULL; END $$;
CREATE TRIGGER bench_tell AFTER INSERT ON {{table}} FOR EACH STATEMENT EXECUTE FUNCTION bench_tell();
ALTER TABLE {{table}} DISABLE TRIGGER bench_tell
"""


class Sender:
    """Threads of a process that each send their next event when the last is answered."""

    def __init__(self, address: str, name: str) -> None:
        """Name a ledger; what it makes is called as it is."""
        self._address = address
        self._engines: dict[bool, Engine] = {}
        self._made = count()
        self._name = name
        self._names: list[str] = []

    def prepare(self, events: int) -> None:
        """Make the entities that are sent to next."""
        go = next(self._made)
        self._names = [f"{self._name}-{go}-{n}" for n in range(events)]
        create_tasks(self._engine(notifies=False), TaskLifecycle, self._names)

    def send(self, threads: int, notifies: bool = False) -> int:
        """Send to all of them; the nanoseconds that it took."""
        engine = self._engine(notifies=notifies)

        def work(names: Sequence[str]) -> None:
            for name in names:
                engine.send(TaskLifecycle, name, Begin(), actor="bench:1", key="begin")

        return in_threads([self._names[n::threads] for n in range(threads)], work)

    def _engine(self, *, notifies: bool) -> Engine:
        """One that tells other processes of its commits, or one that does not."""
        if notifies not in self._engines:
            self._engines[notifies] = Engine(self._address, lifecycles=LIFECYCLES, notify=notifies)
        return self._engines[notifies]

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()


# With a worker beside them, and without.


def measure_commits(server: Server, effort: Effort) -> Report:
    """On both databases."""
    rows: list[Sequence[str]] = []
    for where in (server, None):
        with open_database(where, "beside") as database:
            rows += _beside(database, effort)
    note = (
        f"One process of {_THREADS} threads sends, each event asking for one effect; in turns with a worker in another "
        "process, which polls, its handlers empty functions without a reply. Effects are those that it has done while "
        "it was sent; the outbox is counted when the last send is answered. Medians."
    )
    head = ("", "sends/s", "x without", "effects/s meanwhile", "outbox at the end", "of sent")
    return Report([Table("Commits beside a worker", head, rows, note)])


def _beside(database: Database, effort: Effort) -> list[Sequence[str]]:
    events = max(_THREADS, effort.times(_EVENTS))
    alone: list[float] = []
    beside: list[float] = []
    effects: list[float] = []
    left: list[int] = []
    with (
        closing(Sender(database.address, "beside")) as sender,
        closing(Elsewhere(Working, database.address)) as worker,
    ):
        for number in range(min(effort.rounds, _ROUNDS) + 1):  # the first does not count
            sender.prepare(events)
            ns_alone = sender.send(_THREADS)
            database.empty_outbox()
            sender.prepare(events)
            worker.call("start")
            ns_beside = sender.send(_THREADS)
            done, remaining = worker.call("done"), database.outbox()
            wait_done(lambda: int(worker.call("done")), events)
            worker.call("stop")
            if number:
                alone.append(events * 1e9 / ns_alone)
                beside.append(events * 1e9 / ns_beside)
                effects.append(done * 1e9 / ns_beside)
                left.append(remaining)
    ratio = median([one / other for one, other in zip(beside, alone, strict=True)])
    return [
        (f"{database.name}, no worker", f"{median(alone):,.0f}", "1.00", "", f"{events:,}", "100%"),
        (
            f"{database.name}, a worker", f"{median(beside):,.0f}", f"{ratio:.2f}", f"{median(effects):,.0f}",
            f"{median(left):,.0f}", f"{median(left) / events:.0%}",
        ),
    ]  # fmt: skip


# Telling others.


def measure_telling(server: Server, effort: Effort) -> Report:
    """What NOTIFY costs: as we do it, and where it is part of each transaction."""
    rows: list[Sequence[str]] = []
    rounds = min(effort.rounds, _ROUNDS)
    for title, settings in (
        ("", {}),
        (", a flush taking 1 ms longer", {"commit_delay": "1000", "commit_siblings": "0"}),
    ):
        with server.settings(**settings):
            slow = bool(settings)
            for found in (_ours(server, effort, rounds, slow), _floors(server, effort, rounds, slow)):
                first = next(iter(found))
                rows += [
                    (name + title, f"{1e9 / each.ns:,.0f}", f"{1 / each.ratio:.2f}" if name != first else "1.00")
                    for name, each in found.items()
                ]
    note = (
        f"Ours: {_SENDERS} processes of {_THREADS_OF_EACH} threads. Outside: `notify=True`, from a connection of its "
        "own, at most each 10 ms. Within: a trigger of the outbox that is made for this run. Someone listens "
        f"throughout. pgbench: {_CLIENTS} clients, the plain transaction of the ledger's benchmarks. Medians of rounds "
        "in turns, each beside a run of its first row."
    )
    return Report([Table("What telling others costs on PostgreSQL", ("", "commits/s", "x silent"), rows, note)])


def _ours(server: Server, effort: Effort, rounds: int, slow: bool) -> Mapping[str, Any]:
    each = max(_THREADS_OF_EACH, effort.times(_EVENTS) // _SENDERS)
    with ExitStack() as stack:
        database = stack.enter_context(open_database(server, f"telling_{int(slow)}"))
        senders = [
            stack.enter_context(closing(Elsewhere(Sender, database.address, f"s{n}"))) for n in range(_SENDERS)
        ]  # fmt: skip
        _all(senders, "prepare", 0)  # one of them makes the tables
        stack.enter_context(_listening(database.address))
        trigger = _Trigger(database, "outbox")

        def sending(*, notifies: bool) -> Run:
            def run() -> tuple[int, int]:
                _all(senders, "prepare", each)
                return max(_all(senders, "send", _THREADS_OF_EACH, notifies)), each * _SENDERS

            return run

        runs = {
            "ours, silent": sending(notifies=False),
            "ours, told outside of commits": sending(notifies=True),
            "ours, told within each transaction": trigger.around(sending(notifies=False)),
        }
        return compare(runs, "ours, silent", rounds)


def _floors(server: Server, effort: Effort, rounds: int, slow: bool) -> Mapping[str, Any]:
    with ExitStack() as stack:
        database = stack.enter_context(open_database(server, f"telling_floor_{int(slow)}"))
        tables = stack.enter_context(closing(FloorTables(database.address, max(1000, effort.times(_ENTITIES)))))
        stack.enter_context(_listening(database.address))
        run = Pgbench(tables, server.folder).clients(_CLIENTS, max(_CLIENTS, effort.times(2 * _EVENTS)))
        trigger = _Trigger(database, "floor_outbox")
        runs = {"pgbench, silent": run, "pgbench, told within each transaction": trigger.around(run)}
        return compare(runs, "pgbench, silent", rounds)


def _all(senders: Sequence[Elsewhere], method: str, *arguments: Any) -> list[Any]:
    for each in senders:
        each.ask(method, *arguments)
    return [each.answer() for each in senders]


class _Trigger:
    """NOTIFY as part of each transaction that writes to a table, while it is on."""

    def __init__(self, database: Database, table: str) -> None:
        self._database = database
        self._table = table
        database.execute(_TRIGGER.format(table=table))

    def around(self, run: Run) -> Run:
        def runs() -> tuple[int, int]:
            self._database.execute(f"ALTER TABLE {self._table} ENABLE TRIGGER bench_tell")
            try:
                return run()
            finally:
                self._database.execute(f"ALTER TABLE {self._table} DISABLE TRIGGER bench_tell")

        return runs


@contextmanager
def _listening(address: str) -> Generator[None]:
    """Somebody who hears what is told, for as long as the block runs."""
    over = Event()

    def listen() -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"LISTEN {_CHANNEL}".encode())
            while not over.is_set():
                for _ in connection.notifies(timeout=0.2, stop_after=1):
                    pass

    thread = Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

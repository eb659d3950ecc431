"""Transitions per second, each way of sending beside its floor."""

from __future__ import annotations

from contextlib import closing

from bench.ledger.contest import Contestant, Rates, contest
from bench.ledger.databases import Server, open_sqlite
from bench.ledger.ours import BATCH, Ours
from bench.ledger.pgbench import FloorTables, Pgbench
from bench.ledger.psycopg_loops import PsycopgLoops
from bench.ledger.sqlite_loops import SqliteLoops
from bench.measure import Effort, Run
from bench.report import Report

__all__ = ["measure_postgres", "measure_slow_flushes", "measure_sqlite"]

_ENTITIES = 100_000
_WARM = 2000
_EVENTS = (500, 1000, 2000)
"""Of a run, for one sender, for a few and for many or batches. What disturbs a shared machine lasts for seconds: many
short runs, each beside one of its floor, are worth more than a few long ones."""
_ONE, _EIGHT, _MANY = "pgbench, 1 client", "pgbench, 8 clients", "pgbench, 32 clients"
_LOOP = "a loop by hand"
_POSTGRES_NOTE = (
    "The floor: pgbench, prepared statements, seven trips: begin, lock, receipt, entity, record, outbox, commit. Ours "
    "writes, beyond that, census, timer, indices by state and due time, and what `bench/ledger/pgbench.py` lists."
)


def measure_postgres(server: Server, effort: Effort) -> Report:
    """All ways on PostgreSQL, as it comes."""
    rates = _on_postgres(server, effort, is_whole=True)
    return Report([rates.table("Transitions on PostgreSQL", _POSTGRES_NOTE)], rates.budgets("PostgreSQL"))


def measure_slow_flushes(server: Server, effort: Effort) -> Report:
    """The main ways where a flush takes a millisecond longer: as on a slow disk, or one that is elsewhere."""
    rounds = max(1, (effort.rounds + 1) // 2)
    with server.settings(commit_delay="1000", commit_siblings="0"):
        rates = _on_postgres(server, Effort(rounds, effort.scale / 2), is_whole=False)
    note = "As on a slow disk: `commit_delay = 1000`, `commit_siblings = 0`, so that it holds for one client too."
    return Report([rates.table("Transitions on PostgreSQL, a flush taking a millisecond longer", note)])


def _on_postgres(server: Server, effort: Effort, *, is_whole: bool) -> Rates:
    address = server.database("rates" if is_whole else "slow_flushes")
    with (
        closing(FloorTables(address, max(1000, effort.times(_ENTITIES)))) as tables,
        closing(Ours(address)) as ours,
        closing(PsycopgLoops(tables)) as loops,
    ):
        pgbench = Pgbench(tables, server.folder)
        # What plans of a time without statistics cost is measured in `bench.ledger.plans`, and is not to be in here.
        ours.send_each(ours.created(max(100, effort.times(_WARM))))
        tables.connection.execute("ANALYZE")
        few, some, many = (effort.times(number) for number in _EVENTS)
        floors = {_ONE: pgbench.clients(1, few), _EIGHT: pgbench.clients(8, some), _MANY: pgbench.clients(32, many)}
        contestants = [
            Contestant("one sender", ours.threads(1, few), _ONE, 0.8),
            Contestant("32 threads", ours.threads(32, many), _MANY),
            Contestant("32 tasks", ours.tasks(32, many), _MANY, 1.4),
            Contestant("send_many of 100", ours.batches(_batches(many)), _ONE, 4.0),
            Contestant("psycopg by hand, seven trips", loops.seven_trips(few), _ONE),
            Contestant("psycopg by hand, two trips", loops.two_trips(few), _ONE),
            Contestant("psycopg by hand, batches of 100", loops.batches(_batches(many), BATCH), _ONE),
        ]
        if is_whole:
            contestants[1:1] = [
                Contestant("one task", ours.tasks(1, few), _ONE),
                Contestant("8 threads", ours.threads(8, some), _EIGHT),
                Contestant("8 tasks", ours.tasks(8, some), _EIGHT),
            ]
        return contest(floors, contestants, effort.rounds)


def measure_sqlite(effort: Effort) -> Report:
    """All ways on SQLite."""
    few, some, many = (effort.times(number) for number in _EVENTS)
    with open_sqlite() as (path, connection), closing(Ours(f"sqlite:///{path}")) as ours:
        loops = SqliteLoops(connection)
        floors: dict[str, Run] = {_LOOP: loops.one_by_one(few)}
        contestants = [
            Contestant("one sender", ours.threads(1, few), _LOOP, 0.9),
            Contestant("one task", ours.tasks(1, few), _LOOP),
            Contestant("8 threads", ours.threads(8, some), _LOOP),
            Contestant("8 tasks", ours.tasks(8, some), _LOOP),
            Contestant("32 threads", ours.threads(32, many), _LOOP, 1.2),
            Contestant("32 tasks", ours.tasks(32, many), _LOOP, 1.5),
            Contestant("send_many of 100", ours.batches(_batches(many)), _LOOP, 2.5),
            Contestant("batches of 100 by hand", loops.batches(_batches(many), BATCH), _LOOP),
        ]
        rates = contest(floors, contestants, effort.rounds)
    note = "WAL, synchronous=FULL. The floor: sqlite3 in Python, a transaction of its own for each event."
    return Report([rates.table("Transitions on SQLite", note)], rates.budgets("SQLite"))


def _batches(number: int) -> int:
    """As a number of whole batches."""
    return max(1, round(number / BATCH)) * BATCH

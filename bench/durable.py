"""The order's payment, pending to paid, by those who keep it in PostgreSQL: on one server, one beside the other.

What a transition writes, each with an idempotency key:

- stateward: the entity's update, its record, a receipt for the key, the outbox row of the effect, the timer's
  cancellation and the census, in one transaction; read before that are entity and receipt.
- DBOS, datasource: five transactions: the workflow begun, with its input; the order's update and the step's checkpoint
  together; the step's record; the checkpoint dropped; the workflow done, with its output. The workflow's id is the key.
- DBOS, step: four transactions: the workflow begun; the order's update; the step's record; the workflow done.
- eventsourcing: one stored event, under a lock of the whole table that keeps notifications in order; read before that
  are the aggregate's events. No order row, outbox, timer or receipt: the event carries the key.

Neither peer checks what may follow what: the order's state machine is theirs to write. Times are those of the clock
on the wall.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from threading import Thread
from typing import Any

from bench.ledger.databases import open_server
from bench.ledger.order import Order, OrderLifecycle, Pay
from bench.measure import Effort, Run, compare
from bench.report import Report, Table
from stateward.engine import AsyncEngine, Creating, Engine

__all__ = ["measure"]

_CLIENTS = (1, 8, 32)
_EVENTS = 600
_ROUNDS = 5
_OURS, _OUR_TASKS = "stateward, threads", "stateward, tasks"

_Pay = Callable[[str], object]
_Drive = Callable[[list[str], int], int]
"""Pay these orders by so many clients: the nanoseconds that it took."""


class _Contestant:
    """Who makes orders, pays them, and counts what came of it."""

    def __init__(self, create: Callable[[list[str]], object], drive: _Drive, count: Callable[[list[str]], int]) -> None:
        self._create = create
        self._drive = drive
        self._count = count
        self._made = 0

    def run(self, prefix: str, clients: int, events: int) -> Run:
        def run() -> tuple[int, int]:
            names = [f"{prefix}{n}" for n in range(self._made, self._made + events)]
            self._made += events
            self._create(names)
            taken = self._drive(names, clients)
            if self._count(names) != events:
                message = f"of {events} orders {self._count(names)} are paid"
                raise RuntimeError(message)
            return taken, events

        return run


def measure(effort: Effort) -> Report:
    """All of them at 1, 8 and 32 clients."""
    rounds = min(effort.rounds, _ROUNDS)
    rows: list[tuple[str, ...]] = []
    with open_server() as server, _contestants(server.database("durable")) as (contestants, missing):
        for clients in _CLIENTS:
            events = max(2 * clients, effort.times(_EVENTS))
            runs = {
                name: each.run(f"{number}-{clients}-", clients, events)
                for number, (name, each) in enumerate(contestants.items())
            }
            figures = compare(runs, _OURS, rounds)
            tasks = figures[_OUR_TASKS].ratio
            rows += [
                (name, f"{clients}", f"{1e9 / each.ns:,.0f}", f"{each.ratio:.2f} x", f"{each.ratio / tasks:.2f} x")
                for name, each in figures.items()
            ]
    note = (
        f"Median of {rounds} rounds in turns, each beside our threads, on one server; its settings are its defaults, "
        "but no checkpoint falls into a run."
    )
    if missing:
        note += f" Not installed here: {', '.join(missing)}."
    head = ("", "clients", "per second", "our threads", "our tasks")
    return Report([Table("Durable transitions on PostgreSQL, beside the peers", head, rows, note)])


@contextmanager
def _contestants(address: str) -> Generator[tuple[dict[str, _Contestant], list[str]]]:
    """Ourselves and the peers that are installed here; and the names of those that are not."""
    with ExitStack() as stack:
        engine = stack.enter_context(Engine(address, lifecycles=[OrderLifecycle]))
        runner = stack.enter_context(asyncio.Runner())
        tasks = AsyncEngine(address, lifecycles=[OrderLifecycle])
        runner.run(tasks.open())
        stack.callback(lambda: runner.run(tasks.close()))
        found = {
            _OURS: _Contestant(_creating(engine), _by_threads(_paying(engine)), _counting(engine)),
            _OUR_TASKS: _Contestant(_creating(engine), _by_tasks(tasks, runner), _counting(engine)),
        }
        missing: list[str] = []
        for add in (_add_dbos, _add_eventsourcing):
            try:
                stack.callback(add(found, address))
            except ModuleNotFoundError as error:
                missing.append(str(error.name))
        yield found, missing


def _add_dbos(found: dict[str, _Contestant], address: str) -> Callable[[], object]:
    peer: Any = import_module("bench.peers.dbos_peer").SystemPeer(address)
    name = f"DBOS {version('dbos')}"
    found[f"{name}, datasource"] = _Contestant(peer.create, _by_threads(peer.pay_in_transaction), peer.count_paid)
    found[f"{name}, step"] = _Contestant(peer.create, _by_threads(peer.pay_in_step), peer.count_paid)
    close: Callable[[], object] = peer.close
    return close


def _add_eventsourcing(found: dict[str, _Contestant], address: str) -> Callable[[], object]:
    peer: Any = import_module("bench.peers.eventsourcing_peer").AggregatePeer(address)
    name = f"eventsourcing {version('eventsourcing')}"
    found[name] = _Contestant(peer.create, _by_threads(peer.pay), peer.count_paid)
    close: Callable[[], object] = peer.close
    return close


# Ours.


def _creating(engine: Engine) -> Callable[[list[str]], object]:
    def create(names: list[str]) -> object:
        return engine.create_many(
            [Creating(lifecycle=OrderLifecycle, entity=name, context=Order(), actor="bench:1") for name in names]
        )

    return create


def _paying(engine: Engine) -> _Pay:
    def pay(name: str) -> object:
        return engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")

    return pay


def _counting(engine: Engine) -> Callable[[list[str]], int]:
    def count(names: list[str]) -> int:
        return sum(each.snapshot.state == "paid" for each in engine.get_many(OrderLifecycle, names).values())

    return count


# Clients.


def _by_threads(pay: _Pay) -> _Drive:
    def drive(names: list[str], clients: int) -> int:
        def work(part: list[str]) -> None:
            for name in part:
                pay(name)

        if clients == 1:
            began = time.perf_counter_ns()
            work(names)
            return time.perf_counter_ns() - began
        threads = [Thread(target=work, args=(names[n::clients],)) for n in range(clients)]
        began = time.perf_counter_ns()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter_ns() - began

    return drive


def _by_tasks(engine: AsyncEngine, runner: asyncio.Runner) -> _Drive:
    async def work(part: list[str]) -> None:
        for name in part:
            await engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")

    async def all_of_them(names: list[str], clients: int) -> int:
        began = time.perf_counter_ns()
        parts: list[Coroutine[Any, Any, None]] = [work(names[n::clients]) for n in range(clients)]
        await asyncio.gather(*parts)
        return time.perf_counter_ns() - began

    return lambda names, clients: runner.run(all_of_them(names, clients))

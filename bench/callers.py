"""The ways of keeping callers apart: alone, and with others at the same machine.

Under one interpreter lock threads add no speed; what shows is what keeping them apart costs. What has one thread
that never waits is timed by its processor time, what has several by the clock on the wall, since there the waiting
is what it costs. The garbage collector is off.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import warnings
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import count
from statistics import median
from threading import Barrier, Thread
from typing import Any

from bench.measure import Effort, Run, compare
from bench.report import Report, Table
from stateward import (
    ChannelMachine,
    Context,
    DefinitionWarning,
    Event,
    Lifecycle,
    Machine,
    MutexMachine,
    State,
    SwapMachine,
    on,
)

__all__ = ["measure"]

_EVENTS = 40_000
_THREADS = (2, 4, 8)
_TASKS = (1, 8, 64)


class Tick(Event):
    pass


class Tally(Context):
    n: int = 0


def add_one(tally: Tally, event: Tick) -> Tally:
    return Tally(tally.n + 1)


_runs_of_action = count()


def add_one_counted(tally: Tally, event: Tick) -> Tally:
    """As `add_one`, but impure: tells how often it really ran."""
    next(_runs_of_action)
    return Tally(tally.n + 1)


with warnings.catch_warnings():
    # It has no final state, and is meant to have none.
    warnings.simplefilter("ignore", DefinitionWarning)

    class TallyLifecycle(Lifecycle[Tally]):
        running = State(initial=True)
        tick = on(Tick, running.stay(do=add_one))

    class CountedLifecycle(Lifecycle[Tally]):
        running = State(initial=True)
        tick = on(Tick, running.stay(do=add_one_counted))


_TICK = Tick()
_Way = Callable[[int, int], Coroutine[Any, Any, float]]
"""Of so many callers and events: a coroutine that tells the seconds it took."""
_KINDS: tuple[Callable[..., Any], ...] = (Machine, MutexMachine, SwapMachine)


def measure(effort: Effort) -> Report:
    """All of it."""
    return Report([_alone(effort), _threads(effort), _channel(effort)])


def _alone(effort: Effort) -> Table:
    """One caller, who need not be kept apart from anybody."""
    number = effort.times(_EVENTS)
    runs: dict[str, Run] = {kind.__name__: _sends(kind, number) for kind in _KINDS}
    runs["ChannelMachine, put"] = _in_loop(_put, number)
    runs["ChannelMachine, send"] = _in_loop(_send, number)
    runs["ChannelMachine, send_from_thread"] = _in_loop(_send_from_threads, number // 10)
    figures = compare(runs, Machine.__name__, effort.rounds)
    rows = [(each.name, f"{each.ns:,.0f}", f"{each.ratio:.2f}") for each in figures.values()]
    note = (
        "One caller; the event runs an action that returns a new context and stays in its state. Processor time, but "
        "for send_from_thread, which has two threads wake each other."
    )
    return Table("Keeping callers apart, one caller", ("", "ns per event", "x Machine"), rows, note)


def _sends(kind: Callable[..., Any], number: int) -> Run:
    def run() -> tuple[int, int]:
        machine = kind(TallyLifecycle, Tally())
        began = time.process_time_ns()
        for _ in range(number):
            machine.send(_TICK)
        return time.process_time_ns() - began, number

    return run


def _in_loop(way: _Way, number: int) -> Run:
    return lambda: (round(asyncio.run(way(1, number)) * 1e9), number)


def _threads(effort: Effort) -> Table:
    number = effort.times(_EVENTS)
    rows: list[Sequence[str]] = []
    for kind in (MutexMachine, SwapMachine):
        rates = (_rate(partial(_contend, kind, threads, number), effort) for threads in _THREADS)
        rows.append((kind.__name__, *rates))
    again = (f"{_computed_again(threads, number):,}" for threads in _THREADS)
    rows.append(("SwapMachine, steps computed again", *again))
    rates = (_rate(partial(_rated, _send_from_threads, threads, number // 10), effort) for threads in _THREADS)
    rows.append(("ChannelMachine, send_from_thread", *rates))
    head = ("", *(f"{threads} threads" for threads in _THREADS))
    note = (
        f"Events per second, all threads sending to one machine. Steps computed again: of {number:,}, with threads "
        "that switch a thousand times as often as they do by default, when there are next to none."
    )
    return Table("Keeping threads apart, contended", head, rows, note)


def _rate(run: Callable[[], float], effort: Effort) -> str:
    taken: list[float] = []
    for _ in range(effort.rounds):
        gc.collect()
        gc.disable()
        try:
            taken.append(run())
        finally:
            gc.enable()
    return f"{median(taken):,.0f}"


def _contend(kind: Callable[..., Any], threads: int, number: int, lifecycle: Any = TallyLifecycle) -> float:
    """Events per second of so many threads that send to one machine; none is lost."""
    machine = kind(lifecycle, Tally())
    each = number // threads
    ready = Barrier(threads + 1)

    def work() -> None:
        ready.wait()
        for _ in range(each):
            machine.send(_TICK)

    workers = [Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    taken = time.perf_counter() - began
    _check(machine, each * threads)
    return each * threads / taken


def _computed_again(threads: int, number: int) -> int:
    """How often the action ran beyond once per event; each time some other event was applied first."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    before = next(_runs_of_action)
    try:
        _contend(SwapMachine, threads, number, CountedLifecycle)
    finally:
        sys.setswitchinterval(usual)
    return next(_runs_of_action) - before - 1 - number // threads * threads


def _channel(effort: Effort) -> Table:
    number = effort.times(_EVENTS)
    rows = [
        (name, *(_rate(partial(_rated, way, tasks, number), effort) for tasks in _TASKS))
        for name, way in (("put, one way", _put), ("send, request and reply", _send))
    ]
    head = ("", *(f"{tasks} {'task' if tasks == 1 else 'tasks'}" for tasks in _TASKS))
    return Table("ChannelMachine, tasks of one loop", head, rows, "Events per second of processor time.")


def _rated(way: _Way, callers: int, number: int) -> float:
    """Events per second of one of the ways below."""
    return number // callers * callers / asyncio.run(way(callers, number))


async def _send(tasks: int, number: int) -> float:
    """Seconds until so many tasks have sent so many events, each waiting for its Step."""
    each = number // tasks
    async with ChannelMachine(TallyLifecycle, Tally()) as machine:

        async def work() -> None:
            for _ in range(each):
                await machine.send(_TICK)

        began = time.process_time()
        await asyncio.gather(*(work() for _ in range(tasks)))
        taken = time.process_time() - began
    _check(machine, each * tasks)
    return taken


async def _put(tasks: int, number: int) -> float:
    """Seconds until so many tasks have put so many events, and all of them are applied."""
    each = number // tasks
    machine = ChannelMachine(TallyLifecycle, Tally())

    async def work() -> None:
        for _ in range(each):
            await machine.put(_TICK)

    began = time.process_time()
    async with machine:  # leaving it waits for what was put
        await asyncio.gather(*(work() for _ in range(tasks)))
    taken = time.process_time() - began
    _check(machine, each * tasks)
    return taken


async def _send_from_threads(threads: int, number: int) -> float:
    """Seconds until so many threads have sent so many events, each waiting for its Step."""
    each = number // threads
    async with ChannelMachine(TallyLifecycle, Tally()) as machine:

        def work() -> None:
            for _ in range(each):
                machine.send_from_thread(_TICK)

        began = time.perf_counter()
        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(threads)))
        taken = time.perf_counter() - began
    _check(machine, each * threads)
    return taken


def _check(machine: Any, number: int) -> None:
    if machine.context.n != number:
        message = f"{machine!r} has counted {machine.context.n} of {number} events"
        raise RuntimeError(message)

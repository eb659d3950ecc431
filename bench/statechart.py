"""Statecharts: the three events in a chart of levels and regions, and a chart of twelve regions.

In a chart of twelve regions of three states there are 531,441 configurations, and hardly any is met twice. So
what counts there is the price of a configuration that nobody has been in: it must depend on the regions that
move, and what is remembered must not grow with the configurations met.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import msgspec

from bench.measure import Effort, Figure, Run, compare, timed
from bench.order import (
    DICT_FLOOR,
    ORDER,
    Deliver,
    DictOrder,
    Order,
    Pay,
    Ship,
    covers_total,
    drive,
    mark_shipped,
)
from bench.report import Budget, Report, Table
from stateward import (
    Chart,
    Composite,
    Event,
    Final,
    Lifecycle,
    Machine,
    Parallel,
    Snapshot,
    State,
    nested,
    on,
    start,
)
from stateward.kernel import advance, position_of, tables_of

__all__ = ["measure"]

_INSTANCES = 5000
_WIDTHS = (1, 2, 4, 8, 12)
_SEED = 20_261_124


class ThreeLevels(Lifecycle[Order]):
    """A parallel, its two regions, their states: one event moves a region, one moves both, one leaves them."""

    @nested(initial=True)
    class active(Parallel):
        class payment(Composite):
            unpaid = State(initial=True)
            paid = State()
            settled = State()
            pay = on(Pay, unpaid.to(paid), when=covers_total)
            settle = on(Ship, paid.to(settled))

        class parcel(Composite):
            packing = State(initial=True)
            shipped = State()
            ship = on(Ship, packing.to(shipped), do=mark_shipped)

    delivered = Final()
    deliver = on(Deliver, active.to(delivered))


class FourLevels(Lifecycle[Order]):
    """The same within a composite, whose own arc crosses out of all of it."""

    @nested(initial=True)
    class ongoing(Composite):
        @nested(initial=True)
        class active(Parallel):
            class payment(Composite):
                unpaid = State(initial=True)
                paid = State()
                settled = State()
                pay = on(Pay, unpaid.to(paid), when=covers_total)
                settle = on(Ship, paid.to(settled))

            class parcel(Composite):
                packing = State(initial=True)
                shipped = State()
                ship = on(Ship, packing.to(shipped), do=mark_shipped)

    delivered = Final()
    deliver = on(Deliver, ongoing.to(delivered))


def measure(effort: Effort) -> Report:
    """All of it."""
    report = Report()
    for part in (_levels(effort), _regions(effort), _moving(effort), _memory(effort)):
        report.tables += part.tables
        report.budgets += part.budgets
    return report


def _levels(effort: Effort) -> Report:
    instances = effort.times(_INSTANCES)
    three = "three levels, two regions"
    runs: dict[str, Run] = {
        DICT_FLOOR: timed(DictOrder, drive, instances, 3),
        three: timed(lambda: Machine(ThreeLevels, ORDER), drive, instances, 3),
        "four levels, two regions": timed(lambda: Machine(FourLevels, ORDER), drive, instances, 3),
    }
    figures = compare(runs, DICT_FLOOR, effort.rounds)
    rows = [(each.name, f"{each.ns:,.0f}", f"{each.ratio:.2f}") for each in figures.values()]
    note = (
        "Machine.send, mean of three events: a guarded one moves one region, one with an action moves both, a plain "
        "one leaves them all."
    )
    return Report(
        [Table("Accepted event, statechart", ("", "ns", "x floor"), rows, note)],
        [Budget("accepted event, three levels and two regions", 12, figures[three].ratio, "x")],
    )


# Charts of many regions, three states in a ring each.


def _move(name: str) -> type[Event]:
    return cast("type[Event]", msgspec.defstruct(name, [], bases=(Event,), frozen=True, module=__name__))


_RING = ("a", "b", "c")
_MOVES = [_move(f"Move{region}") for region in range(12)]
"""An event for each region by itself."""
_MOVES_OF_FIRST = {width: _move(f"MoveFirst{width}") for width in _WIDTHS}
"""An event for the first so many regions at once."""
_END = _move("End")


def _ring_chart(regions: int) -> Chart[Order]:
    """A chart of so many regions; each call makes another, whose tables are empty."""
    transitions: list[dict[str, Any]] = []
    events = {"End": _END}
    for region in range(regions):
        here = f"work.r{region}"
        moves = [_MOVES[region], *(event for width, event in _MOVES_OF_FIRST.items() if region < width <= regions)]
        for event in moves:
            events[event.__name__] = event
            transitions += [
                {
                    "name": f"{here}.{event.__name__}",
                    "source": f"{here}.{source}",
                    "event": event.__name__,
                    "targets": [f"{here}.{target}"],
                }
                for source, target in zip(_RING, (*_RING[1:], _RING[0]), strict=True)
            ]
    transitions.append({"name": "end", "source": "work", "event": "End", "targets": ["over"]})
    document: dict[str, Any] = {
        "stateward": 1,
        "kind": f"Ring{regions}",
        "initial": ["work"],
        "states": [
            {
                "name": "work",
                "kind": "parallel",
                "states": [
                    {
                        "name": f"r{region}",
                        "kind": "composite",
                        "initial": [f"work.r{region}.a"],
                        "states": [{"name": name, "kind": "atomic"} for name in _RING],
                    }
                    for region in range(regions)
                ],
            },
            {"name": "over", "kind": "final"},
        ],
        "transitions": transitions,
    }
    return Chart.from_document(document, context=Order, events=events)


def _random_moves(regions: int, number: int) -> Iterator[Event]:
    choice = random.Random(_SEED)
    return (_MOVES[choice.randrange(regions)]() for _ in range(number))


def _anywhere(chart: Chart[Order], regions: int) -> Callable[[], Snapshot[Order]]:
    """Makes snapshots in configurations drawn at random."""
    choice = random.Random(_SEED)

    def make() -> Snapshot[Order]:
        state = "|".join(f"work.r{region}.{choice.choice(_RING)}" for region in range(regions))
        return Snapshot(position_of(chart, state), ORDER)

    return make


def _advance_each(event: Event) -> Callable[[Sequence[Snapshot[Any]]], None]:
    def advance_all(snapshots: Sequence[Snapshot[Any]]) -> None:
        for snapshot in snapshots:
            advance(snapshot, event)

    return advance_all


def _first_walk(regions: int, events: Sequence[Event]) -> Run:
    """One entity's way through these events in a chart whose tables are empty."""

    def run() -> tuple[int, int]:
        snapshot = start(_ring_chart(regions), ORDER).snapshot
        began = time.thread_time_ns()
        for event in events:
            step: Any = advance(snapshot, event)
            snapshot = step.snapshot
        return time.thread_time_ns() - began, len(events)

    return run


def _with_first(runs: dict[str, Run], effort: Effort) -> dict[str, Figure]:
    """Measured beside the floor of all other tables."""
    floor = timed(DictOrder, drive, effort.times(_INSTANCES), 3)
    return compare({DICT_FLOOR: floor, **runs}, DICT_FLOOR, effort.rounds)


def _regions(effort: Effort) -> Report:
    """One region moves, of few or many."""
    first, instances = effort.times(36), effort.times(2000)
    rows: list[Sequence[str]] = []
    new: dict[int, float] = {}
    for regions in _WIDTHS:
        chart = _ring_chart(regions)
        to_move = _advance_each(_MOVES[0]())
        known = [_anywhere(chart, regions)() for _ in range(instances)]
        shown = iter(known * (effort.rounds + 1))
        figures = _with_first(
            {
                "empty": _first_walk(regions, list(_random_moves(regions, first))),
                "new": timed(_anywhere(chart, regions), to_move, instances, 1),
                "known": timed(shown.__next__, to_move, instances, 1),
            },
            effort,
        )
        new[regions] = figures["new"].ns
        cells = (f"{each:,.{digits}f}" for name in ("empty", "new", "known") for each, digits in _cells(figures[name]))
        rows.append((str(regions), f"{3**regions:,}", *cells))
    note = (
        f"kernel.advance, one region moves. Empty: the mean of the first {first} events of a chart, moving regions "
        f"at random. New: {instances:,} entities in configurations drawn at random, pieces being known; charts of few "
        "regions have no configurations that are new. Known: the same entities' event, asked once more."
    )
    head = ("regions", "configurations", "empty, ns", "x floor", "new, ns", "x floor", "known, ns", "x floor")
    budget = Budget("one region of twelve moves, new configuration, beside one of eight", 1.5, new[12] / new[8], "x")
    return Report([Table("One region moves", head, rows, note)], [budget])


def _cells(figure: Figure) -> tuple[tuple[float, int], tuple[float, int]]:
    return (figure.ns, 0), (figure.ratio, 1)


def _moving(effort: Effort) -> Report:
    """So many regions of twelve move at once."""
    instances = effort.times(2000)
    chart = _ring_chart(12)
    anywhere = _anywhere(chart, 12)
    runs = {str(moving): timed(anywhere, _advance_each(_MOVES_OF_FIRST[moving]()), instances, 1) for moving in _WIDTHS}
    figures = _with_first(runs, effort)
    rows = [(name, f"{figures[name].ns:,.0f}", f"{figures[name].ratio:.1f}") for name in runs]
    note = "kernel.advance in the chart of twelve regions, in configurations that are new; pieces are known."
    growth = figures["12"].ns / figures["1"].ns
    return Report(
        [Table("Regions of twelve that move at once", ("moving", "ns", "x floor"), rows, note)],
        [Budget("twelve regions of twelve move, new configuration, beside one", 12, growth, "x")],
    )


def _memory(effort: Effort) -> Report:
    head = ("", "positions", "front", "pieces", "triggers", "kB now", "kB at most")
    numbers = [effort.times(number) for number in (4000, 40_000, 120_000)]
    rows: list[Sequence[str]] = []
    peaks: list[int] = []
    for number in numbers:
        now, peak, statistics = _walked(number)
        rows.append((f"{number:,} events", *(f"{each:,}" for each in statistics), *_kilobytes(now, peak)))
        peaks.append(peak)
    note = (
        "By tracemalloc, of one entity that moves a region at random with each event. Plans of the way it came are "
        "kept until the front is full, then dropped. One table over whole configurations was 67 MB after 4,000 events."
    )
    return Report(
        [Table("What the tables of the chart of twelve regions remember", head, rows, note)],
        [Budget(f"memory at most, {numbers[2]:,} events beside {numbers[1]:,}", 1.2, peaks[2] / peaks[1], "x")],
    )


def _walked(number: int) -> tuple[int, int, list[int]]:
    """Bytes kept and at most, and the statistics of the tables, after so many random moves."""
    chart = _ring_chart(12)
    snapshot = start(chart, ORDER).snapshot
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for event in _random_moves(12, number):
            step: Any = advance(snapshot, event)
            snapshot = step.snapshot
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return now - before, peak - before, list(tables_of(chart).statistics().values())


def _kilobytes(*sizes: int) -> tuple[str, ...]:
    return tuple(f"{size / 1000:,.0f}" for size in sizes)

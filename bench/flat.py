"""The flat order machine: an accepted event, a refused one, construction, and the size of an instance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench import peers
from bench.measure import Effort, Figure, Run, bytes_each, compare, repeated, timed
from bench.order import (
    DELIVER,
    DICT_FLOOR,
    FLOORS,
    ORDER,
    ORDER_CHART,
    PAY,
    SHIP,
    DictOrder,
    OrderLifecycle,
    Pay,
    ShippingLifecycle,
    drive,
)
from bench.report import Budget, Report, Table
from stateward import Event, Machine, Refused, Snapshot, chart_of, start
from stateward.kernel import advance

__all__ = ["measure"]

_SEND = "stateward: Machine.send"
_INSTANCES = 5000
_CALLS = 20_000
_SIZED = 10_000
_SIZED_HEAVY = 1000


def measure(effort: Effort) -> Report:
    """All of it."""
    report = Report()
    found, missing = peers.load()
    for part in (_accepted(effort, found, missing), _by_event(effort), _others(effort), _sizes(effort, found)):
        report.tables += part.tables
        report.budgets += part.budgets
    return report


def _accepted(effort: Effort, found: Sequence[peers.Peer], missing: Sequence[str]) -> Report:
    instances = effort.times(_INSTANCES)
    runs: dict[str, Run] = {name: timed(make, drive, instances, 3) for name, make in FLOORS.items()}
    runs["stateward: kernel.advance"] = timed(_snapshot, _advance_three, instances, 3)
    runs[_SEND] = timed(_machine, drive, instances, 3)
    for peer in found:
        runs[peer.name] = timed(peer.make, peer.drive, effort.times(peer.instances), 3)
    figures = compare(runs, DICT_FLOOR, effort.rounds)
    note = (
        "Mean of three events, one guarded, one with an action that returns a new context, one plain; fresh instances, "
        "made outside of what is timed; garbage collector off while a round is timed."
    )
    if missing:
        note += f" Not installed here: {', '.join(missing)} (`make bench` has a virtual environment with them)."
    return Report(
        [Table("Accepted event, flat order machine", ("", "ns", "x floor"), list(_rows(figures.values())), note)],
        [Budget("accepted event, flat order machine", 5, figures[_SEND].ratio, "x")],
    )


def _machine() -> Machine[Any]:
    return Machine(OrderLifecycle, ORDER)


def _snapshot() -> Snapshot[Any]:
    return start(ORDER_CHART, ORDER).snapshot


def _advance_three(snapshots: Sequence[Snapshot[Any]]) -> None:
    for snapshot in snapshots:
        paid: Any = advance(snapshot, PAY)
        shipped: Any = advance(paid.snapshot, SHIP)
        advance(shipped.snapshot, DELIVER)


def _by_event(effort: Effort) -> Report:
    """Each kind of event by itself, of the floor's and of the machine's: where the mean comes from."""
    instances = effort.times(_INSTANCES)
    kinds: list[tuple[str, tuple[Event, ...], Event]] = [
        ("guarded", (), PAY),
        ("with an action", (PAY,), SHIP),
        ("plain", (PAY, SHIP), DELIVER),
    ]
    rows: list[Sequence[str]] = []
    for name, before, event in kinds:
        runs = {
            "floor": timed(_brought(DictOrder, before), _sender(event), instances, 1),
            "machine": timed(_brought(_machine, before), _sender(event), instances, 1),
        }
        figures = compare(runs, "floor", effort.rounds)
        rows.append(_event_row(name, figures))
    to_ship = _sender(SHIP)
    shipping = timed(_brought(lambda: Machine(ShippingLifecycle, ORDER), (PAY,)), to_ship, instances, 1)
    dict_shipping = timed(_brought(DictOrder, (PAY,)), to_ship, instances, 1)
    effectful = compare({"floor": dict_shipping, "machine": shipping}, "floor", effort.rounds)
    rows.append(_event_row("with an action that yields an effect", effectful))
    beside = compare(
        {
            DICT_FLOOR: timed(DictOrder, drive, instances, 3),
            "plain": timed(_brought(_machine, (PAY,)), to_ship, instances, 1),
            "yielding": shipping,
        },
        DICT_FLOOR,
        effort.rounds,
    )
    note = (
        "The floor of each row is the dict with that event alone; it yields no effects, so the last row's is the one "
        "with the plain action."
    )
    return Report(
        [Table("By kind of event", ("event", "floor, ns", "Machine.send, ns", "x floor"), rows, note)],
        [Budget("what yielding an effect adds to its event", 5, beside["yielding"].ratio - beside["plain"].ratio, "x")],
    )


def _event_row(name: str, figures: dict[str, Figure]) -> Sequence[str]:
    machine = figures["machine"]
    return name, f"{figures['floor'].ns:,.0f}", f"{machine.ns:,.0f}", f"{machine.ratio:.2f}"


def _brought(make: Callable[[], Any], events: Sequence[Event]) -> Callable[[], Any]:
    """Makes an order and brings it to where these events lead."""

    def made() -> Any:
        order = make()
        for event in events:
            order.send(event)
        return order

    return made


def _sender(event: Event) -> Callable[[Sequence[Any]], None]:
    def send_one(orders: Sequence[Any]) -> None:
        for order in orders:
            order.send(event)

    return send_one


def _others(effort: Effort) -> Report:
    """Refusals and construction, beside the floor of an accepted event."""
    instances, calls = effort.times(_INSTANCES), effort.times(_CALLS)
    chart = chart_of(OrderLifecycle)
    runs: dict[str, Run] = {
        DICT_FLOOR: timed(DictOrder, drive, instances, 3),
        "refused by value: no transition (attempt)": timed(_machine, _attempt(SHIP), calls, 1),
        "refused by value: guard says no (attempt)": timed(_machine, _attempt(Pay(1)), calls, 1),
        "refused by exception: no transition (send)": timed(_machine, _send_refused(SHIP), calls, 1),
        "refused by exception: guard says no (send)": timed(_machine, _send_refused(Pay(1)), calls, 1),
        "construct, by hand": repeated(lambda: DictOrder(ORDER), calls),
        "construct, Machine(OrderLifecycle, ...)": repeated(_machine, calls),
        "construct, Machine(chart, ...)": repeated(lambda: Machine(chart, ORDER), calls),
    }
    figures = compare(runs, DICT_FLOOR, effort.rounds)

    def worst(start_of_name: str) -> float:
        return max(each.ratio for name, each in figures.items() if name.startswith(start_of_name))

    return Report(
        [Table("Refused, and constructed", ("", "ns", "x floor"), list(_rows(figures.values())))],
        [
            Budget("refused by value", 3.5, worst("refused by value"), "x"),
            Budget("refused by exception", 7, worst("refused by exception"), "x"),
            Budget("construct", 6, worst("construct, Machine"), "x"),
        ],
    )


def _attempt(event: Event) -> Callable[[Sequence[Machine[Any]]], None]:
    def attempt_all(machines: Sequence[Machine[Any]]) -> None:
        for machine in machines:
            machine.attempt(event)

    return attempt_all


def _send_refused(event: Event) -> Callable[[Sequence[Machine[Any]]], None]:
    def send_all(machines: Sequence[Machine[Any]]) -> None:
        for machine in machines:
            try:  # noqa: SIM105 - what a caller writes; suppress() would be a third of the figure
                machine.send(event)
            except Refused:
                pass

    return send_all


def _rows(figures: Any) -> Iterator[tuple[str, str, str]]:
    for each in figures:
        yield each.name, f"{each.ns:,.0f}", f"{each.ratio:.2f}"


def _sizes(effort: Effort, found: Sequence[peers.Peer]) -> Report:
    instances, few = effort.times(_SIZED), effort.times(_SIZED_HEAVY)
    machine = _machine()
    own = sys.getsizeof(machine) + sys.getsizeof(machine.snapshot())
    rows: list[tuple[str, str]] = [
        (DICT_FLOOR, f"{bytes_each(DictOrder, instances):,.0f}"),
        ("stateward: Machine and snapshot, sys.getsizeof", f"{own:,}"),
        ("stateward: Machine and snapshot", f"{bytes_each(_machine, instances):,.0f}"),
        ("stateward: the same after three events", f"{bytes_each(_driven, instances):,.0f}"),
        ("stateward: a snapshot alone", f"{bytes_each(_snapshot, instances):,.0f}"),
    ]
    rows += [
        (peer.name, f"{bytes_each(peer.make, few if peer.instances < _INSTANCES else instances):,.0f}")
        for peer in found
    ]
    note = (
        f"What {instances:,} instances ({few:,} of the larger ones) allocate and keep each, by tracemalloc. They share "
        "their first context, which is not counted; after three events each has a second one of its own, "
        f"{sys.getsizeof(ORDER)} bytes, which is. harel's has its driver and its events with it."
    )
    return Report(
        [Table("Size of an instance", ("", "bytes"), rows, note)],
        [Budget("size of an instance beside its context", 120, bytes_each(_machine, instances), "bytes")],
    )


def _driven() -> Machine[Any]:
    machine = _machine()
    drive([machine])
    return machine

"""What must pass: mypy --strict and basedpyright strict say nothing about any of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from stateward import (
    Actions,
    Chart,
    Composite,
    Context,
    ContextMarker,
    Done,
    Effect,
    EffectMarker,
    Elapsed,
    Event,
    EventMarker,
    Fact,
    Final,
    Gather,
    Lifecycle,
    Machine,
    Meta,
    MutexMachine,
    Parallel,
    Patience,
    Raise,
    Refusal,
    Saga,
    Snapshot,
    Stage,
    State,
    States,
    Step,
    Undo,
    UndoAgain,
    after,
    always,
    chart_of,
    done,
    missing_facts,
    nested,
    on,
    reply,
    start,
    step,
    stop_on,
    undo_on,
)

C = TypeVar("C", bound=ContextMarker)


class Pay(Event):
    amount: int
    note: str = ""


class Ship(Event):
    pass


@dataclass(frozen=True)
class Loose(EventMarker):
    size: int


class Charge(Effect):
    amount: int


@dataclass(frozen=True)
class Mail(EffectMarker):
    to: str


class Order(Context):
    total: int
    paid: int = 0


def covers(order: Order, event: Pay) -> bool:
    return event.amount >= order.total


def in_time(order: Order, event: Pay, meta: Meta) -> bool:
    return meta.now is not None


def keep(context: C, event: EventMarker) -> C:
    return context


def record(order: Order, event: Pay) -> Actions[Order]:
    yield Charge(amount=event.amount)
    yield Mail(to="x")
    yield Raise(Ship())
    return order.replace(paid=event.amount)


def note(order: Order, event: Event) -> Order:
    return order


def note_any(order: Order, event: EventMarker) -> Order:
    return order


def note_done(order: Order, event: Done) -> Order:
    return order


def note_late(order: Order, event: Elapsed) -> Order:
    return order


def weigh(order: Order, event: Loose) -> bool:
    return event.size > 3


def is_paid(order: Order, event: Event) -> bool:
    return order.paid > 0


def patience(order: Order) -> timedelta:
    return timedelta(seconds=order.total)


def total(order: Order, event: Event) -> int:
    return order.total


class Right(Lifecycle[Order]):
    pending = State(initial=True, entry=note, exit=(note, note_any), sla=timedelta(hours=1))

    @nested(entry=note)
    class active(Parallel):
        @nested(sla=timedelta(days=1))
        class payment(Composite):
            unpaid = State(initial=True)
            paid = Final(data=total)
            pay = on(Pay, unpaid.to(paid, when=covers, do=record), unpaid.stay(do=note))

        class parcel(Composite):
            packing = State(initial=True)
            sent = Final()
            ship = on(Ship, packing.to(sent))

    held = State()
    finished = Final()
    group = pending | active | held

    begin = on(Pay, pending.to(active), when=in_time, do=record, already=active | finished)
    hold = on(Ship, (pending | active).to(held, do=note))
    weigh = on(Loose, held.to(active.history(deep=True, default=active.payment), when=weigh))
    regions = on(Ship, held.to(active.payment.unpaid, active.parcel.sent))
    settle = always(held.to(finished), when=is_paid)
    finish = done(active.to(finished), do=note_done)
    expire = after(timedelta(days=1), (pending | held).to(finished, do=note_late))
    wait = after(patience, held.to(pending))


class Further(Right):
    class held(Composite):
        here = State(initial=True)
        there = State()
        go = on(Ship, here.to(there))

    @nested(sla=timedelta(days=2))
    class active(Right.active):
        class payment(Right.active.payment):
            lent = State()
            lend = on(Loose, Right.active.payment.unpaid.to(lent))

    lost = State()
    lose = on(Ship, (Right.held | held.there).to(lost), active.payment.lent.to(lost))


class Wide(Lifecycle[Order], name="wide"):
    begun = State(initial=True)

    class group(Composite):
        one = State(initial=True, name="first")
        two = State()

    class both(Parallel):
        left = State()
        right = State()

    ended = Final()
    # mypy takes two classes joined in a body for a type, unless it is told otherwise.
    nests: States = group | both
    mixed = begun | group

    leave = on(Ship, nests.to(ended), (mixed | both).to(ended, when=is_paid), already=ended)
    joined = on(Pay, (group | both | begun).to(ended, when=covers, do=record), (group.one | both.left).stay(do=note))
    inner = on(Loose, group.to(group.two, internal=True, when=weigh, do=note_any), both.stay())
    back = on(Ship, begun.to(group.history(default=group.two)), begun.to(both.history()), do=note)


class Approvable(Lifecycle[C]):
    drafted = State(initial=True, entry=keep)
    approved = Final()
    approve = on(Pay, drafted.to(approved), do=keep)


class OrderApproval(Approvable[Order]):
    rejected = Final()
    reject = on(Pay, Approvable.drafted.to(rejected, when=covers))


class Returned(Event):
    pass


class Withdraw(Event):
    why: str


def ask(order: Order, event: Event) -> Actions[Order]:
    yield Charge(amount=order.total)
    return order


def may_withdraw(order: Order, event: Withdraw) -> bool:
    return bool(event.why)


class Trade(Saga[Order]):
    drafted = State(initial=True)
    shipping = State(sla=timedelta(hours=1))

    payment = Stage(
        ask,
        done=reply(Pay, do=record),
        timeout=patience,
        undo=Undo(ask, done=Returned, timeout=timedelta(days=1), not_undone=State(entry=note)),
    )
    parcel = Stage((ask, note_any), done=(Ship, reply(Loose, do=keep)), pivot=True, awaiting=shipping)

    completed = Final(entry=note)
    begin = on(Event, drafted.to(payment.awaiting))
    withdraw = undo_on(Withdraw, when=may_withdraw, do=note)


class Parts(Gather[Order]):
    class gathering(Parallel):
        pass

    payment = Fact(Pay, do=record, ask=ask)
    parcel = Fact(Ship, missing=State(sla=timedelta(hours=1)))
    time = Patience(patience, overdue=State(name="late", entry=(ask, note)))
    complete = State()
    ended = Final()

    withdraw = stop_on(Withdraw, when=may_withdraw, do=note)
    end = on(Ship, (complete | time.overdue).to(ended), gathering.to(ended))


trade: Machine[Order] = Machine(Trade, Order(total=1))
undone: str = chart_of(Trade).path_of(Trade.undone) + chart_of(Trade).path_of(Trade.payment.undoing)
stuck: bool = trade.is_in(Trade.payment.not_undone) and trade.can(UndoAgain(stage="payment", reason="it is time"))
parts: tuple[str, ...] = missing_facts(Parts, Machine(Parts, Order(total=1)).state)

approval: Machine[Order] = Machine(OrderApproval, Order(total=1))
wide: Machine[Order] = Machine(Wide, Order(total=1))
table: Chart[Order] = Chart.from_table(
    [("a", Pay, "b", covers, record), ("a", Ship, "b")], kind="Table", context=Order, initial="a", final=("b",)
)
copied: Chart[Order] = Chart.from_document(
    table.to_document(), context=Order, events=table.events, handlers=table.handlers
)
path: str = chart_of(Further).path_of(Further.active.payment.lent)


machine: Machine[Order] = Machine(Right, Order(total=1))
bare: Step[Order] | Refusal = machine.attempt(Pay(amount=1), Meta(now=datetime(2026, 1, 1, tzinfo=UTC)))
taken: Step[Order] = machine.send(Pay(amount=1))  # already: it is active
answer: Step[Order] | Refusal = machine.attempt(Ship())
paid: int = machine.context.paid
inside: bool = machine.is_in(Right.active.payment) or machine.is_in(Right.pending) or machine.is_in("held")
chart: Chart[Order] = chart_of(Further)
begun: Step[Order] = start(chart, Order(total=1))
moved: Step[Order] | Refusal = step(chart, begun.snapshot, Pay(amount=1, note="x"))
kept: Snapshot[Order] = taken.snapshot
again: MutexMachine[Order] = MutexMachine[Order].restore(Right, kept)

"""What must not pass: each line with a marker is wrong, and the marker names who tells.

`mypy` and `basedpyright` are the checkers; `building` is the lifecycle's own class statement, at run time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stateward import (
    Actions,
    Child,
    Composite,
    Context,
    Done,
    Effect,
    Event,
    Fact,
    Final,
    Gather,
    Lifecycle,
    Machine,
    Meta,
    Patience,
    Raise,
    Saga,
    Stage,
    State,
    after,
    chart_of,
    done,
    missing_facts,
    on,
    reply,
    start,
    step,
)


class Pay(Event):
    amount: int


class Ship(Event):
    pass


class Charge(Effect):
    amount: int


class Order(Context):
    total: int


class Parcel(Context):
    weight: int


def covers(order: Order, event: Pay) -> bool:
    return event.amount >= order.total


def record(order: Order, event: Pay) -> Actions[Order]:
    yield Charge(amount=event.amount)
    return order


def says_maybe(order: Order, event: Pay) -> str:
    return "maybe"


def gives_parcel(order: Order, event: Pay) -> Parcel:
    return Parcel(weight=1)


def gives_nothing(order: Order, event: Pay) -> None: ...


def of_parcel(parcel: Parcel, event: Pay) -> bool:
    return parcel.weight > 1


def enters(order: Order, event: Pay) -> Order:
    return order


def late(order: Order) -> int:
    return order.total


def yields_text(order: Order, event: Pay) -> Actions[Order]:
    yield "charge"  # tell: mypy basedpyright
    return order


def returns_parcel(order: Order, event: Pay) -> Actions[Order]:
    yield Charge(amount=1)
    return Parcel(weight=1)  # tell: mypy basedpyright


def raises_text(order: Order, event: Pay) -> Actions[Order]:
    yield Raise("ship")  # tell: mypy basedpyright
    return order


class Fine(Lifecycle[Order]):
    pending = State(initial=True)
    paid = State()

    class active(Composite):
        unpaid = State(initial=True)

    end = Final()
    pay = on(Pay, pending.to(paid))
    begin = on(Ship, paid.to(active))
    stop = on(Ship, active.to(end))


machine = Machine(Fine, Order(total=1))
machine.send(Pay(amout=1))  # tell: mypy basedpyright
machine.send(Pay(amount="1"))  # tell: mypy basedpyright
machine.send(Pay())  # tell: mypy basedpyright
machine.send(Pay)  # tell: mypy basedpyright
machine.send("Pay")  # tell: mypy basedpyright
machine.send(Order(total=1))  # tell: mypy basedpyright
machine.context.totl  # tell: mypy basedpyright
Machine(Fine, Parcel(weight=1))  # tell: mypy basedpyright
start(chart_of(Fine), Parcel(weight=1))  # tell: mypy basedpyright
step(chart_of(Fine), machine.snapshot(), Fine.pay)  # tell: mypy basedpyright
machine.is_in(Fine.payd)  # tell: mypy basedpyright
machine.is_in(Fine.active.unpayed)  # tell: mypy basedpyright
Pay(amount=1).amount = 2  # tell: mypy basedpyright
Order(total=1).total = 2  # tell: mypy basedpyright


def guard_of_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Ship, a.to(end), when=covers)  # tell: mypy basedpyright building


def guard_of_another_event_on_an_arc() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Ship, a.to(end, when=covers))  # tell: mypy basedpyright building


def action_of_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Ship, a.to(end), do=record)  # tell: mypy basedpyright building


def guard_that_returns_text() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), when=says_maybe)  # tell: mypy basedpyright building


def action_that_returns_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), do=gives_nothing)  # tell: mypy basedpyright building


def action_that_returns_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), do=gives_parcel)  # tell: mypy basedpyright building


def guard_and_action_of_two_contexts() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), when=of_parcel, do=record)  # tell: mypy basedpyright building


def guard_of_another_lifecycles_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), when=of_parcel)  # tell: building


def entry_of_one_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = State(entry=enters)  # tell: mypy basedpyright building
        end = Final()
        go = on(Pay, a.to(b), b.to(end))


def completion_handler_of_another_event() -> None:
    class Wrong(Lifecycle[Order]):
        class a(Composite):
            end = Final()
            begin = State(initial=True)
            go = on(Pay, begin.to(end))

        end = Final()
        finish = done(a.to(end), do=record)  # tell: mypy basedpyright building


def delay_that_is_no_time() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = after(late, a.to(end))  # tell: mypy basedpyright building


def event_that_is_no_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Order, a.to(end))  # tell: mypy basedpyright building


def event_misspelled() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pya, a.to(end))  # tell: mypy basedpyright building


def event_forgotten() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(a.to(end))  # tell: mypy basedpyright building


def arc_forgotten() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, end)  # tell: mypy basedpyright building


def arc_that_is_missing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay)  # tell: building


def target_forgotten() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to())  # tell: mypy basedpyright building


def target_by_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to("end"))  # tell: mypy basedpyright building


def group_as_target() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(a | end))  # tell: mypy basedpyright building


def already_by_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), already="end")  # tell: mypy basedpyright building


async def asks(order: Order, event: Pay) -> bool:
    return True


def asynchronous_guard() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), when=asks)  # tell: mypy basedpyright building


def action_of_an_arc_that_returns_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end, do=gives_parcel))  # tell: basedpyright building


def parcel_of(order: Order, event: Event) -> Parcel:
    return Parcel(weight=1)


def entry_that_returns_another_context() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, entry=parcel_of)  # tell: building
        end = Final()
        go = on(Pay, a.to(end))


def no_order(order: Order, event: Event) -> None: ...


def entry_that_returns_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, entry=no_order)  # tell: mypy basedpyright building
        end = Final()
        go = on(Pay, a.to(end))


def asks_charge(order: Order, event: Event) -> Actions[Order]:
    yield Charge(amount=order.total)
    return order


def reply_with_an_action_for_another_event() -> None:
    class Wrong(Saga[Order]):
        payment = Stage(asks_charge, done=reply(Ship, do=record))  # tell: mypy basedpyright building


def stage_that_asks_by_an_action_of_one_event() -> None:
    class Wrong(Saga[Order]):
        payment = Stage(record, done=Pay)  # tell: mypy basedpyright building


def undo_that_is_an_action() -> None:
    class Wrong(Saga[Order]):
        payment = Stage(asks_charge, done=Pay, undo=asks_charge)  # tell: mypy basedpyright building


def fact_with_an_action_for_another_event() -> None:
    class Wrong(Gather[Order]):
        payment = Fact(Ship, do=record)  # tell: mypy basedpyright building
        patience = Patience(timedelta(days=1))


class FineSaga(Saga[Order]):
    payment = Stage(asks_charge, done=Pay)


Stage(asks_charge)  # tell: mypy basedpyright
Patience()  # tell: mypy basedpyright
chart_of(FineSaga).path_of(FineSaga.payment.waiting)  # tell: mypy basedpyright


def foreign_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), a.to(Fine.paid))  # tell: building


def way_out_of_a_final_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, end.to(a))  # tell: building


def mutable_context() -> None:
    class Basket(Context):
        items: list[str]

    class Wrong(Lifecycle[Basket]):  # tell: building
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end))


def handler_that_wants_too_much(order: Order, event: Pay, meta: Meta, more: Any) -> bool:
    return True


def too_many_parameters() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end), when=handler_that_wants_too_much)  # tell: mypy basedpyright building


def done_reads(order: Order, event: Done) -> Order:
    return order.replace(total=event.stat)  # tell: mypy basedpyright
missing_facts(Fine, "missing")  # tell: mypy basedpyright


def same_parcel(parcel: Parcel) -> Parcel:
    return parcel


def child_of_another_context() -> None:
    class Wrong(Lifecycle[Parcel]):
        a = State(initial=True, child=Child(Fine, same_parcel))  # tell: mypy basedpyright building
        end = Final()
        go = on(Ship, a.to(end))

"""Lifecycles, events and contexts for tests of the ledger."""

from __future__ import annotations

from datetime import timedelta

from stateward import (
    Actions,
    Composite,
    Context,
    Effect,
    Event,
    Final,
    Lifecycle,
    Parallel,
    State,
    after,
    chart_of,
    done,
    nested,
    on,
)

__all__ = [
    "Deliver",
    "Fail",
    "Notify",
    "Parcel",
    "ParcelLifecycle",
    "Pay",
    "Return",
    "Ship",
    "parcel_chart",
]


class Pay(Event):
    amount: int = 0
    note: str = ""
    ratio: float = 0.0


class Ship(Event):
    pass


class Deliver(Event):
    pass


class Return(Event):
    pass


class Fail(Event):
    pass


class Notify(Effect):
    text: str


class Parcel(Context):
    price: int = 100
    paid: int = 0
    trail: tuple[str, ...] = ()


def covers_price(parcel: Parcel, event: Pay) -> bool:
    return event.amount >= parcel.price


def take_money(parcel: Parcel, event: Pay) -> Actions[Parcel]:
    yield Notify(text=f"paid {event.amount}")
    yield Notify(text="thanks")
    return parcel.replace(paid=event.amount)


def leave_a_trail(parcel: Parcel, event: Event) -> Parcel:
    return parcel.replace(trail=(*parcel.trail, event.trigger_label()))


def breaks(parcel: Parcel, event: Event) -> Parcel:
    raise ValueError("broken")


class ParcelLifecycle(Lifecycle[Parcel]):
    """A parcel, ordered, paid, on its way in two regions, delivered or lost."""

    version = 1

    ordered = State(initial=True, sla=timedelta(hours=1))
    paid = State(entry=leave_a_trail)

    @nested(sla=timedelta(days=2))
    class moving(Parallel):
        class van(Composite):
            loading = State(initial=True, sla=timedelta(hours=4))
            driving = State()
            arrived = Final()

        class papers(Composite):
            drafted = State(initial=True)
            signed = Final()

    delivered = Final()
    lost = Final()

    pay = on(Pay, ordered.to(paid), when=covers_price, do=take_money, already=paid)
    ship = on(Ship, paid.to(moving), moving.van.loading.to(moving.van.driving))
    deliver = on(Deliver, moving.van.driving.to(moving.van.arrived), moving.papers.drafted.to(moving.papers.signed))
    give_back = on(Return, moving.to(paid), paid.to(moving.history(deep=True)))
    expire = after(timedelta(days=3), ordered.to(lost))
    fail = on(Fail, ordered.stay(do=breaks))
    finish = done(moving.to(delivered))


parcel_chart = chart_of(ParcelLifecycle)

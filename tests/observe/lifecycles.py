"""What is observed: a door with an alarm, an effect that is answered, and a clock to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from stateward import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on

__all__ = ["Clock", "Close", "Closed", "DoorLifecycle", "House", "Lock", "Open", "Ring", "Wreck"]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, length: timedelta) -> None:
        self.now += length


class Open(Event):
    pass


class Close(Event):
    pass


class Closed(Event):
    pass


class Lock(Event):
    code: int


class Wreck(Event):
    pass


class Ring(Effect):
    pass


class House(Context):
    code: int = 7


def fits(house: House, event: Lock) -> bool:
    return event.code == house.code


def ring(house: House, event: Open) -> Actions[House]:
    yield Ring()
    return house


class DoorLifecycle(Lifecycle[House]):
    shut = State(initial=True)
    ajar = State()
    locked = State()
    gone = Final()

    opens = on(Open, shut.to(ajar), do=ring, already=ajar)
    closes = on(Close, ajar.to(shut))
    answered = on(Closed, ajar.to(shut))
    locks = on(Lock, shut.to(locked), when=fits)
    falls_shut = after(timedelta(minutes=5), ajar.to(shut))
    wreck = on(Wreck, (shut | ajar | locked).to(gone))

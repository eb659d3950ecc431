"""A lifecycle that counts, and the promises that hold of any ledger at rest: what fault and model tests share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

from stateward import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on
from stateward.engine import Engine
from stateward.ledger import Entity, Record

__all__ = [
    "Break",
    "Close",
    "Count",
    "CountLifecycle",
    "Tick",
    "Told",
    "check_census",
    "check_engine",
    "check_history",
    "ticks",
]


class Tick(Event):
    n: int = 0


class Close(Event):
    pass


class Break(Event):
    pass


class Told(Effect):
    n: int


class Count(Context):
    ticks: tuple[int, ...] = ()


def note(count: Count, event: Tick) -> Actions[Count]:
    yield Told(n=event.n)
    return count.replace(ticks=(*count.ticks, event.n))


def fails(count: Count, event: Break) -> Count:
    raise ValueError("broken on purpose")


class CountLifecycle(Lifecycle[Count], name="Count"):
    """Every tick is applied, goes into the context, and moves the census; it closes only from `even`."""

    even = State(initial=True)
    odd = State()
    closed = Final()

    tick = on(Tick, even.to(odd), odd.to(even), do=note)
    close = on(Close, even.to(closed), already=closed)
    break_ = on(Break, even.stay(do=fails))
    remind = after(timedelta(days=1), odd.to(even))


def check_history(records: Sequence[Record], entity: Entity[Count]) -> None:
    """Hold a history against itself, and against the entity that it led to."""
    applied = [each for each in records if each.outcome == "applied"]
    assert [each.revision for each in applied] == list(range(1, len(applied) + 1)), "revisions are dense from 1"
    assert applied[0].state_from is None
    for before, following in pairwise(applied):
        assert before.state_to == following.state_from, "an event applies to what the one before has left"
    assert (entity.revision, entity.state) == (len(applied), applied[-1].state_to)
    keys = Counter(each.key for each in applied if each.key is not None)
    assert all(count == 1 for count in keys.values()), f"a key was honoured twice: {keys.most_common(3)}"
    assert len({each.id for each in records}) == len(records), "a record id stands for one record"
    assert tuple(ticks(applied)) == entity.context.ticks, "the context is what the records made of it"
    for each in records:
        if each.outcome != "applied":
            assert each.state_from == each.state_to == applied[each.revision - 1].state_to, "it saw what there was"


def ticks(records: Iterable[Record]) -> list[int]:
    """The numbers of the ticks that were applied."""
    return [each.payload["n"] for each in records if each.outcome == "applied" and each.event == "Tick"]


def check_census(census: Mapping[str, int], entities: Iterable[Entity[Count]]) -> None:
    """Hold the census against a count."""
    assert census == Counter(each.state for each in entities)


def check_engine(engine: Engine) -> dict[str, list[Record]]:
    """Hold all that a ledger at rest has of the counting lifecycle against its promises; its histories."""
    entities = list(engine.list(CountLifecycle))
    histories = {each.id: list(engine.history(CountLifecycle, each.id)) for each in entities}
    for each in entities:
        check_history(histories[each.id], each)
    check_census(engine.census(CountLifecycle), entities)
    return histories

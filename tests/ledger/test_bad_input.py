"""What can't be kept, or was meant for something else, in the midst of a batch: told, not written, and no harm done."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import new_class
from typing import Any

import pytest
from msgspec.structs import replace

from stateward import (
    ActionFailed,
    Composite,
    Context,
    DefinitionError,
    Event,
    Final,
    Lifecycle,
    Parallel,
    Refusal,
    SnapshotInvalid,
    State,
    StatewardError,
    UnknownEntity,
    nested,
    on,
)
from stateward.engine import Creating, Engine, Sending
from stateward.errors import Unkeepable
from stateward.ledger import Applied
from tests.ledger.conftest import MakeLedger
from tests.ledger.faults_counting import Count, CountLifecycle, Tick
from tests.ledger.lifecycles import Parcel, ParcelLifecycle, Pay

PLACE = 50
"""Where the bad one stands among a hundred."""
IDS = [f"p{n}" for n in range(100)]


@pytest.fixture
def engine(make_ledger: MakeLedger) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[ParcelLifecycle]) as made:
        yield made


def creating(entity: str, **changes: Any) -> Creating:
    return replace(
        Creating(lifecycle=ParcelLifecycle, entity=entity, context=Parcel(), actor="shop:1", key="made"), **changes
    )


def sending(entity: str, **changes: Any) -> Sending:
    return replace(
        Sending(lifecycle=ParcelLifecycle, entity=entity, event=Pay(amount=100), actor="shop:1", key="paid"), **changes
    )


def check_told(answer: object, error: type[Any], problem: str) -> None:
    """It is an error that says what is wrong, in words that can be read at a glance."""
    assert type(answer) is error, repr(answer)[:300]
    assert problem in str(answer)
    assert len(str(answer)) < 500


QUOTED = "o'clock \"x\"\n'; DROP TABLE entity; --\\ %s {}"

SENDINGS: dict[str, tuple[dict[str, Any], type[Any], str]] = {
    "ten megabytes": ({"event": Pay(amount=100, note="x" * 10_000_000)}, Unkeepable, "Pay is 10000036 bytes of JSON"),
    "a NUL": ({"event": Pay(amount=100, note="a\0b")}, Unkeepable, "Pay holds a NUL character"),
    "a NUL in the id": ({"entity": "p\0"}, Unkeepable, "the id holds a NUL character"),
    "a NUL in the key": ({"key": "k\0"}, Unkeepable, "the key holds a NUL character"),
    "an actor without a kind": ({"actor": ":9"}, Unkeepable, "the actor ':9' has no kind: customer:9, say"),
    "a NUL in the actor": ({"actor": "shop:\0"}, Unkeepable, "the actor holds a NUL character"),
    "half a character": ({"event": Pay(amount=100, note="\ud800")}, Unkeepable, "surrogates not allowed"),
    "half a character in the id": ({"entity": "\udcff"}, Unkeepable, "the id holds half of a character"),
    "half a character in the key": ({"key": "\ud800"}, Unkeepable, "the key holds half of a character"),
    "not a number": ({"event": Pay(amount=100, ratio=float("nan"))}, Unkeepable, "a number that is not finite"),
    "without end": ({"event": Pay(amount=100, ratio=float("-inf"))}, Unkeepable, "a number that is not finite"),
    "a huge integer": ({"event": Pay(amount=10**5000)}, Unkeepable, "the event Pay can't be written as JSON"),
    "an id of quotes and lines that is not there": ({"entity": QUOTED}, UnknownEntity, "DROP TABLE entity"),
    "an event of another lifecycle": ({"event": Tick(n=1)}, Refusal, "Tick"),
    "another lifecycle": ({"lifecycle": CountLifecycle}, DefinitionError, "Count"),
    "a field of another type": ({"event": Pay(amount="many")}, ActionFailed, "TypeError"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize(("changes", "error", "problem"), SENDINGS.values(), ids=SENDINGS)
def test_a_bad_event_is_told_and_the_other_ninety_nine_are_applied(
    engine: Engine, changes: dict[str, Any], error: type[Any], problem: str
) -> None:
    engine.create_many([creating(each) for each in IDS])
    sendings = [sending(each) for each in IDS]
    sendings[PLACE] = replace(sendings[PLACE], **changes)
    answers = engine.send_many(sendings)
    check_told(answers.pop(PLACE), error, problem)
    assert all(isinstance(each, Applied) for each in answers)
    entities = {each.id: each for each in engine.list(ParcelLifecycle)}
    assert sorted(entities) == sorted(IDS)
    assert [name for name, each in entities.items() if each.revision != 2] == [IDS[PLACE]]
    assert engine.census(ParcelLifecycle) == {"ordered": 1, "paid": 99}
    # A refusal is recorded, and nothing else is.
    outcomes = [each.outcome for each in engine.history(ParcelLifecycle, IDS[PLACE])]
    assert outcomes == ["applied", "rejected_invalid"][: 2 if error is Refusal else 1]
    assert engine.send_many([sending(IDS[PLACE])])[0].revision == 2, "the key was not used up"  # type: ignore[union-attr]


CREATINGS: dict[str, tuple[dict[str, Any], type[Any], str]] = {
    "ten megabytes": ({"context": Parcel(trail=("x" * 10_000_000,))}, Unkeepable, "bytes of JSON"),
    "a NUL": ({"context": Parcel(trail=("a\0b",))}, Unkeepable, "the context holds a NUL character"),
    "a NUL in the id": ({"entity": "p\0"}, Unkeepable, "the id holds a NUL character"),
    "half a character": ({"context": Parcel(trail=("\ud800",))}, Unkeepable, "surrogates not allowed"),
    "not a number": ({"context": Parcel(price=float("nan"))}, Unkeepable, "a number that is not finite"),  # type: ignore[arg-type]
    "a huge integer": ({"context": Parcel(price=10**5000)}, Unkeepable, "the context can't be written as JSON"),
    "another lifecycle": ({"lifecycle": CountLifecycle}, DefinitionError, "Count"),
    "a context of another lifecycle": ({"context": Count()}, SnapshotInvalid, "the context is Count"),
    "a context that is plain data": ({"context": {"price": 1}}, SnapshotInvalid, "the context is dict"),
}  # fmt: skip
UNFIT: dict[str, Any] = {
    "no context": None,
    "a field of another type": Parcel(price="x"),  # type: ignore[arg-type]
    "a field of half another type": Parcel(price=1.5),  # type: ignore[arg-type]
    "a part of another type": Parcel(trail=(1,)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        *[pytest.param(*each, id=name) for name, each in CREATINGS.items()],
        *[pytest.param({"context": each}, StatewardError, "context", id=name) for name, each in UNFIT.items()],
    ],
)
def test_a_bad_creation_is_told_and_the_other_ninety_nine_are_made(
    engine: Engine, changes: dict[str, Any], error: type[Any], problem: str
) -> None:
    creatings = [creating(each) for each in IDS]
    creatings[PLACE] = replace(creatings[PLACE], **changes)
    answers = engine.create_many(creatings)
    bad = answers.pop(PLACE)
    assert all(isinstance(each, Applied) for each in answers)
    if error is StatewardError:  # one of ours, whichever is chosen
        assert isinstance(bad, StatewardError)
        error = type(bad)
    check_told(bad, error, problem)
    assert sorted(each.id for each in engine.list(ParcelLifecycle)) == sorted({*IDS} - {IDS[PLACE]})
    assert engine.census(ParcelLifecycle) == {"ordered": 99}
    assert list(engine.history(ParcelLifecycle, IDS[PLACE])) == []
    [made] = engine.create_many([creating(IDS[PLACE])])
    assert isinstance(made, Applied)
    assert not made.is_repetition, "the key was not used up"


def test_a_context_that_an_action_makes_unfit_is_told_and_the_entity_can_be_read(engine: Engine) -> None:
    engine.create_many([creating(each) for each in IDS])
    sendings = [sending(each) for each in IDS]
    sendings[PLACE] = replace(sendings[PLACE], event=Pay(amount=100.5))  # type: ignore[arg-type]
    answers = engine.send_many(sendings)
    bad = answers.pop(PLACE)
    assert all(isinstance(each, Applied) for each in answers)
    assert isinstance(bad, StatewardError)
    assert engine.get(ParcelLifecycle, IDS[PLACE]).context == Parcel()


@pytest.mark.parametrize("amount", [2**63, -(2**64), 10**30, 10**4299], ids=["2^63", "-2^64", "10^30", "10^4299"])
def test_an_integer_of_many_digits_is_no_bad_one(engine: Engine, amount: int) -> None:
    """They are kept, as are ids of quotes and lines; and so is all that is beside them."""
    ids = [*IDS, QUOTED]
    engine.create_many([creating(each, context=Parcel(price=amount)) for each in ids])
    answers = engine.send_many([sending(each, event=Pay(amount=amount)) for each in ids])
    assert [each.state for each in answers if isinstance(each, Applied)] == ["paid"] * 101
    assert {each.id: each.context.paid for each in engine.list(ParcelLifecycle)} == dict.fromkeys(ids, amount)
    assert [each.payload.get("amount") for each in engine.history(ParcelLifecycle, QUOTED)] == [None, amount]


# A configuration of many bytes: nobody sees its length where the event is sent.


class Go(Event):
    pass


class Stay(Event):
    pass


class Nothing(Context):
    pass


def wide_lifecycle(regions: int, length: int) -> type[Lifecycle[Nothing]]:
    """A lifecycle with a configuration of so many regions, whose states' names no compression makes shorter."""
    chance = random.Random(1)
    names = [
        "s" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length - 1)) for _ in range(regions)
    ]

    def region(name: str) -> Any:
        return new_class(name, (Composite,), exec_body=lambda body: body.update({name: State(initial=True)}))

    class WideLifecycle(Lifecycle[Nothing], name="Wide"):
        idle = State(initial=True)
        near = State()
        gone = Final()

        @nested()
        class busy(Parallel):
            locals().update({f"r{number}": region(name) for number, name in enumerate(names)})

        go = on(Go, idle.to(busy))
        stay = on(Stay, idle.to(near))
        end = on(Stay, busy.to(gone))

    return WideLifecycle


@pytest.mark.parametrize(("regions", "length"), [(12, 20), (12, 200), (12, 500), (12, 1000)])
def test_a_long_configuration_harms_no_other(make_ledger: MakeLedger, regions: int, length: int) -> None:
    """PostgreSQL refuses those that no row of an index can hold."""
    lifecycle = wide_lifecycle(regions, length)
    with Engine(make_ledger(), lifecycles=[lifecycle]) as engine:
        engine.create_many([Creating(lifecycle=lifecycle, entity=each, context=Nothing(), actor="a:1") for each in IDS])
        answers = engine.send_many(
            [
                Sending(lifecycle=lifecycle, entity=each, event=Go() if each == IDS[PLACE] else Stay(), actor="a:1")
                for each in IDS
            ]
        )
        wide = answers.pop(PLACE)
        assert [each.state for each in answers if isinstance(each, Applied)] == ["near"] * 99
        if isinstance(wide, Applied):
            assert engine.census(lifecycle) == {"near": 99, wide.state: 1}
            assert [each.id for each in engine.list(lifecycle, state=wide.state)] == [IDS[PLACE]]
        else:
            check_told(wide, Unkeepable, IDS[PLACE])
            assert engine.census(lifecycle) == {"near": 99, "idle": 1}
            assert len(list(engine.history(lifecycle, IDS[PLACE]))) == 1

"""Pages with cursors: nothing is lost or comes twice, on every store; what could be taken now; charts as lifecycles."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from stateward import AsyncEngine, Chart, Context, Effect, Engine, Event
from stateward.chart import Actions, Final, Lifecycle, State, on
from stateward.engine import Page
from stateward.errors import CursorInvalid, UnknownEntity
from tests.conftest import MakeLedger
from tests.ledger.lifecycles import Deliver, Parcel, ParcelLifecycle, Pay, Ship


class Now:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Now:
    return Now()


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Now) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[ParcelLifecycle], clock=clock) as made:
        yield made


def all_of(read: Callable[[str | None], Page[Any]], limit: int) -> list[Any]:
    """Page after page; all but the last are full."""
    found: list[Any] = []
    after: str | None = None
    while True:
        page = read(after)
        found += page.items
        if page.after is None:
            assert len(page.items) <= limit
            return found
        assert len(page.items) == limit
        after = page.after


def page_of(engine: Engine, choice: dict[str, Any], limit: int, after: str | None) -> Page[Any]:
    return engine.list_page(ParcelLifecycle, after=after, limit=limit, **choice)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_entities_come_once_in_pages_as_in_the_list(engine: Engine, clock: Now, limit: int) -> None:
    for n in range(7):
        engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a:1")
        clock.now += timedelta(minutes=1) * (n % 2)
    for n in (1, 4, 5):
        engine.send(ParcelLifecycle, f"p{n}", Pay(amount=100), actor="a:1")
    choices: list[dict[str, Any]] = [
        {}, {"state": "ordered"}, {"state": "paid"}, {"due_by": clock.now + timedelta(days=1)}, {"version": 1},
        {"version": 2}, {"state": "ordered", "unmoved_since": clock.now - timedelta(minutes=1)},
    ]  # fmt: skip
    for choice in choices:
        paged = all_of(partial(page_of, engine, choice, limit), limit)
        assert [each.id for each in paged] == [each.id for each in engine.list(ParcelLifecycle, **choice)], choice


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_records_come_once_in_pages_as_in_the_history(engine: Engine, limit: int) -> None:
    engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    for event in (Ship(), Deliver(), Pay(amount=1), Pay(amount=100), Ship(), Ship(), Pay(amount=100)):
        engine.attempt(ParcelLifecycle, "p1", event, actor="a:1")
    paged = all_of(lambda after: engine.history_page(ParcelLifecycle, "p1", after=after, limit=limit), limit)
    assert [each.id for each in paged] == [each.id for each in engine.history(ParcelLifecycle, "p1")]
    assert len(paged) == 8
    assert engine.history_page(ParcelLifecycle, "none") == Page(items=(), after=None)


def test_a_page_goes_on_behind_what_moved_meanwhile(engine: Engine) -> None:
    for n in range(4):
        engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a:1")
    first = engine.list_page(ParcelLifecycle, limit=2)
    engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1")
    engine.create(ParcelLifecycle, "p00", Parcel(), actor="a:1")
    second = engine.list_page(ParcelLifecycle, limit=2, after=first.after)
    assert [each.id for each in (*first.items, *second.items)] == ["p0", "p1", "p2", "p3"]


def written(place: bytes) -> str:
    return urlsafe_b64encode(place).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "?",
        "AAAA",
        "bnVsbA",
        "W10",
        "WzEsMl0",
        "WzFd" * 500,
        "WzEsImEAIl0",
        "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5LCJhIl0",
        *map(
            written,
            [
                b"\xc0", b"\x90", b"\x92\x01\x02", b"\x92\x01\xa3a\0b", b"\x92\x01\xa3\xed\xa0\x80", b"\x92\x01\xa1",
                b"\x92\x01\xa1a\x01", b"\x92\xcf" + b"\xff" * 8 + b"\xa1a", b"\x91" * 2000 + b"\x90",
                b"\xdd\xff\xff\xff\xff",
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_no_cursor_is_told(engine: Engine, cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        engine.list_page(ParcelLifecycle, after=cursor)
    with pytest.raises(CursorInvalid):
        engine.history_page(ParcelLifecycle, "p1", after=cursor)
    with pytest.raises(CursorInvalid):
        engine.dead_page(after=cursor)


def test_a_cursor_of_another_list_is_told_or_harmless(engine: Engine) -> None:
    for n in range(3):
        engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a:1")
    of_list = engine.list_page(ParcelLifecycle, limit=1).after
    with pytest.raises(CursorInvalid, match="no cursor of this list"):
        engine.history_page(ParcelLifecycle, "p1", after=of_list)


def test_a_page_has_one_or_more(engine: Engine) -> None:
    with pytest.raises(ValueError, match="limit=0"):
        engine.list_page(ParcelLifecycle, limit=0)


def test_engines_of_tasks_have_the_same_pages(make_ledger: MakeLedger) -> None:
    async def main() -> None:
        async with AsyncEngine(make_ledger(), lifecycles=[ParcelLifecycle]) as engine:
            for n in range(3):
                await engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a:1")
            first = await engine.list_page(ParcelLifecycle, limit=2)
            second = await engine.list_page(ParcelLifecycle, limit=2, after=first.after)
            assert [each.id for each in (*first.items, *second.items)] == ["p0", "p1", "p2"]
            assert second.after is None
            history = await engine.history_page(ParcelLifecycle, "p1")
            assert [each.event for each in history.items] == ["Started"]
            assert await engine.dead_page() == Page(items=(), after=None)
            assert [each.name for each in await engine.legal_events(ParcelLifecycle, "p1")] == ["Pay", "Fail"]

    asyncio.run(main())


# Dead letters.


class Send(Effect):
    n: int


class Go(Event):
    n: int


class Box(Context):
    pass


def ask(box: Box, event: Go) -> Actions[Box]:
    for n in range(event.n):
        yield Send(n=n)
    return box


class BoxLifecycle(Lifecycle[Box]):
    here = State(initial=True)
    gone = Final()
    go = on(Go, here.to(gone), do=ask)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_dead_letters_come_once_in_pages(make_ledger: MakeLedger, limit: int) -> None:
    from stateward import GiveUp

    with Engine(make_ledger(), lifecycles=[BoxLifecycle]) as engine:

        @engine.handles(Send)
        def fail(_effect: Send, _call: Any) -> None:
            message = "no"
            raise GiveUp(message)

        for box in ("b1", "b2"):
            engine.create(BoxLifecycle, box, Box(), actor="a:1")
            engine.send(BoxLifecycle, box, Go(n=2), actor="a:1")
        engine.drain()
        paged = all_of(lambda after: engine.dead_page(after=after, limit=limit), limit)
        assert [each.key for each in paged] == [each.key for each in engine.dead()]
        assert len(paged) == 4
        assert [each.entity for each in engine.dead_page(entity="b2").items] == ["b2", "b2"]


# What could be taken now.


def test_the_events_that_an_entity_could_take_are_told(engine: Engine) -> None:
    engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    ordered = engine.legal_events(ParcelLifecycle, "p1")
    assert [(each.name, each.is_guarded, each.is_already) for each in ordered] == [
        ("Pay", True, False),
        ("Fail", False, False),
    ]
    engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1")
    paid = engine.legal_events(ParcelLifecycle, "p1")
    assert [(each.name, each.event, each.is_already) for each in paid] == [
        ("Pay", Pay, True), ("Ship", Ship, False), ("Return", paid[2].event, False),
    ]  # fmt: skip
    engine.send(ParcelLifecycle, "p1", Ship(), actor="a:1")
    assert {each.name for each in engine.legal_events(ParcelLifecycle, "p1")} == {"Ship", "Deliver", "Return"}
    with pytest.raises(UnknownEntity):
        engine.legal_events(ParcelLifecycle, "none")


def test_in_a_final_state_nothing_is_legal(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[BoxLifecycle]) as engine:
        engine.create(BoxLifecycle, "b1", Box(), actor="a:1")
        assert [each.name for each in engine.legal_events(BoxLifecycle, "b1")] == ["Go"]
        engine.send(BoxLifecycle, "b1", Go(n=0), actor="a:1")
        assert engine.legal_events(BoxLifecycle, "b1") == ()


# Charts that no class declares.


def test_a_chart_of_a_table_is_kept_as_a_lifecycle_is(make_ledger: MakeLedger) -> None:
    chart = Chart.from_table(
        [("closed", Pay, "open"), ("open", Ship, "closed"), ("open", Deliver, "gone")],
        kind="Gate", context=Box, initial="closed", final=("gone",),
    )  # fmt: skip
    with Engine(make_ledger(), lifecycles=[chart]) as engine:
        engine.create(chart, "g1", Box(), actor="a:1")
        assert engine.send(chart, "g1", Pay(), actor="a:1").state == "open"
        assert [each.name for each in engine.legal_events(chart, "g1")] == ["Ship", "Deliver"]
        assert engine.send(chart, "g1", Deliver(), actor="a:1").state == "gone"
        assert engine.census(chart) == {"gone": 1}
        assert [each.event for each in engine.history(chart, "g1")] == ["Started", "Pay", "Deliver"]

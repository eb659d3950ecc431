"""What the engine for tasks promises, over each ledger: the essentials of the conformance suite, and cancellation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from stateward import ActionFailed, Conflict, Refusal, Refused, UnknownEntity
from stateward.engine import AsyncEngine, Sending
from stateward.errors import LedgerUnavailable, SnapshotInvalid, Unkeepable
from stateward.ledger import Applied, Entity, Record
from stateward.ledger.contract import AsyncLedger, Capabilities, LedgerStatistics, Trips
from stateward.ledger.memory import MemoryLedger
from stateward.ledger.opening import open_async_ledger
from stateward.ledger.sqlite import SqliteLedger
from tests.ledger.faults_counting import Count, CountLifecycle, Tick, check_census, check_history
from tests.ledger.lifecycles import Fail, Parcel, ParcelLifecycle, Pay, Ship

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
T = TypeVar("T")
Target = Callable[[], Any]
"""Gives what an AsyncEngine takes as its ledger; a second call gives a second one on the same rows."""


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """What opens each kind of ledger in turn: a ledger for threads, or the address of one for tasks."""
    memory = MemoryLedger()
    if request.param == "memory":
        return lambda: memory
    if request.param == "sqlite":
        return lambda: SqliteLedger(tmp_path / "ledger.db", synchronous="OFF")
    dsn: str = request.getfixturevalue("postgres_dsn")
    return lambda: dsn


def with_engine(target: Target, act: Callable[[AsyncEngine], Awaitable[T]], clock: Clock | None = None) -> T:
    """Run a coroutine function with an engine on a fresh event loop."""

    async def main() -> T:
        async with AsyncEngine(target(), lifecycles=[ParcelLifecycle, CountLifecycle], clock=clock) as engine:
            return await act(engine)

    return asyncio.run(main())


async def create(engine: AsyncEngine, *ids: str) -> None:
    for each in ids:
        await engine.create(ParcelLifecycle, each, Parcel(), actor="shop:1")


async def told(engine: AsyncEngine, entity: str) -> list[tuple[Any, ...]]:
    """An entity's history in short."""
    return [
        (each.revision, each.event, each.state_to, each.outcome, each.reason)
        async for each in engine.history(ParcelLifecycle, entity)
    ]


async def check_counts(engine: AsyncEngine) -> dict[str, list[Record]]:
    """Hold everything of the counting lifecycle against its promises; its histories."""
    entities: list[Entity[Count]] = [each async for each in engine.list(CountLifecycle)]
    histories = {each.id: [line async for line in engine.history(CountLifecycle, each.id)] for each in entities}
    for each in entities:
        check_history(histories[each.id], each)
    check_census(await engine.census(CountLifecycle), entities)
    return histories


# One task at a time.


def test_entities_are_created_moved_and_read(target: Target) -> None:
    async def act(engine: AsyncEngine) -> None:
        made = await engine.create(ParcelLifecycle, "p1", Parcel(price=7), actor="shop:1", key="cart")
        assert (made.revision, made.state, made.is_repetition) == (1, "ordered", False)
        again = await engine.create(ParcelLifecycle, "p1", Parcel(price=7), actor="shop:1", key="cart")
        assert (again.record, again.is_repetition) == (made.record, True)
        with pytest.raises(Conflict, match="the id is taken"):
            await engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        paid = await engine.send(ParcelLifecycle, "p1", Pay(amount=7), actor="shop:1")
        assert (paid.revision, paid.state) == (2, "paid")
        entity = await engine.get(ParcelLifecycle, "p1")
        assert (entity.state, entity.revision) == ("paid", 2)
        assert entity.context == Parcel(price=7, paid=7, trail=("Pay",))
        assert set(await engine.get_many(ParcelLifecycle, ["p1", "nobody"])) == {"p1"}
        assert (await engine.why(ParcelLifecycle, "p1", Pay())).outcome == "already_done"

    with_engine(target, act)


def test_a_repeated_key_gives_the_first_answer_and_with_another_payload_is_a_conflict(target: Target) -> None:
    async def act(engine: AsyncEngine) -> None:
        await create(engine, "p1")
        first = await engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1", key="k")
        again = await engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1", key="k")
        assert (again.record, again.revision, again.is_repetition) == (first.record, 2, True)
        for event in (Pay(amount=101), Ship()):
            with pytest.raises(Conflict, match="'k' was used for another event or payload"):
                await engine.send(ParcelLifecycle, "p1", event, actor="a:1", key="k")
        assert [line[:2] for line in await told(engine, "p1")] == [(1, "Started"), (2, "Pay")]

    with_engine(target, act)


def test_refused_attempts_are_recorded_and_change_nothing(target: Target) -> None:
    async def act(engine: AsyncEngine) -> None:
        await create(engine, "p1")
        refusal = await engine.attempt(ParcelLifecycle, "p1", Ship(), actor="a:1")
        assert isinstance(refusal, Refusal)
        with pytest.raises(Refused, match="Parcel in ordered refused Pay"):
            await engine.send(ParcelLifecycle, "p1", Pay(amount=1), actor="a:1")
        stale = await engine.attempt(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1", expected_revision=7)
        assert isinstance(stale, Refusal)
        assert (refusal.kind, stale.kind) == ("illegal", "stale")
        with pytest.raises(UnknownEntity):
            await engine.attempt(ParcelLifecycle, "nobody", Ship(), actor="a:1")
        with pytest.raises(ActionFailed, match="broken"):
            await engine.attempt(ParcelLifecycle, "p1", Fail(), actor="a:1")
        assert await told(engine, "p1") == [
            (1, "Started", "ordered", "applied", None),
            (1, "Ship", "ordered", "rejected_invalid", "illegal"),
            (1, "Pay", "ordered", "rejected_invalid", "guarded"),
            (1, "Pay", "ordered", "rejected_invalid", "stale"),
        ]

    with_engine(target, act)


def test_the_answers_of_a_batch_come_in_order_and_one_bad_event_harms_no_other(target: Target) -> None:
    async def act(engine: AsyncEngine) -> None:
        await create(engine, *(f"p{n}" for n in range(50)))
        sendings = [
            Sending(lifecycle=ParcelLifecycle, entity=f"p{n}", event=event, actor="a:1", key=f"k{n}")
            for n in range(50)
            for event in ((Fail(), Pay(amount=100)) if n == 7 else (Pay(amount=100, note="\0" if n == 9 else ""),))
        ]
        answers = await engine.send_many(sendings)
        assert [n for n, each in enumerate(answers) if not isinstance(each, Applied)] == [7, 10]
        assert (type(answers[7]), type(answers[10])) == (ActionFailed, Unkeepable)
        assert [each.entity for each in answers if isinstance(each, Applied)] == [f"p{n}" for n in range(50) if n != 9]
        assert await engine.census(ParcelLifecycle) == {"ordered": 1, "paid": 49}

    with_engine(target, act)


def test_lists_and_histories_are_read_in_pages(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.engine.core.PAGE_SIZE", 2)
    clock = Clock()

    async def act(engine: AsyncEngine) -> None:
        for minutes, name in enumerate(("p2", "p1", "p3", "p5", "p4")):
            clock.now = START + timedelta(minutes=minutes)
            await create(engine, name)
        await engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1")
        for _ in range(4):
            await engine.attempt(ParcelLifecycle, "p2", Ship(), actor="a:1")
        assert [each.id async for each in engine.list(ParcelLifecycle)] == ["p1", "p2", "p3", "p4", "p5"]
        assert [each.id async for each in engine.list(ParcelLifecycle, state="ordered")] == ["p2", "p3", "p5", "p4"]
        assert len(await told(engine, "p2")) == 5
        assert [each.id async for each in engine.stuck(ParcelLifecycle)] == []
        clock.now = START + timedelta(hours=1, minutes=3)
        assert [each.id async for each in engine.stuck(ParcelLifecycle)] == ["p2", "p3", "p5"]

    with_engine(target, act, clock)


def test_a_repair_forces_a_configuration(target: Target) -> None:
    async def act(engine: AsyncEngine) -> None:
        await create(engine, "p1", "p2")
        forced = await engine.repair(ParcelLifecycle, "p1", "lost", reason="found in the river", actor="op:7")
        assert (forced.revision, forced.state) == (2, "lost")
        assert (await told(engine, "p1"))[-1] == (2, "Repaired", "lost", "applied", "found in the river")
        assert await engine.census(ParcelLifecycle) == {"lost": 1, "ordered": 1}
        with pytest.raises(SnapshotInvalid):
            await engine.repair(ParcelLifecycle, "p1", "nowhere", reason="a slip", actor="op:7")

    with_engine(target, act)


def test_a_closed_engine_says_so_and_closing_twice_is_safe(target: Target) -> None:
    async def act(engine: AsyncEngine) -> None:
        await create(engine, "p1")
        await engine.close()
        await engine.close()
        with pytest.raises(LedgerUnavailable, match=r"closed|shutdown"):
            await engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1")

    with_engine(target, act)


# Many tasks.


def test_many_tasks_on_few_entities_apply_each_key_once(target: Target) -> None:
    async def main() -> None:
        async with (
            AsyncEngine(target(), lifecycles=[CountLifecycle]) as first,
            AsyncEngine(target(), lifecycles=[CountLifecycle]) as second,
        ):
            for n in range(3):
                await first.create(CountLifecycle, f"c{n}", Count(), actor="a:1")
            # Each key is sent four times, twice by each engine, all at once.
            answers = await asyncio.gather(
                *(
                    engine.send(CountLifecycle, f"c{n}", Tick(n=turn), actor="a:1", key=f"k{turn}")
                    for turn in range(30)
                    for n in range(3)
                    for engine in (first, second, first, second)
                )
            )
            histories = await check_counts(first)
            assert await check_counts(second) == histories
            for n in range(3):
                of_entity = [each for each in answers if each.entity == f"c{n}"]
                lines = {line.id: line for line in histories[f"c{n}"]}
                assert len(lines) == 31
                assert sum(not each.is_repetition for each in of_entity) == 30
                for each in of_entity:
                    line = lines[each.record]
                    assert (line.revision, line.state_to) == (each.revision, each.state), "an answer is its record's"

    asyncio.run(main())


# Cancellation.


class Gate:
    """A ledger that lets a commit go on when it is told to: so a test knows what waits, and what is in flight."""

    def __init__(self, ledger: AsyncLedger) -> None:
        self._ledger = ledger
        self.capabilities: Capabilities = ledger.capabilities
        self.is_reached = asyncio.Event()
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def run(self, trips: Trips[T]) -> T:
        self.is_reached.set()
        await self.is_open.wait()
        return await self._ledger.run(trips)

    async def close(self) -> None:
        await self._ledger.close()

    def statistics(self) -> LedgerStatistics:
        return self._ledger.statistics()

    def shut(self) -> None:
        self.is_reached.clear()
        self.is_open.clear()


async def start(engine: AsyncEngine, n: int) -> asyncio.Task[Applied[Count]]:
    """Send a tick in a task of its own, and let that run until it waits."""
    task = asyncio.create_task(engine.send(CountLifecycle, "c1", Tick(n=n), actor="a:1", key=f"k{n}"))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def with_gate(target: Target, act: Callable[[AsyncEngine, Gate], Awaitable[None]]) -> None:
    async def main() -> None:
        gate = Gate(open_async_ledger(target()))
        async with AsyncEngine(gate, lifecycles=[CountLifecycle]) as engine:
            await engine.create(CountLifecycle, "c1", Count(), actor="a:1")
            await act(engine, gate)

    asyncio.run(main())


def test_a_cancelled_task_takes_its_waiting_event_back(target: Target) -> None:
    async def act(engine: AsyncEngine, gate: Gate) -> None:
        gate.shut()
        first = await start(engine, 1)
        await gate.is_reached.wait()
        second, third = await start(engine, 2), await start(engine, 3)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.is_open.set()
        assert [(await each).revision for each in (first, third)] == [2, 3]
        assert (await engine.get(CountLifecycle, "c1")).context.ticks == (1, 3)
        assert not (await engine.send(CountLifecycle, "c1", Tick(n=2), actor="a:1", key="k2")).is_repetition
        await check_counts(engine)

    with_gate(target, act)


def test_a_cancelled_task_whose_event_is_being_committed_leaves_it_applied_once(target: Target) -> None:
    async def act(engine: AsyncEngine, gate: Gate) -> None:
        gate.shut()
        first = await start(engine, 1)
        await gate.is_reached.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = await start(engine, 2)
        gate.is_open.set()
        assert (await second).revision == 3
        again = await engine.send(CountLifecycle, "c1", Tick(n=1), actor="a:1", key="k1")
        assert (again.revision, again.is_repetition) == (2, True)
        await check_counts(engine)

    with_gate(target, act)


def test_a_batch_taken_back_goes_as_a_whole(target: Target) -> None:
    async def act(engine: AsyncEngine, gate: Gate) -> None:
        gate.shut()
        first = await start(engine, 1)
        await gate.is_reached.wait()
        many = asyncio.create_task(
            engine.send_many(
                [Sending(lifecycle=CountLifecycle, entity="c1", event=Tick(n=n), actor="a:1") for n in range(10, 20)]
            )
        )
        for _ in range(5):
            await asyncio.sleep(0)
        many.cancel()
        gate.is_open.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await many
        assert (await engine.get(CountLifecycle, "c1")).context.ticks == (1,)

    with_gate(target, act)


def test_closing_commits_what_was_accepted(target: Target) -> None:
    async def act(engine: AsyncEngine, gate: Gate) -> None:
        gate.shut()
        sent = [await start(engine, n) for n in range(5)]
        await gate.is_reached.wait()
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        gate.is_open.set()
        await closing
        assert [(await each).revision for each in sent] == [2, 3, 4, 5, 6]

    with_gate(target, act)


@pytest.mark.parametrize("seed", range(4), ids=lambda seed: f"seed-{seed}")
def test_cancelled_whenever_it_may_be_an_event_is_applied_once_or_not_at_all(target: Target, seed: int) -> None:
    chance = random.Random(seed)

    async def act(engine: AsyncEngine) -> None:
        for n in range(3):
            await engine.create(CountLifecycle, f"c{n}", Count(), actor="a:1")
        tasks: list[asyncio.Task[Applied[Count]]] = []
        for n in range(60):
            sending = engine.send(CountLifecycle, f"c{n % 3}", Tick(n=n), actor="a:1", key=f"k{n}")
            tasks.append(asyncio.create_task(sending))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.4:
                chance.choice(tasks).cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        # What is cancelled in flight is still committed; an event of another task comes behind it in the queue.
        await engine.send_many(
            [Sending(lifecycle=CountLifecycle, entity=f"c{n}", event=Tick(n=-1), actor="a:1") for n in range(3)]
        )
        histories = await check_counts(engine)
        ids = {line.id for lines in histories.values() for line in lines}
        assert any(isinstance(each, asyncio.CancelledError) for each in answers)
        for each in answers:
            assert isinstance(each, (Applied, asyncio.CancelledError)), each
            assert not isinstance(each, Applied) or each.record in ids, "nothing acknowledged is lost"
        for n in range(60):
            await engine.send(CountLifecycle, f"c{n % 3}", Tick(n=n), actor="a:1", key=f"k{n}")
        histories = await check_counts(engine)
        assert sum(len(lines) for lines in histories.values()) == 60 + 3 + 3

    with_engine(target, act)

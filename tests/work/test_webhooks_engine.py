"""A webhook as an engine's handler: each answer's way through the ledger, and whose loop its connections end with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks

from stateward import Actions, AsyncEngine, Context, Effect, Engine, Event, Final, Lifecycle, Retry, State, on
from stateward.ledger.memory import MemoryLedger
from stateward.work.webhooks import Webhook
from tests.ledger.conftest import MakeLedger
from tests.work.receiver import WAIT_S, Receiver, answering, open_receiver

SECRET = "whsec_c2hhcmVkIHdpdGggdGhlIHJlY2VpdmVyIGFsb25l"


class Told(Effect):
    amount: int


class Tell(Event):
    amount: int


class Unheard(Event):
    """It could not be told."""


class Close(Event):
    """That is all."""


class Story(Context):
    told: int = 0


def tell(story: Story, event: Tell) -> Actions[Story]:
    yield Told(event.amount)
    return story.replace(told=story.told + 1)


class StoryLifecycle(Lifecycle[Story]):
    telling = State(initial=True)
    unheard = State()
    closed = Final()
    tells = on(Tell, telling.stay(), do=tell)
    losing = on(Unheard, telling.to(unheard))
    closing = on(Close, (telling | unheard).to(closed))


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with open_receiver() as opened:
        yield opened


def webhook(receiver: Receiver, clock: Clock | None = None) -> Webhook:
    return Webhook(url=receiver.url, secret=SECRET, source="https://shop.example", clock=clock)


def test_an_effect_is_posted_and_tried_again_until_it_is_delivered(make_ledger: MakeLedger, receiver: Receiver) -> None:
    clock = Clock()
    with Engine(make_ledger(), lifecycles=[StoryLifecycle], clock=clock) as engine:
        hook = webhook(receiver, clock)
        engine.handles(Told, retry=Retry(base=timedelta(seconds=10)))(hook)
        engine.create(StoryLifecycle, "A-17", Story(), actor="test:1")
        engine.send(StoryLifecycle, "A-17", Tell(7), actor="test:1")
        key = engine.pending(StoryLifecycle, "A-17")[0].key

        receiver.answer = answering(500, b"not today")
        engine.drain()
        (pending,) = engine.pending(StoryLifecycle, "A-17")
        assert (pending.key, pending.attempts) == (key, 1)
        assert "answered 500 Internal Server Error: not today" in str(pending.last_error)

        clock.now += timedelta(seconds=10)
        receiver.answer = answering(429, Retry_After="60")
        engine.drain()
        (pending,) = engine.pending(StoryLifecycle, "A-17")
        assert (pending.attempts, pending.next_attempt) == (1, clock.now + timedelta(seconds=60))

        clock.now += timedelta(seconds=60)
        receiver.answer = answering(204)
        engine.drain()
        assert engine.pending(StoryLifecycle, "A-17") == []
        assert (hook.statistics().attempts, hook.statistics().delivered) == (3, 1)
    requests = [receiver.get() for _ in range(3)]
    assert {each.headers["webhook-id"] for each in requests} == {key}
    assert len({each.headers["webhook-timestamp"] for each in requests}) == 3
    assert len({each.body for each in requests}) == 1
    event = standardwebhooks.Webhook(SECRET).verify(requests[-1].body, requests[-1].headers)
    assert (event["subject"], event["type"], event["data"]) == ("Story/A-17", "example.shop.Story.Told", {"amount": 7})


def test_a_receiver_that_is_gone_makes_a_dead_letter_and_the_entity_is_told(receiver: Receiver) -> None:
    with Engine(MemoryLedger(), lifecycles=[StoryLifecycle]) as engine:
        engine.handles(Told, on_dead=Unheard)(webhook(receiver))
        engine.create(StoryLifecycle, "A-17", Story(), actor="test:1")
        engine.send(StoryLifecycle, "A-17", Tell(7), actor="test:1")
        receiver.answer = answering(410)
        engine.drain()
        (dead,) = engine.dead()
        assert "answered 410 Gone: the receiver wants no more webhooks there" in dead.error
        assert dead.attempts == 1
        assert engine.get(StoryLifecycle, "A-17").state == "unheard"


def test_the_connections_of_a_worker_in_the_background_end_when_it_stops(receiver: Receiver) -> None:
    with Engine(MemoryLedger(), lifecycles=[StoryLifecycle]) as engine:
        engine.handles(Told)(webhook(receiver))
        engine.create(StoryLifecycle, "A-17", Story(), actor="test:1")
        engine.start()
        for amount in (1, 2, 3):
            engine.send(StoryLifecycle, "A-17", Tell(amount), actor="test:1")
        requests = [receiver.get() for _ in range(3)]
        assert [json.loads(each.body)["data"]["amount"] for each in requests] == [1, 2, 3]
        assert len({each.connection for each in requests}) == 1
        assert receiver.closed.empty()
        engine.stop()
    assert receiver.closed.get(timeout=WAIT_S) == requests[0].connection


def test_an_engine_of_tasks_posts_in_its_own_loop(receiver: Receiver) -> None:
    async def main() -> None:
        async with AsyncEngine(MemoryLedger(), lifecycles=[StoryLifecycle]) as engine:
            engine.handles(Told)(webhook(receiver))
            await engine.create(StoryLifecycle, "A-17", Story(), actor="test:1")
            await engine.send(StoryLifecycle, "A-17", Tell(7), actor="test:1")
            await engine.drain()
            await engine.send(StoryLifecycle, "A-17", Tell(8), actor="test:1")
            await engine.drain()
            assert await engine.pending(StoryLifecycle, "A-17") == []

    asyncio.run(main())
    assert receiver.get().connection == receiver.get().connection

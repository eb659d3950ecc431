"""Whoever is cancelled amid a trip to PostgreSQL, once or again, leaves nothing to those who come after."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import psycopg
import pytest

from stateward.engine import Creating, Engine
from stateward.ledger.contract import LoadPairs, PairKey, Trip, Trips
from stateward.ledger.postgres import AsyncPostgresLedger
from tests.ledger.faults_counting import Count, CountLifecycle

ROUNDS = 100
ENTITIES = tuple(f"c{number}" for number in range(4))


def load(entities: Sequence[str], *, locks: bool = False) -> Trips[list[str]]:
    """Read entities, in a transaction under their locks if so asked: a pipeline of several statements then."""
    pairs = tuple(PairKey("Count", each, None) for each in entities)
    [page] = yield Trip((LoadPairs(pairs, locks),), begins=locks, commits=locks)
    return [row.id for row, _ in page]


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    with Engine(postgres_dsn, lifecycles=[CountLifecycle]) as engine:
        engine.create_many(
            [Creating(lifecycle=CountLifecycle, entity=each, context=Count(), actor="test:1") for each in ENTITIES]
        )
    return postgres_dsn


def test_a_caller_cancelled_again_while_it_gives_its_connection_back_does_not_lose_it(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(holder: psycopg.Connection[tuple[object, ...]]) -> None:
        ledger = AsyncPostgresLedger(dsn, connections_max=1, timeout_s=2)
        is_given_back, give_back = asyncio.Event(), ledger._pool.putconn

        async def give_back_slowly(connection: Any) -> None:
            is_given_back.set()
            await asyncio.sleep(0)
            await give_back(connection)

        try:
            await ledger.run(load(ENTITIES))
            monkeypatch.setattr(ledger._pool, "putconn", give_back_slowly)
            task = asyncio.ensure_future(ledger.run(load(ENTITIES, locks=True)))
            while not holder.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall() and not task.done():
                await asyncio.sleep(0)
            for _ in range(2):
                task.cancel()
                await is_given_back.wait()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await ledger.run(load(ENTITIES)) == list(ENTITIES)
        finally:
            await ledger.close()

    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT FROM entity FOR UPDATE")
        asyncio.run(main(holder))


def test_whenever_callers_are_cancelled_and_again_others_get_the_answers_to_their_own_questions(dsn: str) -> None:
    chance = Random(1)

    async def ask(ledger: AsyncPostgresLedger) -> None:
        entities = [chance.choice(ENTITIES) for _ in range(chance.randrange(1, 6))]
        assert await ledger.run(load(entities, locks=chance.random() < 0.4)) == entities

    async def main() -> None:
        ledger = AsyncPostgresLedger(dsn, connections_max=4, timeout_s=5)
        try:
            for _ in range(ROUNDS):
                tasks = [asyncio.ensure_future(ask(ledger)) for _ in range(6)]
                for longest_s in (0.004, 0.001):  # where in its trips a task is cut off is what is tried
                    await asyncio.sleep(chance.uniform(0, longest_s))
                    for task in tasks:
                        if chance.random() < 0.6:
                            task.cancel()
                for ended in await asyncio.gather(*tasks, return_exceptions=True):
                    assert ended is None or isinstance(ended, asyncio.CancelledError), repr(ended)
                await asyncio.gather(*(ask(ledger) for _ in range(4)))
        finally:
            await ledger.close()

    asyncio.run(main())

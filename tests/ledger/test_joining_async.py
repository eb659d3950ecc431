"""Transitions as part of a caller's transaction in a task: with psycopg, and beneath SQLAlchemy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from stateward import ActionFailed, Conflict, Refused
from stateward.engine import AsyncEngine
from stateward.errors import Unjoinable
from tests.ledger.lifecycles import Fail, Parcel, ParcelLifecycle, Pay, Ship

INSERT = "INSERT INTO invoice VALUES ('p1')"


class Rolled(Exception):
    """The caller changes its mind."""


Open = tuple[Any, Callable[[str], Awaitable[Any]]]
"""What is joined, and what runs SQL in its transaction."""


@asynccontextmanager
async def plain(address: str) -> AsyncGenerator[Open]:
    connection = await psycopg.AsyncConnection.connect(address)
    async with connection:
        yield connection, lambda sql: connection.execute(sql.encode())


@asynccontextmanager
async def autocommit(address: str) -> AsyncGenerator[Open]:
    connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
    async with connection, connection.transaction():
        yield connection, lambda sql: connection.execute(sql.encode())


@asynccontextmanager
async def sqlalchemy_connection(address: str) -> AsyncGenerator[Open]:
    made = create_async_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    try:
        async with made.begin() as connection:
            yield connection, lambda sql: connection.execute(sqlalchemy.text(sql))
    finally:
        await made.dispose()


@asynccontextmanager
async def sqlalchemy_session(address: str) -> AsyncGenerator[Open]:
    made = create_async_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    try:
        async with AsyncSession(made) as session, session.begin():
            yield await session.connection(), lambda sql: session.execute(sqlalchemy.text(sql))
    finally:
        await made.dispose()


WAY = pytest.mark.parametrize("opens", [plain, autocommit, sqlalchemy_connection, sqlalchemy_session])


@asynccontextmanager
async def engine_on(address: str) -> AsyncGenerator[AsyncEngine]:
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE invoice (parcel text)")
    async with AsyncEngine(address, lifecycles=[ParcelLifecycle]) as engine:
        await engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        yield engine


def invoices(address: str) -> int:
    with psycopg.connect(address) as connection:
        [count] = connection.execute("SELECT count(*) FROM invoice").fetchone() or (0,)
        return int(count)


@WAY
def test_the_callers_rows_and_the_transition_commit_together(postgres_dsn: str, opens: Any) -> None:
    async def work() -> None:
        async with engine_on(postgres_dsn) as engine:
            async with opens(postgres_dsn) as (connection, execute):
                await execute(INSERT)
                joined = engine.joining(connection)
                done = await joined.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
                assert (done.revision, done.state) == (2, "paid")
                await joined.create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
                assert (await joined.send(ParcelLifecycle, "p2", Pay(amount=100), actor="shop:1")).revision == 2
            assert invoices(postgres_dsn) == 1
            assert await engine.census(ParcelLifecycle) == {"paid": 2}
            again = await engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
            assert again.is_repetition

    asyncio.run(work())


@WAY
def test_they_roll_back_together(postgres_dsn: str, opens: Any) -> None:
    async def change_my_mind(engine: AsyncEngine) -> None:
        async with opens(postgres_dsn) as (connection, execute):
            await execute(INSERT)
            joined = engine.joining(connection)
            await joined.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
            await joined.create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
            raise Rolled

    async def work() -> None:
        async with engine_on(postgres_dsn) as engine:
            with pytest.raises(Rolled):
                await change_my_mind(engine)
            assert invoices(postgres_dsn) == 0
            assert [each.id async for each in engine.list(ParcelLifecycle)] == ["p1"]
            assert len([each async for each in engine.history(ParcelLifecycle, "p1")]) == 1
            assert await engine.census(ParcelLifecycle) == {"ordered": 1}

    asyncio.run(work())


@WAY
def test_an_error_leaves_the_callers_work_as_it_was(postgres_dsn: str, opens: Any) -> None:
    async def work() -> None:
        async with engine_on(postgres_dsn) as engine:
            async with opens(postgres_dsn) as (connection, execute):
                await execute(INSERT)
                joined = engine.joining(connection)
                with pytest.raises(ActionFailed):
                    await joined.send(ParcelLifecycle, "p1", Fail(), actor="shop:1")
                with pytest.raises(Refused):
                    await joined.send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
                with pytest.raises(Conflict):
                    await joined.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
                await execute(INSERT)
            assert invoices(postgres_dsn) == 2
            outcomes = [each.outcome async for each in engine.history(ParcelLifecycle, "p1")]
            assert outcomes == ["applied", "rejected_invalid"]

    asyncio.run(work())


def test_an_entity_that_another_writer_moves_is_the_callers_conflict(postgres_dsn: str) -> None:
    async def work() -> None:
        async with engine_on(postgres_dsn) as engine, plain(postgres_dsn) as (first, _):
            await engine.joining(first).send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1")
            async with plain(postgres_dsn) as (second, _):
                with pytest.raises(Conflict, match="Parcel p1: was moved by another writer"):
                    await engine.joining(second).send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1")

    asyncio.run(work())


def test_what_can_not_be_joined_is_told(tmp_path: Path, postgres_dsn: str) -> None:
    async def work() -> None:
        async with engine_on(postgres_dsn) as engine:
            with psycopg.connect(postgres_dsn) as blocking, pytest.raises(Unjoinable, match="an AsyncConnection of"):
                await engine.joining(blocking).send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
            made = create_async_engine(postgres_dsn.replace("postgresql://", "postgresql+psycopg://"))
            async with AsyncSession(made) as session:
                with pytest.raises(Unjoinable, match=r"pass await session\.connection"):
                    engine.joining(session)
            await made.dispose()
            bare = await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True)
            async with bare:
                with pytest.raises(Unjoinable, match="no transaction is open"):
                    await engine.joining(bare).send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
        async with AsyncEngine(f"sqlite:///{tmp_path / 'orders.db'}", lifecycles=[ParcelLifecycle]) as engine:
            with pytest.raises(Unjoinable, match="sqlite"):
                engine.joining(None)

    asyncio.run(work())

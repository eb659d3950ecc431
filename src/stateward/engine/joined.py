"""Transitions as part of a caller's own transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TypeVar

from stateward.chart import ContextMarker
from stateward.engine.core import EngineCore
from stateward.engine.sender import AsyncSender, Sender
from stateward.errors import Conflict, Unjoinable, Unkeepable
from stateward.ledger.contract import Capabilities, Interrupted, RowsRefused, Trips
from stateward.ledger.pairs import Pair

__all__ = ["AsyncJoinedEngine", "JoinableLedger", "JoinedEngine", "joinable"]

C = TypeVar("C", bound=ContextMarker)
T = TypeVar("T")


class JoinableLedger(Protocol):
    """A ledger that can take part in a caller's transaction."""

    capabilities: Capabilities

    def join(self, connection: Any, trips: Trips[T]) -> T:
        """Drive a piece of protocol within the transaction that is open on a connection, under a savepoint."""
        ...


class AsyncJoinableLedger(Protocol):
    """The same for tasks."""

    capabilities: Capabilities

    async def join(self, connection: Any, trips: Trips[T]) -> T:
        """As `JoinableLedger.join`."""
        ...


def joinable(ledger: Any, capabilities: Capabilities) -> Any:
    """A ledger that can take part in a caller's transaction.

    Raises:
        Unjoinable: it can't.
    """
    if not hasattr(ledger, "join"):
        problem = f"a ledger of the kind {capabilities.name} joins no connections here"
        raise Unjoinable(problem)
    return ledger


@contextmanager
def told_of(pair: Pair) -> Generator[None]:
    """Say of a pair what only its store has told so far; the savepoint is rolled back by then.

    Raises:
        Conflict: another transaction holds or has moved the entity.
        Unkeepable: the database refuses its rows.
    """
    try:
        yield
    except Interrupted as error:
        problem = f"is held or was moved by another writer: {error}"
        raise Conflict(problem, lifecycle=pair.kind, entity=pair.entity) from error
    except RowsRefused as error:
        problem = f"{pair.kind} {pair.entity}: the database refused it: {error}"
        raise Unkeepable(problem) from error


class JoinedEngine(Sender):
    """An engine within the transaction that is open on a caller's connection.

    What it answers holds if the caller commits, and never happened if the caller rolls back. Each call is a savepoint:
    an error leaves the caller's own work as it was. An entity that another writer moved is the caller's `Conflict`;
    nothing is tried again, since what was read may have led to what the caller has done.
    """

    def __init__(self, core: EngineCore, ledger: JoinableLedger, connection: Any) -> None:
        """Made by `Engine.joining`."""
        self._core = core
        self._ledger = ledger
        self._connection = connection
        self._lock = Lock()  # savepoints nest, and do not stand side by side

    def _settle(self, pairs: Sequence[Pair]) -> None:
        trips = self._core.committing(pairs, self._ledger.capabilities, is_joined=True)
        with self._lock, told_of(pairs[0]):
            self._ledger.join(self._connection, trips)
        self._core.tell(pairs, is_joined=True)


class AsyncJoinedEngine(AsyncSender):
    """As `JoinedEngine`, for tasks."""

    def __init__(self, core: EngineCore, ledger: AsyncJoinableLedger, connection: Any) -> None:
        """Made by `AsyncEngine.joining`."""
        self._core = core
        self._ledger = ledger
        self._connection = connection
        self._lock = asyncio.Lock()

    async def _settle(self, pairs: Sequence[Pair]) -> None:
        trips = self._core.committing(pairs, self._ledger.capabilities, is_joined=True)
        async with self._lock:
            with told_of(pairs[0]):
                await self._ledger.join(self._connection, trips)
        self._core.tell(pairs, is_joined=True)

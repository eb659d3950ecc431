"""Transitions as part of a caller's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from stateward.chart import ContextMarker
from stateward.engine.core import EngineCore
from stateward.engine.sender import Sender
from stateward.ledger.contract import Capabilities, Trips
from stateward.ledger.pairs import Pair

__all__ = ["JoinableLedger", "JoinedEngine"]

C = TypeVar("C", bound=ContextMarker)
T = TypeVar("T")


class JoinableLedger(Protocol):
    """A ledger that can take part in a caller's transaction."""

    capabilities: Capabilities

    def join(self, connection: Any, trips: Trips[T]) -> T:
        """Drive a piece of protocol within the transaction that is open on a connection, under a savepoint."""
        ...


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

    def _settle(self, pairs: Sequence[Pair]) -> None:
        trips = self._core.committing(pairs, self._ledger.capabilities, is_joined=True)
        self._ledger.join(self._connection, trips)

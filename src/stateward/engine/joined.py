"""Transitions as part of a caller's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from stateward.chart import ContextMarker, EventMarker, Lifecycle
from stateward.engine.core import EngineCore, answer_of, applied_of
from stateward.errors import Refusal
from stateward.ledger import Actor, Applied
from stateward.ledger.contract import Capabilities, Trips
from stateward.ledger.pairs import Pair
from stateward.ledger.results import Source

__all__ = ["JoinableLedger", "JoinedEngine"]

C = TypeVar("C", bound=ContextMarker)
T = TypeVar("T")


class JoinableLedger(Protocol):
    """A ledger that can take part in a caller's transaction."""

    capabilities: Capabilities

    def join(self, connection: Any, trips: Trips[T]) -> T:
        """Drive a piece of protocol within the transaction that is open on a connection, under a savepoint."""
        ...


class JoinedEngine:
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

    def create(
        self,
        lifecycle: type[Lifecycle[C]],
        entity: str,
        context: C,
        *,
        actor: Actor | str,
        key: str | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
    ) -> Applied[C]:
        """As `Engine.create`, within the caller's transaction."""
        pair = self._core.creation(
            lifecycle, entity, context, actor=actor, key=key, occurred_at=occurred_at, source=source
        )
        self._commit((pair,))
        return applied_of(answer_of(pair))

    def send(
        self,
        lifecycle: type[Lifecycle[C]],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None = None,
        expected_revision: int | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
    ) -> Applied[C]:
        """As `Engine.send`, within the caller's transaction."""
        return applied_of(
            self.attempt(
                lifecycle, entity, event, actor=actor, key=key, expected_revision=expected_revision,
                occurred_at=occurred_at, source=source,
            )
        )  # fmt: skip

    def attempt(
        self,
        lifecycle: type[Lifecycle[C]],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None = None,
        expected_revision: int | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
    ) -> Applied[C] | Refusal:
        """As `Engine.attempt`, within the caller's transaction."""
        pair = self._core.sending(
            lifecycle, entity, event, actor=actor, key=key, expected_revision=expected_revision,
            occurred_at=occurred_at, source=source,
        )  # fmt: skip
        self._commit((pair,))
        return answer_of(pair)

    def _commit(self, pairs: Sequence[Pair]) -> None:
        trips = self._core.committing(pairs, self._ledger.capabilities, is_joined=True)
        self._ledger.join(self._connection, trips)

"""What callers of an engine get: entities, records, answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from stateward.chart import ContextMarker
from stateward.kernel import Outcome, Snapshot, Step

__all__ = ["Actor", "Applied", "Entity", "Record", "RecordOutcome", "Source"]

C = TypeVar("C", bound=ContextMarker)

RecordOutcome = Literal["applied", "already_done", "rejected_invalid", "rejected_auth"]
Source = Literal["call", "effect", "timer", "reconcile", "import", "repair"]


class Actor(NamedTuple):
    """Who sends an event."""

    kind: str
    """`customer`, `service`, `operator`; what there is, is the application's."""
    id: str
    roles: frozenset[str] = frozenset()
    """For the `authorize` hook; not kept."""

    @classmethod
    def of(cls, actor: Actor | str) -> Actor:
        """An actor given as such, or as the text `kind:id`; a text without a colon is a kind of its own."""
        if isinstance(actor, Actor):
            return actor
        kind, _, name = actor.partition(":")
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


class Entity(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """An entity as it stood when it was read."""

    kind: str
    id: str
    version: int
    """The version of the lifecycle that it was created under, and stays on."""
    revision: int
    """How many records have been applied to it."""
    snapshot: Snapshot[C]
    created_at: datetime
    updated_at: datetime
    """When it was last moved."""
    entered: dict[str, datetime]
    """When each active state was entered, by path."""
    due_by: datetime | None
    """When the first SLA of an active state ends."""

    @property
    def state(self) -> str:
        """Its configuration in writing."""
        return self.snapshot.state

    @property
    def context(self) -> C:
        """Its data."""
        return self.snapshot.context


class Applied(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """The answer to an event that was applied, or had nothing left to do."""

    kind: str
    entity: str
    revision: int
    """The one that it made; of an event that was already done, the one that it saw."""
    record: str
    """The id of its record; of a repetition, of the first one's."""
    state: str
    """The configuration after it."""
    version: int
    outcome: Outcome = "applied"
    is_repetition: bool = False
    """Whether the key had been honoured before, and this is the answer of that time."""
    step: Step[C] | None = None
    """What the kernel made of it; None of a repetition, whose step is not kept."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to an entity, or was refused."""

    id: str
    kind: str
    entity: str
    revision: int
    """The one that it made; of a refused attempt, or one that was already done, the one that it saw."""
    version: int
    event: str
    payload: Any
    """The event's fields as plain data; of a start, the first context."""
    state_from: str | None
    """None: the start."""
    state_to: str
    actor: Actor
    key: str | None
    occurred_at: datetime
    """When it happened, as the caller says."""
    recorded_at: datetime
    """When it was accepted here."""
    cause: str | None
    """The id of the record or effect that led to it."""
    source: Source
    outcome: RecordOutcome
    reason: str | None
    """Of a refusal its kind; of a repair, why."""
    traceparent: str | None = None
    tracestate: str | None = None

"""What clients send, and are shown of entities, records and answers; the OpenAPI document is made of these classes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stateward.errors import Refusal as KernelRefusal
from stateward.errors import RefusalKind
from stateward.kernel import Explanation as KernelExplanation
from stateward.ledger import Applied as EngineApplied
from stateward.ledger import Entity as EngineEntity
from stateward.ledger import Record as EngineRecord
from stateward.ledger.results import RecordOutcome, Source
from stateward.work.operating import DeadLetter

__all__ = [
    "Applied", "Candidate", "Census", "Create", "DeadLetters", "Entities", "Entity", "Explanation", "Health", "History",
    "KindView", "LegalEvent", "LegalEvents", "Lifecycles", "Read", "Record", "Refusal", "Refused", "Retried", "Retry",
    "Send", "VersionView", "Why",
    "applied_view", "entity_view", "explanation_view", "record_view", "refusal_view",
]  # fmt: skip

TEXT = "^[^\\u0000]*$"
"""The pattern of what a ledger keeps as text."""
Revision = Annotated[int, Meta(ge=0)]
Id = Annotated[str, Meta(min_length=1, max_length=500, pattern=TEXT, description="500 bytes of UTF-8 at most.")]


# What is sent.


class Create(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entity to start."""

    id: Id
    context: msgspec.Raw = msgspec.Raw(b"{}")
    """Its first data."""
    version: int | None = None
    """The version of the lifecycle that it starts under; null: the newest."""
    occurred_at: datetime | None = None
    """When it happened, with a time zone; null: now."""


class Send(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event to send."""

    event: str
    """Its wire name."""
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    occurred_at: datetime | None = None
    """When it happened, with a time zone; null: now."""


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event to explain."""

    event: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are put back: those that all that is given is true of."""

    kind: Id | UnsetType = UNSET
    entity: Id | UnsetType = UNSET
    effect: Id | UnsetType = UNSET
    keys: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=1000)] | UnsetType = UNSET
    """Their stable keys."""
    all: bool = False
    """Whether all are meant, where nothing else is given."""
    rate: Annotated[float, Meta(ge=0.01, le=1_000_000)] | UnsetType = UNSET
    """How many a second become due; without it, all at once."""


# What is answered.


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was applied, or had nothing left to do."""

    kind: str
    entity: str
    revision: Revision
    """The one that it made; of an event that was already done, the one that it saw."""
    record: str
    """The id of its record; of a repetition, of the first one's."""
    state: str
    """The configuration after it."""
    version: int
    outcome: Literal["applied", "already_done"]
    is_repetition: bool
    """Whether the key had been honoured before, and this is the answer of that time."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event did not apply. Nothing has changed."""

    kind: RefusalKind
    lifecycle: str
    state: str
    """The configuration that refused."""
    event: str
    reason: str
    """The kind in words."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was refused, as a value."""

    outcome: Literal["refused"] = "refused"
    refusal: Refusal


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as it stood when it was read."""

    kind: str
    id: str
    version: int
    """The version of the lifecycle that it was created under, and stays on."""
    revision: Revision
    """How many records have been applied to it; its entity tag is this in quotes."""
    state: str
    """Its configuration."""
    is_finished: bool
    """Whether a top-level final state is active."""
    context: Any
    created_at: datetime
    updated_at: datetime
    """When it was last moved."""
    entered: dict[str, datetime]
    """When each active state was entered, by path."""
    due_by: datetime | None
    """When the first SLA of an active state ends."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to an entity, or was refused."""

    id: str
    kind: str
    entity: str
    revision: Revision
    """The one that it made; of a refused attempt, or one that was already done, the one that it saw."""
    version: int
    event: str
    payload: Any
    """The event's fields; of a start, the first context."""
    state_from: str | None
    """Null: the start."""
    state_to: str
    actor: str
    """kind:id"""
    key: str | None
    occurred_at: datetime
    recorded_at: datetime
    cause: str | None
    """The id of the record or effect that led to it."""
    source: Source
    outcome: RecordOutcome
    reason: str | None
    """Of a refusal its kind; of a repair, why."""
    traceparent: str | None
    tracestate: str | None


Cursor = Annotated[
    str | None, Meta(description="The cursor behind which the next page begins; null: this page is the last.")
]


class Entities(msgspec.Struct, frozen=True, kw_only=True):
    """A page of entities."""

    items: tuple[Entity, ...]
    after: Cursor


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A page of an entity's records."""

    items: tuple[Record, ...]
    after: Cursor


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """A page of effects that were given up."""

    items: tuple[DeadLetter, ...]
    after: Cursor


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of dead letters."""

    retried: Annotated[int, Meta(ge=0)]
    """How many were put back."""


class LegalEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that an entity could take now."""

    event: str
    is_guarded: bool
    """Whether a guard has to agree: no transition would take it without."""
    is_already: bool
    """Whether it has nothing left to do where no transition takes it."""
    payload: msgspec.Raw
    """The JSON Schema of its payload."""


class LegalEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The events that an entity could take now."""

    events: tuple[LegalEvent, ...]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a guard read."""

    name: str
    value: Any


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that the event could take."""

    transition: str
    source: str
    targets: tuple[str, ...]
    guard: str | None
    """Null: unguarded."""
    verdict: bool | None
    """What the guard said; null: it raised."""
    reads: tuple[Read, ...]
    is_opaque: bool
    """Whether the guard looked at something in a way that can't be listed."""
    error: str | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What an event would do to an entity, and why."""

    lifecycle: str
    state: str
    event: str
    outcome: Literal["applied", "already_done", "unknown", "finished", "guarded", "illegal", "failed"]
    reason: str
    is_accepted: bool
    candidates: tuple[Candidate, ...]
    """In the order in which they are considered."""
    elsewhere: tuple[str, ...]
    """Where the event would be accepted."""
    text: str
    """All of it in words."""


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """How many entities are in each configuration."""

    kind: str
    states: dict[str, int]


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a lifecycle."""

    version: int
    digest: str
    states: tuple[str, ...]
    events: tuple[str, ...]


class KindView(msgspec.Struct, frozen=True, kw_only=True):
    """A lifecycle that is served."""

    kind: str
    description: str
    versions: tuple[VersionView, ...]


class Lifecycles(msgspec.Struct, frozen=True, kw_only=True):
    """What is served."""

    lifecycles: tuple[KindView, ...]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """That it lives, or is ready."""

    status: Literal["ok"] = "ok"


def applied_view(applied: EngineApplied[Any]) -> Applied:
    """An answer of the engine's."""
    return Applied(
        kind=applied.kind, entity=applied.entity, revision=applied.revision, record=applied.record,
        state=applied.state, version=applied.version, outcome=applied.outcome, is_repetition=applied.is_repetition,
    )  # fmt: skip


def refusal_view(refusal: KernelRefusal) -> Refusal:
    """A refusal, with its reason."""
    return Refusal(
        kind=refusal.kind, lifecycle=refusal.lifecycle, state=refusal.state, event=refusal.event, reason=refusal.reason
    )  # fmt: skip


def entity_view(entity: EngineEntity[Any]) -> Entity:
    """An entity."""
    return Entity(
        kind=entity.kind, id=entity.id, version=entity.version, revision=entity.revision, state=entity.state,
        is_finished=entity.snapshot.position.finished, context=entity.context, created_at=entity.created_at,
        updated_at=entity.updated_at, entered=entity.entered, due_by=entity.due_by,
    )  # fmt: skip


def record_view(record: EngineRecord) -> Record:
    """A record."""
    return Record(
        id=record.id, kind=record.kind, entity=record.entity, revision=record.revision, version=record.version,
        event=record.event, payload=record.payload, state_from=record.state_from, state_to=record.state_to,
        actor=str(record.actor), key=record.key, occurred_at=record.occurred_at, recorded_at=record.recorded_at,
        cause=record.cause, source=record.source, outcome=record.outcome, reason=record.reason,
        traceparent=record.traceparent, tracestate=record.tracestate,
    )  # fmt: skip


def explanation_view(explanation: KernelExplanation) -> Explanation:
    """An explanation, with its text."""
    return msgspec.convert(
        {
            **msgspec.structs.asdict(explanation),
            "candidates": explanation.candidates,
            "is_accepted": explanation.is_accepted,
            "text": str(explanation),
        },
        Explanation,
        from_attributes=True,
    )

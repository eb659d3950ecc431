"""The rows of the ledger, as they travel between the protocol and a store.

Texts are texts, documents are JSON texts, and times are whole microseconds since 1970 in UTC; a store turns them into
what its database calls such things.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CensusMove",
    "DeadLetterRow",
    "EffectEnd",
    "EffectKey",
    "EntityRow",
    "OutboxRow",
    "PartRow",
    "PauseRow",
    "ReceiptRow",
    "ReconciliationRow",
    "RecordRow",
    "TimerKey",
    "TimerRow",
    "WorkerRow",
]


class EntityRow(NamedTuple):
    """An entity as it stands."""

    kind: str
    id: str
    part: int
    version: int
    state: str
    """Its configuration: the paths of the atomic states, joined by `|`."""
    history: str
    """JSON: what each history remembers, paths by path."""
    context: str
    """JSON."""
    revision: int
    created_at: int
    updated_at: int
    entered: str
    """JSON: when each active state was entered, by path."""
    due_by: int | None
    """The earliest end of an active state's SLA."""
    parent_kind: str | None = None
    parent_id: str | None = None
    traceparent: str | None = None


class RecordRow(NamedTuple):
    """What happened to an entity, or was refused. Never changed."""

    id: str
    kind: str
    entity: str
    revision: int
    """The one that it made; of a refused attempt, and of one that was already done, the one that it saw."""
    version: int
    event: str
    payload: str
    """JSON: the event's fields; of a start, the first context."""
    state_from: str | None
    """None: the start."""
    state_to: str
    actor_kind: str
    actor_id: str
    key: str | None
    occurred_at: int
    recorded_at: int
    cause: str | None
    source: str
    outcome: str
    reason: str | None
    traceparent: str | None = None
    tracestate: str | None = None


class ReceiptRow(NamedTuple):
    """Proof that a key was honoured, with the answer that it got."""

    kind: str
    entity: str
    key: str
    digest: bytes
    """Over the event and its payload: the same key with another is a conflict."""
    record: str
    revision: int
    state_to: str
    version: int
    created_at: int


class OutboxRow(NamedTuple):
    """An effect that is not done yet."""

    part: int
    kind: str
    entity: str
    revision: int
    n: int
    """Its place among the effects of its revision; effects are done in order of (revision, n)."""
    effect: str
    payload: str
    record: str
    attempts: int = 0
    next_attempt: int | None = None
    last_error: str | None = None
    traceparent: str | None = None


class TimerRow(NamedTuple):
    """A timer that runs."""

    kind: str
    entity: str
    name: str
    revision: int
    """The one that set it."""
    part: int
    due_at: int
    record: str
    traceparent: str | None = None


class EffectKey(NamedTuple):
    """Which effect."""

    part: int
    kind: str
    entity: str
    revision: int
    n: int


class EffectEnd(NamedTuple):
    """How an effect leaves the outbox: it is done, or a dead letter from then on."""

    part: int
    kind: str
    entity: str
    revision: int
    n: int
    attempts: int
    """How many there were."""
    error: str | None = None
    """Why it is dead; None: it is done."""
    died_at: int | None = None
    needs: str | None = None
    """The id of the record that must have been written: without it, the effect stays."""


class DeadLetterRow(NamedTuple):
    """An effect that was given up."""

    kind: str
    entity: str
    revision: int
    n: int
    part: int
    effect: str
    payload: str
    record: str
    attempts: int
    error: str
    died_at: int
    traceparent: str | None = None


class TimerKey(NamedTuple):
    """Which timer: of all stays in a state, that of one."""

    kind: str
    entity: str
    name: str
    revision: int
    """The one that set it."""


class WorkerRow(NamedTuple):
    """A worker and its lease, which holds for as long as the row is there."""

    id: str
    beat: int
    """Rises for as long as the worker lives; peers watch it, each by a clock of its own."""
    process: str
    """Where it runs, so that a peer on the same machine can see that it is gone."""
    started_at: int


class PartRow(NamedTuple):
    """A part, and the worker that works on its entities."""

    part: int
    owner: str | None
    epoch: int
    """How often it was taken."""


class PauseRow(NamedTuple):
    """What is paused, or was."""

    scope: str
    """`kind`, or `effect`."""
    name: str
    reason: str
    paused_at: int
    paused_by: str
    resumed_at: int | None = None
    resumed_by: str | None = None


class ReconciliationRow(NamedTuple):
    """How far a reconciliation has come."""

    name: str
    round_at: int
    """When the round that goes on began; entities that have not moved since its horizon are asked about."""
    after: str | None
    """JSON: behind which entity it goes on; None: the round is over."""
    due_at: int
    """When the next round begins."""


class CensusMove(NamedTuple):
    """So many entities more, or fewer, in a configuration."""

    kind: str
    version: int
    state: str
    change: int

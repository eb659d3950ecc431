"""What operators see of the work after commit, and do: what is pending, what died, which timers run, what is paused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from stateward.errors import DefinitionError, LedgerCorrupt
from stateward.ledger.after_commit import (
    AddPause,
    EndPause,
    ListDeadLetters,
    ListPauses,
    ListPending,
    ListTimers,
    ReviveEffects,
)
from stateward.ledger.codec import check_text, from_micros
from stateward.ledger.contract import Trip, Trips
from stateward.ledger.ids import part_of
from stateward.ledger.rows import DeadLetterRow, OutboxRow, PauseRow, TimerRow

__all__ = [
    "DeadLetter",
    "Pause",
    "PendingEffect",
    "RunningTimer",
    "Scope",
    "add_pause",
    "end_pause",
    "list_dead_letters",
    "list_pauses",
    "list_pending",
    "list_timers",
    "revive",
    "scope_of",
]

Scope = Literal["kind", "effect"]


class PendingEffect(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that is not done yet."""

    key: str
    """Its stable key, `record id:n`."""
    kind: str
    entity: str
    revision: int
    """The revision that asked for it."""
    n: int
    """Its place among the effects of that revision."""
    effect: str
    payload: Any
    """Its fields as plain data."""
    attempts: int
    next_attempt: datetime | None
    """None: as soon as those before it are done."""
    last_error: str | None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was given up, with what it failed of."""

    key: str
    kind: str
    entity: str
    revision: int
    n: int
    effect: str
    payload: Any
    attempts: int
    error: str
    died_at: datetime


class RunningTimer(msgspec.Struct, frozen=True, kw_only=True):
    """A timer that runs."""

    kind: str
    entity: str
    name: str
    """`expire@pending`."""
    due_at: datetime
    revision: int
    """The revision that set it."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is paused: for a kind, its effects, timers and reconciliations; for a type of effects, these."""

    scope: Scope
    name: str
    reason: str
    paused_at: datetime
    paused_by: str


def list_pending(kind: str, entity: str) -> Trips[list[PendingEffect]]:
    """An entity's effects that are not done, in their order."""
    [rows] = yield Trip((ListPending(part_of(kind, entity), kind, entity),))
    return [_pending(row) for row in rows]


def list_dead_letters(operation: ListDeadLetters) -> Trips[tuple[list[DeadLetter], ListDeadLetters | None]]:
    """A page of dead letters, and what reads the next one."""
    [rows] = yield Trip((operation,))
    page = [_dead(row) for row in rows]
    if len(rows) < operation.limit:
        return page, None
    last: DeadLetterRow = rows[-1]
    after = (last.died_at, last.kind, last.entity, last.revision, last.n)
    return page, msgspec.structs.replace(operation, after=after)


def revive(letters: Sequence[DeadLetter], due: Sequence[int | None]) -> Trips[int]:
    """Put dead letters back into the outbox, each due at its time; how many were there."""
    effects = tuple(
        (each.kind, each.entity, each.revision, each.n, due_at) for each, due_at in zip(letters, due, strict=True)
    )
    [revived] = yield Trip((ReviveEffects(effects),), begins=True, commits=True)
    return len(revived)


def list_timers(operation: ListTimers) -> Trips[tuple[list[RunningTimer], ListTimers | None]]:
    """A page of timers, and what reads the next one."""
    [rows] = yield Trip((operation,))
    page = [_timer(row) for row in rows]
    if len(rows) < operation.limit:
        return page, None
    last: TimerRow = rows[-1]
    return page, msgspec.structs.replace(operation, after=(last.due_at, last.entity, last.name, last.revision))


def scope_of(kind: str | None, effect: str | None) -> tuple[Scope, str]:
    """What is to be paused, or to go on.

    Raises:
        DefinitionError: neither is named, or both.
    """
    if (kind is None) == (effect is None):
        problem = "name what is meant: either kind=..., or effect=..."
        raise DefinitionError(problem)
    return ("kind", kind) if kind is not None else ("effect", str(effect))


def add_pause(scope: Scope, name: str, *, reason: str, actor: str, now: int) -> Trips[bool]:
    """Pause something; whether it was not paused already.

    Raises:
        Unkeepable: there is no reason, or it can't be kept.
    """
    row = PauseRow(
        scope, check_text("the name", name), check_text("the reason of a pause", reason), now,
        check_text("the actor", actor),
    )  # fmt: skip
    [added] = yield Trip((AddPause(row),), begins=True, commits=True)
    return bool(added)


def end_pause(scope: Scope, name: str, *, actor: str, now: int) -> Trips[bool]:
    """Let something go on; whether it was paused."""
    [ended] = yield Trip((EndPause(scope, name, now, check_text("the actor", actor)),), begins=True, commits=True)
    return bool(ended)


def list_pauses() -> Trips[list[Pause]]:
    """What is paused."""
    [rows] = yield Trip((ListPauses(),))
    return [
        Pause(
            scope=row.scope, name=row.name, reason=row.reason, paused_at=from_micros(row.paused_at),
            paused_by=row.paused_by,
        )
        for row in rows
    ]  # fmt: skip


def _pending(row: OutboxRow) -> PendingEffect:
    return PendingEffect(
        key=f"{row.record}:{row.n}",
        kind=row.kind,
        entity=row.entity,
        revision=row.revision,
        n=row.n,
        effect=row.effect,
        payload=_payload(row),
        attempts=row.attempts,
        next_attempt=None if row.next_attempt is None else from_micros(row.next_attempt),
        last_error=row.last_error,
    )


def _dead(row: DeadLetterRow) -> DeadLetter:
    return DeadLetter(
        key=f"{row.record}:{row.n}",
        kind=row.kind,
        entity=row.entity,
        revision=row.revision,
        n=row.n,
        effect=row.effect,
        payload=_payload(row),
        attempts=row.attempts,
        error=row.error,
        died_at=from_micros(row.died_at),
    )


def _payload(row: OutboxRow | DeadLetterRow) -> Any:
    try:
        return msgspec.json.decode(row.payload)
    except msgspec.DecodeError as error:
        problem = f"the payload of its effect {row.effect} can't be read: {error}"
        raise LedgerCorrupt(problem, lifecycle=row.kind, entity=row.entity) from error


def _timer(row: TimerRow) -> RunningTimer:
    return RunningTimer(
        kind=row.kind, entity=row.entity, name=row.name, due_at=from_micros(row.due_at), revision=row.revision
    )  # fmt: skip

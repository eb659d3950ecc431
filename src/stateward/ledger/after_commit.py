"""The operations of the work after commit: leases, effects, timers, dead letters, pauses.

They belong to the contract between protocol and store as those in `contract.py` do. Whatever a worker writes back
begins with `HoldLease` in the same transaction, so that one whose lease was taken away changes nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from stateward.ledger.rows import EffectEnd, EffectKey, PauseRow, ReconciliationRow, TimerKey, WorkerRow

__all__ = [
    "AddPause",
    "AddWorker",
    "EndEffects",
    "EndPause",
    "FetchEffects",
    "FetchParts",
    "FetchReconciliation",
    "FetchTimers",
    "FetchWorkers",
    "FindTimers",
    "FindUnhandled",
    "HoldLease",
    "KeepReconciliation",
    "ListDeadLetters",
    "ListPauses",
    "ListPending",
    "ListTimers",
    "PostponeEffects",
    "PostponeTimers",
    "Postponement",
    "RaiseBeat",
    "ReleaseParts",
    "RemoveWorker",
    "ReviveEffects",
    "SpendTimers",
    "TakeParts",
    "WorkOperation",
]

# Leases. The comment on each says what its page holds.


class AddWorker(msgspec.Struct, frozen=True):
    """Note a new worker; once is enough. Its page is empty."""

    worker: WorkerRow


class RaiseBeat(msgspec.Struct, frozen=True):
    """Show that a worker lives.

    Its page: the new beat, as the only row; none if its lease was taken away.
    """

    worker: str


class RemoveWorker(msgspec.Struct, frozen=True):
    """End a worker's lease, and with it its hold on parts; they keep its name, so that who takes them knows of it.

    Its page: its id, if its beat was still this one.
    """

    worker: str
    beat: int | None = None
    """The last one that a peer has seen; None: the worker ends its own."""


class FetchWorkers(msgspec.Struct, frozen=True):
    """Read the workers. Its page: WorkerRows, by id."""


class FetchParts(msgspec.Struct, frozen=True):
    """Read who works on which part. Its page: PartRows, by part."""


class TakeParts(msgspec.Struct, frozen=True):
    """Take parts that nobody works on.

    Its page: the PartRows of those that were taken. One whose epoch is another by now, or whose owner has a lease, is
    left to it; so are all of them if the worker has none itself.
    """

    worker: str
    parts: tuple[tuple[int, int], ...]
    """(part, epoch), the epoch that was read."""


class ReleaseParts(msgspec.Struct, frozen=True):
    """Give parts back, on which nothing goes on. Its page is empty."""

    worker: str
    parts: tuple[int, ...]


class HoldLease(msgspec.Struct, frozen=True):
    """See to it that a worker's lease is there until the transaction ends, or raise `LeaseLost`. Its page is empty."""

    worker: str


# Effects.


class FetchEffects(msgspec.Struct, frozen=True, kw_only=True):
    """Read effects that are due: of each entity the first only, but for types that may overtake.

    Its page: at most `limit` OutboxRows behind `after`, in order of their keys. What is paused is left out.
    """

    parts: tuple[int, ...]
    kinds: tuple[str, ...]
    effects: tuple[str, ...]
    """The types that are wanted."""
    unordered: tuple[str, ...]
    """The types that neither wait for others nor are waited for."""
    now: int
    after: EffectKey | None
    limit: int


class FindUnhandled(msgspec.Struct, frozen=True):
    """Look for effects that nobody here handles. Its page: (type, kind, entity), one for each type that was found.

    No more than a bounded number of such effects is looked at.
    """

    parts: tuple[int, ...]
    kinds: tuple[str, ...]
    effects: tuple[str, ...]
    """The types that are handled."""


class EndEffects(msgspec.Struct, frozen=True):
    """Take effects out of the outbox, done or dead. Its page is empty; what is not there any more is left out."""

    ends: tuple[EffectEnd, ...]


class Postponement(msgspec.Struct, frozen=True, array_like=True):
    """What is noted of an effect that goes on."""

    key: EffectKey
    attempts: int
    next_attempt: int | None
    last_error: str | None


class PostponeEffects(msgspec.Struct, frozen=True):
    """Note attempts, when the next one is due, and the last error. Its page is empty."""

    effects: tuple[Postponement, ...]


class ListPending(msgspec.Struct, frozen=True):
    """Read an entity's effects that are not done. Its page: OutboxRows in their order."""

    part: int
    kind: str
    entity: str


class ListDeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """Read dead letters, the oldest first.

    Its page: at most `limit` DeadLetterRows behind `after`, which is (died_at, kind, entity, revision, n).
    """

    kind: str | None = None
    entity: str | None = None
    effect: str | None = None
    after: tuple[int, str, str, int, int] | None = None
    limit: int


class ReviveEffects(msgspec.Struct, frozen=True):
    """Put dead letters back into the outbox, with no attempts made.

    Its page: (kind, entity, revision, n) of those that were there.
    """

    effects: tuple[tuple[str, str, int, int, int | None], ...]
    """(kind, entity, revision, n, when it is due)."""


# Timers.


class FetchTimers(msgspec.Struct, frozen=True, kw_only=True):
    """Read timers that are due, part by part in the order in which they are given, of each the first due first.

    Its page: TimerRows, at most `limit` and at most `limit_of_part` of each part. What is paused is left out.
    """

    parts: tuple[int, ...]
    kinds: tuple[str, ...]
    now: int
    limit: int
    limit_of_part: int


class PostponeTimers(msgspec.Struct, frozen=True):
    """Let timers that could not fire be due later. Its page is empty."""

    timers: tuple[tuple[TimerKey, int], ...]
    """With each, when it is due."""


class FindTimers(msgspec.Struct, frozen=True):
    """Look for timers. Its page: the keys of those that run."""

    timers: tuple[TimerKey, ...]


class SpendTimers(msgspec.Struct, frozen=True):
    """Delete timers that have fired, of entities that have not moved by it. Its page is empty."""

    timers: tuple[TimerKey, ...]


class ListTimers(msgspec.Struct, frozen=True, kw_only=True):
    """Read timers that run: of an entity, or of a kind up to a time, the first due first.

    Its page: at most `limit` TimerRows behind `after`, which is (due_at, entity, name, revision).
    """

    kind: str
    entity: str | None = None
    due_before: int | None = None
    after: tuple[int, str, str, int] | None = None
    limit: int


# What operators do, and what reconciliation remembers.


class AddPause(msgspec.Struct, frozen=True):
    """Pause something. Its page: its name, if it was not paused already."""

    pause: PauseRow


class EndPause(msgspec.Struct, frozen=True):
    """Let it go on. Its page: its name, if it was paused."""

    scope: str
    name: str
    resumed_at: int
    resumed_by: str


class ListPauses(msgspec.Struct, frozen=True):
    """Read the pauses that go on. Its page: PauseRows, by scope and name."""


class FetchReconciliation(msgspec.Struct, frozen=True):
    """Read how far a reconciliation has come. Its page: its ReconciliationRow, if it was ever begun."""

    name: str


class KeepReconciliation(msgspec.Struct, frozen=True):
    """Note how far it has come. Its page is empty."""

    row: ReconciliationRow


WorkOperation: TypeAlias = (
    AddPause
    | AddWorker
    | EndEffects
    | EndPause
    | FetchEffects
    | FetchParts
    | FetchReconciliation
    | FetchTimers
    | FetchWorkers
    | FindTimers
    | FindUnhandled
    | HoldLease
    | KeepReconciliation
    | ListDeadLetters
    | ListPauses
    | ListPending
    | ListTimers
    | PostponeEffects
    | PostponeTimers
    | RaiseBeat
    | ReleaseParts
    | RemoveWorker
    | ReviveEffects
    | SpendTimers
    | TakeParts
)

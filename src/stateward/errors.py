"""Every error that stateward raises, in one tree with two branches.

`CallerError` is yours: a definition, an event, a handler or an argument is wrong. `WorldError` is the
world's: a store or a network failed, and trying again may help. Each error carries its facts as fields,
survives pickling, and names the lifecycle, the state and the event in its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ActionFailed",
    "ArchiveFailed",
    "ArchiveRefused",
    "CallerError",
    "Conflict",
    "CursorInvalid",
    "DefinitionError",
    "DefinitionWarning",
    "DocumentInvalid",
    "EffectFailed",
    "EndlessLoop",
    "EvaluationError",
    "ExtraMissing",
    "ImportStopped",
    "LeaseLost",
    "LedgerCorrupt",
    "LedgerOutdated",
    "LedgerUnavailable",
    "MachineBusy",
    "MachineStopped",
    "MapInvalid",
    "Refusal",
    "RefusalKind",
    "Refused",
    "SnapshotInvalid",
    "StatewardError",
    "Unjoinable",
    "Unkeepable",
    "UnknownEntity",
    "VersionUnknown",
    "WorldError",
]

RefusalKind = Literal["unknown", "finished", "guarded", "illegal", "stale", "unauthorized", "expired"]

_REASONS: dict[str, str] = {
    "unknown": "the event stands nowhere in the chart",
    "finished": "the lifecycle has reached a final state",
    "guarded": "every guard of its transitions said no",
    "illegal": "no transition takes it there",
    "stale": "the entity is not at the revision that the caller expected",
    "unauthorized": "this actor may not send it",
    "expired": "its time is over: it is too old, or its timer does not run any more",
}


@final
class Refusal(msgspec.Struct, frozen=True):
    """Why an event did not apply. Nothing has changed."""

    kind: RefusalKind
    """The first that holds of: unauthorized, expired, stale (these only where a ledger keeps the entity), unknown,
    finished, guarded, illegal."""
    lifecycle: str
    """The kind of the lifecycle, `Order`."""
    state: str
    """The configuration that refused, its regions joined by `|`."""
    event: str
    """The wire name of the event; `elapsed(timer)` or `done(state)` of those that have no class of their own."""

    @property
    def reason(self) -> str:
        """The kind in words."""
        return _REASONS[self.kind]

    def __str__(self) -> str:
        return f"{self.lifecycle} in {self.state} refused {self.event} ({self.kind}): {self.reason}"


class StatewardError(Exception):
    """Something in stateward went wrong."""

    def __reduce__(self) -> tuple[Callable[..., StatewardError], tuple[Any, ...]]:
        # Exception's own reduction calls the class with the text; ours are made from fields.
        return _restore, (type(self), self.__dict__, self.args)


def _restore(kind: type[StatewardError], fields: dict[str, Any], arguments: tuple[Any, ...]) -> StatewardError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(fields)
    return error


class CallerError(StatewardError):
    """Something that the caller gave or wrote is wrong; trying again will not help."""


class WorldError(StatewardError):
    """A store, a network or a service failed; trying again may help."""


class DefinitionError(CallerError):
    """A lifecycle is declared wrongly."""

    def __init__(self, problem: str, *, lifecycle: str = "", subject: str = "", origin: str = "") -> None:
        self.problem = problem
        """What is wrong, and what to write instead."""
        self.lifecycle = lifecycle
        self.subject = subject
        """The state or transition at fault."""
        self.origin = origin
        """Where it is declared, `file:line`."""
        super().__init__(problem)

    def __str__(self) -> str:
        place = " ".join(part for part in (self.lifecycle, self.subject) if part)
        return f"{place}: {self.problem}" + (f" ({self.origin})" if self.origin else "")


class DocumentInvalid(CallerError):
    """An SCXML document can't be read: it is no XML, breaks the specification, or asks for what is not supported."""

    def __init__(self, problem: str, *, document: str = "", line: int = 0, element: str = "") -> None:
        self.problem = problem
        """What is wrong, and what to write instead."""
        self.document = document
        """The file, or what the caller named the text."""
        self.line = line
        """From 1; 0 where there is no line to name."""
        self.element = element
        """The element at fault, `transition` say."""
        super().__init__(problem)

    def __str__(self) -> str:
        place = f"{self.document or 'document'}:{self.line}" if self.line else self.document or "document"
        return f"{place}: " + (f"<{self.element}> " if self.element else "") + self.problem


class EvaluationError(CallerError):
    """An expression, a location or a script of a document, or data given to one, has no value that data can have.

    Within a session it becomes the event `error.execution`; callers meet it when what they give is no plain data.
    """


class ExtraMissing(CallerError, ImportError):
    """A package is not installed that one of stateward's extras brings."""

    def __init__(self, *, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(package)

    def __str__(self) -> str:
        return f"{self.package} is not installed: pip install 'stateward[{self.extra}]'"


class DefinitionWarning(UserWarning):
    """A lifecycle is declared in a way that works, but is seldom meant."""


class Refused(CallerError):
    """An event did not apply; `refusal` says why. Nothing has changed."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal

    # The text is made when it is read: most refusals are answered by their kind alone.
    def __str__(self) -> str:
        return str(self.refusal)

    @property
    def kind(self) -> RefusalKind:
        """The refusal's kind."""
        return self.refusal.kind

    @property
    def lifecycle(self) -> str:
        """The kind of the lifecycle that refused."""
        return self.refusal.lifecycle

    @property
    def state(self) -> str:
        """The configuration that refused."""
        return self.refusal.state

    @property
    def event(self) -> str:
        """The wire name of the refused event."""
        return self.refusal.event


class ActionFailed(CallerError):
    """A guard or an action raised, or gave back what it must not; the step failed as a whole."""

    def __init__(self, *, lifecycle: str, state: str, event: str, function: str, problem: str) -> None:
        self.lifecycle = lifecycle
        self.state = state
        """The configuration before the step, which still holds."""
        self.event = event
        self.function = function
        self.problem = problem
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.lifecycle} in {self.state}, handling {self.event}: {self.function} {self.problem}"


class EndlessLoop(CallerError):
    """Something did not come to rest within its bound: a macrostep, which has changed nothing, or a session."""

    def __init__(self, *, lifecycle: str, state: str, event: str, cycle: tuple[str, ...], limit: int) -> None:
        self.lifecycle = lifecycle
        self.state = state
        """The configuration before the step, which still holds; of a session, the one it was in by then."""
        self.event = event
        self.cycle = cycle
        """What repeats, in order: transitions, or the names of the events that a session sends to itself."""
        self.limit = limit
        super().__init__(lifecycle)

    def __str__(self) -> str:
        return (
            f"{self.lifecycle} in {self.state}, handling {self.event}: no rest after {self.limit} rounds; "
            f"this repeats: {' -> '.join(self.cycle)}"
        )


class SnapshotInvalid(CallerError):
    """A snapshot doesn't fit its chart: an unknown state, states that can't be active together, a wrong context."""

    def __init__(self, problem: str, *, lifecycle: str, state: str) -> None:
        self.problem = problem
        self.lifecycle = lifecycle
        self.state = state
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.lifecycle} in {self.state}: {self.problem}"


class MachineBusy(CallerError):
    """An event was sent to a machine from inside its own guard, action or listener."""

    def __init__(self, *, lifecycle: str, event: str) -> None:
        self.lifecycle = lifecycle
        self.event = event
        super().__init__(event)

    def __str__(self) -> str:
        return (
            f"{self.lifecycle}: {self.event} was sent from inside a guard, an action or a listener of the same "
            "machine; an action yields Raise(event), a listener's caller sends after send() has returned"
        )


class MachineStopped(CallerError):
    """A machine's owning task has ended, or was never started; the event was not applied."""

    def __init__(self, *, lifecycle: str, event: str) -> None:
        self.lifecycle = lifecycle
        self.event = event
        super().__init__(event)

    def __str__(self) -> str:
        return f"{self.lifecycle}: {self.event} was not applied, the machine's owning task does not run"


class UnknownEntity(CallerError):
    """No entity of that kind has that id."""

    def __init__(self, *, lifecycle: str, entity: str) -> None:
        self.lifecycle = lifecycle
        self.entity = entity
        super().__init__(entity)

    def __str__(self) -> str:
        return f"there is no {self.lifecycle} {self.entity}"


class Conflict(CallerError):
    """Somebody else was first: an id is taken, or a compare-and-swap kept losing."""

    def __init__(self, problem: str, *, lifecycle: str, entity: str = "") -> None:
        self.problem = problem
        self.lifecycle = lifecycle
        self.entity = entity
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.lifecycle} {self.entity}".rstrip() + f": {self.problem}"


class CursorInvalid(CallerError):
    """A cursor is none, or its record is not in this ledger, so that what was missed since can't be known."""

    def __init__(self, cursor: str, problem: str) -> None:
        self.cursor = cursor
        self.problem = problem
        super().__init__(cursor)

    def __str__(self) -> str:
        return f"the cursor {self.cursor:.100}: {self.problem}"


class ImportStopped(CallerError):
    """An import stopped at a row that can't be read or kept; nothing of its batch was sent if it can't be read."""

    def __init__(self, problem: str, *, path: str, line: int = 0) -> None:
        self.problem = problem
        self.path = path
        self.line = line
        """From 1, the header; 0: the file as a whole."""
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.path}" + (f", line {self.line}" if self.line else "") + f": {self.problem}"


class ArchiveRefused(CallerError):
    """A month of records may not be archived, or not be dropped, yet; all of it is still in the ledger."""


class MapInvalid(CallerError):
    """What is to say which column of a log means what does not fit the lifecycle or the log."""


# What the columns mean.


class Unjoinable(CallerError):
    """A connection can't be joined: it is of another driver than the ledger's, or no transaction is open on it."""


class Unkeepable(CallerError):
    """Something can't be kept by a ledger: it is too large, or holds what JSON or a database can't."""


class VersionUnknown(CallerError):
    """An entity is on a version of its lifecycle that this engine was not given."""

    def __init__(self, *, lifecycle: str, entity: str, version: int, known: tuple[int, ...]) -> None:
        self.lifecycle = lifecycle
        self.entity = entity
        self.version = version
        self.known = known
        super().__init__(entity)

    def __str__(self) -> str:
        known = ", ".join(map(str, self.known)) or "none"
        return f"{self.lifecycle} {self.entity} is on version {self.version}; this engine knows {known}"


class SentWithin(CallerError):
    """An event was sent to an engine from inside a guard or an action of an event that it is committing."""

    def __init__(self, *, lifecycle: str, entity: str, event: str) -> None:
        self.lifecycle = lifecycle
        self.entity = entity
        self.event = event
        super().__init__(event)

    def __str__(self) -> str:
        return (
            f"{self.lifecycle} {self.entity}: {self.event} was sent from inside a guard or an action; these are pure: "
            "yield an effect, whose handler sends it"
        )


class LedgerUnavailable(WorldError):
    """The ledger can't be reached, is busy beyond its time-out, or is full."""

    def __init__(self, problem: str, *, record: str | None = None, is_outcome_unknown: bool = False) -> None:
        self.problem = problem
        self.record = record
        """The id of the record that was to be written, by which a later look can tell whether it was."""
        self.is_outcome_unknown = is_outcome_unknown
        """Whether the commit may have happened: its reply was lost."""
        super().__init__(problem)

    def __str__(self) -> str:
        unknown = f"; whether record {self.record} was committed is not known" if self.is_outcome_unknown else ""
        return f"{self.problem}{unknown}"


class ArchiveFailed(WorldError):
    """An archive can't be written, or can't be read back as it was written; nothing was dropped for its sake."""

    def __init__(self, problem: str, *, path: str) -> None:
        self.problem = problem
        self.path = path
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.path} {self.problem}"


class LeaseLost(WorldError):
    """A worker's lease was taken away, because it gave no sign of life for too long; what it was to write is not."""

    def __init__(self, *, worker: str) -> None:
        self.worker = worker
        super().__init__(worker)

    def __str__(self) -> str:
        return f"worker {self.worker} has lost its lease: others go on with its parts"


class EffectFailed(WorldError):
    """A handler did not do what its effect asks for; it is asked again, as its retry policy says."""

    def __init__(self, problem: str, *, effect: str = "", key: str = "") -> None:
        self.problem = problem
        self.effect = effect
        self.key = key
        """The effect's stable key."""
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.effect} {self.key}".strip() + f": {self.problem}" if self.effect or self.key else self.problem


class LedgerOutdated(CallerError):
    """The ledger's schema is not the one that this version of stateward knows."""

    def __init__(self, *, found: int, wanted: int) -> None:
        self.found = found
        self.wanted = wanted
        super().__init__(found)

    def __str__(self) -> str:
        hint = "run `stateward db upgrade`" if self.found < self.wanted else "upgrade stateward"
        return f"the ledger's schema is at {self.found}, and this version of stateward knows {self.wanted}: {hint}"


class LedgerCorrupt(WorldError):
    """A row of the ledger can't be read: something else wrote it, or broke it."""

    def __init__(self, problem: str, *, lifecycle: str, entity: str) -> None:
        self.problem = problem
        self.lifecycle = lifecycle
        self.entity = entity
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.lifecycle} {self.entity}: {self.problem}"

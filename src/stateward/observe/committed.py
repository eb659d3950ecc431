"""What became of an event, as listeners of an engine are told: once for each, after it was written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from stateward.errors import Refusal
from stateward.ledger import Applied
from stateward.ledger.pairs import Pair
from stateward.ledger.results import Source
from stateward.ledger.tracing import trace_id_of

__all__ = ["Committed", "Listener", "Stay", "committed_of"]


Outcome = Literal["applied", "already_done", "refused"]


class Stay(NamedTuple):
    """A stay that has ended."""

    state: str
    """The path of the state that was left."""
    seconds: float


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one event: a transition, an event that had nothing left to do, or a refusal."""

    kind: str
    entity_id: str
    event: str
    """Its wire name; `Started` of a creation, `Repaired` of a repair."""
    state_from: str | None
    """The configuration before it; None of a creation."""
    state_to: str
    """The configuration after it."""
    outcome: Outcome
    reason: str | None
    """The kind of a refusal; why a repair was made."""
    actor: str
    source: Source
    record: str
    duration: float
    """Seconds from when the engine accepted it until it was written down."""
    stays: tuple[Stay, ...]
    """The states that were left, in the order in which they were."""
    trace_id: str | None
    is_joined: bool
    """Whether it is part of a caller's transaction, which may yet be rolled back."""


Listener = Callable[[Committed], object]


def committed_of(pairs: Sequence[Pair], *, is_joined: bool = False) -> Iterator[Committed]:
    """What became of the pairs of a commit; those without an answer and repetitions are left out, nothing happened."""
    now = time.monotonic()
    for pair in pairs:
        answer = pair.answer
        if pair.is_told or answer is None or (isinstance(answer, Applied) and answer.is_repetition):
            continue
        pair.is_told = True
        outcome: Outcome = "refused" if isinstance(answer, Refusal) else answer.outcome
        has_moved = outcome == "applied"
        yield Committed(
            kind=pair.kind,
            entity_id=pair.entity,
            event=pair.name,
            state_from=pair.state_from if has_moved else answer.state,
            state_to=answer.state,
            outcome=outcome,
            reason=answer.kind if isinstance(answer, Refusal) else pair.reason,
            actor=str(pair.actor),
            source=pair.source,
            record=pair.record,
            duration=now - pair.accepted_at,
            stays=tuple([Stay(state, micros / 1e6) for state, micros in pair.stays]) if has_moved else (),
            trace_id=trace_id_of(pair.traceparent),
            is_joined=is_joined,
        )

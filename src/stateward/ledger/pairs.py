"""A pair: an event on its way to an entity."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from stateward.chart import Chart, ContextMarker, EventMarker
from stateward.errors import (
    Refusal,
    StatewardError,
)
from stateward.ledger.results import Actor, Applied, Source
from stateward.ledger.rows import EffectEnd, TimerKey

__all__ = ["Answer", "Charts", "Pair"]

Answer: TypeAlias = Applied[Any] | Refusal
Charts: TypeAlias = Mapping[tuple[str, int], Chart[Any]]
"""The charts that an engine serves, by kind and version."""


class Pair(msgspec.Struct, kw_only=True, eq=False):
    """An event on its way to an entity, as accepted: validated, written down, under a record id that stays."""

    record: str
    kind: str
    entity: str
    name: str
    """The event's wire name; `Started` of a creation."""
    payload: str
    actor: Actor
    occurred_at: int
    event: EventMarker | None = None
    """None: a creation, or a repair."""
    context: ContextMarker | None = None
    """The first context of a creation."""
    chart: Chart[Any] | None = None
    """The chart that a creation starts."""
    state: str | None = None
    """The configuration that a repair forces."""
    reason: str | None = None
    """Why a repair was made."""
    is_unauthorized: bool = False
    """Whether the actor may not send it, which is recorded as any refusal."""
    key: str | None = None
    digest: bytes = b""
    """Of name and payload, if there is a key."""
    expected_revision: int | None = None
    expires_at: int | None = None
    """When it is too old to be applied, since the receipt that would tell of it may be gone; None: never."""
    source: Source = "call"
    cause: str | None = None
    end: EffectEnd | None = None
    """The effect that is done together with it: its handler replied with it, and with no further event."""
    timer: TimerKey | None = None
    """The timer that fires by it, and is spent together with it."""
    traceparent: str | None = None
    tracestate: str | None = None
    accepted_at: float = msgspec.field(default_factory=time.monotonic)
    """When it was accepted, in seconds of the process's own."""
    state_from: str | None = None
    """Of one that was applied, the configuration before it."""
    stays: tuple[tuple[str, int], ...] = ()
    """Of one that was applied, the states that were left, and for how many microseconds each was active."""
    is_lost: bool = False
    """Whether a reply to a commit of it was lost, so that it may be committed already, or may be yet."""
    is_told: bool = False
    """Whether listeners were told what became of it."""
    answer: Answer | None = None
    error: StatewardError | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it has its answer or its error."""
        return self.answer is not None or self.error is not None

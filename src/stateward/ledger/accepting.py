"""From a call to a pair: everything is validated before it is queued, so that a bad one harms no neighbour."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from stateward.chart import Chart, ContextMarker, EventMarker
from stateward.errors import Unkeepable
from stateward.ledger.codec import check_text, digest_of_event, encode, encode_context, json_text, to_micros
from stateward.ledger.pairs import Pair
from stateward.ledger.repairing import REPAIRED
from stateward.ledger.results import Actor, Source
from stateward.ledger.tracing import check_traceparent

__all__ = ["accept_creation", "accept_event", "accept_repair"]

RESERVED_KEYS = ("effect:", "timer:", "reconcile:")
"""How the keys of the work after commit begin; a caller's may not."""


def accept_creation(
    record: str,
    chart: Chart[Any],
    entity: str,
    context: ContextMarker,
    *,
    actor: Actor | str,
    key: str | None,
    occurred_at: datetime | None,
    now: int,
    source: Source = "call",
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> Pair:
    """A pair that starts an entity.

    Raises:
        Unkeepable: the id, the context, the key or the actor can't be kept.
    """
    payload = encode_context(chart, context)
    return Pair(
        record=record,
        kind=chart.kind,
        entity=check_text("the id", entity),
        name="Started",
        payload=payload,
        actor=_actor(actor),
        occurred_at=now if occurred_at is None else to_micros(occurred_at),
        context=context,
        chart=chart,
        key=_key(key, source),
        digest=digest_of_event("Started", payload) if key is not None else b"",
        source=source,
        traceparent=check_traceparent(traceparent),
        tracestate=None if tracestate is None else check_text("the tracestate", tracestate),
    )


def accept_event(
    record: str,
    kind: str,
    entity: str,
    event: EventMarker,
    *,
    actor: Actor | str,
    key: str | None,
    expected_revision: int | None,
    occurred_at: datetime | None,
    now: int,
    source: Source = "call",
    cause: str | None = None,
    traceparent: str | None = None,
    tracestate: str | None = None,
) -> Pair:
    """A pair that sends an event.

    Raises:
        Unkeepable: the id, the event, the key or the actor can't be kept.
        TypeError: it is no event.
    """
    if not isinstance(event, EventMarker):
        message = f"{event!r:.100} is no event: send an instance of an Event class"
        raise TypeError(message)
    name = check_text("the event's name", event.trigger_label())
    payload = encode(f"the event {name}", event)
    return Pair(
        record=record,
        kind=kind,
        entity=check_text("the id", entity),
        name=name,
        payload=payload,
        actor=_actor(actor),
        occurred_at=now if occurred_at is None else to_micros(occurred_at),
        event=event,
        key=_key(key, source),
        digest=digest_of_event(name, payload) if key is not None else b"",
        expected_revision=expected_revision,
        source=source,
        cause=cause,
        traceparent=check_traceparent(traceparent),
        tracestate=None if tracestate is None else check_text("the tracestate", tracestate),
    )


def accept_repair(
    record: str, kind: str, entity: str, state: str, *, reason: str, actor: Actor | str, now: int
) -> Pair:
    """A pair that forces a configuration.

    Raises:
        Unkeepable: something can't be kept, or there is no reason.
    """
    reason = check_text("the reason of a repair", reason)
    return Pair(
        record=record,
        kind=kind,
        entity=check_text("the id", entity),
        name=REPAIRED,
        payload=json_text({"state": state}),
        actor=_actor(actor),
        occurred_at=now,
        state=check_text("the state", state),
        reason=reason,
        source="repair",
    )


def _actor(given: Actor | str) -> Actor:
    if isinstance(given, str):
        return _read_actor(given)
    check_text("the actor", str(given))
    return _with_kind(given)


@lru_cache(maxsize=1024)
def _read_actor(text: str) -> Actor:
    """Few actors send many events."""
    return _with_kind(Actor.of(check_text("the actor", text)))


def _with_kind(actor: Actor) -> Actor:
    if not actor.kind:
        problem = f"the actor {str(actor)!r:.50} has no kind: customer:9, say"
        raise Unkeepable(problem)
    return actor


def _key(key: str | None, source: Source) -> str | None:
    if key is None:
        return None
    if source not in ("effect", "timer", "reconcile") and key.startswith(RESERVED_KEYS):
        problem = f"the key {key!r:.50} begins with {' or '.join(RESERVED_KEYS)}, which are stateward's own"
        raise Unkeepable(problem)
    return check_text("the key", key)

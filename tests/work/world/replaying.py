"""An order's history run once more, through the pure kernel: what its records should have led to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from stateward import (
    Elapsed,
    Event,
    Meta,
    Refusal,
    Snapshot,
    StatewardError,
    Step,
    chart_of,
    start,
    step,
    wire_name,
)
from stateward.ledger import Record
from tests.work.world.lifecycle import EVENTS, Order, OrderLifecycle

__all__ = ["Asked", "Life", "TimerRun", "replay"]

_CHART = chart_of(OrderLifecycle)


class Asked(NamedTuple):
    """An effect that a step asked for."""

    revision: int
    n: int
    key: str
    effect: str


class TimerRun(NamedTuple):
    """A timer, for as long as it ran."""

    record: str
    """The record that set it."""
    due_at: datetime


class Life(msgspec.Struct):
    """What the records of an order come to."""

    order: str
    snapshots: list[Snapshot[Order]] = []
    """By revision, from 1."""
    asked: list[Asked] = []
    """All effects, in order of (revision, n)."""
    running: list[dict[str, TimerRun]] = []
    """The timers that ran behind each revision, by name."""
    problems: list[str] = []


def replay(order: str, records: Sequence[Record]) -> Life:
    """Run a history once more, and hold each record against what it should have led to.

    Of refused and already done attempts it is whether the kernel would have said the same of the revision they saw.
    """
    life = Life(order)
    applied = [each for each in records if each.outcome == "applied"]
    for number, record in enumerate(applied, start=1):
        if record.revision != number:
            life.problems.append(f"{order}: revision {number} is missing, {record.revision} comes next")
            return life
        try:
            _apply(life, record)
        except (StatewardError, msgspec.MsgspecError, KeyError) as error:
            life.problems.append(f"{order}: record {record.id} ({record.event}) can't be run again: {error!r}")
            return life
    for record in records:
        if record.outcome in ("already_done", "rejected_invalid"):
            _attempt(life, record)
    return life


def event_of(record: Record) -> Event:
    """The event of a record."""
    if record.event.startswith("elapsed("):
        return msgspec.convert(record.payload, Elapsed)
    return msgspec.convert(record.payload, EVENTS[record.event])


def _meta(record: Record) -> Meta:
    return Meta(record.recorded_at, record.entity, record.id, str(record.actor))


def _apply(life: Life, record: Record) -> None:
    state_from = life.snapshots[-1].state if life.snapshots else None
    if record.state_from != state_from:
        life.problems.append(f"{life.order}: record {record.id} comes from {record.state_from}, and not {state_from}")
    outcome: Step[Any] | Refusal
    if not life.snapshots:
        outcome = start(_CHART, msgspec.convert(record.payload, Order), _meta(record))
    else:
        outcome = step(_CHART, life.snapshots[-1], event_of(record), _meta(record))
    if isinstance(outcome, Refusal) or outcome.outcome != "applied":
        life.problems.append(f"{life.order}: {record.event} ({record.id}) was applied in {state_from}: {outcome}")
        life.snapshots.append(life.snapshots[-1])
        life.running.append(life.running[-1])
        return
    if outcome.state != record.state_to:
        life.problems.append(
            f"{life.order}: {record.event} ({record.id}) leads from {state_from} to {outcome.state}, "
            f"and is recorded as {record.state_to}"
        )
    life.snapshots.append(outcome.snapshot)
    life.asked += [
        Asked(record.revision, n, f"{record.id}:{n}", wire_name(type(effect)))
        for n, effect in enumerate(outcome.effects)
    ]
    running = dict(life.running[-1]) if life.running else {}
    for name in outcome.timers_cancelled:
        running.pop(name, None)
    for timer in outcome.timers_set:
        running[timer.name] = TimerRun(record.id, record.recorded_at + timer.delay)
    life.running.append(running)


def _attempt(life: Life, record: Record) -> None:
    """Hold a refused or already done attempt against what the kernel says of the revision that it saw."""
    if not 1 <= record.revision <= len(life.snapshots):
        life.problems.append(f"{life.order}: attempt {record.id} saw revision {record.revision}, which there is not")
        return
    snapshot = life.snapshots[record.revision - 1]
    is_of_timer = record.event.startswith("elapsed(")
    if is_of_timer and record.reason == "expired":
        return  # the ledger's word, not the kernel's: the timer's row was gone
    outcome = step(_CHART, snapshot, event_of(record), _meta(record))
    said = outcome.kind if isinstance(outcome, Refusal) else outcome.outcome
    wanted = record.reason if record.outcome == "rejected_invalid" else record.outcome
    if said != wanted or record.state_to != snapshot.state:
        life.problems.append(
            f"{life.order}: {record.event} ({record.id}) at revision {record.revision} is {said} in {snapshot.state}, "
            f"and is recorded as {wanted} in {record.state_to}"
        )

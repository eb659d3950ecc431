"""All that can be seen of one entity, put together for who asks what happened to it, and what keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from stateward.cli.dead import first_line
from stateward.cli.sending import plain
from stateward.cli.times import told_age
from stateward.errors import UnknownEntity

if TYPE_CHECKING:
    from stateward.chart import Chart, EventMarker
    from stateward.kernel import Explanation, LegalEvent
    from stateward.ledger import Entity, Record
    from stateward.work import DeadLetter, Pause, PendingEffect, RunningTimer

__all__ = ["Choice", "Sight", "Stay", "take_sight"]


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A state that is active."""

    state: str
    entered: datetime
    sla_s: float | None
    """How long an entity may be in it; None: for ever."""
    overdue_s: float | None
    """How long it has been past that; None: it is not."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the lifecycle knows, and what it would come to now."""

    event: str
    now: str
    """`accepted`, `already_done`, `refused`, or `guarded`: that depends on what the event says."""
    why: str
    fields: dict[str, str]
    """What the event says: types by name."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """An entity, seen from all sides at about one time."""

    kind: str
    id: str
    state: str
    version: int
    revision: int
    created_at: datetime | None
    """None, as of `context`, `stays` and `choices`: not known without the lifecycle."""
    updated_at: datetime | None
    context: Any
    stays: tuple[Stay, ...] | None
    held_up_by: tuple[str, ...]
    choices: tuple[Choice, ...] | None
    timers: Sequence[RunningTimer]
    pending: Sequence[PendingEffect]
    dead: Sequence[DeadLetter]
    pauses: Sequence[Pause]
    """Those that it is under."""
    history: Sequence[Record]
    left_out: int
    """How many older records there are, which `history` was not to have."""
    seen_at: datetime

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data."""
        data: dict[str, Any] = msgspec.to_builtins(self, enc_hook=repr)
        data["events"] = data.pop("choices")
        data["history"] = [
            each | {"actor": str(record.actor)} for each, record in zip(data["history"], self.history, strict=True)
        ]
        return data


def take_sight(
    kind: str,
    entity: str,
    chart: Chart[Any] | None,
    found: Entity[Any] | None,
    *,
    latest: Record | None,
    records: Sequence[Record],
    left_out: int,
    pending: Sequence[PendingEffect],
    pauses: Sequence[Pause],
    timers: Sequence[RunningTimer],
    dead: Sequence[DeadLetter],
) -> Sight:
    """Put together what was read of an entity; without its chart, what its records say of it.

    Args:
        kind: its kind.
        entity: its id.
        chart: the chart of its version, if that is known.
        found: the entity, if its chart is known.
        latest: its last record that was applied, whether it is among `records` or not; if none was, its first.
        records: its history, as much as is wanted of it.
        left_out: how many records came before these.
        pending: its effects that are not done.
        pauses: all that there are.
        timers: its timers that run.
        dead: its effects that were given up.

    Raises:
        UnknownEntity: nothing is known of such an entity.
    """
    now = datetime.now(UTC)
    over = {("kind", kind), *(("effect", each.effect) for each in pending)}
    under = [each for each in pauses if (each.scope, each.name) in over]
    stays = None if found is None or chart is None else tuple(_stays(found, chart, now))
    held = [
        *_paused(under),
        *_given_up(dead, now),
        *_waiting(pending, under, now),
        *_unfired(timers, under, now),
        *_overdue(stays or ()),
    ]
    if found is not None:
        state, version, revision = found.state, found.version, found.revision
    else:
        if latest is None:
            raise UnknownEntity(lifecycle=kind, entity=entity)
        state, version, revision = latest.state_to, latest.version, latest.revision
    return Sight(
        kind=kind, id=entity, state=state, version=version, revision=revision,
        created_at=None if found is None else found.created_at,
        updated_at=None if found is None else found.updated_at,
        context=None if found is None else plain(found.context),
        stays=stays, held_up_by=tuple(held),
        choices=None if found is None or chart is None else tuple(_choices(found, chart)),
        timers=timers, pending=pending, dead=dead, pauses=under, history=list(records), left_out=left_out,
        seen_at=now,
    )  # fmt: skip


def _stays(found: Entity[Any], chart: Chart[Any], now: datetime) -> Iterator[Stay]:
    for path, entered in sorted(found.entered.items(), key=lambda each: chart.state(each[0]).index):
        sla = chart.state(path).sla
        late = None if sla is None else now - entered - sla
        yield Stay(
            state=path,
            entered=entered,
            sla_s=None if sla is None else sla.total_seconds(),
            overdue_s=None if late is None or late <= timedelta(0) else late.total_seconds(),
        )


# What holds it up: one line each, with what to do.


def _paused(pauses: Sequence[Pause]) -> Iterator[str]:
    for each in pauses:
        what = f"the {'kind' if each.scope == 'kind' else 'effects'} {each.name}"
        yield (
            f"{what} rests, paused by {each.paused_by}: {each.reason}; "
            f"`stateward resume --{each.scope} {each.name}` lets it go on"
        )


def _given_up(dead: Sequence[DeadLetter], now: datetime) -> Iterator[str]:
    for each in dead:
        yield (
            f"{each.effect} was given up {told_age(now - each.died_at)} ago, after {_times(each.attempts)}: "
            f"{first_line(each.error)}; `stateward retry {each.key}` puts it back"
        )


def _waiting(pending: Sequence[PendingEffect], under: Sequence[Pause], now: datetime) -> Iterator[str]:
    """The first one alone: those behind it wait for it."""
    if not pending:
        return
    first = pending[0]
    is_paused = any(each.scope == "kind" or each.name == first.effect for each in under)
    behind = f", and {len(pending) - 1} behind it" if len(pending) > 1 else ""
    if first.last_error is None:
        tried = f"attempted {_times(first.attempts)}" if first.attempts else "not attempted yet"
        by = (
            "it waits for the pause to end" if is_paused else "workers do it: `stateward doctor` sees whether any works"
        )
        yield f"{first.effect} is not done, {tried}{behind}; {by}"
        return
    when = "is attempted next"
    if is_paused:
        when = "waits for the pause to end"
    elif first.next_attempt is not None:
        ahead = first.next_attempt - now
        when = (
            f"is attempted again {'in ' + told_age(ahead) if ahead > timedelta(0) else 'as soon as a worker has room'}"
        )
    yield f"{first.effect} failed {_times(first.attempts)}, last of {first_line(first.last_error)}; it {when}{behind}"


def _unfired(timers: Sequence[RunningTimer], under: Sequence[Pause], now: datetime) -> Iterator[str]:
    is_paused = any(each.scope == "kind" for each in under)
    why = "it waits for the pause to end" if is_paused else "workers fire it: `stateward doctor` sees whether any works"
    for each in timers:
        if each.due_at < now:
            yield f"the timer {each.name} has been due for {told_age(now - each.due_at)}: {why}"


def _overdue(stays: Sequence[Stay]) -> Iterator[str]:
    for each in stays:
        if each.overdue_s is not None:
            yield f"it is past the SLA of {each.state} by {told_age(timedelta(seconds=each.overdue_s))}"


def _times(count: int) -> str:
    return f"{count} time{'' if count == 1 else 's'}"


# What it could take.


def _choices(found: Entity[Any], chart: Chart[Any]) -> Iterator[Choice]:
    from stateward.chart import Done, Elapsed, Meta, Started
    from stateward.chart.fields import FieldTypes
    from stateward.kernel import explain, legal_events

    legal = {each.name: each for each in legal_events(found.snapshot)}
    for name, kind in chart.events.items():
        if issubclass(kind, (Started, Elapsed, Done)):
            continue
        fields = FieldTypes().of(kind)
        if not fields:  # there is only one such event, so it is known what it would come to
            now, why = _verdict(explain(found.snapshot, kind(), Meta(now=datetime.now(UTC), entity=found.id)))
        else:
            now, why = _outlook(legal.get(name), found, chart, kind)
        yield Choice(event=name, now=now, why=why, fields=fields)


def _verdict(explained: Explanation) -> tuple[str, str]:
    if explained.is_accepted:
        return explained.outcome if explained.outcome == "already_done" else "accepted", explained.reason
    if explained.outcome == "illegal" and explained.elsewhere:
        return "refused", f"it is accepted in {', '.join(explained.elsewhere)}"
    if explained.outcome == "guarded":
        return "refused", "; ".join(map(str, explained.candidates))
    return "refused", explained.reason


def _outlook(
    legal: LegalEvent | None, found: Entity[Any], chart: Chart[Any], kind: type[EventMarker]
) -> tuple[str, str]:
    """What can be said without knowing what the event says."""
    if legal is None:
        places = _places(chart, kind)
        return "refused", f"it is accepted in {', '.join(places)}" if places else "no transition takes it"
    candidates = [each for each in chart.transitions if _takes(each, kind) and _is_active(found, chart, each.source)]
    if legal.is_guarded:
        guards = dict.fromkeys(each.guard.name for each in candidates if each.guard is not None)
        return "guarded", f"if {' or '.join(guards)} says yes"
    if not candidates:
        return "already_done", "nothing is left to do"
    ways = dict.fromkeys(chart.states[target].path for each in candidates for target in each.targets)
    return "accepted", f"leads to {' or '.join(ways)}" if ways else "stays"


def _places(chart: Chart[Any], kind: type[EventMarker]) -> list[str]:
    return list(dict.fromkeys(chart.states[each.source].path for each in chart.transitions if _takes(each, kind)))


def _takes(transition: Any, kind: type[EventMarker]) -> bool:
    return transition.trigger is not None and bool(transition.trigger.matches(kind))


def _is_active(found: Entity[Any], chart: Chart[Any], source: int) -> bool:
    return source == 0 or chart.states[source].path in found.entered

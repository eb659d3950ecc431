"""An entity as people read it: where it is first, what holds it up next, its history last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.dead import first_line
from stateward.cli.desk import told_time
from stateward.cli.output import is_terminal, on_one_line, painted, write_lines
from stateward.cli.sending import told_fields
from stateward.cli.times import told_age

if TYPE_CHECKING:
    from stateward.cli.sight import Choice, Sight, Stay
    from stateward.ledger import Record
    from stateward.work import DeadLetter, PendingEffect, RunningTimer

__all__ = ["is_refusal", "told_source", "told_way", "write_sight"]

_NOW = {"accepted": "yes", "already_done": "done", "guarded": "maybe", "refused": "no"}
"""Whether an event could be taken now, in a word."""
_STYLES: dict[str, dict[str, Any]] = {"accepted": {"fg": "green"}, "refused": {"dim": True}}
_FAULT: dict[str, Any] = {"fg": "red"}
_PLAIN: dict[str, Any] = {}
_MANY = 100
"""Records of a history that is long to scroll through."""


def write_sight(sight: Sight) -> None:
    """Write all that is seen of an entity to stdout."""
    state = painted(sight.state, fg="green", bold=True)
    click.echo(f"{sight.kind} {on_one_line(sight.id)} is in {state}")
    for line in _facts(sight):
        click.echo(f"  {on_one_line(line)}")
    _section("held up by", [((line,), {"fg": "yellow"}) for line in sight.held_up_by])
    _section("what it could take now", [(_choice(each), _STYLES.get(each.now, _PLAIN)) for each in sight.choices or ()])
    _section("timers", [(_timer(each, sight.seen_at), _PLAIN) for each in sight.timers])
    _section("effects that are not done", [(_pending(each), _PLAIN) for each in sight.pending])
    _section("effects that were given up", [(_dead(each), _FAULT) for each in sight.dead])
    _section(_history_title(sight), [(_record(each), _FAULT if is_refusal(each) else _PLAIN) for each in sight.history])
    if len(sight.history) > _MANY and is_terminal():  # where it stands has been scrolled away
        click.echo(f"these were {len(sight.history):,} records; --last 20 shows no more than that", err=True)
    if sight.choices is None:
        click.echo(
            "its context, and what it could take, need its lifecycle: --app, or --lifecycle beside --ledger", err=True
        )


def _history_title(sight: Sight) -> str:
    count = len(sight.history)
    return f"history: the last {count:,} of {count + sight.left_out:,} records" if sight.left_out else "history"


def _section(title: str, lines: Sequence[tuple[Sequence[object], Mapping[str, Any]]]) -> None:
    if lines:
        click.echo(f"\n{painted(title, bold=True)}")
        write_lines(lines)


def _facts(sight: Sight) -> list[str]:
    """What is known of it beside its state, a line each."""
    lines = [_stay(each, sight.seen_at) for each in sight.stays or ()]
    lines.append(f"version {sight.version}, revision {sight.revision}")
    if sight.created_at is not None:
        lines[-1] += f", created at {told_time(sight.created_at)}, moved at {told_time(sight.updated_at)}"
    if sight.context is not None:
        lines.append(f"context{told_fields(sight.context) or ': no fields'}")
    return lines


def _stay(stay: Stay, now: datetime) -> str:
    line = f"{stay.state} since {told_time(stay.entered)}, for {told_age(now - stay.entered)}"
    if stay.sla_s is None:
        return line
    sla = timedelta(seconds=stay.sla_s)
    if stay.overdue_s is not None:
        return f"{line}: overdue by {told_age(timedelta(seconds=stay.overdue_s))}, its SLA is {told_age(sla)}"
    return f"{line}; its SLA of {told_age(sla)} ends in {told_age(stay.entered + sla - now)}"


def _choice(choice: Choice) -> tuple[str, ...]:
    fields = "".join(f" {name}={text}" for name, text in choice.fields.items())
    return _NOW[choice.now], choice.event + fields, choice.why


def _timer(timer: RunningTimer, now: datetime) -> tuple[str, ...]:
    ahead = timer.due_at - now
    told = f"in {told_age(ahead)}" if ahead > timedelta(0) else f"due for {told_age(-ahead)}"
    return timer.name, told_time(timer.due_at), told


def _pending(effect: PendingEffect) -> tuple[str, ...]:
    count = effect.attempts
    attempts = f"{count} attempt{'' if count == 1 else 's'}" if count else "not attempted"
    following = "" if effect.next_attempt is None else f"next at {told_time(effect.next_attempt)}"
    return effect.effect + told_fields(effect.payload), attempts, following, first_line(effect.last_error or "")


def _dead(letter: DeadLetter) -> tuple[str, ...]:
    what = letter.effect + told_fields(letter.payload)
    attempts = f"{letter.attempts} attempt{'' if letter.attempts == 1 else 's'}"
    return what, attempts, told_time(letter.died_at), first_line(letter.error)


def _record(record: Record) -> tuple[str, ...]:
    return (
        told_time(record.recorded_at),
        str(record.revision),
        f"{record.event}{told_fields(record.payload)}",
        told_way(record),
        f"{record.actor}{told_source(record)}",
        _why(record),
    )


def is_refusal(record: Record) -> bool:
    """Whether a record is one of an attempt that was refused."""
    return record.outcome not in ("applied", "already_done")


def told_way(record: Record) -> str:
    """What became of it, and where."""
    if record.outcome == "already_done":
        return f"already done in {record.state_to}"
    if is_refusal(record):
        return f"refused in {record.state_to}"
    return f"started in {record.state_to}" if record.state_from is None else f"{record.state_from} -> {record.state_to}"


def told_source(record: Record) -> str:
    """Where it came from, if it was no call."""
    return "" if record.source == "call" else f" ({record.source})"


def _why(record: Record) -> str:
    """Why it was refused, or repaired; what it followed from; when it happened, if that was another time."""
    parts: list[str] = []
    if record.reason is not None:
        parts.append(record.reason if record.outcome == "applied" else _told_refusal(record))
    if record.cause is not None:
        parts.append(f"follows from {record.cause}")
    if abs(record.recorded_at - record.occurred_at) >= timedelta(seconds=1):
        parts.append(f"happened at {told_time(record.occurred_at)}")
    return "; ".join(parts)


def _told_refusal(record: Record) -> str:
    from stateward.errors import Refusal

    kind: Any = record.reason
    return f"{kind}: {Refusal(kind, record.kind, record.state_to, record.event).reason}"

"""What came of an event, as `create`, `send` and `attempt` tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from stateward.cli.desk import Desk
from stateward.cli.output import on_one_line, painted, write_object
from stateward.cli.times import told_age

if TYPE_CHECKING:
    from stateward.chart import Chart, EventMarker
    from stateward.errors import Refusal
    from stateward.kernel import Explanation
    from stateward.ledger import Applied

__all__ = ["explain_refusal", "plain", "told_fields", "told_refusal", "write_applied", "write_refusal"]

_OF_THE_CHART = ("unknown", "finished", "guarded", "illegal")
"""The kinds of refusals that a chart gives, which can be explained; the others are of the engine's."""


def write_applied(applied: Applied[Any], event: str, before: str | None, output: str) -> None:
    """The answer to an event that was not refused.

    Args:
        applied: the answer.
        event: the name of the event.
        before: the configuration before it, where that is known.
        output: `table`, `json` or `jsonl`.
    """
    from stateward.chart.values import wire_name

    effects = () if applied.step is None else applied.step.effects
    timers = () if applied.step is None else applied.step.timers_set
    if output != "table":
        write_object(
            {
                "kind": applied.kind,
                "entity": applied.entity,
                "event": event,
                "outcome": applied.outcome,
                "state": applied.state,
                "revision": applied.revision,
                "version": applied.version,
                "record": applied.record,
                "is_repetition": applied.is_repetition,
                "effects": [{"effect": wire_name(type(each)), "payload": plain(each)} for each in effects],
                "timers_set": [{"name": each.name, "delay_s": each.delay.total_seconds()} for each in timers],
            },
            output,
        )
        return
    who = f"{applied.kind} {on_one_line(applied.entity)}"
    if applied.outcome == "already_done":
        click.echo(f"{who}: {event} has nothing left to do, it is in {painted(applied.state, bold=True)}")
    else:
        way = f"{before} -> " if before is not None else "started in " if event == "Started" else "is in "
        by = "" if event == "Started" else f", by {event}"
        click.echo(f"{who}: {way}{painted(applied.state, fg='green', bold=True)}{by}")
    click.echo(f"  revision {applied.revision}, record {applied.record}")
    for each in effects:
        click.echo(on_one_line(f"  asks for {wire_name(type(each))}{told_fields(plain(each))}"))
    for timer in timers:
        click.echo(f"  timer {timer.name} in {told_age(timer.delay)}")
    if applied.is_repetition:
        click.echo("  its key was honoured before, and this is the answer of that time: nothing was done now")


def explain_refusal(
    desk: Desk, chart: Chart[Any], entity: str, event: EventMarker, refusal: Refusal
) -> Explanation | None:
    """Why a chart has refused an event; None: it was not the chart that did."""
    if refusal.kind not in _OF_THE_CHART:
        return None
    explained: Explanation = desk.call(desk.engine.why(chart, entity, event))
    # It may have moved since. What is told is why it was refused, not what would happen by now.
    return explained if explained.outcome == refusal.kind else None


def told_refusal(refusal: Refusal, explained: Explanation | None, *, revision: int | None = None) -> str:
    """A refusal in words, with what can be known of it."""
    lines = str(explained).splitlines()[1:] if explained is not None else []
    if revision is not None and refusal.kind == "stale":
        lines.append(f"  it is at revision {revision}")
    return "\n".join([str(refusal), *lines])


def write_refusal(refusal: Refusal, entity: str, explained: Explanation | None, output: str) -> None:
    """A refusal as data."""
    candidates = () if explained is None else explained.candidates
    row = {
        "kind": refusal.lifecycle,
        "entity": entity,
        "event": refusal.event,
        "outcome": "refused",
        "refusal": refusal.kind,
        "reason": refusal.reason,
        "state": refusal.state,
        "candidates": candidates,
        "elsewhere": () if explained is None else explained.elsewhere,
    }
    write_object(row, output)


def plain(value: Any) -> Any:
    """The fields of an event, an effect or a context as plain data."""
    import msgspec

    from stateward.ledger.codec import encode

    return msgspec.json.decode(encode("it", value))


def told_fields(fields: Any) -> str:
    """Plain data on a line: ` amount=5 note="late"`."""
    import msgspec

    if not isinstance(fields, dict):
        return f" {msgspec.json.encode(fields).decode()}"
    pairs = cast("dict[str, Any]", fields).items()
    return "".join(f" {name}={msgspec.json.encode(each).decode()}" for name, each in pairs)

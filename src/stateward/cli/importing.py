"""`stateward import`: an event log from elsewhere, sent through a lifecycle in its own order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from stateward.cli.db import ledger_option
from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from datetime import tzinfo

    from stateward.chart import Lifecycle
    from stateward.ledger.importing import Report
    from stateward.ledger.logs import Log

__all__ = ["command"]

_PROGRESS_EVERY = 10_000
_TITLES = {
    "state": "in state",
    "event": "event",
    "applied": "applied",
    "already_done": "already done",
    "refused": "refused",
    "reasons": "reason",
}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--lifecycle", required=True, metavar="MODULE:CLASS", help="The lifecycle to send it through.")
@ledger_option
@click.option("--map", "maps", multiple=True, metavar="WHAT=COLUMN", help="Which column says what; see above.")
@click.option("--events", type=_FILE, help="A JSON object: the event's name for what the event columns say.")
@click.option("--actor", metavar="KIND:ID", help="Who sent the events of rows that name nobody.")
@click.option("--actor-kind", default="user", show_default=True, help="The kind of actors that the log gives no kind.")
@click.option("--zone", metavar="NAME", help="The time zone of times without an offset: UTC, Europe/Berlin.")
@click.option("--delimiter", default=",", show_default=True, help="What stands between two cells.")
@click.option("--skip-bad", is_flag=True, help="Count rows that can't be read or kept, instead of stopping there.")
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    *,
    lifecycle: str,
    ledger: str,
    maps: tuple[str, ...],
    events: Path | None,
    actor: str | None,
    actor_kind: str,
    zone: str | None,
    delimiter: str,
    skip_bad: bool,
    output: str,
) -> None:
    r"""Send the event log FILE, .csv or .csv.gz, through a lifecycle, with its own times and actors.

    An entity is started when the log first names it. Interrupted, it goes on where it was when it is run again with
    the same arguments, and applies nothing twice. The report counts rows by the state that the entity was in and the
    event. The exit code is 1 if rows were bad or failed; a refused event is what the lifecycle says, and no fault.

    \b
    --map entity=COLUMN --map time=COLUMN --map actor=COLUMN
    --map event=COLUMN,COLUMN      their values, joined by /, name the event
    --map Pay.amount=COLUMN        a field of an event
    --map Event.amount=COLUMN      the field of every event that has it
    --map Started.total=COLUMN     a field of an entity's first context

    \b
    Examples:
        stateward import log.csv --lifecycle shop.orders:OrderLifecycle --ledger sqlite:///orders.db \
            --map entity=order --map time=at --map event=what --map actor=who --map Pay.amount=amount
    """
    from msgspec.structs import replace

    from stateward.chart import chart_of
    from stateward.engine import Engine, LifecycleTarget
    from stateward.errors import MapInvalid
    from stateward.ledger.importing import import_log
    from stateward.ledger.logs import Log, read_map

    kind = _find_lifecycle(lifecycle)
    try:
        mapping = replace(
            read_map(chart_of(kind), maps, None if events is None else _read_names(events)),
            default_actor=actor,
            actor_kind=actor_kind,
            zone=None if zone is None else _zone(zone),
        )
    except MapInvalid as error:
        raise click.UsageError(str(error)) from error
    if len(delimiter) != 1:
        message = f"--delimiter is one character, not {delimiter!r}"
        raise click.UsageError(message)
    log = Log(file, mapping, delimiter=delimiter)
    started = time.perf_counter()
    with Engine(ledger, lifecycles=[kind]) as engine:
        try:
            report = import_log(
                log, LifecycleTarget(engine, kind), skips_bad=skip_bad, on_progress=_progress(log, started)
            )
        finally:
            if sys.stderr.isatty():
                click.echo("\r\033[K", nl=False, err=True)
    for problem in report.problems:
        click.echo(f"{file}, {problem}", err=True)
    # For a program only the counts are data; for people the sum is part of the answer.
    click.echo(_summary(report, time.perf_counter() - started), err=output != "table")
    write_rows(_rows(report, output), output, titles=_TITLES)
    ctx.exit(1 if report.bad or report.failed else 0)


def _find_lifecycle(target: str) -> type[Lifecycle[Any]]:
    from stateward.cli.targets import find_one_chart

    found = find_one_chart(target)
    if found.chart.lifecycle is None:
        message = f"{found.place} is a chart of its own; an import needs the class of a lifecycle"
        raise click.UsageError(message)
    return found.chart.lifecycle


def _read_names(path: Path) -> dict[str, Any]:
    import json

    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{path} is no JSON: {error}"
        raise click.UsageError(message) from error
    if not isinstance(table, dict):
        message = f'{path} is no JSON object: it says {{"Accepted/In Progress": "WorkBegun"}}, for example'
        raise click.UsageError(message)
    return cast("dict[str, Any]", table)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        message = f"there is no time zone {name!r}: UTC or Europe/Berlin is one"
        raise click.UsageError(message) from error


def _progress(log: Log, started: float) -> Callable[[Report], object]:
    """A line on stderr: rewritten in place on a terminal, a line now and then elsewhere."""
    live = sys.stderr.isatty()
    told = 0

    def show(report: Report) -> None:
        nonlocal told
        if not live and report.rows - told < _PROGRESS_EVERY:
            return
        told = report.rows
        rate = report.rows / (time.perf_counter() - started)
        text = (
            f"{log.share_read:4.0%}  {report.rows:,} rows, {report.created:,} entities started, "
            f"{report.refused.total():,} refused, {rate:,.0f}/s"
        )
        click.echo(f"\r{text}\033[K" if live else text, nl=not live, err=True)

    return show


def _summary(report: Report, took: float) -> str:
    parts = [
        f"{report.applied.total():,} applied",
        f"{report.already_done.total():,} already done",
        f"{report.refused.total():,} refused",
        *([f"{report.bad:,} bad"] if report.bad else []),
        *([f"{report.failed:,} failed"] if report.failed else []),
    ]
    earlier = f"; {report.earlier:,} of the rows by an earlier run" if report.earlier else ""
    return f"{report.rows:,} rows in {took:.1f} s, {report.created:,} entities started: {', '.join(parts)}{earlier}"


def _rows(report: Report, output: str) -> list[dict[str, Any]]:
    """The counts, the most refused first; for people, reasons as a text."""
    pairs = report.applied.keys() | report.already_done.keys() | report.refused.keys()
    rows: list[dict[str, Any]] = [
        {
            "state": state,
            "event": event,
            "applied": report.applied[state, event],
            "already_done": report.already_done[state, event],
            "refused": report.refused[state, event],
            "reasons": sorted(report.reasons.get((state, event), ())),
        }
        for state, event in pairs
    ]
    rows.sort(key=lambda row: (-row["refused"], row["state"], row["event"]))
    if output != "table":
        return rows
    return [row | {"reasons": ", ".join(row["reasons"])} for row in rows]

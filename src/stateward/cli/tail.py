"""`stateward tail`: records as they come."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from itertools import islice
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import desk_options, open_desk
from stateward.cli.output import dump, is_terminal, on_one_line, painted
from stateward.cli.showing import is_refusal

if TYPE_CHECKING:
    from stateward.ledger import Record
    from stateward.ledger.tailing import Followed

__all__ = ["command"]

LAST = 10
"""Records that are printed if nothing says how many."""


@click.command("tail")
@desk_options
@click.option("-f", "--follow", is_flag=True, help="Wait for those that are yet to come, until Ctrl-C.")
@click.option("--after", metavar="CURSOR", help="Begin behind the record of this cursor.")
@click.option("--all", "is_all", is_flag=True, help="Begin with the first record.")
@click.option("--kind", "kinds", metavar="KIND", multiple=True, help="Only records of this kind; may be repeated.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    metavar="COUNT",
    help=f"Begin with the last COUNT records, {LAST} by default; with --after or --all, end behind COUNT.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "jsonl"]),
    default="table",
    show_default=True,
    help="A line for people, or a JSON object, for each record.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    app: str | None,
    ledger: str | None,
    follow: bool,
    after: str | None,
    is_all: bool,
    kinds: tuple[str, ...],
    lines: int | None,
    output: str,
) -> None:
    r"""Print the records of a ledger, about as they were committed; those of an entity as they were applied.

    A record is one line: when, whose, its revision, the event, from where to where, and who did it. On a terminal what
    was refused is red, and a new day has a line of its own.

    The cursor of the last one is told on stderr at the end, and `-o jsonl` has it with each: whoever keeps it, and goes
    on behind it with --after, misses none and has none twice. Ctrl-C is how one that follows ends: with exit code 0.

    \b
    Examples:
        stateward tail -f --app shop.app:engine
        stateward tail -n 50 --kind Order --ledger sqlite:///orders.db
        stateward tail --all -o jsonl | jq -r 'select(.outcome == "rejected_invalid").entity'
    """
    if after is not None and is_all:
        ctx.fail("--after and --all begin at different places")
    is_from_end = after is None and not is_all
    last = (LAST if lines is None else lines) if is_from_end else None
    with open_desk(ctx, app, ledger) as desk:
        names = [desk.kind_of(each) for each in kinds]
        tail = desk.engine.tail(names or None, after=after, last=last, follow=follow)
        cursor = after
        write = _Page() if output == "table" else _write_json
        with suppress(KeyboardInterrupt):
            followed: Iterator[Followed] = desk.each(tail)
            for each in islice(followed, None if is_from_end else lines):
                with _to_its_end():
                    write(each)
                    cursor = each.cursor
    if cursor is not None:
        click.echo(f"cursor: {cursor}", err=True)
    if tail.is_held:
        click.echo("there are more, behind one of a transaction that has not ended", err=True)


@contextmanager
def _to_its_end() -> Generator[None]:
    """Have a record written and noted before an interrupt is heeded; the second one is heeded at once."""
    if current_thread() is not main_thread():
        yield
        return
    interrupts = 0

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


class _Page:
    """Writes lines for people; on a terminal a day is told once, and not in each line."""

    def __init__(self) -> None:
        self._day: date | None = None

    def __call__(self, followed: Followed) -> None:
        record = followed.record
        if not is_terminal():
            click.echo(f"{record.recorded_at.isoformat(' ', 'milliseconds')}  {_line(record)}")
            return
        if record.recorded_at.date() != self._day:
            self._day = record.recorded_at.date()
            click.echo(painted(f"{self._day} UTC", bold=True))
        at = painted(f"{record.recorded_at:%H:%M:%S}.{record.recorded_at.microsecond // 1000:03}", dim=True)
        click.echo(f"{at}  {painted(_line(record), **_style(record))}")


def _style(record: Record) -> dict[str, Any]:
    if is_refusal(record):
        return {"fg": "red"}
    if record.source == "repair":
        return {"fg": "yellow"}
    return {} if record.outcome == "applied" else {"dim": True}


def _line(record: Record) -> str:
    """What became of which entity by whom; on one line, whatever it holds."""
    way = record.state_to if record.state_from is None else f"{record.state_from} -> {record.state_to}"
    if record.outcome != "applied":
        way = f"{record.state_to}: {record.outcome}"
    reason = f" ({record.reason})" if record.reason is not None else ""
    text = f"{record.kind} {record.entity} {record.revision}  {record.event}  {way}{reason}  {record.actor}"
    return on_one_line(text)


def _write_json(followed: Followed) -> None:
    import msgspec

    record = msgspec.to_builtins(followed.record)
    click.echo(dump(record | {"actor": str(followed.record.actor), "cursor": followed.cursor}))

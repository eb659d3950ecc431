"""`stateward tail`: records as they come."""

from __future__ import annotations

from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING

import click

from stateward.cli.db import ledger_option

if TYPE_CHECKING:
    from stateward.ledger.tailing import Followed

__all__ = ["command"]

LAST = 10
"""Records that are printed if nothing says how many."""


@click.command("tail")
@ledger_option
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
    ledger: str,
    follow: bool,
    after: str | None,
    is_all: bool,
    kinds: tuple[str, ...],
    lines: int | None,
    output: str,
) -> None:
    """Print the records of a ledger, about as they were committed; those of an entity as they were applied.

    The cursor of the last one is told on stderr at the end, and `-o jsonl` has it with each: whoever keeps it, and goes
    on behind it with --after, misses none and has none twice.
    """
    from stateward.engine import Engine
    from stateward.errors import LedgerOutdated
    from stateward.ledger.checking import open_database

    if after is not None and is_all:
        ctx.fail("--after and --all begin at different places")
    with open_database(ledger) as database:  # which makes none
        found, known = database.schema()
    if found != known:
        raise LedgerOutdated(found=found, wanted=known)
    is_from_end = after is None and not is_all
    last = (LAST if lines is None else lines) if is_from_end else None
    with closing(Engine(ledger, lifecycles=[])) as engine:
        tail = engine.tail(kinds or None, after=after, last=last, follow=follow)
        cursor = after
        with suppress(KeyboardInterrupt):
            for each in islice(tail, None if is_from_end else lines):
                click.echo(_json(each) if output == "jsonl" else _line(each))
                cursor = each.cursor
    if cursor is not None:
        click.echo(f"cursor: {cursor}", err=True)
    if tail.is_held:
        click.echo("there are more, behind one of a transaction that has not ended", err=True)


def _line(followed: Followed) -> str:
    """When, what became of which entity by whom; on one line, whatever it holds."""
    record = followed.record
    way = record.state_to if record.state_from is None else f"{record.state_from} -> {record.state_to}"
    if record.outcome != "applied":
        way = f"{record.state_to}: {record.outcome}"
    reason = f" ({record.reason})" if record.reason is not None else ""
    at = record.recorded_at.isoformat(" ", "milliseconds")
    text = f"{at}  {record.kind} {record.entity} {record.revision}  {record.event}  {way}{reason}  {record.actor}"
    return "".join(each if each.isprintable() else " " for each in text)


def _json(followed: Followed) -> bytes:
    import msgspec

    record = msgspec.to_builtins(followed.record)
    return msgspec.json.encode(record | {"actor": str(followed.record.actor), "cursor": followed.cursor})

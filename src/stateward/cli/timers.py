"""`stateward timers`: which timers run, and when they are due."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import desk_options, limit_option, open_desk, say, take, text, told_time
from stateward.cli.output import output_option, write_rows
from stateward.cli.times import moment

if TYPE_CHECKING:
    from stateward.work import RunningTimer

__all__ = ["command"]

_TITLES = {"entity": "entity", "name": "timer", "due_at": "due at", "revision": "set by revision"}


@click.command("timers")
@click.argument("kind", type=text)
@desk_options
@click.option("--entity", type=text, help="Only those of the entity with this id.")
@click.option("--due-before", type=moment, metavar="TIME", help="Only those due by then: ISO 8601, or now.")
@limit_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str,
    app: str | None,
    ledger: str | None,
    entity: str | None,
    due_before: datetime | None,
    limit: int,
    output: str,
) -> None:
    r"""List the timers of a KIND that run, the first due first.

    A timer is named by its transition and its state, expire@pending. Those that have been due for long wait for a
    worker: none runs, or the kind is paused.

    \b
    Examples:
        stateward timers Order --entity A-17 --app shop.app:engine
        stateward timers Order --due-before now --ledger sqlite:///orders.db
    """
    with open_desk(ctx, app, ledger) as desk:
        kind = desk.kind_of(kind)
        found = desk.each(desk.engine.timers(kind, entity, due_before=due_before))
        rows = [_row(each, output) for each in take(found, limit)]
    write_rows(rows, output, titles=_TITLES)
    if not rows:
        say(f"no timers of {kind} {entity or ''}".rstrip() + (" due by then" if due_before else ""), output)


def _row(timer: RunningTimer, output: str) -> dict[str, Any]:
    from msgspec.structs import asdict

    return asdict(timer) | ({"due_at": told_time(timer.due_at)} if output == "table" else {})

"""`stateward list`: the entities of a kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import limit_option, say, take, text, told_time
from stateward.cli.entities import find_state, in_use, kind_argument, lifecycle_options, open_lifecycles
from stateward.cli.output import output_option, write_rows
from stateward.cli.sending import plain
from stateward.cli.times import past_moment, told_age

if TYPE_CHECKING:
    from stateward.ledger import Entity

__all__ = ["command", "entity_row"]

_TITLES = {
    "id": "id",
    "state": "state",
    "version": "version",
    "revision": "revision",
    "updated_at": "moved at",
    "due_by": "SLA ends",
}


@click.command("list")
@kind_argument()
@lifecycle_options
@click.option("--state", type=text, help="Only those in this configuration: paid, or a.x|b.y of regions.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="Only those on this version of the lifecycle.")
@click.option(
    "--unmoved-since",
    type=past_moment,
    metavar="TIME",
    help="Only those that have not moved since then: ISO 8601, or how long ago, 3d or 2h30m.",
)
@limit_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str,
    app: str | None,
    ledger: str | None,
    lifecycles: tuple[str, ...],
    state: str | None,
    version: int | None,
    unmoved_since: datetime | None,
    limit: int,
    output: str,
) -> None:
    r"""List the entities of a KIND, by their ids; with --state those that have not moved for longest first.

    JSON has the context of each, and when each of its states was entered.

    \b
    Examples:
        stateward list Order --state paid --unmoved-since 2d --app shop.app:engine
        stateward list Order --version 1 --limit 0 -o jsonl
    """
    with open_lifecycles(ctx, app, ledger, lifecycles, choose=in_use(kind)) as desk:
        rows: list[dict[str, Any]] = []
        if desk.engine.charts or not lifecycles:  # of those that were named, no version may be in use
            newest = desk.chart_of(kind)
            wanted = None
            if state is not None:
                wanted = find_state([each for each in desk.engine.charts if each.kind == newest.kind], state)
            found: Iterator[Entity[Any]] = desk.each(
                desk.engine.list(newest, version=version, state=wanted, unmoved_since=unmoved_since)
            )
            rows = [entity_row(each, output) for each in take(found, limit)]
    write_rows(rows, output, titles=_TITLES)
    if not rows:
        say(f"no such entities of the kind {kind}", output)


def entity_row(entity: Entity[Any], output: str) -> dict[str, Any]:
    """An entity: what a table tells of it, or all of it."""
    row = {
        "kind": entity.kind,
        "id": entity.id,
        "state": entity.state,
        "version": entity.version,
        "revision": entity.revision,
        "created_at": entity.created_at,
        "updated_at": entity.updated_at,
        "due_by": entity.due_by,
    }
    if output != "table":
        return row | {"entered": entity.entered, "context": plain(entity.context)}
    due = told_time(entity.due_by)
    if entity.due_by is not None and (late := datetime.now(UTC) - entity.due_by).total_seconds() > 0:
        due += f" ({told_age(late)} ago)"
    return row | {"updated_at": told_time(entity.updated_at), "due_by": due}

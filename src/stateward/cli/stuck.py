"""`stateward stuck`: the entities past the SLA of a state that they are in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import limit_option, say, take
from stateward.cli.entities import in_use, kind_argument, lifecycle_options, open_lifecycles
from stateward.cli.listing import entity_row
from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.ledger import Entity

__all__ = ["command"]

_TITLES = {
    "kind": "kind",
    "id": "id",
    "state": "state",
    "revision": "revision",
    "updated_at": "moved at",
    "due_by": "SLA ended",
}


@click.command("stuck")
@kind_argument(required=False)
@lifecycle_options
@limit_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str | None,
    app: str | None,
    ledger: str | None,
    lifecycles: tuple[str, ...],
    limit: int,
    output: str,
) -> None:
    r"""List the entities past the SLA of a state that they are in, of a KIND or of all; the longest overdue first.

    What keeps one of them is told by `stateward show`.

    \b
    Examples:
        stateward stuck --app shop.app:engine
        stateward stuck Order -o jsonl | jq -r .id
    """
    with open_lifecycles(ctx, app, ledger, lifecycles, choose=in_use(kind)) as desk:
        names = sorted({each.kind for each in desk.engine.charts})
        if kind is not None and (names or not lifecycles):
            names = [desk.chart_of(kind).kind]
        lists: list[Iterator[Entity[Any]]] = [desk.each(desk.engine.stuck(desk.chart_of(each))) for each in names]
        rows = [entity_row(each, output) for each in take(chain.from_iterable(lists), limit)]
    write_rows(rows, output, titles=_TITLES)
    if not rows:
        say("nothing is stuck", output)

"""`stateward census`: how many entities are in each state."""

from __future__ import annotations

from typing import Any

import click

from stateward.cli.desk import desk_options, open_desk, say
from stateward.cli.entities import kind_argument
from stateward.cli.output import output_option, write_rows

__all__ = ["command"]

_TITLES = {"kind": "kind", "version": "version", "state": "state", "count": "count"}


@click.command("census")
@kind_argument(required=False)
@desk_options
@output_option
@click.pass_context
def command(ctx: click.Context, *, kind: str | None, app: str | None, ledger: str | None, output: str) -> None:
    r"""Count the entities in each configuration, of a KIND or of all, by the version that they are on.

    The counts are kept by the transactions that move entities: asking costs the same however many there are.

    \b
    Examples:
        stateward census --app shop.app:engine
        stateward census Order --ledger sqlite:///orders.db -o json
    """
    with open_desk(ctx, app, ledger) as desk:
        name = None if kind is None else desk.kind_of(kind)
        counts: dict[tuple[str, int, str], int] = desk.call(desk.engine.census_by_version(name))
    lines = sorted(counts.items(), key=lambda line: (line[0][0], line[0][1], -line[1], line[0][2]))
    rows: list[dict[str, Any]] = [
        {"kind": each, "version": version, "state": state, "count": count} for (each, version, state), count in lines
    ]
    write_rows(rows, output, titles=_TITLES)
    if not rows:
        say("there are no entities", output)

"""`stateward lifecycles`: the catalogue of a module or package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.cli.targets import Found

__all__ = ["command"]

_DIGEST_SHOWN = 12
_TITLES = {
    "kind": "kind",
    "version": "version",
    "class": "class",
    "states": "states",
    "events": "events",
    "transitions": "transitions",
    "digest": "digest",
    "description": "description",
}


@click.command("lifecycles")
@click.argument("target")
@output_option
@click.pass_context
def command(ctx: click.Context, target: str, output: str) -> None:
    r"""List the lifecycles of TARGET: a package with all its modules, a module, or package.module:Class.

    A module that can't be imported is told on stderr, and makes the exit code 2.

    \b
    Examples:
        stateward lifecycles shop
        stateward lifecycles shop -o json | jq -r .[].digest
    """
    from stateward.cli.targets import Found, walk_charts

    results = list(walk_charts(target))
    rows = [_row(each) for each in results if isinstance(each, Found)]
    if output == "table":
        rows = [row | {"digest": row["digest"][:_DIGEST_SHOWN]} for row in rows]
    write_rows(rows, output, titles=_TITLES)
    failures = [each for each in results if not isinstance(each, Found)]
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    if failures:
        ctx.exit(2)
    if not rows:
        click.echo(f"{target} holds no lifecycle", err=True)


def _row(found: Found) -> dict[str, Any]:
    chart = found.chart
    return {
        "kind": chart.kind,
        "version": chart.version,
        "class": found.place,
        "states": sum(1 for state in chart.states[1:] if not state.kind.is_history),
        "events": len(chart.events),
        "transitions": len(chart.transitions),
        "digest": chart.digest,
        "description": chart.description,
    }

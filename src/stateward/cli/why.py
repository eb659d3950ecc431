"""`stateward why`: what an event would do to an entity now, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stateward.cli.entities import (
    entity_of_kind,
    event_arguments,
    find_entity,
    lifecycle_options,
    open_lifecycles,
    read_event,
    version_of,
)
from stateward.cli.output import output_option, painted, write_object

if TYPE_CHECKING:
    from stateward.kernel import Explanation

__all__ = ["command"]

REFUSED = 3


@click.command("why")
@entity_of_kind
@event_arguments
@lifecycle_options
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str,
    entity: str,
    event: str,
    payload: tuple[str, ...],
    app: str | None,
    ledger: str | None,
    lifecycles: tuple[str, ...],
    output: str,
) -> None:
    r"""Explain what EVENT would do to the entity of KIND with this ID now, and why; nothing is sent.

    Each transition that could take it is told, with its guard, what that said, and the values that it read. What the
    event says is given as for `stateward send`. The exit code is 0 if it would be accepted, and 3 if it would be
    refused, or if a handler raises.

    \b
    Examples:
        stateward why Order A-17 Ship --app shop.app:engine
        stateward why Order A-17 Pay amount=1 -o json
    """
    with open_lifecycles(ctx, app, ledger, lifecycles, choose=version_of(kind, entity)) as desk:
        chart, _ = find_entity(desk, kind, entity)
        asked = read_event(chart, event, payload)
        explained: Explanation = desk.call(desk.engine.why(chart, entity, asked))
    if output == "table":
        first, *rest = str(explained).splitlines()
        click.echo(painted(first, fg="green" if explained.is_accepted else "red", bold=True))
        for line in rest:
            click.echo(line)
    else:
        from msgspec.structs import asdict

        write_object({"entity": entity, **asdict(explained), "is_accepted": explained.is_accepted}, output)
    ctx.exit(0 if explained.is_accepted else REFUSED)

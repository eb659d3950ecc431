"""`stateward pending`: what an entity has asked for and is not done yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stateward.cli.dead import first_line
from stateward.cli.desk import desk_options, open_desk, say, text, told_time
from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.work import Pause, PendingEffect

__all__ = ["command"]

_TITLES = {
    "key": "key",
    "effect": "effect",
    "attempts": "attempts",
    "next_attempt": "next attempt",
    "last_error": "last error",
}


@click.command("pending")
@click.argument("kind", type=text)
@click.argument("entity", type=text)
@desk_options
@output_option
@click.pass_context
def command(ctx: click.Context, *, kind: str, entity: str, app: str | None, ledger: str | None, output: str) -> None:
    r"""List the effects of the entity with the id ENTITY of a KIND that are not done yet, in their order.

    The first holds up those behind it, unless its type may be overtaken. One without a next attempt is due as soon as
    those before it are done. What else keeps it is told on stderr: pauses, and effects of it that were given up.

    \b
    Example:
        stateward pending Order A-17 --app shop.app:engine
    """
    with open_desk(ctx, app, ledger) as desk:
        kind = desk.kind_of(kind)
        found: list[PendingEffect] = desk.call(desk.engine.pending(kind, entity))
        pauses: list[Pause] = desk.call(desk.engine.pauses())
        dead = sum(1 for _ in desk.each(desk.engine.dead(kind=kind, entity=entity)))
    rows = [_row(each, output) for each in found]
    write_rows(rows, output, titles=_TITLES)
    if not rows:
        say(f"{kind} {entity} has no effects that are not done", output)
    waiting = {("kind", kind), *(("effect", each.effect) for each in found)}
    for each in pauses:
        if (each.scope, each.name) in waiting:
            what = f"the {'kind' if each.scope == 'kind' else 'effects'} {each.name}"
            click.echo(
                f"paused since {told_time(each.paused_at)}: {what}, by {each.paused_by}: {each.reason}", err=True
            )
    if dead:
        click.echo(f"given up: {dead}, see stateward dead --kind {kind} --entity {entity}", err=True)


def _row(effect: PendingEffect, output: str) -> dict[str, Any]:
    from msgspec.structs import asdict

    row = asdict(effect)
    if output == "table":
        row |= {"next_attempt": told_time(effect.next_attempt), "last_error": first_line(effect.last_error or "-")}
    return row

"""`stateward resume`: what was paused goes on."""

from __future__ import annotations

import click

from stateward.cli.desk import actor_option, apply_option, desk_options, open_desk, told_time
from stateward.cli.pause import named, needed, pause_of, scope_options

__all__ = ["command"]


@click.command("resume")
@desk_options
@scope_options
@actor_option
@apply_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    app: str | None,
    ledger: str | None,
    kind: str | None,
    effect: str | None,
    actor: str | None,
    apply: bool,
) -> None:
    r"""Let a kind go on that was paused, or a type of effects.

    Without --apply nothing is done. The exit code is 4 if it is not paused.

    \b
    Example:
        stateward resume --app shop.app:engine --effect Charge --actor operator:ann --apply
    """
    what, who = named(kind, effect), needed("--actor", actor)
    with open_desk(ctx, app, ledger) as desk:
        pause = pause_of(desk, kind, effect)
        is_paused = pause is not None
        if is_paused and apply:
            is_paused = desk.call(desk.engine.resume(kind=kind, effect=effect, actor=who))
    if pause is None or not is_paused:
        click.echo(f"Error: {what} is not paused", err=True)
        ctx.exit(4)
    since = f"paused since {told_time(pause.paused_at)}, by {pause.paused_by}: {pause.reason}"
    click.echo(f"{what} goes on; it was {since}" if apply else f"{what} would go on, {since}; --apply does it")

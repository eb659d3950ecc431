"""`stateward pause`: a kind or a type of effects rests, in all workers; and what rests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stateward.cli.desk import (
    Desk,
    actor_option,
    apply_option,
    desk_options,
    open_desk,
    reason_option,
    say,
    text,
    told_time,
)
from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.work import Pause

__all__ = ["command", "named", "needed", "pause_of", "scope_options", "warn_of_slip"]

F = TypeVar("F", bound=Callable[..., Any])

_TITLES = {
    "scope": "scope",
    "name": "name",
    "paused_at": "paused at",
    "paused_by": "paused by",
    "reason": "reason",
}


def scope_options(command: F) -> F:
    """Give a command `--kind` and `--effect`, of which one is named."""
    effect = click.option("--effect", type=text, help="The type of effects, Charge.")
    kind = click.option("--kind", type=text, help="The kind, Order: its effects, timers and reconciliations.")
    return kind(effect(command))


@click.command("pause")
@desk_options
@scope_options
@reason_option
@actor_option
@apply_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    app: str | None,
    ledger: str | None,
    kind: str | None,
    effect: str | None,
    reason: str | None,
    actor: str | None,
    apply: bool,
    output: str,
) -> None:
    r"""Let a kind rest, or a type of effects, in all workers; without either, list what rests.

    Events go on being accepted, and what they ask for waits. What is being handled goes on to its end. It rests until
    `stateward resume`. Without --apply nothing is done. The exit code is 4 if it is paused already.

    \b
    Examples:
        stateward pause --app shop.app:engine
        stateward pause --ledger sqlite:///orders.db --effect Charge --reason "provider is down" --actor op:ann --apply
    """
    if kind is None and effect is None:
        _refuse_rest(reason=reason, apply=apply)
        _list(ctx, app, ledger, output)
        return
    what = named(kind, effect)
    why, who = needed("--reason", reason), needed("--actor", actor)
    with open_desk(ctx, app, ledger) as desk:
        warn_of_slip(desk, kind, effect)
        is_new = pause_of(desk, kind, effect) is None
        if is_new and apply:
            is_new = desk.call(desk.engine.pause(kind=kind, effect=effect, reason=why, actor=who))
        there = pause_of(desk, kind, effect)
    if not is_new:
        since = f" since {told_time(there.paused_at)}, by {there.paused_by}: {there.reason}" if there else ""
        click.echo(f"Error: {what} is paused already{since}", err=True)
        ctx.exit(4)
    rest = f"{what}, by {who}: {why}"
    say(f"paused {rest}" if apply else f"would pause {rest}; --apply does it", output)


def _refuse_rest(*, reason: str | None, apply: bool) -> None:
    """What only a pause needs, without saying of what, is a slip."""
    if reason is not None or apply:
        message = "say what is to be paused: --kind or --effect"
        raise click.UsageError(message)


def _list(ctx: click.Context, app: str | None, ledger: str | None, output: str) -> None:
    with open_desk(ctx, app, ledger) as desk:
        pauses: list[Pause] = desk.call(desk.engine.pauses())
    write_rows([_row(each, output) for each in pauses], output, titles=_TITLES)
    if not pauses:
        say("nothing is paused", output)


def named(kind: str | None, effect: str | None) -> str:
    """What is meant, in words.

    Raises:
        click.UsageError: neither is given, or both.
    """
    if (kind is None) == (effect is None):
        message = "name either a kind (--kind) or a type of effects (--effect)"
        raise click.UsageError(message)
    return f"the kind {kind}" if kind is not None else f"the effects {effect}"


def needed(option: str, given: str | None) -> str:
    """What must be given.

    Raises:
        click.UsageError: it is not.
    """
    if not given:
        message = f"Missing option '{option}'"
        raise click.UsageError(message)
    return given


def pause_of(desk: Desk, kind: str | None, effect: str | None) -> Pause | None:
    """The pause that goes on, if there is one."""
    wanted = ("kind", kind) if kind is not None else ("effect", effect)
    pauses: list[Pause] = desk.call(desk.engine.pauses())
    return next((each for each in pauses if (each.scope, each.name) == wanted), None)


def warn_of_slip(desk: Desk, kind: str | None, effect: str | None) -> None:
    """Tell of a kind or an effect that the application does not have: others on the same ledger may."""
    handled = desk.engine.handled
    if handled and effect is not None and effect not in handled:
        click.echo(f"the application handles no effects {effect}, but {', '.join(handled)}", err=True)
    kinds = {each.kind for each in desk.engine.charts}
    if kinds and kind is not None and kind not in kinds:
        click.echo(f"the application has no lifecycle of the kind {kind}, but {', '.join(sorted(kinds))}", err=True)


def _row(pause: Pause, output: str) -> dict[str, Any]:
    from msgspec.structs import asdict

    return asdict(pause) | ({"paused_at": told_time(pause.paused_at)} if output == "table" else {})

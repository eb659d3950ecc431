"""`stateward retry`: dead letters get their attempts anew."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from stateward.cli.dead import GROUP_TITLES, grouped, letters_option
from stateward.cli.desk import Desk, apply_option, desk_options, open_desk, say, text
from stateward.cli.output import output_option, write_rows
from stateward.cli.pause import warn_of_slip

if TYPE_CHECKING:
    from stateward.work import DeadLetter

__all__ = ["command"]


@click.command("retry")
@click.argument("keys", metavar="[KEY]...", nargs=-1, type=text)
@desk_options
@letters_option
@click.option("--all", "all_", is_flag=True, help="All there are.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="How many a second are due; else at once.")
@apply_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    keys: tuple[str, ...],
    app: str | None,
    ledger: str | None,
    kind: str | None,
    entity: str | None,
    effect: str | None,
    all_: bool,
    rate: float | None,
    apply: bool,
    output: str,
) -> None:
    r"""Put dead letters back, so that workers attempt them anew: those with these KEYs, or all that the options choose.

    Without --apply nothing is done, and what would be is counted. An effect keeps its key, by which the service that
    it asks can tell that it was asked before; a reply that was applied already is not applied twice. Nothing is put
    back if one of the KEYs is not there; the exit code is 4 then.

    \b
    Examples:
        stateward retry --app shop.app:engine 01980a52-77c4-7cc1-b3cc-4a9ab5d8a7e2:0 --apply
        stateward retry --ledger sqlite:///orders.db --effect Charge --rate 50 --apply
    """
    _check_choice(keys, chooses=any(each is not None for each in (kind, entity, effect)), is_all=all_)
    with open_desk(ctx, app, ledger) as desk:
        warn_of_slip(desk, kind, effect)
        letters = list(_letters(desk, kind, entity, effect) if not keys else _letters_of(ctx, desk, keys))
        rows = grouped(letters, output)
        done = desk.call(desk.engine.retry(letters, rate=rate)) if apply and letters else 0
    write_rows(rows, output, titles=GROUP_TITLES)
    say(_summary(len(letters), done, rate, apply=apply), output)


def _check_choice(keys: tuple[str, ...], *, chooses: bool, is_all: bool) -> None:
    if bool(keys) + chooses + is_all != 1:
        message = "say which: KEYs, or some of --kind, --entity and --effect, or --all"
        raise click.UsageError(message)


def _letters(desk: Desk, kind: str | None, entity: str | None, effect: str | None) -> list[DeadLetter]:
    """The letters, all of them before the first is put back: one that dies again meanwhile is none of them.

    Their payloads are left behind, since there may be many.
    """
    from msgspec.structs import replace

    found = desk.each(desk.engine.dead(kind=kind, entity=entity, effect=effect))
    return [replace(each, payload=None) for each in found]


def _letters_of(ctx: click.Context, desk: Desk, keys: tuple[str, ...]) -> list[DeadLetter]:
    """The letters with these keys; one that is not there ends the command."""
    missing = set(keys)
    letters: list[DeadLetter] = []
    for each in desk.each(desk.engine.dead()):
        if each.key in missing:
            missing.discard(each.key)
            letters.append(each)
        if not missing:
            break
    for key in dict.fromkeys(keys):
        if key in missing:
            click.echo(f"Error: there is no dead letter {key}", err=True)
    if missing:
        ctx.exit(4)
    return letters


def _summary(found: int, done: int, rate: float | None, *, apply: bool) -> str:
    if not found:
        return "no dead letters"
    over = f", {rate:g} a second, the last in {timedelta(seconds=int((found - 1) / rate))}" if rate is not None else ""
    if not apply:
        return f"{_letters_text(found)} would be put back{over}; --apply does it"
    gone = f"; {found - done} were put back by somebody else meanwhile" if done < found else ""
    return f"{_letters_text(done)} put back{over}{gone}"


def _letters_text(count: int) -> str:
    return f"{count:,} dead letter{'s' if count != 1 else ''}"

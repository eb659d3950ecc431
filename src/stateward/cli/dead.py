"""`stateward dead`: the effects that were given up, one by one or counted by what they died of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import desk_options, limit_option, open_desk, say, take, text, told_time
from stateward.cli.output import output_option, write_rows
from stateward.cli.pause import warn_of_slip

if TYPE_CHECKING:
    from stateward.work import DeadLetter

__all__ = ["GROUP_TITLES", "command", "grouped", "letters_option"]

_TITLES = {
    "key": "key",
    "kind": "kind",
    "entity": "entity",
    "effect": "effect",
    "attempts": "attempts",
    "died_at": "died at",
    "error": "error",
}
GROUP_TITLES = {"kind": "kind", "effect": "effect", "error": "error", "count": "count", "oldest": "oldest"}


def letters_option(command: Any) -> Any:
    """Give a command the options that choose among dead letters."""
    for name, what in (("effect", "of this type"), ("entity", "of the entity with this id"), ("kind", "of this kind")):
        command = click.option(f"--{name}", type=text, help=f"Only those {what}.")(command)
    return command


@click.command("dead")
@desk_options
@letters_option
@click.option("--group", is_flag=True, help="Count them by kind, effect and the first line of the error.")
@limit_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    app: str | None,
    ledger: str | None,
    kind: str | None,
    entity: str | None,
    effect: str | None,
    group: bool,
    limit: int,
    output: str,
) -> None:
    r"""List dead letters: effects that were given up after their last attempt, the oldest first.

    They are kept until they are put back with `stateward retry`. The entity has gone on without them. A table shows
    the first line of each error, JSON all of it and the payload.

    \b
    Examples:
        stateward dead --app shop.app:engine --group
        stateward dead --ledger sqlite:///orders.db --effect Charge -o jsonl
    """
    with open_desk(ctx, app, ledger) as desk:
        warn_of_slip(desk, kind, effect)
        found = desk.each(desk.engine.dead(kind=kind, entity=entity, effect=effect))
        if group:
            rows, titles = grouped(found, output), GROUP_TITLES
        else:
            rows, titles = [_row(each, output) for each in take(found, limit)], _TITLES
    write_rows(rows, output, titles=titles)
    if not rows:
        say("no dead letters", output)


def first_line(error: str) -> str:
    """What of an error is shown in a table, and counted by."""
    return error.strip().partition("\n")[0]


def grouped(letters: Iterable[DeadLetter], output: str) -> list[dict[str, Any]]:
    """How many died of what, the most first."""
    counts: dict[tuple[str, str, str], int] = {}
    oldest: dict[tuple[str, str, str], datetime] = {}
    for each in letters:
        group = (each.kind, each.effect, first_line(each.error))
        counts[group] = counts.get(group, 0) + 1
        oldest.setdefault(group, each.died_at)
    rows: list[dict[str, Any]] = [
        {
            "kind": group[0], "effect": group[1], "error": group[2], "count": count,
            "oldest": told_time(oldest[group]) if output == "table" else oldest[group],
        }
        for group, count in counts.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row["count"], row["kind"], row["effect"], row["error"]))


def _row(letter: DeadLetter, output: str) -> dict[str, Any]:
    from msgspec.structs import asdict

    row = asdict(letter)
    if output == "table":
        row |= {"died_at": told_time(letter.died_at), "error": first_line(letter.error)}
    return row

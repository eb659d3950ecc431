"""What a person may have meant: names that are not there are told with those that are nearly written alike."""

from __future__ import annotations

from collections.abc import Iterable

import click

__all__ = ["Suggesting", "check_command", "did_you_mean", "find_name"]

_SHOWN_MAX = 20
"""Names that are listed where none is close."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean Ship?` of what is close to a word, whatever its case; else nothing."""
    from difflib import get_close_matches

    folded = {each.casefold(): each for each in known}
    close = get_close_matches(word.casefold(), folded, cutoff=0.6)
    return f"; did you mean {' or '.join(folded[each] for each in close)}?" if close else ""


def find_name(what: str, word: str, known: Iterable[str]) -> str:
    """A name as it is written: the very one, or the only one that differs in case alone.

    Args:
        what: what it is to name, for the message: `event {} of Order version 1`.
        word: what was given.
        known: the names that there are.

    Raises:
        click.UsageError: there is none such; those that were meant, or those that there are, are told.
    """
    names = list(dict.fromkeys(known))
    if word in names:
        return word
    alike = [each for each in names if each.casefold() == word.casefold()]
    if len(alike) == 1:
        return alike[0]
    more = f" and {len(names) - _SHOWN_MAX} more" if len(names) > _SHOWN_MAX else ""
    hint = did_you_mean(word, names) or f"; these are: {', '.join(sorted(names)[:_SHOWN_MAX]) or 'none'}{more}"
    message = f"there is no {what.replace('{}', word)}{hint}"
    raise click.UsageError(message)


def check_command(group: click.Group, ctx: click.Context, name: str) -> None:
    """Tell which command of a group may have been meant; click does in some releases only.

    Raises:
        click.UsageError: the group has no such command.
    """
    names = group.list_commands(ctx)
    if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
        message = f"there is no command {name}{did_you_mean(name, names)}"
        raise click.UsageError(message, ctx)


class Suggesting(click.Group):
    """A group that tells which command may have been meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own."""
        check_command(self, ctx, args[0])
        return super().resolve_command(ctx, args)

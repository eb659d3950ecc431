"""`stateward db`: the schema of a ledger, brought up to date and looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from stateward.cli.output import output_option, write_object, write_rows
from stateward.cli.suggesting import Suggesting

__all__ = ["command", "ledger_option"]

F = TypeVar("F", bound=Callable[..., Any])


def ledger_option(command: F) -> F:
    """Give a command the option `--ledger`, passed to it as `ledger`."""
    option = click.option(
        "--ledger",
        metavar="URL",
        envvar="STATEWARD_LEDGER",
        show_envvar=True,
        required=True,
        help="The ledger: sqlite:///orders.db, postgresql://user@host/name, or a SQLite file.",
    )
    return option(command)


@click.group("db", cls=Suggesting, short_help="Bring a ledger's schema up to date, or look at it.")
def command() -> None:
    """The schema of a ledger. It changes by numbered files, of which each is applied once."""


@command.command("upgrade")
@ledger_option
@output_option
def _upgrade(ledger: str, output: str) -> None:
    r"""Apply what the schema lacks; a fresh database is made ready. Two at once do no harm.

    On PostgreSQL it makes the partitions of the months to come, too.

    \b
    Example:
        stateward db upgrade --ledger sqlite:///orders.db
    """
    from stateward.ledger.checking import open_database

    with open_database(ledger, may_be_new=True) as database:
        names = database.upgrade()
        found = database.schema()
    if output != "table":
        write_object({"applied": names, "found": found.found, "known": found.known}, output)
        return
    for name in names:
        click.echo(f"applied {name}")
    if not names:
        click.echo(f"nothing to apply: the schema is at {found.found}")


@command.command("current")
@ledger_option
@output_option
def _current(ledger: str, output: str) -> None:
    r"""Print the number of the ledger's schema, and of the one that this version of stateward knows.

    \b
    Example:
        stateward db current --ledger postgresql://shop@db1/orders -o json
    """
    from stateward.ledger.checking import open_database

    with open_database(ledger) as database:
        found, known = database.schema()
    write_rows([{"found": found, "known": known}], output, titles={"found": "found", "known": "known"})


@command.command("check")
@ledger_option
@click.pass_context
def _check(ctx: click.Context, ledger: str) -> None:
    r"""Compare the two: the exit code is 1 if they differ, and 0 if they are the same.

    \b
    Example:
        stateward db check --ledger sqlite:///orders.db
    """
    from stateward.errors import LedgerOutdated
    from stateward.ledger.checking import open_database

    with open_database(ledger) as database:
        found, known = database.schema()
    if found == known:
        click.echo(f"the ledger's schema is current, at {found}")
        return
    click.echo(LedgerOutdated(found=found, wanted=known), err=True)
    ctx.exit(1)

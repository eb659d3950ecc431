"""The command line: a thin face. Each command is a module of its own, loaded when it is called.

Data goes to stdout and talk to stderr. Exit codes: 0 ok, 1 findings, 2 usage, 3 refused, 4 not found or
conflict, 5 unavailable.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from stateward.errors import ArchiveRefused, Conflict, Refused, StatewardError, UnknownEntity, WorldError

__all__ = ["main"]

_EXIT_CODES: dict[type[StatewardError], int] = {
    Refused: 3, ArchiveRefused: 3, UnknownEntity: 4, Conflict: 4, WorldError: 5,
}  # fmt: skip
"""What a command that ends in one of these exits with; any other error of the caller's is 2."""

_COMMANDS = {
    "archive": "Write a month of records to a file, and drop it from the ledger.",
    "check": "Definition errors and lint findings of lifecycles.",
    "db": "Bring a ledger's schema up to date, or look at it.",
    "dead": "Effects that were given up.",
    "demo": "Show orders with payment at work, faults and all.",
    "diagram": "Draw a lifecycle as Mermaid or Graphviz text.",
    "doctor": "Hold a ledger against the lifecycles that are to run on it.",
    "import": "Send an event log from elsewhere through a lifecycle.",
    "lifecycles": "The catalogue of a module or package.",
    "pause": "Let a kind or a type of effects rest; list what rests.",
    "pending": "Effects of an entity that are not done yet.",
    "repair": "Force an entity into a configuration.",
    "resume": "Let go on what was paused.",
    "retry": "Put effects back that were given up.",
    "run": "Work for an application: effects, timers, reconciliation.",
    "scxml": "Run and test SCXML documents; write a lifecycle as one.",
    "serve": "Serve an application's entities over HTTP.",
    "tail": "Print records as they come.",
    "timers": "Timers that run.",
}
"""Each command is `command` in the module of its name; the help is here, so that --help loads none of them."""
_MODULES = {"import": "importing"}
"""The modules of commands whose names no module can have."""


class _Lazy(click.Group):
    """A group that imports a command's module when the command is looked up by itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"stateward.cli.{_MODULES.get(cmd_name, cmd_name)}").command
        _mark_blocks(command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StatewardError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 2))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_COMMANDS.items()))


def _mark_blocks(command: click.Command) -> None:
    """Have click keep the lines below a mark in a docstring: it knows the character for it, and docstrings its name."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _mark_blocks(each)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"stateward {version('stateward')}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
def _group(**_: Any) -> None:
    """Durable state machines: draw, check and run lifecycles."""


def main() -> None:
    """Run the command line of this process."""
    _group(prog_name="stateward")

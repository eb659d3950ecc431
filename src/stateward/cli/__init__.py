"""The command line: a thin face. Each command is a module of its own, loaded when it is called.

Data goes to stdout and talk to stderr. Exit codes: 0 ok, 1 findings, 2 usage, 3 refused, 4 not found or
conflict, 5 unavailable; 130 after Ctrl-C, and 141 when whoever read the output has gone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from stateward.errors import ArchiveRefused, Conflict, Refused, StatewardError, UnknownEntity, WorldError

__all__ = ["main", "root_group"]

_EXIT_CODES: dict[type[StatewardError], int] = {
    Refused: 3, ArchiveRefused: 3, UnknownEntity: 4, Conflict: 4, WorldError: 5,
}  # fmt: skip
"""What a command that ends in one of these exits with; any other error of the caller's is 2."""

_COMMANDS = {
    "archive": "Write a month of records to a file, and drop it from the ledger.",
    "attempt": "Send an event, and take a refusal as an answer.",
    "census": "How many entities are in each state.",
    "check": "Definition errors and lint findings of lifecycles.",
    "completion": "Print what makes a shell complete words.",
    "create": "Start an entity.",
    "db": "Bring a ledger's schema up to date, or look at it.",
    "dead": "Effects that were given up.",
    "demo": "Show orders with payment at work, faults and all.",
    "diagram": "Draw a lifecycle as Mermaid or Graphviz text.",
    "doctor": "Hold a ledger against the lifecycles that are to run on it.",
    "import": "Send an event log from elsewhere through a lifecycle.",
    "init": "Write a small project to begin with.",
    "lifecycles": "The catalogue of a module or package.",
    "list": "Entities of a kind.",
    "pause": "Let a kind or a type of effects rest; list what rests.",
    "pending": "Effects of an entity that are not done yet.",
    "repair": "Force an entity into a configuration.",
    "resume": "Let go on what was paused.",
    "retry": "Put effects back that were given up.",
    "run": "Work for an application: effects, timers, reconciliation.",
    "scxml": "Run and test SCXML documents; write a lifecycle as one.",
    "send": "Send an event to an entity.",
    "serve": "Serve an application's entities over HTTP.",
    "show": "An entity from all sides, and its whole history.",
    "stuck": "Entities past the SLA of their state.",
    "tail": "Print records as they come.",
    "timers": "Timers that run.",
    "why": "Explain what an event would do to an entity, and why.",
}
"""Each command is `command` in the module of its name; the help is here, so that --help loads none of them."""
_SECTIONS = {
    "Begin": ("demo", "init", "run", "serve", "doctor", "completion"),
    "Entities": ("create", "send", "attempt", "why", "show", "list", "stuck", "census", "tail"),
    "Operate": ("dead", "retry", "pending", "timers", "pause", "resume", "repair"),
    "Lifecycles": ("lifecycles", "diagram", "check", "scxml"),
    "Ledgers": ("db", "import", "archive"),
}
"""How `--help` puts them: by what one is about to do."""
_MODULES = {"import": "importing", "list": "listing"}
"""The modules of commands whose names no module can have."""


INTERRUPTED, UNREAD = 130, 141
"""What shells tell of programs that SIGINT and SIGPIPE have ended."""


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS:
            from stateward.cli.suggesting import check_command

            check_command(self, ctx, args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except StatewardError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), 2))
        except KeyboardInterrupt:
            sys.stderr.write("\nInterrupted\n")  # below the ^C that a terminal shows
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _write_nowhere()
            ctx.exit(UNREAD)
        except OSError as error:  # a full disk, say
            with suppress(OSError):
                click.echo(f"Error: {error}", err=True)
            _write_nowhere()
            ctx.exit(_EXIT_CODES[WorldError])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _COMMANDS))
        rest = _COMMANDS.keys() - {each for names in _SECTIONS.values() for each in names}
        for title, names in (*_SECTIONS.items(), ("And", sorted(rest))):
            rows = [(name.ljust(width), _COMMANDS[name]) for name in names if name in _COMMANDS]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _mark_blocks(command: click.Command) -> None:
    """Have click keep the lines below a mark in a docstring: it knows the character for it, and docstrings its name."""
    command.help = _kept(command.help)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _mark_blocks(each)


def _kept(text: str | None) -> str:
    return (text or "").replace("\\b\n", "\b\n")


def _write_nowhere() -> None:
    """Let what is still to be written go nowhere: Python would try again at the end, and tell that it could not."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # of one that stands for none of the process's own
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"stateward {version('stateward')}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version.")
def _group(**_: Any) -> None:
    r"""Durable state machines: create entities, send them events, see and repair what happens to them.

    An application is named by --app module:engine, by STATEWARD_APP, or by pyproject.toml in the current directory.

    \b
    Examples:
        stateward init shop
        stateward create Order A-17 total=4200
        stateward show Order A-17
    """


_group.help = _kept(_group.help)


def root_group() -> click.Group:
    """All commands."""
    return _group


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding does not have is written as an escape: no name can make a command fail.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _group(prog_name="stateward")
    except KeyboardInterrupt:  # before a command has begun, or while it is being left
        sys.exit(INTERRUPTED)

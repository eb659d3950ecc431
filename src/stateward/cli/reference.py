"""The reference of the command line as a page in Markdown, made of the commands themselves: docs/cli.md.

`python -m stateward.cli.reference` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

import click

from stateward.cli import root_group

__all__ = ["write_reference"]

_HEAD = """# Commands

<!-- Made by `python -m stateward.cli.reference` of the commands themselves; `make golden` writes it anew. -->

`stateward COMMAND --help` says the same. [operators.md](operators.md) tells how operators use these commands.

**What a command works on.** `--app module:engine` names an application, or the variable `STATEWARD_APP`, or `app`
under `[tool.stateward]` of pyproject.toml in the current directory, which is importable. `--ledger URL`
(`STATEWARD_LEDGER`) names a ledger alone, without any code; commands that need to know the lifecycle take
`--lifecycle` or a TARGET beside it. Of the two, the one that is named by option counts, and without options the
ledger.

**Names.** KIND, EVENT and states are wire names, in any case where that is not ambiguous; of what is not there, what
may have been meant is told. EVENT's payload and an entity's first context are `field=value` words, one JSON object,
`@file`, or `-` for stdin.

**Streams.** Data go to stdout and talk to stderr. `-o json` and `-o jsonl` are for programs. On a terminal tables are
drawn and what matters is coloured, unless `NO_COLOR` is set; in a pipe all is plain text.

| exit code | what it says |
|---|---|
| 0 | done; of `attempt` also: refused, as its answer says |
| 1 | findings: something is not as it should be |
| 2 | the arguments are wrong, or the application is |
| 3 | refused, and why is told; nothing has changed but the record of the attempt |
| 4 | not there, or there already |
| 5 | the ledger, or what else it needs of the world, is away |
| 130 | ended by Ctrl-C |
| 141 | whoever read the output has gone, as `head` does |
"""


def write_reference() -> str:
    """The page."""
    group = root_group()
    root = click.Context(group, info_name="stateward")
    parts = [_HEAD]
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        assert command is not None
        parts += _sections(command, click.Context(command, info_name=name, parent=root))
    return "\n".join(parts)


def _sections(command: click.Command, ctx: click.Context, depth: int = 2) -> Iterator[str]:
    yield f"{'#' * depth} `{ctx.command_path}`\n"
    if not isinstance(command, click.Group):
        usage = " ".join(command.collect_usage_pieces(ctx))
        yield f"    {ctx.command_path} {usage}\n"
    yield from _texts(command.help or "")
    yield from _options(command, ctx)
    if isinstance(command, click.Group):
        for name, each in sorted(command.commands.items()):
            yield from _sections(each, click.Context(each, info_name=name, parent=ctx), depth + 1)


def _texts(text: str) -> Iterator[str]:
    """The paragraphs of a help, each on one line; those whose lines are kept, behind a mark, are blocks."""
    for paragraph in cleandoc(text).split("\n\n"):
        first, *rest = [line.rstrip() for line in paragraph.splitlines()]
        if first != "\b":
            yield " ".join(line.strip() for line in (first, *rest)).replace("|", "\\|") + "\n"
            continue
        lines = rest[1:] if rest[0].startswith("Example") else rest
        yield "\n".join([*(f"    {line.strip()}" for line in lines), ""])


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    records: list[Any] = [each.get_help_record(ctx) for each in options]
    rows = [f"| `{_cell(name)}` | {_cell(what)} |" for name, what in filter(None, records)]
    if rows:
        yield "\n".join(["| option | what it says |", "|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    """A text in a table, where a bar would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    click.echo(write_reference(), nl=False)

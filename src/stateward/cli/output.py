"""How commands write to stdout: tables and lines for people, JSON for programs.

A table is drawn by rich on a terminal, which keeps to its width and to NO_COLOR; anywhere else it is plain text
in columns, each row one line. Colours are for terminals alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

import click
import msgspec

__all__ = [
    "dump",
    "is_colored",
    "is_terminal",
    "on_one_line",
    "output_option",
    "painted",
    "write_lines",
    "write_object",
    "write_rows",
]

_CELL_MAX = 50
"""Characters of the longest cell that those below and above it are put in line with."""

F = TypeVar("F", bound=Callable[..., Any])
Row = Mapping[str, Any]


def output_option(command: F) -> F:
    """Give a command the option `-o`, passed to it as `output`."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "jsonl"]),
        default="table",
        show_default=True,
        help="Text for people, JSON, or JSON on one line each.",
    )
    return option(command)


def write_rows(rows: Sequence[Row], output: str, *, titles: Mapping[str, str]) -> None:
    """Write rows in the form that was asked for.

    Args:
        rows: what to write; JSON gets all of it.
        output: `table`, `json` (one array) or `jsonl` (an object a line).
        titles: the columns of a table, by the key of the row; none is wider than its longest text.
    """
    if output == "json":
        click.echo(msgspec.json.format(dump(rows), indent=2))
    elif output == "jsonl":
        for row in rows:
            click.echo(dump(row))
    elif rows:
        texts = [[on_one_line(row[key]) for key in titles] for row in rows]
        write = _write_rich if is_terminal() else _write_plain
        write(list(titles.values()), texts, [isinstance(rows[0][key], int) for key in titles])


def write_lines(lines: Sequence[tuple[Sequence[object], Mapping[str, Any]]]) -> None:
    """Write lines for people, indented, their cells below each other; each line in a style of its own.

    A cell that is very long widens its own line alone: one large payload would put blanks into all the others.
    """
    texts = [[on_one_line(cell) for cell in cells] for cells, _ in lines]
    widths = [
        max((len(each) for each in column if len(each) <= _CELL_MAX), default=0) for column in zip(*texts, strict=True)
    ]
    for cells, (_, style) in zip(texts, lines, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        click.echo(f"  {painted(line, **style)}")


def write_object(value: Row, output: str) -> None:
    """Write one answer as a JSON object: over several lines for `json`, on one for `jsonl`."""
    data = dump(value)
    click.echo(msgspec.json.format(data, indent=2) if output == "json" else data)


def dump(value: object) -> bytes:
    """A value as JSON; what JSON does not know, which a guard may have read, as Python writes it."""
    return msgspec.json.encode(value, enc_hook=repr)


def is_terminal() -> bool:
    """Whether a person looks at stdout; a command may have been given none at all."""
    stream: TextIO | None = sys.stdout
    return stream is not None and stream.isatty()


def is_colored() -> bool:
    """Whether stdout shows colours, and the person wants them."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, **style: Any) -> str:
    """A text in colour, where there is any; the styles are those of `click.style`."""
    return click.style(text, **style) if style and is_colored() else text


def on_one_line(value: object) -> str:
    """A text on one line, without what would move a terminal's cursor."""
    return "".join(each if each.isprintable() else " " for each in str(value))


def _write_plain(titles: list[str], rows: list[list[str]], is_number: list[bool]) -> None:
    widths = [max(len(row[column]) for row in (titles, *rows)) for column in range(len(titles))]
    for row in (titles, ["-" * width for width in widths], *rows):
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _write_rich(titles: list[str], rows: list[list[str]], is_number: list[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title, right in zip(titles, is_number, strict=True):
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)

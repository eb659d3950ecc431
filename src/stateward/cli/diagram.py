"""`stateward diagram`: a lifecycle drawn as text, and whether a drawing kept in a file is still true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stateward.chart import Chart

__all__ = ["command"]

_MARKDOWN = frozenset({".md", ".markdown"})


@click.command("diagram")
@click.argument("target")
@click.option(
    "--format", "form", type=click.Choice(["mermaid", "dot"]), default="mermaid", show_default=True, help="The syntax."
)
@click.option("--state", help="Mark a state as current, as an entity has it: paid, or active.a.x|active.b.y.")
@click.option(
    "--check",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare with the drawing in this file instead; exit with 1 and a diff if it has drifted.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of stdout.")
@click.pass_context
def command(
    ctx: click.Context, target: str, *, form: str, state: str | None, check: Path | None, output: Path | None
) -> None:
    r"""Draw the lifecycle TARGET, package.module:Class, as Mermaid or Graphviz text.

    The module alone will do if it holds one lifecycle; instead of a class it may be a variable that holds a chart.

    A Markdown file (.md) holds the drawing in a block fenced as mermaid or as dot: --check wants one of its
    blocks to be the drawing, --output writes the drawing into its only block. Any other file is the drawing.

    \b
    Examples:
        stateward diagram shop.orders:OrderLifecycle
        stateward diagram shop.orders --format dot --state paid | dot -Tsvg > order.svg
        stateward diagram shop.orders --check docs/order.md
    """
    from stateward.cli.targets import find_one_chart

    if check is not None and output is not None:
        message = "--check compares and --output writes: give one of them"
        raise click.UsageError(message)
    found = find_one_chart(target)
    text = _draw(found.chart, form, state)
    if check is not None:
        ctx.exit(_compare(check, found.place, form, text))
    elif output is not None:
        _write(output, form, text)
    else:
        click.echo(text, nl=False)


def _draw(chart: Chart[Any], form: str, state: str | None) -> str:
    from stateward.chart.dot import to_dot
    from stateward.chart.mermaid import to_mermaid

    active = state.split("|") if state else []
    try:
        return (to_mermaid if form == "mermaid" else to_dot)(chart, active=active)
    except KeyError as error:
        raise click.UsageError(str(error.args[0])) from error


def _compare(path: Path, place: str, form: str, text: str) -> int:
    """The exit code: 0 if the file holds the drawing, 1 if it has drifted, with the diff to the nearest one."""
    from difflib import SequenceMatcher, unified_diff

    kept = path.read_text(encoding="utf-8")
    drawings = [kept]
    if path.suffix.lower() in _MARKDOWN:
        drawings = [found["drawing"] for found in _blocks(form).finditer(kept)]
        if not drawings:
            click.echo(f"{path} has no ```{form} block", err=True)
            return 1
    if text in drawings:
        return 0
    nearest = max(drawings, key=lambda each: SequenceMatcher(None, each, text, autojunk=False).quick_ratio())
    lines = unified_diff(nearest.splitlines(True), text.splitlines(True), str(path), place)
    click.echo("".join(line if line.endswith("\n") else f"{line}\n" for line in lines), nl=False, err=True)
    click.echo(f"{path} has drifted from {place}", err=True)
    return 1


def _write(path: Path, form: str, text: str) -> None:
    if path.suffix.lower() in _MARKDOWN:
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        blocks = list(_blocks(form).finditer(kept))
        if len(blocks) != 1:
            message = f"{path} has {len(blocks)} ```{form} blocks: it must have one, for the drawing to go into"
            raise click.UsageError(message)
        start, end = blocks[0].span("drawing")
        text = kept[:start] + text + kept[end:]
    path.write_text(text, encoding="utf-8")


def _blocks(form: str) -> re.Pattern[str]:
    """The fenced blocks of a Markdown page that hold a drawing of this form."""
    return re.compile(rf"^```{form}[ \t]*\n(?P<drawing>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)

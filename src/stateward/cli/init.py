"""`stateward init`: a small project to begin with, whose own test passes."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

import click

__all__ = ["command"]

_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    "{package}/__init__.py": "__init__.py.txt",
    "{package}/lifecycle.py": "lifecycle.py.txt",
    "{package}/handlers.py": "handlers.py.txt",
    "{package}/app.py": "app.py.txt",
    "tests/test_{name}.py": "checks.py.txt",
}
"""What is written, and the templates in `project/` that it is made of."""
_TAKEN = frozenset({
    "Actions", "Call", "Charge", "Charged", "Clock", "Close", "Context", "Declined", "Effect", "Engine", "Event",
    "Final", "Lifecycle", "Refused", "State", "Submit",
})  # fmt: skip
"""What the templates call something else."""
_EXISTS = 4
_WIDTH = 120
"""Characters of the longest line that is written; pyproject.toml says so to the linter."""


def _kind(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]{0,19}", value) or value in _TAKEN or keyword.iskeyword(value):
        message = f"{value!r} is no kind to begin with: a word like Order or Subscription is, which the project's own"
        raise click.BadParameter(f"{message} {', '.join(sorted(_TAKEN)[:4])} and so on are not")
    return value


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option(
    "--kind",
    type=_kind,
    metavar="WORD",
    default="Order",
    show_default=True,
    help="What has a life: a word in CamelCase.",
)
@click.option("--name", metavar="NAME", help="The package; by default the folder's name, as far as it is one.")
@click.pass_context
def command(ctx: click.Context, folder: Path, *, kind: str, name: str | None) -> None:
    r"""Write a small project into FOLDER, by default the current one: a lifecycle, handlers, an application, a test.

    Nothing is overwritten: if a file of it is there already, nothing is written at all, and the exit code is 4. The
    names of the files go to stdout, and what to do next to stderr.

    \b
    Examples:
        stateward init shop
        stateward init billing --kind Subscription && cd billing && pytest
    """
    values = _values(folder, kind, name)
    paths = {folder / each.format_map(values): _rendered(template, values) for each, template in _FILES.items()}
    there = [path for path in paths if path.exists()]
    if there:
        click.echo(f"Error: nothing is overwritten, and there is {', '.join(map(str, there))}", err=True)
        ctx.exit(_EXISTS)
    try:
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(path)
    except OSError as error:
        message = f"{error.filename or folder} can't be written: {error.strerror}"
        raise click.UsageError(message) from error
    first = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    click.echo(f"next: {first}pytest, and then as README.md says", err=True)


def _values(folder: Path, kind: str, name: str | None) -> dict[str, str]:
    """What the templates are filled with.

    Raises:
        click.UsageError: the package would have no name that Python can import.
    """
    from importlib.metadata import version

    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind).lower()
    package = name or re.sub(r"\W+", "_", folder.resolve().name, flags=re.ASCII).strip("_").lower()
    is_taken = package in sys.stdlib_module_names or package in ("stateward", "tests", "pytest")
    if not package.isidentifier() or not package.isascii() or keyword.iskeyword(package) or is_taken:
        message = f"{package or folder} is no name for a package of your own: give another by --name, shop say"
        raise click.UsageError(message)
    article = "an" if words[0] in "aeio" else "a"
    variable = words.replace(" ", "_")
    return {
        "package": package,
        "project": package.replace("_", "-").strip("-"),
        "kind": kind,
        "words": words,
        "article": article,
        "an_words": f"{article} {words}",
        "An_words": f"{article.capitalize()} {words}",
        "app_import": _import(f"{package}.lifecycle", "Charge", f"{kind}Lifecycle"),
        "test_import": _import(f"{package}.lifecycle", "Charged", "Close", "Submit", kind, f"{kind}Lifecycle"),
        "name": variable + "_" if keyword.iskeyword(variable) else variable,
        "env": f"{package.upper()}_LEDGER",
        "version": version("stateward"),
    }


def _import(module: str, *names: str) -> str:
    """An import as it is sorted and laid out: names in capitals are constants, and first."""
    ordered = sorted(names, key=lambda each: (not each.isupper(), each.lower()))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {each}," for each in ordered), ")"])


def _rendered(template: str, values: dict[str, str]) -> str:
    from importlib.resources import files
    from string import Template

    text = files("stateward.cli").joinpath("project", template).read_text(encoding="utf-8")
    return Template(text).substitute(values)

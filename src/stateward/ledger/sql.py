"""SQL in files of its own: statements by name, migrations by number."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Migration", "read_migrations", "read_queries"]

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_(\w+)\.sql")


def read_queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The statements of a package's file, each under a line `-- name: load_pairs`."""
    parts = _NAME.split(files(package).joinpath(file).read_text(encoding="utf-8"))
    return {name: text.strip().removesuffix(";") + "\n" for name, text in zip(parts[1::2], parts[2::2], strict=True)}


class Migration(NamedTuple):
    """One step of a schema."""

    number: int
    name: str
    text: str


def read_migrations(package: str) -> list[Migration]:
    """The files of a package's folder `migrations`, in order; their numbers are dense from 1.

    Raises:
        AssertionError: a number is missing or double.
    """
    found: list[Migration] = []
    for file in files(package).joinpath("migrations").iterdir():
        match = _MIGRATION.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort()
    assert [each.number for each in found] == list(range(1, len(found) + 1)), found
    return found

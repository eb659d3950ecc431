"""A statement of PostgreSQL: its SQL, its parameters, and what makes a page of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from stateward.ledger.contract import Page

__all__ = ["FIRST_TIME", "Statement", "array_of", "columns_of"]

FIRST_TIME = -62_135_596_800_000_000
"""The year 1, in microseconds since 1970: before whatever Python can tell."""


class Statement(NamedTuple):
    """SQL with its parameters, and what makes a page of its rows; None: it has none."""

    sql: str
    parameters: Any
    page: Callable[[list[Any]], Page] | None
    prepare: bool | None = None
    """False: plan it for its parameters each time. A batch's plan, made once while tables were small, is a bad one."""


def columns_of(rows: Iterable[Sequence[Any]], count: int) -> list[str]:
    """Rows as columns, arrays for PostgreSQL to unnest, of which there are so many even where there is no row."""
    columns = [array_of(column) for column in zip(*rows, strict=True)]
    return columns or ["{}"] * count


def array_of(values: Iterable[str | int | bytes | None]) -> str:
    """An array as PostgreSQL reads it; each statement says of what type. psycopg writes arrays several times slower."""
    return "{" + ",".join([_element(each) for each in values]) + "}"


def _element(value: str | int | bytes | None) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    return str(value)  # PostgreSQL takes True and False as they are

"""Records behind a rank as statements of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stateward.ledger.contract import Page
from stateward.ledger.following import Ahead, FetchWriters, FindRank, FollowRecords
from stateward.ledger.postgres.statement import Statement, array_of
from stateward.ledger.rows import RecordRow
from stateward.ledger.sql import read_queries

__all__ = ["FOLLOW"]

_QUERIES = read_queries("stateward.ledger.postgres", "following.sql")


def _follow_records(operation: FollowRecords) -> list[Statement]:
    given = {
        "after": operation.after, "start": max(operation.after, operation.through), "limit": operation.limit,
        "kinds": _kinds(operation.kinds),
    }  # fmt: skip
    return [Statement(_QUERIES["follow_records"], given, _followed, prepare=False)]


def _followed(rows: list[Any]) -> Page:
    return [Ahead._make(rows[0][:4]), *[(row[4], RecordRow._make(row[5:])) for row in rows if row[4] is not None]]


def _find_rank(operation: FindRank) -> list[Statement]:
    given = {"kinds": _kinds(operation.kinds), "last": operation.last}
    return [Statement(_QUERIES["find_rank"], given, _firsts, prepare=False)]


def _firsts(rows: list[Any]) -> Page:
    return [first for (first,) in rows]


def _kinds(kinds: tuple[str, ...] | None) -> str | None:
    return None if kinds is None else array_of(kinds)


FOLLOW: dict[type, Callable[[Any], list[Statement]]] = {
    FetchWriters: lambda _: [Statement(_QUERIES["fetch_writers"], (), _firsts, prepare=False)],
    FindRank: _find_rank,
    FollowRecords: _follow_records,
}

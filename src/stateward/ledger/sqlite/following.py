"""Records behind a rank on SQLite, whose ranks rise in the order of commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from stateward.ledger.codec import json_text
from stateward.ledger.contract import Page
from stateward.ledger.following import Ahead, FetchWriters, FindRank, FollowRecords
from stateward.ledger.rows import RecordRow
from stateward.ledger.sql import read_queries
from stateward.ledger.sqlite.work import unpacked_id

__all__ = ["FOLLOW"]

_QUERIES = read_queries("stateward.ledger.sqlite", "following.sql")


def _follow_records(cursor: sqlite3.Cursor, operation: FollowRecords) -> Page:
    # Nothing comes before the last rank that was seen, so that the two need not be one moment.
    last, seen = cursor.execute(_QUERIES["look_ahead"], (operation.after, operation.limit)).fetchone()
    if not seen:
        return [Ahead(operation.after, operation.after, 0, operation.after)]
    rows = cursor.execute(_QUERIES["follow_records"], (operation.after, last, _kinds(operation.kinds))).fetchall()
    return [
        Ahead(last, last, seen, last),
        *[(place, RecordRow._make((unpacked_id(record), *row))) for place, record, *row in rows],
    ]


def _find_rank(cursor: sqlite3.Cursor, operation: FindRank) -> Page:
    return list(cursor.execute(_QUERIES["find_rank"], (_kinds(operation.kinds), operation.last)).fetchone())


def _kinds(kinds: tuple[str, ...] | None) -> str | None:
    return None if kinds is None else json_text(kinds)


FOLLOW: dict[type, Callable[[sqlite3.Cursor, Any], Page]] = {
    FetchWriters: lambda _, __: [],
    FindRank: _find_rank,
    FollowRecords: _follow_records,
}

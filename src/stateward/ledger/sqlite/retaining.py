"""The operations of retention on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from stateward.ledger.contract import Page
from stateward.ledger.retaining import ExpireDeadLetters, ExpireReceipts
from stateward.ledger.sql import read_queries
from stateward.ledger.sqlite.work import packed_id

__all__ = ["RETAIN"]

_QUERIES = read_queries("stateward.ledger.sqlite", "retaining.sql")


def _expire_receipts(cursor: sqlite3.Cursor, operation: ExpireReceipts) -> Page:
    given = (packed_id(operation.before), operation.limit)
    seen = cursor.execute(_QUERIES["records_behind_the_mark"], given).fetchall()
    if not seen:
        return [(0, 0)]
    keyed = [row for row in seen if row[3] is not None]
    gone = cursor.executemany(_QUERIES["expire_receipt"], keyed).rowcount if keyed else 0
    cursor.execute(_QUERIES["set_mark"], (seen[-1][0],))
    return [(len(seen), gone)]


def _expire_dead_letters(cursor: sqlite3.Cursor, operation: ExpireDeadLetters) -> Page:
    done = cursor.execute(_QUERIES["expire_dead_letters"], (operation.before, operation.limit))
    return [(done.rowcount,)]


RETAIN: dict[type, Callable[[sqlite3.Cursor, Any], Page]] = {
    ExpireDeadLetters: _expire_dead_letters,
    ExpireReceipts: _expire_receipts,
}

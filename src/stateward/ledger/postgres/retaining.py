"""The operations of retention as statements of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stateward.ledger.postgres.statement import Statement
from stateward.ledger.retaining import ExpireDeadLetters, ExpireReceipts
from stateward.ledger.sql import read_queries

__all__ = ["RETAIN"]

_QUERIES = read_queries("stateward.ledger.postgres", "retaining.sql")


def _expire(name: str) -> Callable[[Any], list[Statement]]:
    """A statement that deletes up to `limit` rows of before `before`."""

    def statements(operation: ExpireDeadLetters | ExpireReceipts) -> list[Statement]:
        given = {"before": operation.before, "limit": operation.limit}
        return [Statement(_QUERIES[name], given, list, prepare=False)]

    return statements


RETAIN: dict[type, Callable[[Any], list[Statement]]] = {
    ExpireDeadLetters: _expire("expire_dead_letters"),
    ExpireReceipts: _expire("expire_receipts"),
}

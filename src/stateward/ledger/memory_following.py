"""The ledger in memory: records behind a rank, which is their place in one list, in the order of commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from stateward.ledger.contract import Page
from stateward.ledger.following import Ahead, FetchWriters, FindRank, FollowRecords
from stateward.ledger.rows import RecordRow

__all__ = ["FOLLOW", "Feed"]

Feed: TypeAlias = list[RecordRow]


def _follow_records(feed: Feed, operation: FollowRecords) -> Page:
    reached = min(operation.after + operation.limit, len(feed))
    placed = enumerate(feed[operation.after : reached], operation.after + 1)
    rows = [(place, row) for place, row in placed if operation.kinds is None or row.kind in operation.kinds]
    reached = max(reached, operation.after)
    return [Ahead(reached, reached, reached - operation.after, len(feed)), *rows]


def _find_rank(feed: Feed, operation: FindRank) -> Page:
    places = [place for place, row in enumerate(feed) if operation.kinds is None or row.kind in operation.kinds]
    return [[*places, len(feed)][-operation.last - 1] if len(places) >= operation.last else 0]


FOLLOW: dict[type, Callable[[Feed, Any], Page]] = {
    FetchWriters: lambda _, __: [],
    FindRank: _find_rank,
    FollowRecords: _follow_records,
}

"""From operations to statements of PostgreSQL, and from their rows to pages; the same for threads and tasks."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from stateward.ledger.contract import (
    CommitMoves,
    CountCensus,
    CreateEntities,
    FetchEntities,
    FetchHistory,
    FindRecords,
    ListEntities,
    LoadPairs,
    Page,
    RegisterLifecycle,
    Trip,
)
from stateward.ledger.postgres.following import FOLLOW
from stateward.ledger.postgres.retaining import RETAIN
from stateward.ledger.postgres.statement import FIRST_TIME, Statement, array_of, columns_of
from stateward.ledger.postgres.work import WORK
from stateward.ledger.rows import EntityRow, ReceiptRow, RecordRow
from stateward.ledger.sql import read_queries

__all__ = ["Request", "requests_of", "statements_of"]

_QUERIES = read_queries("stateward.ledger.postgres")
_ENTITY = len(EntityRow._fields)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Request(NamedTuple):
    """A statement as it goes to the server, with its parameters by number."""

    sql: bytes
    parameters: Sequence[Any] = ()
    page: Callable[[list[Any]], Page] | None = None
    prepare: bool | None = None


_BEGIN, _COMMIT = Request(b"BEGIN"), Request(b"COMMIT")


def requests_of(trip: Trip) -> list[Request]:
    """All that a trip sends, in order; they can go together, since none needs what another gives."""
    requests = [_BEGIN] if trip.begins else []
    for operation in trip.operations:
        for sql, parameters, page, prepare in statements_of(operation):
            numbered, names = _numbered(sql)
            given = [parameters[name] for name in names] if names else parameters
            requests.append(Request(numbered, given, page, prepare))
    if trip.commits:
        requests.append(_COMMIT)
    return requests


@lru_cache(maxsize=256)
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """SQL with `$1` for each placeholder, and the names of named ones in the order of their numbers.

    psycopg does that too, but does it again and again for statements as long as ours.
    """
    names: dict[str, int] = {}
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] == "%%":
            return "%"
        if match[1] in names:
            return f"${names[match[1]]}"
        count += 1
        if match[1] is not None:
            names[match[1]] = count
        return f"${count}"

    return re.sub(r"%(?:\((\w+)\))?s|%%", number, sql).encode(), tuple(names)


def statements_of(operation: Any) -> list[Statement]:
    """An operation as statements; the last one's rows are its page."""
    return _MAKE[type(operation)](operation)


def _load_pairs(operation: LoadPairs) -> list[Statement]:
    if len(operation.pairs) == 1:
        load = Statement(_QUERIES["load_pair"], operation.pairs[0], _pairs)
    else:
        load = Statement(_QUERIES["load_pairs"], columns_of(operation.pairs, 3), _pairs, prepare=False)
    if not operation.locks:
        return [load]
    # What is read by a statement behind the locks is what the entities are while they are held.
    return [Statement(_QUERIES["lock_entities"], columns_of(operation.pairs, 3)[:2], None, prepare=False), load]


def _pairs(rows: list[Any]) -> Page:
    return [
        (
            EntityRow._make(row[:_ENTITY]) if row[0] is not None else None,
            ReceiptRow._make(row[_ENTITY:]) if row[_ENTITY] is not None else None,
        )
        for row in rows
    ]


def _create_entities(operation: CreateEntities) -> list[Statement]:
    columns = columns_of(operation.entities, _ENTITY)
    return [Statement(_QUERIES["create_entities"], columns, list, prepare=False)]


def _commit_moves(operation: CommitMoves) -> list[Statement]:
    if len(operation.moves) == len(operation.records) == 1 and not operation.created and not operation.attempts:
        return [_move_one(operation)]
    parameters: dict[str, Any] = {"slot": random.randrange(64)}
    moves = [
        (row.kind, row.id, expected, row.version, row.state, row.history, row.context, row.revision, row.updated_at,
         row.entered, row.due_by)
        for row, expected in operation.moves
    ]  # fmt: skip
    records = [(*row, True) for row in operation.attempts] + [(*row, False) for row in operation.records]
    census = [(kind, entity, *move[1:]) for kind, entity, moved in operation.census for move in moved]
    effects = [(*row[:8], row.traceparent) for row in operation.outbox]
    for prefix, names, rows in (
        ("e", "kind id expected version state history context revision updated_at entered due_by", moves),
        ("c", "kind id", [(row.kind, row.id) for row in operation.created]),
        ("r", " ".join((*RecordRow._fields, "always")), records),
        ("k", " ".join(ReceiptRow._fields), operation.receipts),
        ("o", "part kind entity revision n effect payload record traceparent", effects),
        ("x", "kind entity name", operation.timers_cancelled),
        ("t", "kind entity name revision part due_at record traceparent", operation.timers_set),
        ("n", "kind entity version state change", census),
    ):
        fields = names.split()
        for name, column in zip(fields, columns_of(rows, len(fields)), strict=True):
            parameters[f"{prefix}_{name}"] = column
    return [Statement(_QUERIES["commit_moves"], parameters, list, prepare=False)]


def _find_records(operation: FindRecords) -> list[Statement]:
    return [Statement(_QUERIES["find_records"], (array_of(operation.ids),), _records)]


_ONE = (
    *EntityRow._fields, *(f"r_{name}" for name in RecordRow._fields),
    "expected", "slot", "k_digest", "o_effect", "o_payload", "x_name", "t_name", "t_due_at",
)  # fmt: skip
"""What the statements of one entity's one event may name, in the order in which `_move_one` gives it."""


def _move_one(operation: CommitMoves) -> Statement:
    """One entity's one event, without arrays and the parts that have no rows: faster than a batch of one."""
    [(row, expected)], [record] = operation.moves, operation.records
    receipts, effects, timers, cancelled = (
        operation.receipts, operation.outbox, operation.timers_set, operation.timers_cancelled
    )  # fmt: skip
    values = (
        *row, *record, expected, random.randrange(64), receipts[0].digest if receipts else None,
        array_of([each.effect for each in effects]) if effects else None,
        array_of([each.payload for each in effects]) if effects else None,
        array_of([name for _, _, name in cancelled]) if cancelled else None,
        array_of([each.name for each in timers]) if timers else None,
        array_of([each.due_at for each in timers]) if timers else None,
    )  # fmt: skip
    sql = _QUERIES["move_one"]
    if receipts:
        sql += _QUERIES["receipt_of_one"]
    if effects:
        sql += _QUERIES["effects_of_one"]
    if cancelled:
        sql += _QUERIES["cancels_of_one"]
    if timers:
        sql += _QUERIES["timers_of_one"]
    if operation.census:
        sql += _QUERIES["census_of_one"]
    return Statement(f"{sql}SELECT kind, id FROM moved", dict(zip(_ONE, values, strict=True)), list)


def _fetch_entities(operation: FetchEntities) -> list[Statement]:
    return [Statement(_QUERIES["fetch_entities"], (array_of(operation.ids), operation.kind), _entities)]


def _fetch_history(operation: FetchHistory) -> list[Statement]:
    revision, is_attempt, record = operation.after or (0, True, _LAST_ID)
    # Behind the applied record of a revision come its attempts.
    behind = (revision, is_attempt, record if is_attempt else _LAST_ID)
    given = (operation.kind, operation.entity, *behind, operation.limit)
    return [Statement(_QUERIES["fetch_history"], given, _records)]


def _records(rows: list[Any]) -> Page:
    return [RecordRow._make(row) for row in rows]


def _list_entities(operation: ListEntities) -> list[Statement]:
    number, entity = operation.after or (FIRST_TIME, "")
    given = {
        "kind": operation.kind, "version": operation.version, "before": operation.updated_before,
        "state": operation.state, "due_by": operation.due_by, "number": number, "id": entity,
        "limit": operation.limit,
    }  # fmt: skip
    query = (
        "list_by_due" if operation.due_by is not None else "list_by_id" if operation.state is None else "list_by_state"
    )
    return [Statement(_QUERIES[query], given, _entities)]


def _entities(rows: list[Any]) -> Page:
    return [EntityRow._make(row) if row[0] is not None else None for row in rows]


def _count_census(operation: CountCensus) -> list[Statement]:
    return [Statement(_QUERIES["count_census"], {"kind": operation.kind}, list)]


def _register_lifecycle(operation: RegisterLifecycle) -> list[Statement]:
    given = (operation.kind, operation.version, operation.digest)
    return [
        Statement(_QUERIES["register_lifecycle"], given, None),
        Statement(_QUERIES["find_digest"], given[:2], list),
    ]


_MAKE: dict[type, Callable[[Any], list[Statement]]] = {
    LoadPairs: _load_pairs,
    CreateEntities: _create_entities,
    CommitMoves: _commit_moves,
    FindRecords: _find_records,
    FetchEntities: _fetch_entities,
    FetchHistory: _fetch_history,
    ListEntities: _list_entities,
    CountCensus: _count_census,
    RegisterLifecycle: _register_lifecycle,
    **WORK,
    **FOLLOW,
    **RETAIN,
}

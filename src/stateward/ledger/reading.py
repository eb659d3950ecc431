"""What is read from a ledger, as protocol: entities, histories, lists, the census."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from stateward.chart import Chart
from stateward.errors import DefinitionError, LedgerCorrupt, UnknownEntity, VersionUnknown
from stateward.ledger.codec import from_micros, is_keepable
from stateward.ledger.contract import (
    CountCensus,
    FetchEntities,
    FetchHistory,
    ListEntities,
    RegisterLifecycle,
    Trip,
    Trips,
)
from stateward.ledger.folding import snapshot_of
from stateward.ledger.pairs import Charts
from stateward.ledger.results import Actor, Entity, Record
from stateward.ledger.rows import EntityRow, RecordRow

__all__ = [
    "count_census",
    "fetch_entities",
    "fetch_entity",
    "fetch_history",
    "list_entities",
    "register_lifecycles",
]


def register_lifecycles(charts: Charts) -> Trips[None]:
    """Hold the charts against what the ledger knows of their versions.

    Raises:
        DefinitionError: a version was registered with another digest.
    """
    given = [charts[key] for key in sorted(charts)]  # in one order, so that two engines never wait for each other
    operations = tuple(RegisterLifecycle(chart.kind, chart.version, chart.digest) for chart in given)
    pages = yield Trip(operations, begins=True, commits=True)
    for chart, [(digest,)] in zip(given, pages, strict=True):
        if digest != chart.digest:
            problem = (
                f"version {chart.version} was registered in this ledger with another digest, {digest[:12]}, and is now "
                f"{chart.digest[:12]}: what changes where an event leads, or what a row holds, needs a new version"
            )
            raise DefinitionError(problem, lifecycle=chart.kind)


def fetch_entity(kind: str, entity: str, charts: Charts) -> Trips[Entity[Any]]:
    """One entity.

    Raises:
        UnknownEntity: there is none of that id.
        VersionUnknown: it is on a version that is not among the charts.
        LedgerCorrupt: its row can't be read.
    """
    row = None
    if is_keepable(entity):
        [[row]] = yield Trip((FetchEntities(kind, (entity,)),))
    if row is None:
        raise UnknownEntity(lifecycle=kind, entity=entity)
    return entity_of(row, charts)


def fetch_entities(kind: str, ids: Sequence[str], charts: Charts) -> Trips[dict[str, Entity[Any]]]:
    """Several entities by id; those that do not exist are left out."""
    [rows] = yield Trip((FetchEntities(kind, tuple([each for each in ids if is_keepable(each)])),))
    return {row.id: entity_of(row, charts) for row in rows if row is not None}


def list_entities(operation: ListEntities, charts: Charts) -> Trips[tuple[list[Entity[Any]], ListEntities | None]]:
    """One page of a list, and what reads the next one; None if there is none."""
    if operation.state is not None and not is_keepable(operation.state):
        return [], None
    if operation.version is not None and operation.after is None:
        # No index is by version. That none is left on one, which is what a list of it is to show in the end, would be
        # known only after all had been read; the census knows it at once.
        [census] = yield Trip((CountCensus(operation.kind),))
        if not any(version == operation.version for _, version, _, _ in census):
            return [], None
    [rows] = yield Trip((operation,))
    page = [entity_of(row, charts) for row in rows]
    if len(rows) < operation.limit:
        return page, None
    return page, replace(operation, after=(operation.number_of(rows[-1]), rows[-1].id))


def fetch_history(operation: FetchHistory) -> Trips[list[Record]]:
    """One page of an entity's records."""
    rows: Sequence[RecordRow] = ()
    if is_keepable(operation.entity):
        [rows] = yield Trip((operation,))
    return [record_of(row) for row in rows]


def count_census(kind: str | None) -> Trips[list[tuple[str, int, str, int]]]:
    """Entities by (kind, version, configuration)."""
    [rows] = yield Trip((CountCensus(kind),))
    return [(kind, version, state, int(count)) for kind, version, state, count in rows]


def entity_of(row: EntityRow, charts: Mapping[tuple[str, int], Chart[Any]]) -> Entity[Any]:
    """An entity from its row.

    Raises:
        VersionUnknown: it is on a version that is not among the charts.
        LedgerCorrupt: the row does not fit its chart.
    """
    chart = charts.get((row.kind, row.version))
    if chart is None:
        known = tuple(version for kind, version in charts if kind == row.kind)
        raise VersionUnknown(lifecycle=row.kind, entity=row.id, version=row.version, known=known)
    snapshot, entered = snapshot_of(row, chart)
    try:
        return Entity(
            kind=row.kind,
            id=row.id,
            version=row.version,
            revision=row.revision,
            snapshot=snapshot,
            created_at=from_micros(row.created_at),
            updated_at=from_micros(row.updated_at),
            entered={path: from_micros(moment) for path, moment in entered.items()},
            due_by=None if row.due_by is None else from_micros(row.due_by),
        )
    except OverflowError as error:
        problem = f"a time in its row is out of all time: {error}"
        raise LedgerCorrupt(problem, lifecycle=row.kind, entity=row.id) from error


def record_of(row: RecordRow) -> Record:
    """A record from its row.

    Raises:
        LedgerCorrupt: the row can't be read.
    """
    try:
        return msgspec.convert(
            {
                **row._asdict(),
                "payload": msgspec.json.decode(row.payload),
                "actor": Actor(row.actor_kind, row.actor_id),
                "occurred_at": from_micros(row.occurred_at),
                "recorded_at": from_micros(row.recorded_at),
            },
            Record,
        )
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        problem = f"its record {row.id} can't be read: {error}"
        raise LedgerCorrupt(problem, lifecycle=row.kind, entity=row.entity) from error

"""The contract between the protocol and a store: operations, trips, and what each store promises of them.

The protocol (`protocol.py`) decides what is read and written; it is a generator that yields trips and is sent back a
page for each operation of a trip. A store turns operations into what its database understands, and knows nothing
of charts. So it is written once, and driven by a thread or by a task.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from stateward.errors import LedgerUnavailable
from stateward.ledger.after_commit import WorkOperation
from stateward.ledger.following import FollowOperation
from stateward.ledger.retaining import RetainOperation
from stateward.ledger.rows import CensusMove, EntityRow, OutboxRow, ReceiptRow, RecordRow, TimerRow

__all__ = [
    "AsyncLedger",
    "Capabilities",
    "CommitMoves",
    "ConnectionLost",
    "CountCensus",
    "CreateEntities",
    "EntityMove",
    "FetchEntities",
    "FetchHistory",
    "FindRecords",
    "Interrupted",
    "Ledger",
    "LedgerStatistics",
    "ListEntities",
    "LoadPairs",
    "Operation",
    "PairKey",
    "RegisterLifecycle",
    "RowsRefused",
    "Trip",
    "Trips",
    "address_of",
]

T = TypeVar("T")


class Interrupted(Exception):
    """A transaction was rolled back for others' sake, by a deadlock say: it can be tried again."""


class RowsRefused(Exception):
    """The database refused what was written: one of the rows is at fault, and nothing of the transaction holds."""


class ConnectionLost(LedgerUnavailable):
    """The connection ended under a trip; on another one, the same may go through."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can do; whoever needs what it lacks is told so, and nothing is done instead."""

    name: str
    """What errors call it: `sqlite`."""
    holds_write_lock: bool
    """Whether a trip that begins a transaction keeps all other writers out until it ends, so that what it read stays
    true until it writes. Without it, every write compares the revision that was read and tells what it missed."""
    is_durable: bool
    """Whether what is committed survives the end of the process."""
    shares_processes: bool
    """Whether several processes may use it at the same time."""
    joins: tuple[str, ...] = ()
    """The drivers whose connections it can join, `sqlite3` say."""


class LedgerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds now."""

    name: str
    """What errors call it: `sqlite`."""
    connections: int
    """Connections that are open; in memory there are none."""
    idle: int
    """Those of them that nobody uses."""
    waiting: int
    """Trips that wait for a connection."""


# Operations. The comment on each says what its page holds.


class PairKey(NamedTuple):
    """What has to be known for one event on one entity."""

    kind: str
    entity: str
    key: str | None
    """The idempotency key, whose receipt is wanted."""


class LoadPairs(msgspec.Struct, frozen=True):
    """Read entities and receipts as they are at one moment.

    Its page: (EntityRow or None, ReceiptRow or None) for each pair, in their order.
    """

    pairs: tuple[PairKey, ...]
    locks: bool = False
    """Whether the entities are locked first, in order of kind and id, until the transaction ends; whoever holds one is
    waited for, for a bounded time: `Interrupted` then. A store that keeps all writers out anyway need not do anything.
    """


class CreateEntities(msgspec.Struct, frozen=True):
    """Insert entities, in order of kind and id.

    Its page: the (kind, id) of those that were inserted. One that exists, or that another writer inserts at the same
    time, is left out.
    """

    entities: tuple[EntityRow, ...]


class EntityMove(NamedTuple):
    """An entity's new row, and the revision that the old one must still have."""

    row: EntityRow
    expected: int


class CommitMoves(msgspec.Struct, frozen=True, kw_only=True):
    """Move entities, and write all that belongs to it.

    Its page: the (kind, id) of those that moved. An entity whose revision is not the expected one any more is left as
    it is, and nothing of it is written: no record, receipt, effect or timer of it, and no census move. Each table is
    written once; an entity, a timer and a line of the census stand in it once.
    """

    moves: tuple[EntityMove, ...] = ()
    created: tuple[EntityRow, ...] = ()
    """Entities that CreateEntities has just inserted in the same transaction, whose rows below count as moved."""
    records: tuple[RecordRow, ...] = ()
    """Records of entities that move here, or were created."""
    attempts: tuple[RecordRow, ...] = ()
    """Records of refused and already done attempts that changed nothing, and are written whatever moves."""
    receipts: tuple[ReceiptRow, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    timers_set: tuple[TimerRow, ...] = ()
    timers_cancelled: tuple[tuple[str, str, str], ...] = ()
    """(kind, entity, name); they go before those of `timers_set` come."""
    census: tuple[tuple[str, str, tuple[CensusMove, ...]], ...] = ()
    """(kind, entity, moves): what each entity's move changes in the census."""


class FindRecords(msgspec.Struct, frozen=True):
    """Look for records by id, so that a commit whose reply was lost is settled.

    Its page: the RecordRows of those that are there.
    """

    ids: tuple[str, ...]


class FetchEntities(msgspec.Struct, frozen=True):
    """Read entities.

    Its page: an EntityRow or None for each id, in their order.
    """

    kind: str
    ids: tuple[str, ...]


class FetchHistory(msgspec.Struct, frozen=True):
    """Read an entity's records in order of revision; of one revision the applied one first, then attempts by id.

    Its page: at most `limit` RecordRows behind `after`, which is (revision, whether it was an attempt, record id).
    """

    kind: str
    entity: str
    after: tuple[int, bool, str] | None
    limit: int


class ListEntities(msgspec.Struct, frozen=True, kw_only=True):
    """Read entities of a kind: by id; with a state, by (updated_at, id); with an end of SLAs, by (due_by, id).

    Its page: at most `limit` EntityRows behind `after`, the pair that the last one of the page before had; of the
    listing by id its number is 0.
    """

    kind: str
    version: int | None = None
    state: str | None = None
    updated_before: int | None = None
    due_by: int | None = None
    """Only those with an active state whose SLA ends then, or before."""
    after: tuple[int, str] | None = None
    limit: int

    def number_of(self, row: EntityRow) -> int:
        """What an entity's place in the list begins with."""
        if self.due_by is not None:
            assert row.due_by is not None
            return row.due_by
        return row.updated_at if self.state is not None else 0


class CountCensus(msgspec.Struct, frozen=True):
    """Count entities by configuration, of one kind or of all.

    Its page: (kind, version, state, count).
    """

    kind: str | None = None


class RegisterLifecycle(msgspec.Struct, frozen=True):
    """Note the digest of a version of a lifecycle, if none is noted.

    Its page: the digest that is noted now, as the only row.
    """

    kind: str
    version: int
    digest: str


Operation: TypeAlias = (
    LoadPairs
    | CreateEntities
    | CommitMoves
    | FindRecords
    | FetchEntities
    | FetchHistory
    | ListEntities
    | CountCensus
    | RegisterLifecycle
    | WorkOperation
    | FollowOperation
    | RetainOperation
)

Page: TypeAlias = list[Any]
"""What an operation gave: its rows."""


class Trip(msgspec.Struct, frozen=True):
    """Operations that go to the store together; a page comes back for each."""

    operations: tuple[Operation, ...]
    begins: bool = False
    """Whether a transaction for writing begins before the first of them."""
    commits: bool = False
    """Whether the transaction ends behind the last; without a transaction, each operation is one of its own."""


Trips: TypeAlias = Generator[Trip, Sequence[Page], T]
"""A piece of protocol: it yields trips, is sent their pages, and returns what came of it. If it is closed or raises
within a transaction, the transaction is rolled back."""


class Ledger(Protocol):
    """A store, driven by threads.

    Its errors are neutral: `LedgerUnavailable` when the database is away, busy beyond its time-out, or full (with
    `is_outcome_unknown` when a commit may have happened), `LedgerCorrupt` for what it can't read. Whatever else it
    raises is a fault of its own.
    """

    capabilities: Capabilities

    def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol to its end, on one connection of its own.

        Isolation: what a trip's operation reads is one moment of the database; what a transaction writes is seen by
        others whole or not at all.

        Raises:
            LedgerUnavailable: the database is away, busy beyond its time-out, or full.
        """
        ...

    def close(self) -> None:
        """Give back all connections. Twice is safe."""
        ...

    def statistics(self) -> LedgerStatistics:
        """What it holds now."""
        ...


class AsyncLedger(Protocol):
    """A store, driven by tasks; as `Ledger` otherwise."""

    capabilities: Capabilities

    async def run(self, trips: Trips[T]) -> T:
        """As `Ledger.run`."""
        ...

    async def close(self) -> None:
        """As `Ledger.close`."""
        ...

    def statistics(self) -> LedgerStatistics:
        """As `Ledger.statistics`."""
        ...


def address_of(ledger: object) -> str | None:
    """Where others find a ledger, if they can: it is in no memory of one process alone, and says where it is."""
    address: str | None = getattr(ledger, "address", None)
    return address

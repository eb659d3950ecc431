"""What `doctor` knows of a database: facts of one moment, and what is found wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

__all__ = ["Asleep", "Bloat", "Dead", "Facts", "Fault", "Holder", "Paused", "SchemaVersions", "Waiting"]


class SchemaVersions(NamedTuple):
    """The number of a database's schema, and of the one that this version of stateward knows."""

    found: int
    known: int


class Waiting(NamedTuple):
    """The effects of one class that are not done yet."""

    kind: str
    effect: str
    waiting: int
    oldest_at: float
    """When what asked for the oldest was accepted, in seconds since 1970."""
    failing: int = 0
    """How many of them have failed already, and are to be attempted again."""
    due_at: float | None = None
    """When the first of these was due again, in seconds since 1970."""


class Asleep(NamedTuple):
    """Timers that are due, and have not fired."""

    due: int
    oldest_at: float | None
    """When the first of them fell due, in seconds since 1970."""


class Dead(NamedTuple):
    """The dead letters of one class of effects."""

    kind: str
    effect: str
    letters: int
    oldest_at: float
    """When the first of them died, in seconds since 1970."""


class Paused(NamedTuple):
    """A pause that goes on."""

    scope: str
    name: str
    reason: str
    by: str
    since: float
    """In seconds since 1970."""


class Holder(NamedTuple):
    """What holds up others on PostgreSQL for as long as it lasts."""

    what: str
    """`transaction`, `prepared transaction`, `replication slot` or `standby`."""
    name: str
    """What says which: the process and the application, the identifier, the slot."""
    handle: str
    """What it is ended by: the number of the process, the identifier, the slot."""
    database: str
    age_s: float
    """How long it has lasted; 0 where that is not known."""
    transactions: int
    """How many transactions have begun since the snapshot that it holds; 0 if it holds none."""
    writes_records: bool
    """Whether it may have written records, which are not committed yet."""


class Bloat(NamedTuple):
    """The rows of a table on PostgreSQL, as its statistics tell."""

    table: str
    live: int
    dead: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A database as it was at one moment."""

    place: str
    """The file, or the database and its host."""
    schema: SchemaVersions
    read_at: float
    """When it was, by this machine's clock, in seconds since 1970."""
    lifecycles: Mapping[tuple[str, int], str] = {}
    """The registered digests by kind and version."""
    census: Mapping[tuple[str, int, str], int] = {}
    """What the census says, by kind, version and configuration."""
    entities: Mapping[tuple[str, int, str], int] = {}
    """What counting the entities says."""
    outbox: Sequence[Waiting] = ()
    partitions_missing: Sequence[str] = ()
    """Of this month and those ahead."""
    default_records: int = 0
    """Records that no month's partition took."""
    workers: int = 0
    """How many leases there are."""
    asleep: Asleep = Asleep(0, None)
    dead: Sequence[Dead] = ()
    paused: Sequence[Paused] = ()
    holders: Sequence[Holder] = ()
    bloat: Sequence[Bloat] = ()
    next_rank: int | None = None
    """The least rank that the next record may be given; None: it is always behind the last one."""
    last_rank: int = 0
    """The last one that a record has."""
    oldest_record_at: float | None = None
    """When the first record that is there was made, in seconds since 1970."""
    oldest_receipt_at: float | None = None
    """When the first record was made whose receipt has not been looked at by who deletes old ones."""
    skew_s: float = 0.0
    """By how much the server's clock is ahead of this machine's, less what the round trip leaves open."""


class Fault(msgspec.Struct, frozen=True):
    """Something that is wrong."""

    check: str
    what: str
    where: str
    todo: str

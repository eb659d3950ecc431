"""Following the records of a ledger behind a cursor, in an order before whose end nothing comes later.

A record's id is minted when its event is accepted, and its row is there when its transaction commits: tens of seconds
later, if others hold the entity. Whoever reads by id, by time, or by any number that is given out before the commit,
and goes on behind the last one that was seen, never sees what commits late in a place before it. So a place is needed
that tells what is missing, and a reader that waits there.

**The place.** Each record has a rank. On SQLite it is given out under the write lock that commits hold anyway: it
rises in the order of commits, and nothing is ever missing. In memory too. On PostgreSQL it comes from a sequence, drawn
by the very INSERT of the record. There is no order of commits to be had there; but a sequence gives every number once
and in order, so that **a row that is not there yet leaves a gap**. A reader goes on for as long as there is none.

**The gap.** It is of a transaction that still runs, or of one that was rolled back. Whoever has drawn a number holds a
lock of its INSERT on the table `record`, and a transaction's number, since before and until it has ended, prepared or
not; and what has released that lock is seen by whatever is read afterwards. So a reader that sees rows behind a gap
asks for the numbers of those that hold such a lock, and once all of them have ended, what is then still missing up to
the last rank that it saw is missing for ever. Whatever else
runs, in this database or another, or holds an old snapshot, does not hold a reader up: only what writes records does.

**The order.** Of an entity, records come in the order in which they were applied: the next one is written by a
statement that begins after the last one has committed. Of a batch, in the order of its events.

Considered instead: a column with the transaction's number (`xid8`), with readers that stop below
`pg_snapshot_xmin(pg_current_snapshot())`. That holds as well, and needs no second look. But the number of a
transaction that began early and wrote late puts an entity's later record first; whatever runs anywhere in the cluster
stops all readers, an idle writer of another database too; a ledger that is restored from a dump into a younger cluster
has numbers from the future, which no reader ever reaches; and its index is three times as large, for ties want a
second and a third column. A bound by the time of an id instead of a column is not sound at all: nothing bounds how long
a caller's own transaction, of which an event is part, stays open. On the write path neither column costs more than runs
differ from each other; in WAL the sequence costs 4 to 7 hundredths, the other one 7 to 8.

A cursor is a rank and the record that is there, so that one of another ledger, or from a future that a restored
backup no longer has, is told and not taken for a place.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

__all__ = ["Ahead", "FetchWriters", "FindRank", "FollowOperation", "FollowRecords"]


class Ahead(NamedTuple):
    """How far a reader has come."""

    reached: int
    """All records up to this rank were read; none will ever come before it."""
    looked: int
    """The last rank that was looked at; beyond `reached`, if one is missing in between."""
    seen: int
    """How many were looked at, of any kind; fewer than the limit at the end."""
    newest: int
    """The last rank that there was at that moment."""


class FollowRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Read the records behind a rank up to the first one that is missing, at most `limit` of any kind.

    Its page: an `Ahead`, then for each record its rank and the RecordRow.
    """

    after: int
    kinds: tuple[str, ...] | None
    """Only those of these kinds; None: of all."""
    limit: int
    through: int = 0
    """What is missing up to this rank is missing for ever."""


class FetchWriters(msgspec.Struct, frozen=True):
    """Name the transactions that may have been given a rank, and still run.

    Its page: their names; none where ranks are given out in the order of commits.
    """


class FindRank(msgspec.Struct, frozen=True):
    """Find the rank behind which the last so many records are.

    Its page: the rank, as the only row.
    """

    kinds: tuple[str, ...] | None
    last: int


FollowOperation: TypeAlias = FollowRecords | FetchWriters | FindRank

"""How long a ledger keeps what it does not need any more, and the deleting of what is past that.

The three ages depend on each other. Whoever sends an event again under its key counts on the receipt: so an event that
is older than receipts get is refused, since whether it was applied cannot be told any more. And a receipt tells which
record holds the answer: so records are kept for at least as long. Records go by the month, when they are archived
(`stateward archive`), and by no worker.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

import msgspec

from stateward.errors import DefinitionError
from stateward.ledger.contract import Operation, Trip, Trips
from stateward.ledger.ids import first_id
from stateward.ledger.retaining import ExpireDeadLetters, ExpireReceipts
from stateward.work.ground import Ground
from stateward.work.leases import Lease

__all__ = ["BATCH_ROWS", "Expired", "Retention", "expire", "expiring"]

BATCH_ROWS = 1000
"""Rows of a table that are deleted at once: few enough that nobody waits for it."""
AGAIN_S = 0.05
"""What is waited between batches while there is more, which leaves room for others."""
IDLE_S = 60.0
"""How often is looked for more."""
_MICROSECOND = timedelta(microseconds=1)


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long things are kept; None: for ever.

    It must hold that `max_event_age` <= `receipts` <= `records`, where None is more than any time.
    """

    receipts: timedelta | None = None
    """From when its event was accepted. A key counts for so long: the same event again gives the first answer."""
    dead_letters: timedelta | None = None
    """From when the effect died. Then it can't be asked for again."""
    records: timedelta | None = None
    """From when they were accepted. Then their month may be archived, and be dropped from the ledger."""
    max_event_age: timedelta | None = None
    """How long ago a caller's event may have occurred; an older one is refused as `expired`, if it has no receipt."""

    def __post_init__(self) -> None:
        """Hold the ages against each other.

        Raises:
            DefinitionError: one is not positive, or they are not in order.
        """
        for name in self.__struct_fields__:
            age: timedelta | None = getattr(self, name)
            if age is not None and age <= timedelta(0):
                problem = f"{name} is {age}; it is a positive timedelta, or None for ever"
                raise DefinitionError(problem, subject="retention")
        if not _is_within(self.max_event_age, self.receipts):
            problem = (
                f"receipts go after {self.receipts}, and events may be {_told(self.max_event_age)}: one that comes "
                "again when its receipt is gone would be applied twice; give a max_event_age no longer than receipts"
            )
            raise DefinitionError(problem, subject="retention")
        if not _is_within(self.receipts, self.records):
            kept = "for ever" if self.receipts is None else f"for {self.receipts}"
            problem = (
                f"records go after {self.records}, and receipts are kept {kept}: they would name records that are "
                "gone; keep records for at least as long as receipts"
            )
            raise DefinitionError(problem, subject="retention")

    def expires_at(self, occurred_at: int) -> int | None:
        """Until when an event that occurred then may be applied, in microseconds; None: for ever."""
        return None if self.max_event_age is None else occurred_at + self.max_event_age // _MICROSECOND


def _is_within(age: timedelta | None, other: timedelta | None) -> bool:
    """Whether an age is no longer than another; None is for ever."""
    return other is None or (age is not None and age <= other)


def _told(age: timedelta | None) -> str:
    return "of any age" if age is None else f"{age} old"


class Expired(NamedTuple):
    """What one batch has deleted."""

    receipts: int
    dead_letters: int
    has_more: bool
    """Whether more is past its age: then it is called again, at once or soon."""


def expire(retention: Retention, now: int, *, limit: int = BATCH_ROWS) -> Trips[Expired]:
    """Delete what is past its age, the oldest first: one batch of each table, in one transaction.

    It is safe to be called by several processes at once, and as often as they like.

    Args:
        retention: how long things are kept.
        now: the time in microseconds.
        limit: rows of a table that are looked at and deleted.
    """
    operations: list[Operation] = []
    if retention.receipts is not None:
        before = now - retention.receipts // _MICROSECOND
        operations.append(ExpireReceipts(first_id(before // 1000), limit))
    if retention.dead_letters is not None:
        operations.append(ExpireDeadLetters(now - retention.dead_letters // _MICROSECOND, limit))
    if not operations:
        return Expired(0, 0, has_more=False)
    pages = yield Trip(tuple(operations), begins=True, commits=True)
    found = {type(each): page[0] for each, page in zip(operations, pages, strict=True)}
    seen, receipts = found.get(ExpireReceipts, (0, 0))
    [dead_letters] = found.get(ExpireDeadLetters, (0,))
    return Expired(receipts, dead_letters, has_more=limit in (seen, dead_letters))


def expiring(retention: Retention) -> Callable[[Ground, Lease], Awaitable[float]]:
    """A worker's chore: batch after batch, and a look now and then. Every worker does it; one at a time deletes."""

    async def expire_batch(ground: Ground, _: Lease) -> float:
        done = await ground.run(expire(retention, ground.now()))
        return AGAIN_S if done.has_more else random.uniform(IDLE_S / 2, IDLE_S)

    return expire_batch

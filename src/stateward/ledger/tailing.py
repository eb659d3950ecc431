"""Reading behind a cursor, look by look: the protocol of `following.py`, the same for every store and engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from stateward.errors import CursorInvalid
from stateward.ledger.contract import FindRecords, Trip, Trips
from stateward.ledger.following import FetchWriters, FindRank, FollowRecords
from stateward.ledger.reading import record_of
from stateward.ledger.results import Record

__all__ = ["Followed", "Following", "Look", "Pace"]

DELAY_S_MIN = 0.002
DELAY_S_MAX = 0.5
"""What is waited between looks that find nothing: twice as long each time, so that idling costs next to nothing."""
HELD_S_MAX = 1.0
"""How long one that does not follow waits for transactions that have not ended, before it is done without them."""

_CURSOR = re.compile(r"([0-9]{1,18})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class Followed(NamedTuple):
    """A record, and the cursor behind which the next one is."""

    record: Record
    cursor: str
    """To be kept, and given as `after`; what it is made of is nobody's business."""


class Look(NamedTuple):
    """What one look has found."""

    records: list[Followed]
    is_end: bool
    """Whether there was nothing more to read at that moment."""
    is_held: bool
    """Whether there were more, behind one of a transaction that may not have ended yet."""


class _Gap(NamedTuple):
    """Something that is missing."""

    reached: int
    """The last rank before it."""
    newest: int
    """The last rank that there was when it was seen."""
    writers: frozenset[str] | None = None
    """Those that ran when it was seen for the second time; None: it was seen once, and is mostly gone by then."""


class Following:
    """A reader's place, and what it knows of what is missing there."""

    def __init__(
        self, *, after: str | None = None, last: int | None = None, kinds: Iterable[str] | None = None, limit: int
    ) -> None:
        """Begin behind a cursor, before the last so many records, or at the first one.

        Raises:
            CursorInvalid: it is no cursor.
        """
        self._kinds = None if kinds is None else tuple(kinds)
        self._limit = limit
        self._rank = 0
        self._unknown: str | None = None
        """The record of the cursor, until it is known to be there."""
        if after is not None:
            self._rank, self._unknown = _read(after)
        self._last = last if after is None else None
        self._gap: _Gap | None = None
        self._through = 0
        """What is missing up to here is missing for ever."""

    def look(self) -> Trips[Look]:
        """Read on. Its place changes at the end of it: a look that failed in between may be made again.

        Raises:
            CursorInvalid: the record that the cursor names is not in this ledger.
        """
        rank = yield from self._begin()
        through, gap = self._through, self._gap
        if gap is not None and gap.writers is not None and not (gap.writers & (yield from self._writers())):
            through = gap.newest
        follow = FollowRecords(after=rank, kinds=self._kinds, limit=self._limit, through=through)
        [[ahead, *rows]] = yield Trip((follow,))
        is_held = ahead.reached < ahead.looked
        if not is_held:
            gap = None
        elif gap is None or gap.reached != ahead.reached:
            gap = _Gap(ahead.reached, ahead.newest)
        elif gap.writers is None:
            # Behind the look that saw what comes after the gap: whoever can fill it was given its rank before.
            gap = _Gap(ahead.reached, ahead.newest, (yield from self._writers()))
        records = [Followed(record_of(row), _cursor(place, row.id)) for place, row in rows]
        self._rank, self._unknown, self._last, self._gap = ahead.reached, None, None, gap
        self._through = through
        return Look(records, is_end=ahead.seen < self._limit and not is_held, is_held=is_held)

    def _begin(self) -> Trips[int]:
        if self._unknown is not None:
            [found] = yield Trip((FindRecords((self._unknown,)),))
            if not found:
                raise CursorInvalid(_cursor(self._rank, self._unknown), _NOT_HERE)
        if self._last is not None:
            [[rank]] = yield Trip((FindRank(self._kinds, self._last),))
            return int(rank)
        return self._rank

    def _writers(self) -> Trips[frozenset[str]]:
        [names] = yield Trip((FetchWriters(),))
        return frozenset(names)


_NOT_HERE = (
    "its record is not in this ledger: it was archived, or the ledger was restored from before it, or is another one"
)


def _cursor(rank: int, record: str) -> str:
    return f"{rank}-{record}"


def _read(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise CursorInvalid(cursor, "it is no cursor that a tail has given")
    return int(match[1]), match[2]


class Pace:
    """How long to wait between looks."""

    def __init__(self, *, follows: bool) -> None:
        self._follows = follows
        self._delay_s = DELAY_S_MIN
        self._held_s = 0.0

    def delay_s(self, look: Look) -> float | None:
        """What to wait after a look before the next; None: there is no next one."""
        if look.records:
            self._delay_s, self._held_s = DELAY_S_MIN, 0.0
        if not look.is_end and not look.is_held:
            return 0.0
        if not self._follows and (look.is_end or self._held_s >= HELD_S_MAX):
            return None
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, DELAY_S_MAX)
        self._held_s += delay_s if look.is_held else 0.0
        return delay_s

"""What the ledger tells of its entities at one moment, for metrics: how many are where, since when, and what has moved.

Transitions are counted by following the records from the moment of the first reading on: what any process has committed
is counted, once, and a process that starts anew counts from nought, as counters of Prometheus may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from stateward.ledger.codec import from_micros
from stateward.ledger.contract import CountCensus, ListEntities, Trip, Trips
from stateward.ledger.rows import EntityRow
from stateward.ledger.tailing import Following

__all__ = ["Reader", "Reading"]

LOOKS_MAX = 100
"""Looks at records in one reading, each at as many as a page has; what is behind them is counted by the next one."""
PAGE_SIZE = 1000
STATES_MAX = 100
"""Configurations whose oldest entity is asked for in one trip."""

Place = tuple[str, str]
"""A kind and a configuration."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read."""

    entities: dict[Place, int]
    """How many are in each configuration."""
    entered_at: dict[Place, float]
    """When the entity that has not moved for longest came into its configuration, in seconds since 1970."""
    transitions: dict[tuple[str, str, str], int]
    """How many have left a configuration, by kind, configuration and event, since the reader's first reading."""


class Reader:
    """Reads again and again, from where it came to."""

    def __init__(self, kinds: Sequence[str]) -> None:
        """Take the kinds that are read."""
        self._kinds = frozenset(kinds)
        self._following = Following(last=0, kinds=sorted(kinds), limit=PAGE_SIZE)
        self._transitions: Counter[tuple[str, str, str]] = Counter()

    def read(self) -> Trips[Reading]:
        """One reading; a failed one loses nothing, the next goes on from where it came to."""
        for _ in range(LOOKS_MAX):
            look = yield from self._following.look()
            for record, _ in look.records:
                if record.outcome == "applied" and record.state_from is not None:
                    self._transitions[record.kind, record.state_from, record.event] += 1
            if look.is_end or look.is_held:
                break
        entities = yield from self._count()
        entered_at = yield from self._oldest(list(entities))
        return Reading(entities=entities, entered_at=entered_at, transitions=dict(self._transitions))

    def _count(self) -> Trips[dict[Place, int]]:
        [rows] = yield Trip((CountCensus(),))
        counts: dict[Place, int] = {}
        for kind, _, state, count in rows:
            if kind in self._kinds:
                counts[kind, state] = counts.get((kind, state), 0) + int(count)
        return counts

    def _oldest(self, places: Sequence[Place]) -> Trips[dict[Place, float]]:
        entered_at: dict[Place, float] = {}
        for first in range(0, len(places), STATES_MAX):
            some = places[first : first + STATES_MAX]
            pages = yield Trip(tuple([ListEntities(kind=kind, state=state, limit=1) for kind, state in some]))
            entered_at |= {place: _entered_at(page[0]) for place, page in zip(some, pages, strict=True) if page}
        return entered_at


def _entered_at(row: EntityRow) -> float:
    """When an entity came into its configuration: when the last of its states was entered."""
    entered = msgspec.json.decode(row.entered, type=dict[str, int])
    moment = max((entered[path] for path in row.state.split("|") if path in entered), default=row.updated_at)
    return from_micros(moment).timestamp()

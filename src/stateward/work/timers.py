"""Firing timers that are due: a batch at a time, each as an event of its own under the timer's key.

A timer whose state was left has no row any more, and its fire is `expired`; so has one whose state was entered again,
since a timer is named by the revision that set it. A fire that is refused spends the timer as one that is applied does.
"""

from __future__ import annotations

import logging
import random
from hashlib import blake2b

import msgspec

from stateward.chart import Elapsed
from stateward.errors import LedgerUnavailable, Refusal, StatewardError
from stateward.ledger import Actor
from stateward.ledger.after_commit import FetchTimers, PostponeTimers
from stateward.ledger.pairs import Pair
from stateward.ledger.rows import TimerKey, TimerRow
from stateward.work.ground import Ground
from stateward.work.leases import Lease

__all__ = ["FIRE_MAX", "TimerStatistics", "fire_due"]

FIRE_MAX = 500
"""Timers of one batch, however many are due."""
NAME_BYTES_MAX = 400
"""A timer whose name is longer, that of a deeply nested state say, has a hash of it in its key and as its actor."""
HELD_UP_S = 1.0
"""How long a batch waits for whoever holds an entity of it, before it is left for another time."""
FAILED_DELAY_US = 60_000_000
"""How much later a timer is tried again whose transition raised."""

_log = logging.getLogger(__name__)


class TimerStatistics(msgspec.Struct, kw_only=True):
    """What a worker has made of timers since it started."""

    fired: int = 0
    refused: int = 0
    expired: int = 0
    failed: int = 0


async def fire_due(ground: Ground, lease: Lease, statistics: TimerStatistics) -> int:
    """Fire a batch of the timers that are due in a worker's parts; how many were due.

    Raises:
        LeaseLost: others go on with these parts; nothing was fired.
        LedgerUnavailable: the ledger is away.
    """
    parts = tuple(lease.parts)
    if not parts:
        return 0
    # From a random part on, so that none waits for ever behind others that have much to do.
    first = random.randrange(len(parts))
    parts = (*parts[first:], *parts[:first])
    operation = FetchTimers(
        parts=parts, kinds=ground.kinds, now=ground.now(), limit=FIRE_MAX,
        limit_of_part=max(FIRE_MAX // len(parts), 16),
    )  # fmt: skip
    [rows] = await ground.ask(operation)
    if not rows:
        return 0
    pairs = [_fire(ground, row) for row in rows]
    await ground.commit(pairs, lease=lease.worker, held_s=HELD_UP_S)
    failed = [pair for pair in pairs if pair.error is not None]
    for pair in pairs:
        _count(pair, statistics)
    if failed:
        await _postpone(ground, lease, failed)
    return len(rows)


def _fire(ground: Ground, row: TimerRow) -> Pair:
    name = (
        row.name if len(row.name.encode()) <= NAME_BYTES_MAX else blake2b(row.name.encode(), digest_size=16).hexdigest()
    )
    pair = ground.accept(
        row.kind, row.entity, Elapsed(row.name), actor=Actor("timer", name), key=f"timer:{row.record}:{name}",
        source="timer", cause=row.record,
    )  # fmt: skip
    pair.timer = TimerKey(row.kind, row.entity, row.name, row.revision)
    pair.traceparent = row.traceparent
    return pair


def _count(pair: Pair, statistics: TimerStatistics) -> None:
    if pair.error is not None:
        statistics.failed += 1
    elif not isinstance(pair.answer, Refusal):
        statistics.fired += 1
    elif pair.answer.kind == "expired":
        statistics.expired += 1
    else:
        statistics.refused += 1


async def _postpone(ground: Ground, lease: Lease, failed: list[Pair]) -> None:
    """Those whose transition raised are tried again later, so that they keep no others from firing."""
    for pair in failed:
        _log.error("%s %s: the timer %s could not fire: %s", pair.kind, pair.entity, pair.actor.id, pair.error)
    raised = [
        pair.timer
        for pair in failed
        if pair.timer is not None and isinstance(pair.error, StatewardError) and not _is_away(pair)
    ]
    if raised:
        due_at = ground.now() + FAILED_DELAY_US
        await ground.write(PostponeTimers(tuple((timer, due_at) for timer in raised)), lease=lease.worker)


def _is_away(pair: Pair) -> bool:
    return isinstance(pair.error, LedgerUnavailable)

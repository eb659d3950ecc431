"""What came of attempts, written back: a batch at a time, and beside it what others hold up.

A reply whose entity another transaction holds, a caller's own say, is waited for beside the batches, so that it keeps
nothing of any other entity from being written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stateward.ledger.after_commit import EndEffects, PostponeEffects
from stateward.work.ground import Ground
from stateward.work.leases import Lease
from stateward.work.outcomes import Judge, Outcome

__all__ = ["SETTLE_MAX", "Settler"]

SETTLE_MAX = 500
HELD_UP_S = 1.0
"""How long those that others hold up are waited for together, before others that are held up join them."""


class Settler:
    """What came of attempts and is not written yet, under one lease."""

    def __init__(self, ground: Ground, lease: Lease, judge: Judge, settled: Callable[[Outcome], None]) -> None:
        """Take what it stands on, and who is told of each outcome that is written."""
        self._ground = ground
        self._lease = lease
        self._judge = judge
        self._settled = settled
        self._outcomes: list[Outcome] = []
        self._held_up: list[Outcome] = []
        self.has_held_up = asyncio.Event()

    @property
    def has_outcomes(self) -> bool:
        """Whether there is anything for the next batch."""
        return bool(self._outcomes)

    @property
    def count(self) -> int:
        """How many there are for the next batches."""
        return len(self._outcomes)

    @property
    def is_over(self) -> bool:
        """Whether all is written."""
        return not self._outcomes and not self._held_up

    def add(self, outcome: Outcome) -> None:
        """Have it written with the next batch."""
        self._outcomes.append(outcome)

    async def settle(self) -> int:
        """Write a batch; how many there were.

        Raises:
            LeaseLost: others go on with these parts; nothing of it was written.
            LedgerUnavailable: the ledger is away; it is kept to be written later.
        """
        outcomes = self._outcomes[:SETTLE_MAX]
        pairs = [pair for each in outcomes for pair in each.pairs if not pair.is_settled]
        if pairs:
            await self._ground.commit_at_once(pairs, lease=self._lease.worker)
        held_up = [each for each in outcomes if not all(pair.is_settled for pair in each.pairs)]
        again = await self._write([each for each in outcomes if each not in held_up])
        self._outcomes[: len(outcomes)] = again
        if held_up:
            self._held_up += held_up
            self.has_held_up.set()
        return len(outcomes)

    async def settle_held_up(self) -> int:
        """Write those that others held up, waiting for these a moment; how many there were.

        Raises:
            LeaseLost: as `settle`.
            LedgerUnavailable: as `settle`.
        """
        outcomes = self._held_up[:SETTLE_MAX]
        pairs = [pair for each in outcomes for pair in each.pairs if not pair.is_settled]
        if pairs:
            await self._ground.commit(pairs, lease=self._lease.worker, held_s=HELD_UP_S)
        self._held_up[: len(outcomes)] = await self._write(outcomes)
        if not self._held_up:
            self.has_held_up.clear()
        return len(outcomes)

    async def _write(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Write what is no reply, and tell of those that are over; those that are to be brought again."""
        again = [each for each in outcomes if each.pairs and self._judge.is_to_be_brought_again(each)]
        over = [each for each in outcomes if each not in again]
        ends = tuple(each.end for each in over if each.end is not None)
        notes = tuple(each.postponement for each in over if each.postponement is not None)
        end, note = (EndEffects(ends),) if ends else (), (PostponeEffects(notes),) if notes else ()
        if end or note:
            await self._ground.write(*end, *note, lease=self._lease.worker)
        for each in over:
            self._judge.count(each)
            self._settled(each)
        return again

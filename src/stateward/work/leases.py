"""A worker's lease, and the parts that it works on.

A worker is a row in the ledger, and its lease holds for as long as the row is there. It raises the row's beat several
times within `lease_s`. Every worker watches the others' beats by a clock of its own that nobody sets: one whose beat
has not changed for `lease_s`, or whose process has certainly ended, is dead, and its row is deleted. From then on
nothing that it writes holds (`HoldLease`), be it stopped, cut off or slow, and others take its parts. No two machines'
clocks are ever compared.

Each of n workers is to have its n-th share of the parts, in order of their ids. Who has more gives back those on which
nothing goes on; who has less takes what is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable
from uuid import uuid4

from stateward.errors import LeaseLost
from stateward.ledger.after_commit import (
    AddWorker,
    FetchParts,
    FetchWorkers,
    RaiseBeat,
    ReleaseParts,
    RemoveWorker,
    TakeParts,
)
from stateward.ledger.ids import PARTS
from stateward.ledger.rows import PartRow, WorkerRow
from stateward.work.ground import Ground
from stateward.work.processes import is_gone, this_process

__all__ = ["BEATS", "Lease", "share_of"]

BEATS = 5
"""How often a worker shows within the time of its lease that it lives."""

_log = logging.getLogger(__name__)


class Lease:
    """One worker's lease, from its beginning to its end."""

    def __init__(
        self,
        ground: Ground,
        lease_s: float,
        is_busy: Callable[[int], bool],
        leave: Callable[[Container[int]], None] = lambda _: None,
    ) -> None:
        """Take what it stands on.

        Args:
            ground: the ledger and the clocks.
            lease_s: how long it holds without a sign of life.
            is_busy: which parts can't be given back now.
            leave: told of parts of which nothing more is to be begun, since they are to be given back.
        """
        self._ground = ground
        self._lease_s = lease_s
        self._is_busy = is_busy
        self._leave = leave
        self._turn = asyncio.Lock()
        """Held by what changes the parts, so that none is taken while all are given back."""
        self.worker = str(uuid4())
        self.parts: dict[int, int] = {}
        """The parts that this worker works on, with their epochs."""
        self.leaving: set[int] = set()
        """Those of them that are to be given back as soon as nothing goes on there."""
        self.taken_over: dict[int, int] = {}
        """Of the parts whose last worker did not give them back, when they were taken, in microseconds since 1970."""
        self._seen: dict[str, tuple[int, float]] = {}
        """Of each other worker the last beat, and when it was first seen."""

    @property
    def open_parts(self) -> dict[int, int]:
        """The parts of which more may be begun, with their epochs."""
        return {part: epoch for part, epoch in self.parts.items() if part not in self.leaving}

    async def begin(self) -> None:
        """Have a row, and a share of what is free."""
        row = WorkerRow(self.worker, 1, this_process(), self._ground.now())
        await self._ground.write(AddWorker(row))
        await self.keep()

    async def keep(self) -> None:
        """Show that this worker lives; end the leases of those that do not; have a fair share of the parts.

        Raises:
            LeaseLost: others took this one for dead.
        """
        async with self._turn:
            await self._keep()

    async def _keep(self) -> None:
        beats, workers, parts = await self._ground.write(RaiseBeat(self.worker), FetchWorkers(), FetchParts())
        if not beats:
            raise LeaseLost(worker=self.worker)
        alive = [each.id for each in workers if not await self._ends(each)]
        mine = {row.part: row.epoch for row in parts if row.owner == self.worker}
        for part in mine.keys() - self.parts.keys():  # taken by a trip whose reply was lost: whose it was is not known
            self.taken_over[part] = self._ground.now()
        self.parts = mine
        excess = len(mine) - share_of(self.worker, alive)
        self._choose_leaving(excess)
        if excess > 0:
            await self._release([part for part in mine if not self._is_busy(part)][:excess])
        elif excess < 0:
            free = [row for row in parts if row.owner is None or row.owner not in alive]
            await self._take(free[:-excess])

    def _choose_leaving(self, excess: int) -> None:
        """Of parts on which something goes on, have so many come to rest as idle ones do not make up for.

        Else a worker that has always something to do on each of its parts would never give one to another.
        """
        busy = [part for part in self.parts if self._is_busy(part)]
        count = max(excess - (len(self.parts) - len(busy)), 0)
        self.leaving = set(sorted(busy, key=lambda part: (part not in self.leaving, part))[:count])
        if self.leaving:
            self._leave(self.leaving)

    async def _ends(self, other: WorkerRow) -> bool:
        """Whether another worker is dead; then its lease is ended, unless it turns out to live."""
        if other.id == self.worker:
            return False
        now = self._ground.monotonic()
        beat, since = self._seen.get(other.id, (0, now))
        if beat != other.beat:
            self._seen[other.id] = (other.beat, now)
            since = now
        if now - since < self._lease_s and not is_gone(other.process):
            return False
        [removed] = await self._ground.write(RemoveWorker(other.id, other.beat))
        if removed:
            _log.warning("worker %s gave no sign of life and has lost its lease (%s)", other.id, other.process)
        return bool(removed)

    async def _take(self, free: list[PartRow]) -> None:
        if not free:
            return
        wanted = tuple((row.part, row.epoch) for row in free)
        [taken] = await self._ground.write(TakeParts(self.worker, wanted))
        owners = {row.part: row.owner for row in free}
        for row in taken:
            self.parts[row.part] = row.epoch
            if owners[row.part] is not None:
                self.taken_over[row.part] = self._ground.now()

    async def _release(self, parts: Iterable[int]) -> None:
        released = tuple(parts)
        for part in released:  # before it is written: nothing of them is begun from here on
            self.parts.pop(part, None)
            self.leaving.discard(part)
            self.taken_over.pop(part, None)
        if released:
            await self._ground.write(ReleaseParts(self.worker, released))

    async def abandon(self) -> None:
        """End the lease at once, with all that was in hand; who takes the parts sees that they were not given back."""
        await self._ground.write(RemoveWorker(self.worker))

    async def end(self) -> None:
        """Give back the parts on which nothing goes on; with all of them, the lease ends, and else it runs out."""
        async with self._turn:
            await self._release([part for part in self.parts if not self._is_busy(part)])
            if not self.parts:
                await self._ground.write(RemoveWorker(self.worker))


def share_of(worker: str, alive: Iterable[str]) -> int:
    """How many parts a worker should have."""
    ids = sorted({*alive, worker})
    return PARTS // len(ids) + (ids.index(worker) < PARTS % len(ids))

"""What a worker stands on: a ledger driven by tasks, the charts, the clocks; and how it commits what it brings back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from stateward.chart import EventMarker
from stateward.errors import LedgerUnavailable
from stateward.ledger import Actor
from stateward.ledger.accepting import accept_event
from stateward.ledger.after_commit import HoldLease
from stateward.ledger.committing import SETTLE_DELAYS_S, mark_lost, retry_delays
from stateward.ledger.contract import Capabilities, ConnectionLost, Operation, Page, Trip, Trips
from stateward.ledger.pairs import Charts, Pair
from stateward.ledger.protocol import commit_pairs
from stateward.ledger.results import Source

__all__ = ["Ground", "Run"]

T = TypeVar("T")


class Run(Protocol):
    """Drives a piece of protocol to its end, as `AsyncLedger.run` does."""

    def __call__(self, trips: Trips[T]) -> Awaitable[T]:
        """The protocol's result."""
        ...


class Ground:
    """The ledger, the charts and the clocks of a worker."""

    def __init__(
        self,
        run: Run,
        capabilities: Capabilities,
        charts: Charts,
        *,
        now: Callable[[], int],
        mint: Callable[[], str],
        tell: Callable[[Sequence[Pair]], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take them from an engine.

        Args:
            run: drives protocol on the ledger.
            capabilities: the ledger's.
            charts: those that the engine serves.
            now: microseconds since 1970, by which effects and timers are due.
            mint: makes record ids.
            tell: is called with pairs that were committed.
            monotonic: seconds, by which leases run out; no setting of the clock moves it.
        """
        self.run = run
        self.capabilities = capabilities
        self.charts = charts
        self.now = now
        self.mint = mint
        self._tell = tell
        self.monotonic = monotonic
        self.kinds = tuple(sorted({kind for kind, _ in charts}))

    async def ask(self, *operations: Operation) -> list[Page]:
        """The pages of operations that read, in one trip."""
        return await self.run(_pages_of(Trip(operations)))

    async def write(self, *operations: Operation, lease: str | None = None) -> list[Page]:
        """The pages of operations that are a transaction together; under a lease, if one is named.

        Raises:
            LeaseLost: the lease was taken away; nothing was written.
            LedgerUnavailable: the ledger is away; whether it was written may not be known.
        """
        hold = () if lease is None else (HoldLease(lease),)
        pages = await self.run(_pages_of(Trip((*hold, *operations), begins=True, commits=True)))
        return pages[len(hold) :]

    def accept(
        self, kind: str, entity: str, event: EventMarker, *, actor: Actor, key: str, source: Source, cause: str | None
    ) -> Pair:
        """An event of the worker's own, accepted. No `authorize` is asked: nobody sends it but the entity itself.

        Raises:
            Unkeepable: the event can't be kept.
            TypeError: it is none.
        """
        return accept_event(
            self.mint(), kind, entity, event,
            actor=actor, key=key, expected_revision=None, occurred_at=None, now=self.now(), source=source, cause=cause,
        )  # fmt: skip

    async def commit(self, pairs: Sequence[Pair], *, lease: str, held_s: float | None = None) -> None:
        """Commit pairs under a lease; each has its answer or its error afterwards.

        Those whose entity others hold or move are brought again, alone; a commit whose reply is lost is looked for.

        Args:
            pairs: the events, in their order.
            lease: the worker's.
            held_s: how long those are brought again whose entity others hold or move; None: as a caller's are.

        Raises:
            LeaseLost: the lease was taken away; nothing more was written.
            LedgerUnavailable: the ledger is away; what was not committed has neither answer nor error, and may be
                brought again under the same record ids.
        """
        await self.commit_at_once(pairs, lease=lease)
        for delay_s in retry_delays(pairs, held_s):
            await asyncio.sleep(delay_s)
            await self._settle([pair for pair in pairs if not pair.is_settled], lease, waits=True)

    async def commit_at_once(self, pairs: Sequence[Pair], *, lease: str) -> None:
        """As `commit`; those whose entity others hold or move have neither answer nor error afterwards."""
        await self._settle(pairs, lease, waits=False)

    async def _settle(self, pairs: Sequence[Pair], lease: str, *, waits: bool) -> None:
        for delay_s in (*SETTLE_DELAYS_S, None):
            try:
                await self.run(self._committing(pairs, lease, waits=waits))
            except LedgerUnavailable as error:
                self._tell(pairs)  # a part of them may have been committed before the rest failed
                is_lost = mark_lost(pairs, error)
                if delay_s is None or not (is_lost or isinstance(error, ConnectionLost)):
                    raise
                await asyncio.sleep(delay_s)
            else:
                self._tell(pairs)
                return

    def _committing(self, pairs: Sequence[Pair], lease: str, *, waits: bool) -> Trips[Any]:
        return commit_pairs(
            pairs,
            self.charts,
            self.now,
            holds_lock=self.capabilities.holds_write_lock,
            settles=any(pair.is_lost for pair in pairs),
            waits=waits,
            lease=lease,
        )


def _pages_of(trip: Trip) -> Trips[list[Page]]:
    pages = yield trip
    return list(pages)

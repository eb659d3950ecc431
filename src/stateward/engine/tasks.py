"""The engine for tasks: the same protocol, the same answers, awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle
from stateward.engine.core import (
    READ_AGAIN_DELAY_S,
    READ_AGAIN_S_MAX,
    Answer,
    Authorize,
    Creating,
    EngineCore,
    EngineStatistics,
    Sending,
    answer_of,
    applied_of,
    by_state,
    outcome_of,
)
from stateward.engine.joined import AsyncJoinedEngine, joinable
from stateward.engine.measuring import AsyncMeasuring
from stateward.engine.paging import AsyncPaging
from stateward.engine.sender import AsyncSender
from stateward.engine.tail import AsyncTails
from stateward.engine.working_async import AsyncWorkingEngine
from stateward.errors import LedgerUnavailable, StatewardError
from stateward.kernel import Explanation, explain
from stateward.ledger import Actor, Applied, Entity, Record
from stateward.ledger.committing import BATCH_MAX, SETTLE_DELAYS_S, AsyncCommitter, mark_lost
from stateward.ledger.contract import AsyncLedger, ConnectionLost, FetchHistory, Ledger, ListEntities, Trips
from stateward.ledger.joining import async_driver_connection
from stateward.ledger.opening import open_async_ledger
from stateward.ledger.pairs import Pair
from stateward.ledger.reading import count_census, fetch_entities, fetch_entity, register_lifecycles
from stateward.ledger.results import Source
from stateward.work.retention import Retention

__all__ = ["AsyncEngine"]

C = TypeVar("C", bound=ContextMarker)
T = TypeVar("T")


class AsyncEngine(AsyncWorkingEngine, AsyncPaging, AsyncMeasuring, AsyncTails, AsyncSender):
    """Lifecycles on a ledger, for tasks of one event loop; every method is that of `Engine`, awaited.

    A task that is cancelled while its event waits takes it back; an event that is being committed is committed.
    """

    def __init__(
        self,
        ledger: str | Path | AsyncLedger | Ledger,
        *,
        lifecycles: Iterable[type[Lifecycle[Any]] | Chart[Any]],
        clock: Callable[[], datetime] | None = None,
        authorize: Authorize | None = None,
        notify: bool = False,
        retention: Retention | None = None,
    ) -> None:
        """Name a ledger, as for `Engine`; it is opened by `async with`, or by `open`."""
        self._core = EngineCore(lifecycles, clock, authorize, retention)
        self._ledger: AsyncLedger = open_async_ledger(ledger)
        self._committer = AsyncCommitter(self._commit)
        self._prepare_work(self._ledger, notify=notify)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Hold the lifecycles against those that the ledger knows.

        Raises:
            LedgerUnavailable: the database can't be opened.
            DefinitionError: a version of a lifecycle was registered in it with another digest.
        """
        await self._read(lambda: register_lifecycles(self._core.charts))

    async def close(self) -> None:
        """Stop working, if it was started, commit what was accepted, and close the ledger. Twice is safe."""
        try:
            await self.stop()
            await self._committer.stop()
        finally:
            await asyncio.to_thread(self._close_notifier)
            await self._ledger.close()

    def statistics(self) -> EngineStatistics:
        """As `Engine.statistics`."""
        return EngineStatistics(
            ledger=self._ledger.statistics(),
            commits=self._committer.statistics(),
            worker=None if self._worker is None else self._worker.statistics(),
        )

    async def _commit(self, pairs: Sequence[Pair], *, waits: bool = False) -> None:
        for delay_s in (*SETTLE_DELAYS_S, None):
            try:
                await self._ledger.run(self._core.committing(pairs, self._ledger.capabilities, waits=waits))
            except LedgerUnavailable as error:
                self._after_commit(pairs)  # a part of a batch may have been committed before the rest failed
                is_lost = mark_lost(pairs, error)
                if not is_lost and not isinstance(error, ConnectionLost):
                    raise
                if delay_s is None:
                    raise LedgerUnavailable(error.problem, is_outcome_unknown=is_lost) from error
                await asyncio.sleep(delay_s)  # then whether it was committed is looked up, by the ids of its records
            else:
                self._after_commit(pairs)
                return

    async def _settle(self, pairs: Sequence[Pair]) -> None:
        await self._committer.submit(pairs)

    async def _read(self, make: Callable[[], Trips[T]]) -> T:
        """Read, and again for as long as connections turn out to have died while nobody used them."""
        deadline = time.monotonic() + READ_AGAIN_S_MAX
        while True:
            try:
                return await self._ledger.run(make())
            except ConnectionLost:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(READ_AGAIN_DELAY_S)

    # Moving entities.

    async def send_many(self, sendings: Sequence[Sending], *, source: Source = "call") -> list[Answer]:
        """As `Engine.send_many`."""
        return await self._submit(self._core.accept_many(sendings, source))

    async def create_many(self, creatings: Sequence[Creating], *, source: Source = "call") -> list[Answer]:
        """As `Engine.create_many`."""
        return await self._submit(self._core.accept_creations(creatings, source))

    async def _submit(self, accepted: Sequence[Pair | StatewardError]) -> list[Answer]:
        pairs = [each for each in accepted if isinstance(each, Pair)]
        for first in range(0, len(pairs), BATCH_MAX):
            await self._committer.submit(pairs[first : first + BATCH_MAX])
        return [outcome_of(each) for each in accepted]

    async def repair(
        self, lifecycle: type[Lifecycle[C]] | Chart[C], entity: str, state: str, *, reason: str, actor: Actor | str
    ) -> Applied[C]:
        """As `Engine.repair`."""
        pair = self._core.repairing(lifecycle, entity, state, reason=reason, actor=actor)
        await self._committer.submit((pair,))
        return applied_of(answer_of(pair))

    def joining(self, connection: Any) -> AsyncJoinedEngine:
        """As `Engine.joining`, on a connection of psycopg's for tasks.

        Args:
            connection: an AsyncConnection of psycopg 3, or SQLAlchemy's AsyncConnection above one; on the very database
                of this engine's ledger.

        Raises:
            Unjoinable: the ledger joins no connections of tasks, or none of this kind.
        """
        ledger = joinable(self._ledger, self._ledger.capabilities)
        return AsyncJoinedEngine(self._core, ledger, async_driver_connection(connection))

    # Reading.

    async def get(self, lifecycle: type[Lifecycle[C]] | Chart[C], entity: str) -> Entity[C]:
        """As `Engine.get`."""
        return await self._read(lambda: fetch_entity(self._core.kind(lifecycle), entity, self._core.charts))

    async def get_many(self, lifecycle: type[Lifecycle[C]] | Chart[C], entities: Sequence[str]) -> dict[str, Entity[C]]:
        """As `Engine.get_many`."""
        return await self._read(lambda: fetch_entities(self._core.kind(lifecycle), entities, self._core.charts))

    async def why(self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str, event: EventMarker) -> Explanation:
        """As `Engine.why`."""
        return explain((await self.get(lifecycle, entity)).snapshot, event, self._core.meta_now(entity))

    async def history(self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str, entity: str) -> AsyncIterator[Record]:
        """As `Engine.history`."""
        following: FetchHistory | None = self._core.recording(lifecycle, entity)
        while following is not None:
            page, following = await self._read(partial(self._core.history_page, following))
            for each in page:
                yield each

    async def list(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        *,
        version: int | None = None,
        state: str | None = None,
        unmoved_since: datetime | None = None,
        due_by: datetime | None = None,
    ) -> AsyncIterator[Entity[C]]:
        """As `Engine.list`."""
        following: ListEntities | None = self._core.listing(
            lifecycle, version=version, state=state, unmoved_since=unmoved_since, due_by=due_by
        )
        while following is not None:
            page, following = await self._read(partial(self._core.list_page, following))
            for each in page:
                yield each

    async def stuck(self, lifecycle: type[Lifecycle[C]] | Chart[C]) -> AsyncIterator[Entity[C]]:
        """As `Engine.stuck`."""
        following: ListEntities | None = self._core.overdue(lifecycle)
        while following is not None:
            page, following = await self._read(partial(self._core.list_page, following))
            for each in page:
                yield each

    async def census(self, lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> dict[str, int]:
        """As `Engine.census`."""
        return by_state(await self._read(lambda: count_census(self._core.kind(lifecycle))))

    async def census_by_version(
        self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str | None = None
    ) -> dict[tuple[str, int, str], int]:
        """As `Engine.census_by_version`."""
        kind = None if lifecycle is None else self._core.kind_of(lifecycle)
        lines = await self._read(lambda: count_census(kind))
        return {(each, version, state): count for each, version, state, count in lines if count}

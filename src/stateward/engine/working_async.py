"""The work after commit, as an engine of tasks does it: in the loop of its caller."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from stateward.chart import Chart, Lifecycle
from stateward.engine.core import PAGE_SIZE
from stateward.engine.registering import Registering
from stateward.engine.working import GRACE, due_times
from stateward.ledger import Actor
from stateward.ledger.after_commit import ListDeadLetters, ListTimers
from stateward.ledger.codec import to_micros
from stateward.ledger.contract import AsyncLedger, ConnectionLost, Trips
from stateward.work.operating import (
    DeadLetter,
    Pause,
    PendingEffect,
    RunningTimer,
    add_pause,
    end_pause,
    list_dead_letters,
    list_pauses,
    list_pending,
    list_timers,
    revive,
    scope_of,
)
from stateward.work.worker import WorkerSettings

__all__ = ["AsyncWorkingEngine"]

T = TypeVar("T")


class AsyncWorkingEngine(Registering):
    """The part of `AsyncEngine` that works after commit; every method is that of `Engine`, awaited."""

    _ledger: AsyncLedger

    def _read(self, make: Callable[[], Trips[T]]) -> Awaitable[T]:
        raise NotImplementedError

    async def _do(self, make: Callable[[], Trips[T]]) -> T:
        """Write; where it is not known whether it was written, the caller is told."""
        try:
            return await self._ledger.run(make())
        except ConnectionLost as error:
            if error.is_outcome_unknown:
                raise
        return await self._read(make)

    def _prepare_work(self, ledger: Any, *, notify: bool) -> None:
        super()._prepare_work(ledger, notify=notify)
        self._working: asyncio.Task[None] | None = None

    # Working.

    async def start(self, settings: WorkerSettings | None = None) -> None:
        """As `Engine.start`; functions that are no coroutines run in threads."""
        if self._working is not None and not self._working.done():
            return
        self._worker = self._make_worker(self._ledger.run, settings or WorkerSettings())
        self._working = asyncio.create_task(self._worker.run())

    async def stop(self, grace: timedelta = GRACE) -> None:
        """As `Engine.stop`."""
        working, worker = self._working, self._worker
        self._working = self._worker = None
        if working is None or worker is None:
            return
        worker.stop(grace.total_seconds())
        await working

    async def run(self, settings: WorkerSettings | None = None, *, grace: timedelta = GRACE) -> None:
        """As `Engine.run`: until `stop` is called by another task, a signal comes, or this task is cancelled.

        While it stops, signals do again what they did before. If it is cancelled, it leaves what goes on to the lease.
        """
        await self.start(settings)
        working = self._working
        assert working is not None
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        before: dict[signal.Signals, Any] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError, RuntimeError, ValueError):  # of threads and systems without
                handler = signal.getsignal(number)
                loop.add_signal_handler(number, stopping.set)
                before[number] = handler
        until_stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([until_stop, working], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop(timedelta(0))
            raise
        finally:
            until_stop.cancel()
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                if handler is not None:
                    signal.signal(number, handler)
        await self.stop(grace)

    async def drain(self) -> None:
        """As `Engine.drain`; functions that are no coroutines run in this very thread."""
        await self._make_worker(self._ledger.run, WorkerSettings()).drain()

    # What operators see and do.

    async def pending(self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str, entity: str) -> list[PendingEffect]:
        """As `Engine.pending`."""
        return await self._read(lambda: list_pending(self._core.kind_of(lifecycle), entity))

    async def timers(
        self,
        lifecycle: type[Lifecycle[Any]] | Chart[Any] | str,
        entity: str | None = None,
        *,
        due_before: datetime | None = None,
    ) -> AsyncIterator[RunningTimer]:
        """As `Engine.timers`."""
        following: ListTimers | None = ListTimers(
            kind=self._core.kind_of(lifecycle), entity=entity,
            due_before=None if due_before is None else to_micros(due_before), limit=PAGE_SIZE,
        )  # fmt: skip
        while following is not None:
            page, following = await self._read(partial(list_timers, following))
            for each in page:
                yield each

    async def dead(
        self, *, kind: str | None = None, entity: str | None = None, effect: str | None = None
    ) -> AsyncIterator[DeadLetter]:
        """As `Engine.dead`."""
        following: ListDeadLetters | None = ListDeadLetters(kind=kind, entity=entity, effect=effect, limit=PAGE_SIZE)
        while following is not None:
            page, following = await self._read(partial(list_dead_letters, following))
            for each in page:
                yield each

    async def retry(
        self, letters: AsyncIterable[DeadLetter] | Iterable[DeadLetter], *, rate: float | None = None
    ) -> int:
        """As `Engine.retry`."""
        count = 0
        batch: list[DeadLetter] = []
        seen: set[str] = set()
        async for letter in _each(letters):
            if letter.key in seen:  # it has died again meanwhile, and comes again in a list that is read in pages
                continue
            seen.add(letter.key)
            batch.append(letter)
            if len(batch) == PAGE_SIZE:
                count += await self._do(partial(revive, batch, due_times(batch, count, rate, self._core.now())))
                batch = []
        if batch:
            count += await self._do(partial(revive, batch, due_times(batch, count, rate, self._core.now())))
        if self._worker is not None:
            self._worker.wake()
        return count

    async def pause(
        self, *, kind: str | None = None, effect: str | None = None, reason: str, actor: Actor | str
    ) -> bool:
        """As `Engine.pause`."""
        scope, name = scope_of(kind, effect)
        return await self._do(
            lambda: add_pause(scope, name, reason=reason, actor=str(actor), now=self._core.now())
        )  # fmt: skip

    async def resume(self, *, kind: str | None = None, effect: str | None = None, actor: Actor | str) -> bool:
        """As `Engine.resume`."""
        scope, name = scope_of(kind, effect)
        return await self._do(lambda: end_pause(scope, name, actor=str(actor), now=self._core.now()))

    async def pauses(self) -> list[Pause]:
        """As `Engine.pauses`."""
        return await self._read(list_pauses)


async def _each(letters: AsyncIterable[DeadLetter] | Iterable[DeadLetter]) -> AsyncIterator[DeadLetter]:
    if isinstance(letters, AsyncIterable):
        async for letter in letters:
            yield letter
    else:
        for letter in letters:
            yield letter

"""The work after commit, as an engine of threads does it: in the background, until stopped, or what is due now."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread, current_thread, main_thread
from types import FrameType
from typing import Any, TypeVar

from stateward.chart import Chart, Lifecycle
from stateward.engine.core import PAGE_SIZE
from stateward.engine.registering import Registering
from stateward.errors import CallerError
from stateward.ledger import Actor
from stateward.ledger.after_commit import ListDeadLetters, ListTimers
from stateward.ledger.codec import to_micros
from stateward.ledger.contract import ConnectionLost, Ledger, Trips
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
from stateward.work.worker import Worker, WorkerSettings

__all__ = ["WorkingEngine", "due_times", "stopping_signals"]

T = TypeVar("T")

_log = logging.getLogger(__name__)

GRACE = timedelta(seconds=30)
"""How long what goes on may take to end when a worker is stopped."""
LEFT_S = 5.0
"""How long, beyond the grace, is waited for coroutines that were cancelled."""
SIGNAL_S_MAX = 0.5
"""How long a signal may go unnoticed."""
LEDGER_THREADS = 8
"""Trips to the ledger that a worker makes at the same time."""


class _Background:
    """A worker in a thread of its own, with a loop of its own."""

    def __init__(self, ledger: Ledger, make: Callable[[Any], Worker]) -> None:
        self._ledger = ledger
        self._make = make
        self.worker: Worker | None = None
        self.failure: BaseException | None = None
        self.has_begun, self.has_ended = Event(), Event()
        self._watchers: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self.thread = Thread(target=self._work, name="stateward-worker", daemon=True)

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self.failure = error
        finally:
            self.has_begun.set()
            self.has_ended.set()
            for watcher in list(self._watchers):
                watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have it called when this ends, or at once if it has."""
        self._watchers.append(watcher)
        if self.has_ended.is_set():
            watcher()

    async def _run(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="stateward-ledger") as threads:

            async def run(trips: Trips[Any]) -> Any:
                return await loop.run_in_executor(threads, self._ledger.run, trips)

            self.worker = self._make(run)
            self.has_begun.set()
            await self.worker.run()

    def stop(self, grace_s: float) -> None:
        self.has_begun.wait()
        if self._loop is not None and self.worker is not None and not self.has_ended.is_set():
            try:
                self._loop.call_soon_threadsafe(self.worker.stop, grace_s)
            except RuntimeError:  # the loop is closed: it has just ended
                return
            self.thread.join(grace_s + LEFT_S)
            if self.thread.is_alive():
                _log.warning("a handler goes on though it was cancelled: its thread is left, and ends with the process")


class WorkingEngine(Registering):
    """The part of `Engine` that works after commit, and shows operators what there is to be done."""

    _ledger: Ledger

    def _read(self, make: Callable[[], Trips[T]]) -> T:
        raise NotImplementedError

    def _do(self, make: Callable[[], Trips[T]]) -> T:
        """Write; where it is not known whether it was written, the caller is told."""
        try:
            return self._ledger.run(make())
        except ConnectionLost as error:
            if error.is_outcome_unknown:
                raise
        return self._read(make)

    def _prepare_work(self, ledger: Any, *, notify: bool) -> None:
        super()._prepare_work(ledger, notify=notify)
        self._background: _Background | None = None
        self._work_lock = Lock()

    # Working.

    def start(self, settings: WorkerSettings | None = None) -> None:
        """Work in the background: handle effects, fire timers, reconcile. Where it is started already, nothing changes.

        Args:
            settings: how; see `WorkerSettings`.

        Raises:
            CallerError: the ledger can't do what the settings ask for.
        """
        with self._work_lock:
            if self._background is not None and not self._background.has_ended.is_set():
                return
            make = partial(self._make_worker, settings=settings or WorkerSettings())
            background = self._background = _Background(self._ledger, make)
            background.thread.start()
            background.has_begun.wait()
            if background.worker is None:
                self._background = None
                assert background.failure is not None
                raise background.failure
            self._worker = background.worker

    def stop(self, grace: timedelta = GRACE) -> None:
        """Stop what was started: begin nothing more, let what goes on end within `grace`, leave the rest to the leases.

        Stopping twice is safe, and so is stopping what was never started.

        Raises:
            Exception: what the worker ended by, if it ended by itself.
        """
        with self._work_lock:
            background, self._background, self._worker = self._background, None, None
        if background is None:
            return
        background.stop(grace.total_seconds())
        if background.failure is not None:
            raise background.failure

    def run(self, settings: WorkerSettings | None = None, *, grace: timedelta = GRACE) -> None:
        """Work until `stop` is called from another thread, or SIGTERM or SIGINT comes.

        Raises:
            Exception: what the worker ended by, if it ended by itself.
        """
        # A signal's handler comes amid whatever this thread does, and an Event's lock is no place to be interrupted in.
        over: SimpleQueue[None] = SimpleQueue()
        with stopping_signals(lambda: over.put(None)):  # from before it starts, so that none comes amid it
            self.start(settings)
            background = self._background
            if background is None:
                return
            background.watch(lambda: over.put(None))
            # A signal that comes just before a wait begins does not end it: its handler runs when the wait is over.
            while True:
                with suppress(Empty):
                    over.get(timeout=SIGNAL_S_MAX)
                    break
        self.stop(grace)

    def drain(self) -> None:
        """Do what is due now, by the engine's clock, and what follows from it, in this thread; for tests, small jobs.

        Effects that failed are due again after their delay, so what fails is attempted once. Nothing is waited for; an
        effect whose worker died is due when its lease has run out, or at once if its process was one of this machine.

        Raises:
            CallerError: it is called from a running event loop: there, use AsyncEngine.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            message = "drain() was called from a running event loop, which it would block: use AsyncEngine's"
            raise CallerError(message)

        async def run(trips: Trips[Any]) -> Any:
            return self._ledger.run(trips)

        worker = self._make_worker(run, WorkerSettings())
        asyncio.run(worker.drain())

    # What operators see and do.

    def pending(self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str, entity: str) -> list[PendingEffect]:
        """The effects of an entity, of a lifecycle or a kind, that are not done, in the order in which they will be."""
        return self._read(lambda: list_pending(self._core.kind_of(lifecycle), entity))

    def timers(
        self,
        lifecycle: type[Lifecycle[Any]] | Chart[Any] | str,
        entity: str | None = None,
        *,
        due_before: datetime | None = None,
    ) -> Iterator[RunningTimer]:
        """The timers that run, of an entity or of all of a lifecycle or a kind; the first due first; read in pages."""
        following: ListTimers | None = ListTimers(
            kind=self._core.kind_of(lifecycle), entity=entity,
            due_before=None if due_before is None else to_micros(due_before), limit=PAGE_SIZE,
        )  # fmt: skip
        while following is not None:
            page, following = self._read(partial(list_timers, following))
            yield from page

    def dead(
        self, *, kind: str | None = None, entity: str | None = None, effect: str | None = None
    ) -> Iterator[DeadLetter]:
        """Effects that were given up, the oldest first; read in pages."""
        following: ListDeadLetters | None = ListDeadLetters(kind=kind, entity=entity, effect=effect, limit=PAGE_SIZE)
        while following is not None:
            page, following = self._read(partial(list_dead_letters, following))
            yield from page

    def retry(self, letters: Iterable[DeadLetter], *, rate: float | None = None) -> int:
        """Give dead letters their attempts anew: `engine.retry(engine.dead(effect="Charge"), rate=50)`.

        One whose reply was applied already ends as a duplicate: the same key goes out again, and the reply counts once.

        Args:
            letters: which.
            rate: how many a second are due; None: all at once.

        Returns:
            How many were there: one that was put back meanwhile is left out.
        """
        count = 0
        remaining = _each_once(letters)
        while batch := list(islice(remaining, PAGE_SIZE)):
            due = due_times(batch, count, rate, self._core.now())
            count += self._do(partial(revive, batch, due))
        if self._worker is not None:
            self._worker.wake()
        return count

    def pause(self, *, kind: str | None = None, effect: str | None = None, reason: str, actor: Actor | str) -> bool:
        """Let the effects, timers and reconciliations of a kind rest, or the effects of a type, in all workers.

        Events go on being accepted, and what they ask for waits. What is being handled goes on.

        Returns:
            Whether it was not paused already.
        """
        scope, name = scope_of(kind, effect)
        return self._do(
            lambda: add_pause(scope, name, reason=reason, actor=str(actor), now=self._core.now())
        )  # fmt: skip

    def resume(self, *, kind: str | None = None, effect: str | None = None, actor: Actor | str) -> bool:
        """Let what was paused go on; whether it was paused."""
        scope, name = scope_of(kind, effect)
        return self._do(lambda: end_pause(scope, name, actor=str(actor), now=self._core.now()))

    def pauses(self) -> list[Pause]:
        """What is paused, by whom and why."""
        return self._read(list_pauses)


def _each_once(letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Each letter once: one that dies again while others are put back comes again in a list that is read in pages."""
    seen: set[str] = set()
    for letter in letters:
        if letter.key not in seen:
            seen.add(letter.key)
            yield letter


def due_times(batch: Sequence[DeadLetter], before: int, rate: float | None, now: int) -> list[int | None]:
    """When each of a batch is due, behind those before it."""
    if rate is None:
        return [None] * len(batch)
    return [now + round((before + n) / rate * 1_000_000) for n in range(len(batch))]


@contextmanager
def stopping_signals(stop: Callable[[], None]) -> Generator[None]:
    """SIGTERM and SIGINT stop what runs, for as long as the block runs; the main thread alone can see to it."""
    if current_thread() is not main_thread():
        yield
        return

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

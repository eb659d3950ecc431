"""Group commit: while one commit is in flight, what arrives is gathered, and committed together next.

One committer at a time is enough, and the fastest: an idle engine's caller commits its own pair at once, in its own
thread. When it is done, it hands all that has gathered to the first who waits, and goes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from threading import Condition, Lock, Semaphore, get_ident
from typing import Any, Protocol

import msgspec

from stateward.errors import LedgerUnavailable, SentWithin
from stateward.ledger.pairs import Pair

__all__ = [
    "BATCH_MAX",
    "QUEUE_MAX",
    "SETTLE_DELAYS_S",
    "AsyncCommitter",
    "CommitStatistics",
    "Committer",
    "give_up",
    "mark_lost",
    "of_each_entity",
    "retry_delays",
]

BATCH_MAX = 500
"""Pairs of one commit."""
QUEUE_MAX = 10_000
"""Pairs that wait; beyond it, senders wait for room before they are accepted."""
HELD_S_MAX = 10.0
"""How long a pair is brought again while other transactions hold or move its entity."""
SETTLE_DELAYS_S = (0.05, 0.2, 0.8)
"""What is waited before a commit whose reply was lost is looked for again: a database that restarts is soon back."""
ALONE_MAX = 2
"""Senders that wait for an entity at the same time, each on a connection of its own: others need connections too."""


class CommitStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a committer has done since it began."""

    batches: int
    pairs: int
    waiting: int
    """Pairs that wait to be committed now."""


class Commit(Protocol):
    """Commits a batch: it settles every pair that others do not hold or move, or raises what kept it from doing so."""

    def __call__(self, pairs: Sequence[Pair], *, waits: bool = False) -> None:
        """Commit; with `waits`, entities are locked before they are read, and whoever holds one is waited for."""
        ...


class AsyncCommit(Protocol):
    """The same for tasks."""

    async def __call__(self, pairs: Sequence[Pair], *, waits: bool = False) -> None:
        """As `Commit`."""
        ...


class _Waiter:
    """A caller's pairs in the queue, and the thread that waits for them."""

    __slots__ = ("batch", "has_led", "pairs", "wake")

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.batch: list[_Waiter] | None = None
        """What this thread is to commit, its own pairs among them, once it is its turn."""
        self.wake: Lock | None = None
        """Held until it is this thread's turn, or its pairs are committed; a lock costs a fraction of an Event.

        None: its turn came at once, and nobody need wake it.
        """
        self.has_led = False


class Committer:
    """Group commit for threads."""

    def __init__(self, commit: Commit) -> None:
        """Take what commits a batch."""
        self._commit = commit
        self._alone = Semaphore(ALONE_MAX)
        self._lock = Lock()
        self._has_room = Condition(self._lock)
        self._queue: deque[_Waiter] = deque()
        self._waiting = 0
        self._is_busy = False
        self._leader = 0
        """The thread that commits, if one does."""
        self._batches = self._pairs = 0

    def statistics(self) -> CommitStatistics:
        """What was committed so far."""
        return CommitStatistics(batches=self._batches, pairs=self._pairs, waiting=self._waiting)

    def submit(self, pairs: Sequence[Pair]) -> None:
        """Commit pairs, alone or together with others'; returns when each has its answer or its error.

        Those whose entity others hold or moved in each round are brought again by this thread, alone and waiting for
        the entity, so that no other caller waits for it. A caller that is interrupted while its pairs still wait takes
        them back; once they are being committed, the interrupt goes on and they are committed, unless others hold or
        move their entity in each round.

        Raises:
            SentWithin: a guard or an action of an event that this very thread commits has sent another.
        """
        if self._leader == get_ident():
            raise SentWithin(lifecycle=pairs[0].kind, entity=pairs[0].entity, event=pairs[0].name)
        deadline = time.monotonic() + HELD_S_MAX
        self._submit(pairs)
        if all(pair.is_settled for pair in pairs):
            return
        for delay_s in retry_delays(pairs):
            time.sleep(delay_s)
            unsettled = [pair for pair in pairs if not pair.is_settled]
            if self._alone.acquire(blocking=False):
                try:
                    self._commit_alone(unsettled, deadline)
                finally:
                    self._alone.release()
            else:
                self._submit(unsettled)

    def _commit_alone(self, pairs: Sequence[Pair], deadline: float) -> None:
        for each in of_each_entity(pairs):
            if time.monotonic() > deadline:
                return
            try:
                self._commit(each, waits=True)
            except Exception as error:
                give_up(each, error)
            except BaseException as error:
                give_up(pairs, error)
                raise

    def _submit(self, pairs: Sequence[Pair]) -> None:
        waiter = _Waiter(pairs)
        try:
            with self._lock:
                while self._is_busy and self._waiting and self._waiting + len(pairs) > QUEUE_MAX:
                    self._has_room.wait()
                if self._is_busy:
                    waiter.wake = Lock()
                    waiter.wake.acquire()
                    self._queue.append(waiter)
                    self._waiting += len(pairs)
                else:
                    waiter.batch = [waiter]
                    self._is_busy = True
            if waiter.wake is not None:
                waiter.wake.acquire()
            if waiter.batch is not None:
                self._lead(waiter, waiter.batch)
        except BaseException:
            if not waiter.has_led and not self._take_back(waiter) and waiter.batch is not None:
                self._lead(waiter, waiter.batch)  # it was this thread's turn, and others wait for it
            raise

    def _take_back(self, waiter: _Waiter) -> bool:
        """Whether it was still in the queue, and is not any more."""
        with self._lock:
            if waiter not in self._queue:
                return False
            self._queue.remove(waiter)
            self._waiting -= len(waiter.pairs)
            self._has_room.notify_all()
            return True

    def _lead(self, leader: _Waiter, batch: list[_Waiter]) -> None:
        """Commit a batch, wake those it was for, and hand on."""
        pairs: list[Pair] = []
        try:
            leader.has_led = True
            self._leader = get_ident()
            pairs = [pair for waiter in batch for pair in waiter.pairs]
            self._batches += 1
            self._pairs += len(pairs)
            self._commit(pairs)
        except Exception as error:  # whatever kept the batch from being committed is everybody's answer
            give_up(pairs, error)
        except BaseException as error:
            give_up(pairs, error)
            raise
        finally:
            self._leader = 0
            try:
                self._hand_on()
            finally:  # whatever comes between
                for waiter in batch[1:]:  # the first one is this thread
                    if waiter.wake is not None:
                        waiter.wake.release()

    def _hand_on(self) -> None:
        with self._lock:
            batch: list[_Waiter] = []
            count = 0
            while self._queue and (not batch or count + len(self._queue[0].pairs) <= BATCH_MAX):
                batch.append(self._queue.popleft())
                count += len(batch[-1].pairs)
            self._is_busy = bool(batch)
            if batch:
                batch[0].batch = batch  # under the lock: who is interrupted while it waits looks for it
            if count:
                self._waiting -= count
                self._has_room.notify_all()
        if batch:
            assert batch[0].wake is not None
            batch[0].wake.release()


class AsyncCommitter:
    """Group commit for tasks: one task of its own commits, senders wait for it."""

    def __init__(self, commit: AsyncCommit) -> None:
        """Take what commits a batch, as `Committer` does."""
        self._commit = commit
        self._alone: set[asyncio.Task[None]] = set()
        self._left_behind: set[asyncio.Task[None]] = set()
        """What sees to it that events are committed whose senders were cancelled meanwhile."""
        self._queue: deque[tuple[Sequence[Pair], asyncio.Future[None]]] = deque()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Condition()
        self._batches = self._pairs = 0

    def statistics(self) -> CommitStatistics:
        """What was committed so far."""
        return CommitStatistics(batches=self._batches, pairs=self._pairs, waiting=self._waiting)

    async def submit(self, pairs: Sequence[Pair]) -> None:
        """Commit pairs; a sender that is cancelled while they wait takes them back, and else they are committed."""
        item = await self._enqueue(pairs)
        try:
            await asyncio.shield(item[1])
        except asyncio.CancelledError:
            if item in self._queue:
                self._queue.remove(item)
                self._waiting -= len(pairs)
            else:
                _keep(self._left_behind, self._see_through(pairs, item[1]))
            raise
        if not all(pair.is_settled for pair in pairs):
            await asyncio.shield(_keep(self._left_behind, self._see_through(pairs, item[1])))

    async def _see_through(self, pairs: Sequence[Pair], done: asyncio.Future[None]) -> None:
        """Bring those again whose entity others hold or moved in each round."""
        deadline = time.monotonic() + HELD_S_MAX
        await done
        for delay_s in retry_delays(pairs):
            await asyncio.sleep(delay_s)
            unsettled = [pair for pair in pairs if not pair.is_settled]
            if len(self._alone) < ALONE_MAX:
                await _keep(self._alone, self._commit_alone(unsettled, deadline))
            else:
                await (await self._enqueue(unsettled))[1]

    async def _commit_alone(self, pairs: Sequence[Pair], deadline: float) -> None:
        for each in of_each_entity(pairs):
            if time.monotonic() > deadline:
                return
            try:
                await self._commit(each, waits=True)
            except Exception as error:
                give_up(each, error)

    async def _enqueue(self, pairs: Sequence[Pair]) -> tuple[Sequence[Pair], asyncio.Future[None]]:
        async with self._room:
            await self._room.wait_for(lambda: not self._waiting or self._waiting + len(pairs) <= QUEUE_MAX)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            item = (pairs, done)
            self._queue.append(item)
            self._waiting += len(pairs)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return item

    async def stop(self) -> None:
        """Wait until all that was accepted is committed."""
        while (self._task is not None and not self._task.done()) or self._left_behind:
            working = [*self._left_behind, *([] if self._task is None else [self._task])]
            await asyncio.shield(asyncio.gather(*working))

    async def _work(self) -> None:
        while self._queue:
            batch: list[tuple[Sequence[Pair], asyncio.Future[None]]] = []
            pairs: list[Pair] = []
            while self._queue and (not batch or len(pairs) + len(self._queue[0][0]) <= BATCH_MAX):
                batch.append(self._queue.popleft())
                pairs += batch[-1][0]
            self._waiting -= len(pairs)
            self._batches += 1
            self._pairs += len(pairs)
            try:
                await self._commit(pairs)
            except Exception as error:
                give_up(pairs, error)
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
            async with self._room:
                self._room.notify_all()


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that is among these until it is done."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def retry_delays(pairs: Sequence[Pair], held_s: float | None = None) -> Iterator[float]:
    """The waits, with jitter, before the pairs that are not settled are brought again; at the end they are given up."""
    held_s = HELD_S_MAX if held_s is None else held_s
    deadline = time.monotonic() + held_s
    delay_s = 0.001
    while not all(pair.is_settled for pair in pairs):
        if time.monotonic() > deadline:
            for pair in pairs:
                if not pair.is_settled:
                    problem = f"{pair.kind} {pair.entity} was held or moved by others for {held_s:g} s"
                    pair.error = LedgerUnavailable(problem, record=pair.record, is_outcome_unknown=pair.is_lost)
            return
        yield random.uniform(delay_s / 2, delay_s)
        delay_s = min(delay_s * 2, 0.1)


def mark_lost(pairs: Sequence[Pair], error: LedgerUnavailable) -> bool:
    """Whether pairs may have been committed by a commit whose reply was lost, this one or one before."""
    unsettled = [pair for pair in pairs if not pair.is_settled]
    for pair in unsettled:
        pair.is_lost = pair.is_lost or error.is_outcome_unknown
    return any(pair.is_lost for pair in unsettled)


def of_each_entity(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs entity by entity, in their order."""
    entities: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        entities.setdefault((pair.kind, pair.entity), []).append(pair)
    return list(entities.values())


def give_up(pairs: Sequence[Pair], error: BaseException) -> None:
    """Give what kept a batch from being committed to each of its pairs that has no answer."""
    for pair in pairs:
        if pair.is_settled:
            continue
        if isinstance(error, LedgerUnavailable):
            problem, is_unknown = error.problem, error.is_outcome_unknown
        else:  # an interrupt may come while the reply to a commit is read
            problem, is_unknown = f"the commit failed: {error!r}", not isinstance(error, Exception)
        pair.error = LedgerUnavailable(problem, record=pair.record, is_outcome_unknown=is_unknown or pair.is_lost)
        pair.error.__cause__ = error

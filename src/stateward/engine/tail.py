"""Records as they come, behind a cursor: iterators for threads and for tasks over the same looks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Any, TypeVar

import msgspec

from stateward.chart import Chart, Lifecycle
from stateward.engine.core import PAGE_SIZE, EngineCore
from stateward.ledger.contract import Trips
from stateward.ledger.tailing import Followed, Following, Look, Pace

__all__ = ["AsyncTail", "AsyncTails", "Tail", "TailStatistics", "Tails"]

T = TypeVar("T")
Kind = type[Lifecycle[Any]] | Chart[Any] | str


class TailStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reader has come."""

    records: int
    """Records that it has given out."""
    looks: int
    """How often it has asked the ledger."""
    is_held: bool
    """Whether more records are there, behind one of a transaction that may not have ended yet."""


class Tail(Iterator[Followed]):
    """Records behind a cursor, read in pages. One thread reads it; any may stop it."""

    def __init__(self, read: Callable[[Callable[[], Trips[Look]]], Look], following: Following, *, follows: bool):
        """Made by `Engine.tail`."""
        self._read = read
        self._following = following
        self._pace = Pace(follows=follows)
        self._delay_s: float | None = 0.0
        self._records: deque[Followed] = deque()
        self._is_stopped = Event()
        self._given = self._looks = 0
        self.is_held = False
        """Whether more records are there, behind one of a transaction that may not have ended yet."""

    def __next__(self) -> Followed:
        while not self._is_stopped.is_set():
            if self._records:
                self._given += 1
                return self._records.popleft()
            if self._delay_s is None or self._is_stopped.wait(self._delay_s):
                break
            look = self._read(self._following.look)
            self._looks += 1
            self._records.extend(look.records)
            self.is_held = look.is_held
            self._delay_s = self._pace.delay_s(look)
        raise StopIteration

    def statistics(self) -> TailStatistics:
        """How far it has come."""
        return TailStatistics(records=self._given, looks=self._looks, is_held=self.is_held)

    def stop(self) -> None:
        """End it, whoever waits for its next record included. Twice is safe."""
        self._is_stopped.set()


class AsyncTail(AsyncIterator[Followed]):
    """As `Tail`, for tasks: one task reads it, any may stop it."""

    def __init__(
        self, read: Callable[[Callable[[], Trips[Look]]], Awaitable[Look]], following: Following, *, follows: bool
    ):
        """Made by `AsyncEngine.tail`."""
        self._read = read
        self._following = following
        self._pace = Pace(follows=follows)
        self._delay_s: float | None = 0.0
        self._records: deque[Followed] = deque()
        self._is_stopped = asyncio.Event()
        self._given = self._looks = 0
        self.is_held = False
        """As `Tail.is_held`."""

    async def __anext__(self) -> Followed:
        while not self._is_stopped.is_set():
            if self._records:
                self._given += 1
                return self._records.popleft()
            if self._delay_s is None:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(self._delay_s):
                    await self._is_stopped.wait()
                break
            await self._look()
        raise StopAsyncIteration

    async def begin(self) -> None:
        """Make the first look, without waiting for a record: what is wrong with the cursor is told now."""
        if self._looks == 0:
            await self._look()

    async def _look(self) -> None:
        look = await self._read(self._following.look)
        self._looks += 1
        self._records.extend(look.records)
        self.is_held = look.is_held
        self._delay_s = self._pace.delay_s(look)

    def statistics(self) -> TailStatistics:
        """As `Tail.statistics`."""
        return TailStatistics(records=self._given, looks=self._looks, is_held=self.is_held)

    def stop(self) -> None:
        """As `Tail.stop`."""
        self._is_stopped.set()


class Tails:
    """What follows records; how it reads is said by each subclass."""

    _core: EngineCore

    def _read(self, make: Callable[[], Trips[T]]) -> T:
        """Read, and again for as long as connections turn out to have died."""
        raise NotImplementedError

    def tail(
        self,
        kinds: Iterable[Kind] | None = None,
        *,
        after: str | None = None,
        last: int | None = None,
        follow: bool = False,
    ) -> Tail:
        """All records, each with the cursor behind which the next one is; none is left out, and none comes twice.

        They come in an order before whose end nothing is committed later: those of an entity as they were applied, and
        others about as they were committed. A record that was written by a transaction that has not ended holds up
        those behind it. Without `follow`, it is waited for a moment, and what is held up is left to the next reader.

        Args:
            kinds: only those of these lifecycles, or of kinds of these names; of all, if it is not given.
            after: the cursor of the last record that was dealt with; the first record is the first, if it is not given.
            last: instead, begin with the last so many. For people: what is committed later, but was written before
                these, is not seen.
            follow: whether to wait for those that are yet to come, until the iterator is stopped.

        Raises:
            CursorInvalid: it is no cursor; by the iterator, if the cursor's record is not in this ledger.
            LedgerUnavailable: by the iterator, which can't go on then; another one can, behind the last cursor.
        """
        return Tail(self._read, _following(self._core, kinds, after, last), follows=follow)

    def tail_in_tasks(
        self,
        run: Callable[[Callable[[], Look]], Awaitable[Look]],
        kinds: Iterable[Kind] | None = None,
        *,
        after: str | None = None,
        last: int | None = None,
        follow: bool = False,
    ) -> AsyncTail:
        """As `tail`, for a task: many can be read in one thread, since none keeps it while there is nothing to read.

        Args:
            run: makes a look at the ledger, which blocks: in another thread.
            kinds: as for `tail`.
            after: as for `tail`.
            last: as for `tail`.
            follow: as for `tail`.
        """

        def read(make: Callable[[], Trips[Look]]) -> Awaitable[Look]:
            return run(partial(self._read, make))

        return AsyncTail(read, _following(self._core, kinds, after, last), follows=follow)


class AsyncTails:
    """The same for tasks."""

    _core: EngineCore

    async def _read(self, make: Callable[[], Trips[T]]) -> T:
        """As `Tails._read`."""
        raise NotImplementedError

    def tail(
        self,
        kinds: Iterable[Kind] | None = None,
        *,
        after: str | None = None,
        last: int | None = None,
        follow: bool = False,
    ) -> AsyncTail:
        """As `Engine.tail`."""
        return AsyncTail(self._read, _following(self._core, kinds, after, last), follows=follow)


def _following(core: EngineCore, kinds: Iterable[Kind] | None, after: str | None, last: int | None) -> Following:
    names = None if kinds is None else [each if isinstance(each, str) else core.kind(each) for each in kinds]
    return Following(after=after, last=last, kinds=names, limit=PAGE_SIZE)

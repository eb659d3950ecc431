"""Calls of the engine, whichever kind it is: one for threads is called in threads, one for tasks is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from stateward.engine import AsyncEngine, Engine
from stateward.engine.tail import AsyncTail
from stateward.http.limits import Limits
from stateward.http.problems import Problem

__all__ = ["EngineCalls"]

T = TypeVar("T")


class EngineCalls:
    """Makes calls of an engine, each within the time that it may take."""

    def __init__(self, engine: Engine | AsyncEngine, limits: Limits) -> None:
        self.engine = engine
        self._call_s = limits.call_s
        self._threads = (
            ThreadPoolExecutor(limits.threads, thread_name_prefix="stateward-http")
            if isinstance(engine, Engine)
            else None
        )
        self._going_on: set[asyncio.Future[Any]] = set()
        """Calls that nobody has to wait for."""

    def close(self) -> None:
        """Let the threads end; what they do goes on to its end."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    async def ask(self, make: Callable[[Any], Any], *, writes: bool = False, goes_on: bool = False) -> Any:
        """What a call gives.

        Args:
            make: makes the call of the engine.
            writes: whether it may keep something.
            goes_on: whether it writes in parts, and goes on to its end though it takes too long.

        Raises:
            Problem: it takes too long, and nobody knows yet what comes of it. In a thread, one that has begun goes on
                to its end. Of one for tasks, an event that is being committed is committed; one that waits is not.
        """
        begun: Future[Any] | None = None
        limit = asyncio.timeout(self._call_s)
        try:
            async with limit:
                if self._threads is None:
                    return await (self._shielded(make) if goes_on else make(self.engine))
                begun = self._threads.submit(make, self.engine)
                return await asyncio.wrap_future(begun)
        except TimeoutError:
            if not limit.expired():  # the call's own
                raise
            is_unknown = (writes or goes_on) and (begun is None or not begun.cancelled())
            raise self._late(is_outcome_unknown=is_unknown, goes_on=goes_on) from None

    def _shielded(self, make: Callable[[Any], Any]) -> asyncio.Future[Any]:
        task = asyncio.ensure_future(make(self.engine))
        self._going_on.add(task)

        def end(_: asyncio.Future[Any]) -> None:
            self._going_on.discard(task)
            if not task.cancelled():
                task.exception()  # whoever still waits for it is told

        task.add_done_callback(end)
        return asyncio.shield(task)

    def _late(self, *, is_outcome_unknown: bool, goes_on: bool) -> Problem:
        detail = f"it was not done after {self._call_s:g} seconds"
        if is_outcome_unknown and goes_on:
            detail += ", and goes on to its end"
        elif is_outcome_unknown:
            detail += ", and may be yet: the same again under the same Idempotency-Key settles it"
        return Problem("call-late", detail, facts={"is_outcome_unknown": is_outcome_unknown})

    def tail(self, kinds: list[str] | None, *, after: str | None, last: int | None) -> AsyncTail:
        """The records of the ledger, those yet to come included.

        Raises:
            CursorInvalid: `after` is no cursor.
        """
        if isinstance(self.engine, AsyncEngine):
            return self.engine.tail(kinds, after=after, last=last, follow=True)
        return self.engine.tail_in_tasks(self._in_thread, kinds, after=after, last=last, follow=True)

    async def _in_thread(self, look: Callable[[], T]) -> T:
        assert self._threads is not None
        return await asyncio.wrap_future(self._threads.submit(look))

"""How handlers are called: functions in threads, coroutines as tasks, each until its deadline.

The threads are the worker's own, and die with the process: a function that hangs keeps nobody from leaving.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias

__all__ = ["Caller", "InlineCaller", "Returned", "TimedOut", "Work"]

Returned: TypeAlias = tuple[Any, BaseException | None]
"""What a call gave back: a value, or what it raised."""
Work: TypeAlias = Callable[[], Any]


class TimedOut(TimeoutError):
    """An attempt was not over at its deadline."""


class Caller:
    """Calls functions in threads and coroutines as tasks; what they give back comes to the loop that asked."""

    is_inline = False

    def __init__(self, threads_max: int) -> None:
        """Take how many threads there may be; they are started when they are needed."""
        self._threads_max = threads_max
        self._threads = 0
        self._asked = 0
        """Functions that wait for a thread, or have one."""
        self._queue: SimpleQueue[tuple[Work, Callable[[Returned], None]] | None] = SimpleQueue()
        self._lock = Lock()
        self._returned: deque[tuple[Callable[[Returned], None], Returned]] = deque()
        self._is_called = False
        """Whether the loop was asked to take what has returned."""
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.abandoned = 0
        """Functions that were not back at their deadline, and are not back yet."""

    def call(
        self,
        work: Work,
        *,
        is_async: bool,
        timeout_s: float,
        done: Callable[[Returned], None],
        gone: Callable[[], None],
    ) -> None:
        """Call it; `done` is told in the loop what it gave back, or that it timed out.

        `gone` is called when it has ended: before `done`, but for a function that has timed out, which goes on.
        """
        if is_async:
            task = asyncio.create_task(_await(work, timeout_s, done, gone))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            _Attempt(self, timeout_s, done, gone).start(work)

    def submit(self, work: Work, done: Callable[[Returned], None]) -> None:
        """Have a thread do it."""
        with self._lock:
            self._queue.put((work, done))
            self._asked += 1
            if self._asked > self._threads and self._threads < self._threads_max:
                self._threads += 1
                Thread(target=self._serve, name=f"stateward-handler-{self._threads}", daemon=True).start()

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            work, done = item
            try:
                returned: Returned = (work(), None)
            except BaseException as error:
                returned = (None, error)
            with self._lock:
                self._asked -= 1
                self._returned.append((done, returned))
                is_first, self._is_called = not self._is_called, True
            if is_first:  # else the loop is on its way to them
                with suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
                    self._loop.call_soon_threadsafe(self._take_returned)

    def _take_returned(self) -> None:
        with self._lock:
            returned, self._returned = self._returned, deque()
            self._is_called = False
        for done, each in returned:
            done(each)

    def close(self) -> None:
        """Let idle threads end, and leave what still runs."""
        for task in self._tasks:
            task.cancel()
        for _ in range(self._threads):
            self._queue.put(None)


class _Attempt:
    """A function in a thread, and its deadline: what comes first is told."""

    def __init__(
        self, caller: Caller, timeout_s: float, done: Callable[[Returned], None], gone: Callable[[], None]
    ) -> None:
        self._caller = caller
        self._timeout_s = timeout_s
        self._done = done
        self._gone = gone
        self._timer: asyncio.TimerHandle | None = None
        self._is_told = False

    def start(self, work: Work) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._expire)
        self._caller.submit(partial(self._run, work), self._finish)

    def _run(self, work: Work) -> Any:
        return None if self._is_told else work()  # its time may be over before a thread is free

    def _expire(self) -> None:
        self._is_told = True
        self._caller.abandoned += 1
        self._done((None, _timed_out(self._timeout_s)))

    def _finish(self, returned: Returned) -> None:
        if self._is_told:
            self._caller.abandoned -= 1
            self._gone()
            return
        assert self._timer is not None
        self._timer.cancel()
        self._gone()
        self._done(returned)


class InlineCaller:
    """Calls functions in this very thread, one after the other; for `drain`."""

    is_inline = True
    abandoned = 0

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def call(
        self,
        work: Work,
        *,
        is_async: bool,
        timeout_s: float,
        done: Callable[[Returned], None],
        gone: Callable[[], None],
    ) -> None:
        """As `Caller.call`; a function that is late is not left."""
        if is_async:
            task = asyncio.create_task(_await(work, timeout_s, done, gone))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            returned: Returned = (work(), None)
        except Exception as error:
            returned = (None, error)
        gone()
        done(returned)

    def close(self) -> None:
        """Leave what still runs."""
        for task in self._tasks:
            task.cancel()


def _timed_out(timeout_s: float) -> TimedOut:
    return TimedOut(f"no answer within {timeout_s:g} s")


async def _await(
    work: Callable[[], Coroutine[Any, Any, Any]],
    timeout_s: float,
    done: Callable[[Returned], None],
    gone: Callable[[], None],
) -> None:
    scope = asyncio.timeout(timeout_s)
    try:
        async with scope:
            returned: Returned = (await work(), None)
    except TimeoutError as error:
        returned = (None, _timed_out(timeout_s) if scope.expired() else error)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the worker leaves it
        returned = (None, error)
    except BaseException as error:  # as in a thread: whatever a handler raises is its own, and the worker goes on
        returned = (None, error)
    gone()
    done(returned)

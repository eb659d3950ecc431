"""How what sleeps in an event loop is woken, from any thread, without one call for each of many reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

__all__ = ["Signal"]


class Signal:
    """Set from any thread, waited for in one loop; set twice before it is waited for, it wakes once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_set = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None
        self.watchers: list[Callable[[], None]] = []
        """Called each time it is waited for with nothing to do; tests wait for that."""

    def set(self) -> None:
        """Wake who waits, now or later."""
        with self._lock:
            if self._is_set:
                return
            self._is_set = True
            loop, event = self._loop, self._event
        if loop is not None and event is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set, or for so long; whether it was set. It is not set any more afterwards."""
        with self._lock:
            if self._is_set:
                self._is_set = False
                return True
            if self._event is None:
                self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
            self._event.clear()
            event = self._event
        for watcher in self.watchers:
            watcher()
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), timeout_s)
        with self._lock:
            was_set, self._is_set = self._is_set, False
        return was_set

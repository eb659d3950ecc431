"""The engine for tasks behind the calls of the one for threads, so that one test holds both to one promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from threading import Thread
from typing import Any, Self, TypeVar

from stateward.engine import AsyncEngine

__all__ = ["EngineByTasks"]

T = TypeVar("T")


class EngineByTasks:
    """An `AsyncEngine` on an event loop in a thread of its own; any number of threads may call it."""

    def __init__(self, make: Callable[[], AsyncEngine]) -> None:
        """Open what is made on the loop."""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.engine = self._run(self._open(make))

    @staticmethod
    async def _open(make: Callable[[], AsyncEngine]) -> AsyncEngine:
        engine = make()
        await engine.open()
        return engine

    def _run(self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *given: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the engine, and end its loop."""
        self._run(self.engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.engine, name)

        def call(*given: Any, **named: Any) -> Any:
            made = method(*given, **named)
            return self._run(all_of(made) if isinstance(made, AsyncIterator) else made)

        return call


async def all_of(pages: AsyncIterator[T]) -> list[T]:
    return [each async for each in pages]

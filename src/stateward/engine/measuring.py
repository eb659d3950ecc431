"""An engine's metrics: what its ledger tells whenever it is asked, and what it has seen itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from threading import Lock
from typing import Any, TypeVar

from stateward.engine.core import EngineCore
from stateward.ledger.contract import Trips
from stateward.observe.metrics import Metrics
from stateward.observe.reading import Reader, Reading

__all__ = ["AsyncEngineMetrics", "AsyncMeasuring", "EngineMetrics", "Measuring"]

T = TypeVar("T")

_lock = Lock()  # an engine's metrics are made once, whoever asks first


class EngineMetrics:
    """The metrics of an engine; made by `Engine.metrics`.

    It is a collector of prometheus-client as well: `registry.register(engine.metrics())`.
    """

    def __init__(self, core: EngineCore, read: Callable[[Callable[[], Trips[Reading]]], Reading]) -> None:
        """Begin to count: the durations of what the engine commits, and the records of its ledger."""
        self._read = read
        self._metrics = Metrics()
        self._reader = Reader(core.kinds)
        self._lock = Lock()  # two readings at once would count records twice
        self._take()
        core.listen(self._metrics.tell)

    @property
    def content_type(self) -> str:
        """What `render` gives, for a response's header."""
        return self._metrics.content_type

    def render(self) -> bytes:
        """The metrics as of now, in Prometheus's text format.

        Raises:
            LedgerUnavailable: the ledger is away.
        """
        return self._metrics.text(self._take())

    def collect(self) -> Iterator[Any]:
        """The metrics as of now, for a registry of prometheus-client."""
        return self._metrics.families(self._take())

    def describe(self) -> list[Any]:
        """Nothing, so that registering reads no ledger."""
        return []

    def _take(self) -> Reading:
        with self._lock:
            return self._read(self._reader.read)


class AsyncEngineMetrics:
    """The metrics of an engine of tasks; made by `AsyncEngine.metrics`."""

    def __init__(self, core: EngineCore, read: Callable[[Callable[[], Trips[Reading]]], Awaitable[Reading]]) -> None:
        """Begin to count the durations of what the engine commits; the records from the first reading on."""
        self._read = read
        self._metrics = Metrics()
        self._reader = Reader(core.kinds)
        self._lock = asyncio.Lock()
        core.listen(self._metrics.tell)

    @property
    def content_type(self) -> str:
        """As `EngineMetrics.content_type`."""
        return self._metrics.content_type

    async def take(self) -> Reading:
        """Read; the first reading is where the counting of records begins."""
        async with self._lock:
            return await self._read(self._reader.read)

    async def render(self) -> bytes:
        """As `EngineMetrics.render`."""
        return self._metrics.text(await self.take())


class Measuring:
    """What gives an engine of threads its metrics."""

    _core: EngineCore
    _metrics: EngineMetrics | None = None

    def _read(self, make: Callable[[], Trips[T]]) -> T:
        """Read, and again for as long as connections turn out to have died."""
        raise NotImplementedError

    def metrics(self) -> EngineMetrics:
        """The engine's metrics for Prometheus; they count from the first call on. See `stateward.observe.metrics`.

        Raises:
            ExtraMissing: prometheus-client is not installed.
            LedgerUnavailable: the ledger is away.
        """
        with _lock:
            if self._metrics is None:
                self._metrics = EngineMetrics(self._core, self._read)
            return self._metrics


class AsyncMeasuring:
    """The same for tasks."""

    _core: EngineCore
    _metrics: AsyncEngineMetrics | None = None

    def _read(self, make: Callable[[], Trips[T]]) -> Awaitable[T]:
        """As `Measuring._read`."""
        raise NotImplementedError

    async def metrics(self) -> AsyncEngineMetrics:
        """As `Engine.metrics`."""
        if self._metrics is None:
            self._metrics = AsyncEngineMetrics(self._core, self._read)
            await self._metrics.take()
        return self._metrics

"""What `/metrics` gives: the metrics of an engine, for Prometheus."""

from __future__ import annotations

from importlib.util import find_spec

from stateward.engine import AsyncEngine, Engine
from stateward.errors import ExtraMissing
from stateward.http.health import Metrics

__all__ = ["metrics_of"]


def metrics_of(engine: Engine | AsyncEngine) -> Metrics:
    """The metrics of an engine, for `Api(metrics=...)`. They count from the first time they are read.

    Raises:
        ExtraMissing: prometheus-client is not installed.
    """
    if find_spec("prometheus_client") is None:
        raise ExtraMissing(package="prometheus-client", extra="prometheus")
    if isinstance(engine, AsyncEngine):

        async def read_later() -> tuple[str, bytes]:
            metrics = await engine.metrics()
            return metrics.content_type, await metrics.render()

        return read_later

    def read() -> tuple[str, bytes]:
        metrics = engine.metrics()
        return metrics.content_type, metrics.render()

    return read

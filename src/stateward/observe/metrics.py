"""Metrics for Prometheus, of the extra `prometheus`: what the ledger tells, and how long states were active.

| metric | | from |
|---|---|---|
| `fsm_transitions_out_total` | counter by kind, state, event | the records of the ledger, whoever wrote them |
| `fsm_entities_in_state` | gauge by kind, state | the census |
| `fsm_entity_state_entered_at` | gauge by kind, state; seconds since 1970 | the entity that has not moved for longest |
| `fsm_state_duration_seconds` | histogram by kind, state | the commits of this process |

A state is a configuration in writing; of durations, the path of a state, composite ones among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stateward.errors import ExtraMissing
from stateward.observe.committed import Committed
from stateward.observe.reading import Reading

__all__ = ["BUCKETS_S", "Metrics"]

BUCKETS_S = tuple(0.1 * 4**n for n in range(13))
"""From 100 ms, each four times the one before, to beyond two weeks."""


class Metrics:
    """The durations of one process, and how a reading is written down."""

    def __init__(self) -> None:
        """Begin with none.

        Raises:
            ExtraMissing: prometheus-client is not installed.
        """
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ExtraMissing(package="prometheus-client", extra="prometheus") from error
        self._client: Any = prometheus_client
        self._durations: Any = prometheus_client.Histogram(
            "fsm_state_duration_seconds",
            "How long states were active that were left, by the commits of this process.",
            ("kind", "state"),
            buckets=BUCKETS_S,
            registry=None,
        )
        self.content_type: str = prometheus_client.exposition.CONTENT_TYPE_LATEST

    def tell(self, committed: Committed) -> None:
        """Count how long the states were active that an event has left; a listener of engines.

        What is part of a caller's transaction is left out: it may yet be rolled back.
        """
        if committed.is_joined:
            return
        for state, seconds in committed.stays:
            self._durations.labels(committed.kind, state).observe(seconds)

    def families(self, reading: Reading) -> Iterator[Any]:
        """The metrics, as a collector of prometheus-client gives them."""
        core = self._client.metrics_core
        moves = core.CounterMetricFamily(
            "fsm_transitions_out", "Transitions out of a state, since this process began to count.",
            labels=("kind", "state", "event"),
        )  # fmt: skip
        for labels, count in sorted(reading.transitions.items()):
            moves.add_metric(labels, count)
        entities = core.GaugeMetricFamily("fsm_entities_in_state", "Entities in a state.", labels=("kind", "state"))
        for place, count in sorted(reading.entities.items()):
            entities.add_metric(place, count)
        entered = core.GaugeMetricFamily(
            "fsm_entity_state_entered_at", "When the entity came into a state that has not moved there for longest.",
            labels=("kind", "state"),
        )  # fmt: skip
        for place, moment in sorted(reading.entered_at.items()):
            entered.add_metric(place, moment)
        yield moves
        yield entities
        yield entered
        yield from self._durations.collect()

    def text(self, reading: Reading) -> bytes:
        """The metrics in Prometheus's text format."""
        registry = self._client.CollectorRegistry()
        registry.register(_Given(list(self.families(reading))))
        written: bytes = self._client.generate_latest(registry)
        return written


class _Given:
    """A collector of families that are there already."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        return self._families

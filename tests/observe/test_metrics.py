"""Metrics: what they say is what the ledger holds, whoever wrote it, and what this process has committed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stateward import AsyncEngine, Engine
from stateward.ledger.memory import MemoryLedger
from tests.conftest import MakeLedger
from tests.observe.lifecycles import Clock, Close, DoorLifecycle, House, Open, Ring, Wreck


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Clock) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[DoorLifecycle], clock=clock) as made:
        made.handles(Ring)(lambda _effect, _call: None)
        yield made


def samples(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Values by name and labels, in the labels' order of names."""
    return {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_the_ledger_holds_is_told(engine: Engine, clock: Clock) -> None:
    for n in range(3):
        engine.create(DoorLifecycle, f"d{n}", House(), actor="a:1")
        clock.move(timedelta(seconds=10))
    metrics = engine.metrics()
    assert metrics is engine.metrics()
    engine.send(DoorLifecycle, "d0", Open(), actor="a:1")
    engine.send(DoorLifecycle, "d1", Open(), actor="a:1")
    engine.attempt(DoorLifecycle, "d1", Open(), actor="a:1")
    engine.attempt(DoorLifecycle, "d2", Close(), actor="a:1")
    found = samples(metrics.render())
    assert found["fsm_entities_in_state", ("Door", "shut")] == 1
    assert found["fsm_entities_in_state", ("Door", "ajar")] == 2
    assert found["fsm_transitions_out_total", ("Open", "Door", "shut")] == 2
    assert [key for key in found if key[0] == "fsm_transitions_out_total"] == [
        ("fsm_transitions_out_total", ("Open", "Door", "shut"))
    ]
    start = clock.now.timestamp() - 30
    assert found["fsm_entity_state_entered_at", ("Door", "shut")] == start + 20
    assert found["fsm_entity_state_entered_at", ("Door", "ajar")] == start + 30


def test_durations_are_of_the_commits_in_buckets_up_to_weeks(engine: Engine, clock: Clock) -> None:
    metrics = engine.metrics()
    for n, stay in enumerate((timedelta(milliseconds=50), timedelta(seconds=1), timedelta(days=8), timedelta(days=30))):
        engine.create(DoorLifecycle, f"d{n}", House(), actor="a:1")
        clock.move(stay)
        engine.send(DoorLifecycle, f"d{n}", Wreck(), actor="a:1")
    found = samples(metrics.render())
    buckets = {float(key[1][1]): value for key, value in found.items() if key[0] == "fsm_state_duration_seconds_bucket"}
    assert len(buckets) == 14
    assert sorted(buckets)[:3] == pytest.approx([0.1, 0.4, 1.6])
    assert sorted(buckets)[-2] > timedelta(days=7).total_seconds()
    assert [buckets[edge] for edge in sorted(buckets)] == [1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4]
    assert found["fsm_state_duration_seconds_count", ("Door", "shut")] == 4


def test_transitions_by_timers_are_counted_once(engine: Engine, clock: Clock) -> None:
    metrics = engine.metrics()
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    engine.send(DoorLifecycle, "d1", Open(), actor="a:1")
    clock.move(timedelta(minutes=6))
    engine.drain()
    for _ in range(2):
        found = samples(metrics.render())
        [fired] = [value for key, value in found.items() if "ajar" in key[1] and key[0] == "fsm_transitions_out_total"]
        assert fired == 1


def test_what_others_commit_is_counted_and_what_was_before_is_not() -> None:
    ledger = MemoryLedger()
    one, other = (Engine(ledger, lifecycles=[DoorLifecycle]) for _ in range(2))
    other.create(DoorLifecycle, "d1", House(), actor="a:1")
    other.send(DoorLifecycle, "d1", Open(), actor="a:1")
    metrics = one.metrics()
    other.send(DoorLifecycle, "d1", Close(), actor="a:1")
    found = samples(metrics.render())
    assert found["fsm_transitions_out_total", ("Close", "Door", "ajar")] == 1
    assert ("fsm_transitions_out_total", ("Open", "Door", "shut")) not in found
    assert ("fsm_state_duration_seconds_count", ("Door", "ajar")) not in found


def test_it_is_a_collector_of_a_registry(engine: Engine) -> None:
    registry = prometheus_client.CollectorRegistry()
    registry.register(engine.metrics())
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    assert registry.get_sample_value("fsm_entities_in_state", {"kind": "Door", "state": "shut"}) == 1
    assert engine.metrics().content_type.startswith("text/plain")


def test_engines_of_tasks_have_them_as_well(make_ledger: MakeLedger) -> None:
    async def main() -> bytes:
        async with AsyncEngine(make_ledger(), lifecycles=[DoorLifecycle]) as engine:
            metrics, again = await asyncio.gather(engine.metrics(), engine.metrics())
            assert metrics is again
            await engine.create(DoorLifecycle, "d1", House(), actor="a:1")
            await engine.send(DoorLifecycle, "d1", Open(), actor="a:1")
            first, second = await asyncio.gather(metrics.render(), metrics.render())
            assert first == second
            return first

    found = samples(asyncio.run(main()))
    assert found["fsm_transitions_out_total", ("Open", "Door", "shut")] == 1
    assert found["fsm_state_duration_seconds_count", ("Door", "shut")] == 1


def test_without_the_extra_it_says_which(tmp_path: Any) -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from stateward.engine import Engine\n"
        "try: Engine('memory://', lifecycles=[]).metrics()\n"
        "except ImportError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "prometheus-client is not installed: pip install 'stateward[prometheus]'\n"

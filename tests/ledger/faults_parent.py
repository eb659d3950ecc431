"""The other side of `faults_child`: what starts it, and holds what it leaves behind against what it said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from stateward.engine import Engine
from tests.ledger.faults_child import entity_of
from tests.ledger.faults_counting import CountLifecycle, Tick, check_engine, ticks

__all__ = ["Ack", "acks_of", "check_left_behind", "start_child"]

ROOT = Path(__file__).parents[2]


class Ack(NamedTuple):
    """What a child said was done."""

    n: int
    record: str
    revision: int


def start_child(
    address: str, first: int, count: int, *, batch: int = 1, fault: str = "", way: str = "threads"
) -> subprocess.Popen[str]:
    """Start a child that sends."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.faults_child", address, str(first), str(count), str(batch)],
        cwd=ROOT,
        env={**os.environ, "STATEWARD_FAULT": fault, "STATEWARD_ENGINE": way},
        stdout=subprocess.PIPE,
        text=True,
    )


def acks_of(child: subprocess.Popen[str]) -> list[Ack]:
    """Wait for a child's end; what it said was done."""
    said, _ = child.communicate(timeout=60)
    lines = [line.split(" ", 3) for line in said.splitlines()]
    assert not [line for line in lines if line[0] == "failed"], said
    return [Ack(int(line[1]), line[2], int(line[3])) for line in lines if line[0] == "ack"]


def check_left_behind(engine: Engine, acks: list[Ack], count: int) -> int:
    """Hold the ledger against what was acknowledged, send all of it again, and hold it against that.

    Returns:
        How many ticks were there without having been acknowledged.
    """
    histories = check_engine(engine)
    records = {each.id: each for lines in histories.values() for each in lines}
    for ack in acks:
        assert records[ack.record].key == f"k{ack.n}", "nothing acknowledged is lost"
        assert records[ack.record].revision == ack.revision
    there = {n for lines in histories.values() for n in ticks(lines)}
    for n in range(count):
        answer = engine.send(CountLifecycle, entity_of(n), Tick(n=n), actor="parent:1", key=f"k{n}")
        assert answer.is_repetition == (n in there)
    histories = check_engine(engine)
    for entity in ("c0", "c1"):
        assert sorted(ticks(histories[entity])) == [n for n in range(count) if entity_of(n) == entity], "each once"
    return len(there) - len(acks)

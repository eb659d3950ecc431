"""What the work after commit costs: jobs beside the peers, effects, the time to a handler, timers, commits beside it.

Times are those of the clock on the wall: a flush to disk is part of them. Each module says what it measures.
"""

from __future__ import annotations

from bench.ledger.databases import open_server
from bench.measure import Effort
from bench.report import Report
from bench.work.commits import measure_commits, measure_telling
from bench.work.contest import measure_jobs
from bench.work.effects import measure_effects
from bench.work.latency import measure_latency
from bench.work.timers import measure_timers

__all__ = ["measure"]


def measure(effort: Effort) -> Report:
    """All of it, each database in a folder that is thrown away."""
    whole = Report()
    with open_server() as server:
        for each in (
            measure_jobs, measure_effects, measure_latency, measure_commits, measure_telling, measure_timers,
        ):  # fmt: skip
            whole.tables += each(server, effort).tables
    return whole

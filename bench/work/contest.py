"""The same job by stateward and its peers: one durable step, taken from a queue.

`job.py` says what a job is, and what is asked of who does it. All do it in this very process; on PostgreSQL the peers
that are installed take turns with stateward, on one server. None of the peers works on SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from statistics import median

from bench.ledger.databases import Server
from bench.measure import Effort
from bench.report import Report, Table
from bench.work.databases import open_database
from bench.work.job import Drained, Jobs, Paced, drain, pace
from bench.work.our_job import OurJobs
from bench.work.peers import open_peers

__all__ = ["measure_jobs"]

_JOBS = 500
_ROUNDS = 3
_PACED = 100
_PER_SECOND = 50.0
_OURS = "stateward"
_NOTE = (
    "stateward's job is an entity: created when it is enqueued, under a key, and done by its handler's answer; "
    "`enqueue` is its `create_many`. It is one worker, its handler a coroutine. Two engines are as two processes would "
    "be: the one that enqueues can't wake the one that works."
)


def measure_jobs(server: Server, effort: Effort) -> Report:
    """A backlog and a steady pace, beside the peers on PostgreSQL; and ours alone on SQLite."""
    rounds = min(effort.rounds, _ROUNDS)
    with open_peers(server) as (peers, missing), ExitStack() as stack:
        note = f" Not installed here: {', '.join(missing)}." if missing else ""
        ours: dict[str, Jobs] = {
            name: stack.enter_context(
                closing(OurJobs(stack.enter_context(open_database(server, f"work_{place}")), **given))
            )
            for place, (name, given) in enumerate(_WAYS.items())
        }
        # How jobs come to it makes no difference to a backlog.
        drained = _drain_all({_OURS: ours[_OURS], **peers}, rounds, effort)
        paced = _pace_all({**ours, **peers}, effort)
    with ExitStack() as stack:
        ours = {
            name: stack.enter_context(closing(OurJobs(stack.enter_context(open_database(None, "")), **_WAYS[name])))
            for name in (_OURS, _APART)
        }
        drained_alone = _drain_all({_OURS: ours[_OURS]}, rounds, effort)
        paced_alone = _pace_all(ours, effort)
    return Report(
        [
            _drain_table("PostgreSQL", drained, rounds, effort.times(_JOBS), note),
            _pace_table("PostgreSQL", paced, note),
            _drain_table("SQLite", drained_alone, rounds, effort.times(_JOBS), ""),
            _pace_table("SQLite", paced_alone, ""),
        ]
    )


_APART, _TOLD = f"{_OURS}, two engines, polls", f"{_OURS}, two engines, told"
_WAYS: dict[str, dict[str, bool]] = {_OURS: {}, _APART: {"is_apart": True}, _TOLD: {"is_apart": True, "notifies": True}}


def _drain_all(contestants: Mapping[str, Jobs], rounds: int, effort: Effort) -> dict[str, list[Drained]]:
    found: dict[str, list[Drained]] = {name: [] for name in contestants}
    for number in range(rounds + 1):  # the first does not count
        for place, (name, jobs) in enumerate(contestants.items()):
            one = drain(jobs, f"drain_{place}_{number}", effort.times(_JOBS))
            if number:
                found[name].append(one)
    return found


def _pace_all(contestants: Mapping[str, Jobs], effort: Effort) -> dict[str, Paced]:
    return {
        name: pace(jobs, f"pace_{place}", effort.times(_PACED), _PER_SECOND)
        for place, (name, jobs) in enumerate(contestants.items())
    }


def _drain_table(where: str, drained: dict[str, list[Drained]], rounds: int, jobs: int, note: str) -> Table:
    ours = drained[_OURS]
    rows = [
        (
            name,
            f"{Drained.median(each, 'enqueued_per_s'):,.0f}",
            f"{Drained.median(each, 'done_per_s'):,.0f}",
            f"{median([own.done_per_s / one.done_per_s for own, one in zip(ours, each, strict=True)]):.2f} x",
            f"{Drained.median(each, 'p50_ms'):,.0f}",
            f"{Drained.median(each, 'p99_ms'):,.0f}",
        )
        for name, each in drained.items()
    ]
    head = ("", "enqueued/s", "done/s", "ours, done", "to start, p50 ms", "p99 ms")
    text = (
        f"Median of {rounds} rounds in turns. {jobs:,} jobs are enqueued, then workers start; done is counted from the "
        f"first job's start, so that nobody pays for waking up. {_NOTE}"
    )
    return Table(f"A backlog of jobs on {where}", head, rows, text + note)


def _pace_table(where: str, paced: dict[str, Paced], note: str) -> Table:
    rows = [(name, f"{each.p50_ms:,.1f}", f"{each.p99_ms:,.1f}") for name, each in paced.items()]
    text = f"{_PER_SECOND:g} jobs a second, one at a time, while workers wait: from before the enqueuing to the start."
    return Table(f"From enqueued to started on {where}", ("", "p50 ms", "p99 ms"), rows, text + note)

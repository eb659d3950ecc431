"""What a job costs that is committed first and done after: one durable step, taken from a queue in PostgreSQL.

Times are those of the clock on the wall: a flush to disk is part of them. `job.py` says what a job is, and what is
asked of who does it.
"""

from __future__ import annotations

from bench.ledger.databases import open_server
from bench.measure import Effort
from bench.report import Report, Table
from bench.work.job import Drained, Paced, drain, pace
from bench.work.peers import open_peers

__all__ = ["measure"]

_JOBS = 1000
_ROUNDS = 5
_PACED = 400
_PER_SECOND = 50.0


def measure(effort: Effort) -> Report:
    """The peers that are installed here, in turns, on one server."""
    rounds = min(effort.rounds, _ROUNDS)
    drained: dict[str, list[Drained]] = {}
    paced: dict[str, Paced] = {}
    with open_server() as server, open_peers(server) as (peers, missing):
        for number in range(rounds + 1):  # the first does not count
            for place, (name, peer) in enumerate(peers.items()):
                found = drain(peer, f"drain_{place}_{number}", effort.times(_JOBS))
                if number:
                    drained.setdefault(name, []).append(found)
        for place, (name, peer) in enumerate(peers.items()):
            paced[name] = pace(peer, f"pace_{place}", effort.times(_PACED), _PER_SECOND)
    note = f" Not installed here: {', '.join(missing)}." if missing else ""
    return Report([_drain_table(drained, rounds, effort.times(_JOBS), note), _pace_table(paced, note)])


def _drain_table(drained: dict[str, list[Drained]], rounds: int, jobs: int, note: str) -> Table:
    rows = [
        (
            name,
            f"{Drained.median(each, 'enqueued_per_s'):,.0f}",
            f"{Drained.median(each, 'done_per_s'):,.0f}",
            f"{Drained.median(each, 'p50_ms'):,.0f}",
            f"{Drained.median(each, 'p99_ms'):,.0f}",
        )
        for name, each in drained.items()
    ]
    head = ("", "enqueued/s", "done/s", "to start, p50 ms", "p99 ms")
    text = (
        f"Median of {rounds} rounds in turns. {jobs} jobs are enqueued, then workers start; done is counted from the "
        "first job's start, so that nobody pays for waking up."
    )
    return Table("A backlog of jobs on PostgreSQL", head, rows, text + note)


def _pace_table(paced: dict[str, Paced], note: str) -> Table:
    rows = [(name, f"{each.p50_ms:,.1f}", f"{each.p99_ms:,.1f}") for name, each in paced.items()]
    text = f"{_PER_SECOND:g} jobs a second, one at a time, while workers wait: from before the enqueuing to the start."
    return Table("From enqueued to started on PostgreSQL", ("", "p50 ms", "p99 ms"), rows, text + note)

"""What is wrong with a database, worked out from facts alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from stateward.chart import Chart
from stateward.errors import LedgerOutdated, SnapshotInvalid
from stateward.kernel import position_of
from stateward.ledger.checking.ages import Ages, age_faults
from stateward.ledger.checking.facts import Facts, Fault
from stateward.ledger.checking.holders import SNAPSHOT_AGE_S_MAX, holder_faults
from stateward.ledger.checking.waiting import waiting_faults

__all__ = ["find_faults"]

CLOCK_SKEW_S_MAX = 1.0
"""Seconds by which clocks may differ: timers and leases compare times that different machines tell."""
OVERDUE_S_MAX = 300.0
"""Seconds for which an effect may be due, and not be attempted, while there are workers."""


def find_faults(
    facts: Facts,
    charts: Sequence[Chart[Any]] | None,
    *,
    outbox_age_s: float,
    snapshot_age_s: float = SNAPSHOT_AGE_S_MAX,
    ages: Ages | None = None,
    handled: Collection[str] | None = None,
) -> list[Fault]:
    """What is wrong with a database, and what to do about it.

    Args:
        facts: the database.
        charts: the charts that are to run on it; None: they are not known, and nothing is said of versions and states.
        outbox_age_s: how long an effect may wait.
        snapshot_age_s: how long a transaction may last.
        ages: how long things are to be kept, where that is known.
        handled: the effects that are handled, where that is known.
    """
    faults = list(_clock_faults(facts))
    if facts.schema.found != facts.schema.known:
        found, known = facts.schema
        what = f"the schema is at {found}, and this version of stateward knows {known}"
        todo = str(LedgerOutdated(found=found, wanted=known)).rpartition(": ")[2]
        return [*faults, Fault("schema", what, facts.place, todo)]
    if charts is not None:
        by_version = {(chart.kind, chart.version): chart for chart in charts}
        faults += _digest_faults(facts, by_version)
        faults += _state_faults(facts, by_version)
    faults += _census_faults(facts)
    faults += _partition_faults(facts)
    faults += _outbox_faults(facts, outbox_age_s)
    faults += _handler_faults(facts, charts, handled)
    faults += waiting_faults(facts)
    faults += holder_faults(facts, snapshot_age_s)
    faults += age_faults(facts, ages or Ages())
    return faults


def _clock_faults(facts: Facts) -> Iterator[Fault]:
    if abs(facts.skew_s) > CLOCK_SKEW_S_MAX:
        which = "ahead of" if facts.skew_s > 0 else "behind"
        what = f"the server's clock is {abs(facts.skew_s):.1f} s {which} this machine's"
        yield Fault(
            "clock", what, facts.place, "let both keep time by NTP; timers fall due by the clock of the machine"
        )


def _digest_faults(facts: Facts, charts: Mapping[tuple[str, int], Chart[Any]]) -> Iterator[Fault]:
    for version, chart in charts.items():
        digest = facts.lifecycles.get(version, chart.digest)
        if digest != chart.digest:
            what = f"registered with the digest {digest[:12]}, and is now {chart.digest[:12]}"
            yield Fault("digest", what, _version(*version), "give what was changed a new version, or take it back")


def _state_faults(facts: Facts, charts: Mapping[tuple[str, int], Chart[Any]]) -> Iterator[Fault]:
    unknown: dict[tuple[str, int], int] = {}
    kinds = {kind for kind, _ in charts}
    for (kind, version, state), count in sorted(facts.census.items()):
        chart = charts.get((kind, version))
        if chart is None:
            unknown[kind, version] = unknown.get((kind, version), 0) + count
            continue
        try:
            position_of(chart, state)
        except SnapshotInvalid as error:
            where = f"{_version(kind, version)} in {state}"
            todo = "move them with Engine.repair, or give the version back the state that it had"
            yield Fault("state", f"{_entities(count)} there, and {error.problem}", where, todo)
    for (kind, version), count in unknown.items():
        what = f"{_entities(count)} of a {'version' if kind in kinds else 'kind'} that no target has"
        yield Fault("version", what, _version(kind, version), "name its module too, and give it to the engines")


def _census_faults(facts: Facts) -> Iterator[Fault]:
    for line in sorted(facts.census.keys() | facts.entities.keys()):
        told, counted = facts.census.get(line, 0), facts.entities.get(line, 0)
        if told != counted:
            kind, version, state = line
            what = f"the census says {told:,}, and there are {counted:,} entities"
            todo = "something else than stateward wrote to entity or census: find it, then put the count right"
            yield Fault("census", what, f"{_version(kind, version)} in {state}", todo)


def _partition_faults(facts: Facts) -> Iterator[Fault]:
    for name in facts.partitions_missing:
        yield Fault("partition", f"there is no partition {name}", facts.place, "run `stateward db upgrade`")
    if facts.default_records:
        what = f"{facts.default_records:,} records that no month's partition took"
        todo = "they are safe there; before partitions of their months can be made, they must move out of it"
        yield Fault("partition", what, f"record_default, {facts.place}", todo)


def _outbox_faults(facts: Facts, age_s_max: float) -> Iterator[Fault]:
    for kind, effect, count, oldest_at, failing, due_at in facts.outbox:
        age_s = facts.read_at - oldest_at
        if age_s > age_s_max:
            what = f"{_many(count, 'effect')} wait, the oldest for {timedelta(seconds=round(age_s))}"
            what += f"; {failing:,} of them have failed before" if failing else ""
            yield Fault("outbox", what, f"{kind}, {effect}", "see that workers run, and what the last errors were")
        late_s = 0.0 if due_at is None else facts.read_at - due_at
        if late_s > OVERDUE_S_MAX and facts.workers:
            what = (
                f"{_many(failing, 'effect')} that failed, to be attempted again, the first due for "
                f"{timedelta(seconds=round(late_s))}, with {_many(facts.workers, 'worker')} at work"
            )
            todo = "see that workers handle this effect and have room: their --concurrency, and what their log says"
            yield Fault("overdue", what, f"{kind}, {effect}", todo)


def _handler_faults(
    facts: Facts, charts: Sequence[Chart[Any]] | None, handled: Collection[str] | None
) -> Iterator[Fault]:
    """Effects that the application asks for and does not handle; those of other kinds are for others."""
    kinds = {chart.kind for chart in charts or ()}
    for each in facts.outbox:
        if handled is not None and each.kind in kinds and each.effect not in handled:
            what = f"{_many(each.waiting, 'effect')} waiting, and the application has no handler for this type"
            yield Fault(
                "handler",
                what,
                f"{each.kind}, {each.effect}",
                "register one with engine.handles, or see that others do",
            )


def _version(kind: str, version: int) -> str:
    return f"{kind} version {version}"


def _entities(count: int) -> str:
    return f"{count:,} {'entity' if count == 1 else 'entities'}"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

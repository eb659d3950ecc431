"""An event log from elsewhere: what its columns mean, what came of it, and why some of it was refused.

The log is that of the BPI Challenge 2013, cut to the shape of its columns: each row says which status and sub-status an
incident has just entered. Three things make a lifecycle read it:

- the lifecycle itself, `stateward.demo.incidents.IncidentLifecycle`, in two levels as the log's own words are;
- `COLUMNS`: which column says what;
- `NAMES`: which event a pair of status and sub-status stands for.

Run it with `python -m examples.incidents`, which writes a small log of its own, or with the path of the real one:
`python -m examples.incidents incidents.csv.gz`. `stateward import` does the same from the command line.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from stateward import Engine, chart_of
from stateward.demo.incidents import IncidentLifecycle
from stateward.engine import LifecycleTarget
from stateward.ledger.importing import Report, import_log
from stateward.ledger.logs import Log, read_map

COLUMNS = (
    "entity=case",
    "time=time:timestamp",
    "actor=org:resource",
    "event=concept:name,lifecycle:transition",  # both, joined by a slash
    "Event.impact=impact",  # a field of every event that has it
    "Event.product=product",
)
NAMES = {
    "Accepted/In Progress": "WorkBegun",
    "Accepted/Assigned": "Assigned",
    "Accepted/Wait": "Paused",
    "Accepted/Wait - User": "UserAsked",
    "Accepted/Wait - Implementation": "ImplementationAwaited",
    "Accepted/Wait - Vendor": "VendorAsked",
    "Accepted/Wait - Customer": "CustomerAsked",
    "Queued/Awaiting Assignment": "Queued",
    "Completed/Resolved": "Resolved",
    "Completed/In Call": "SolvedInCall",
    "Completed/Closed": "Closed",
    "Completed/Cancelled": "Cancelled",
    "Unmatched/Unmatched": "Unmatched",
}

SAMPLE = """\
case,time:timestamp,concept:name,lifecycle:transition,org:resource,impact,product
1-1,2012-05-01T09:00:00+02:00,Accepted,In Progress,Anne,Medium,PROD582
1-2,2012-05-01T09:05:00+02:00,Queued,Awaiting Assignment,Kofi,Low,PROD13
1-1,2012-05-01T11:00:00+02:00,Accepted,Wait - User,Anne,Medium,PROD582
1-1,2012-05-02T08:30:00+02:00,Completed,Resolved,Anne,Medium,PROD582
1-2,2012-05-02T09:00:00+02:00,Completed,Resolved,Kofi,Low,PROD13
1-1,2012-05-03T08:30:00+02:00,Completed,Closed,Siebel,Medium,PROD582
1-1,2012-05-04T10:00:00+02:00,Accepted,In Progress,Pawel,Medium,PROD582
"""
"""Two of its rows do not belong: nobody has accepted 1-2 who could resolve it, and 1-1 was closed for good."""


def import_incidents(engine: Engine, path: Path) -> Report:
    """Send a log through the lifecycle; run again after an interruption, it goes on where it was."""
    log = Log(path, read_map(chart_of(IncidentLifecycle), COLUMNS, NAMES))
    return import_log(log, LifecycleTarget(engine, IncidentLifecycle))


def tell(engine: Engine, report: Report) -> None:
    """What came of it, and why what was refused was refused."""
    print(
        f"{report.rows} rows, {report.created} incidents: {report.applied.total()} applied,"
        f" {report.already_done.total()} already done, {report.refused.total()} refused"
    )
    for state, count in sorted(engine.census(IncidentLifecycle).items()):
        print(f"  {count} in {state}")
    told = set[tuple[str, str]]()
    events = chart_of(IncidentLifecycle).events
    for followed in engine.tail([IncidentLifecycle]):
        record = followed.record
        if record.outcome != "rejected_invalid" or (record.state_to, record.event) in told:
            continue
        if engine.get(IncidentLifecycle, record.entity).state == record.state_to:  # it has not moved on since
            told.add((record.state_to, record.event))
            event = msgspec.convert(record.payload, events[record.event])
            print(f"{record.entity} by {record.actor}: {engine.why(IncidentLifecycle, record.entity, event)}")


def main(path: Path | None = None) -> None:
    """Import a log onto a SQLite file, and say what came of it."""
    with TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "sample.csv"
            path.write_text(SAMPLE, encoding="utf-8")
        with Engine(Path(folder) / "incidents.db", lifecycles=[IncidentLifecycle]) as engine:
            tell(engine, import_incidents(engine, path))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))

"""The example of the incident log: its map is the demo's, its sample is told, and the real log is read by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from examples import incidents
from stateward import Engine
from stateward.demo.incidents import COLUMNS, EVENTS, IncidentLifecycle


def test_its_map_is_the_one_that_the_demo_reads_the_log_by() -> None:
    assert sorted(incidents.COLUMNS) == sorted(COLUMNS)
    assert {"/".join(pair): kind.__name__ for pair, kind in EVENTS.items()} == incidents.NAMES


def test_a_log_is_imported_once_however_often_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(incidents.SAMPLE, encoding="utf-8")
    with Engine(tmp_path / "incidents.db", lifecycles=[IncidentLifecycle]) as engine:
        reports = [incidents.import_incidents(engine, path) for _ in range(2)]
        assert [(each.rows, each.created, each.earlier) for each in reports] == [(7, 2, 0), (7, 2, 7)]
        assert [each.refused for each in reports] == [
            {("queued.awaiting_assignment", "Resolved"): 1, ("completed.closed", "WorkBegun"): 1}
        ] * 2
        history = list(engine.history(IncidentLifecycle, "1-1"))
    assert [(each.event, each.outcome, each.source) for each in history] == [
        ("Started", "applied", "import"),
        ("WorkBegun", "applied", "import"),
        ("UserAsked", "applied", "import"),
        ("Resolved", "applied", "import"),
        ("Closed", "applied", "import"),
        ("WorkBegun", "rejected_invalid", "import"),
    ]
    assert str(history[1].actor) == "user:Anne"
    assert history[1].occurred_at.isoformat() == "2012-05-01T07:00:00+00:00"


def test_it_runs_and_says_what_was_refused_and_why(printed: Callable[[str], str]) -> None:
    lines = printed("incidents").splitlines()
    assert lines[:3] == [
        "7 rows, 2 incidents: 5 applied, 0 already done, 2 refused",
        "  1 in completed.closed",
        "  1 in queued.awaiting_assignment",
    ]
    told = [line.partition(": ")[2] for line in lines if line.startswith("1-")]
    assert sorted(told) == [
        "Resolved on Incident in queued.awaiting_assignment: illegal, no transition takes it there",
        "WorkBegun on Incident in completed.closed: illegal, no transition takes it there",
    ]

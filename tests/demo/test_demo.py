"""What the demo reads of a ledger, and the incident log that it replays."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stateward import Event, Refusal
from stateward.demo.incidents import EVENTS, IncidentLifecycle
from stateward.demo.orders import Cancel, Charged, Order, OrderLifecycle, Pay, Ship, made_up_lives
from stateward.demo.replay import explain_record, import_incidents, look_back
from stateward.engine import Engine
from stateward.errors import ImportStopped
from stateward.ledger.sqlite import SqliteLedger

REAL_LOG = Path(__file__).parents[3] / "shared" / "data" / "incidents.csv.gz"
AT = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "case,time:timestamp,concept:name,lifecycle:transition,org:resource,impact,product\n"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("memory://", lifecycles=[OrderLifecycle]) as made:
        yield made


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stateward.cli", "demo", *arguments], capture_output=True, text=True, check=False
    )


def live(engine: Engine, order: str, *events: tuple[float, Event]) -> None:
    """An order's events, each so many hours after its beginning."""
    engine.create(OrderLifecycle, order, Order(total=4200), actor="customer:9", occurred_at=AT)
    for hours, event in events:
        engine.attempt(OrderLifecycle, order, event, actor="customer:9", occurred_at=AT + timedelta(hours=hours))


def test_what_happened_to_an_order_is_kept_refusals_included(engine: Engine) -> None:
    paid = [(1, Ship()), (2, Pay(amount=4200)), (3, Pay(amount=4200)), (4, Charged(payment="p1"))]
    live(engine, "A-17", *paid, (5, Ship()), (6, Cancel()))
    history = engine.history(OrderLifecycle, "A-17")
    told = [(each.event, each.state_from, each.state_to, each.outcome, each.reason, each.revision) for each in history]
    assert told == [
        ("Started", None, "pending", "applied", None, 1),
        ("Ship", "pending", "pending", "rejected_invalid", "illegal", 1),
        ("Pay", "pending", "paying", "applied", None, 2),
        ("Pay", "paying", "paying", "already_done", None, 2),
        ("Charged", "paying", "paid", "applied", None, 3),
        ("Ship", "paid", "shipped", "applied", None, 4),
        ("Cancel", "shipped", "shipped", "rejected_invalid", "illegal", 4),
    ]  # fmt: skip
    entity = engine.get(OrderLifecycle, "A-17")
    assert (entity.state, entity.revision, entity.context) == ("shipped", 4, Order(total=4200, payment="p1"))
    assert engine.census(OrderLifecycle) == {"shipped": 1}
    assert engine.why(OrderLifecycle, "A-17", Cancel()).outcome == "illegal"


def test_made_up_lives_are_the_same_for_the_same_seed() -> None:
    lives = list(made_up_lives(100, seed=7))
    assert lives == list(made_up_lives(100, seed=7))
    assert lives != list(made_up_lives(100, seed=8))
    assert len({each.order for each in lives}) == 100


def test_stays_are_measured_between_applied_records(engine: Engine) -> None:
    live(engine, "o", (0, Ship()), (1, Pay(amount=4200)), (3, Charged(payment="p1")), (5, Ship()))
    live(engine, "p", (2, Cancel()))
    looked = look_back(engine, OrderLifecycle)
    stays = {stay.state: stay for stay in looked.stays}
    assert list(stays) == ["pending", "paying", "paid", "shipped", "cancelled"]
    assert (stays["pending"].stays, stays["pending"].longest) == (2, timedelta(hours=2))
    assert stays["pending"].median == timedelta(hours=1.5)
    assert stays["paid"].median == timedelta(hours=2)
    assert (stays["shipped"].entities, stays["shipped"].stays, stays["shipped"].median) == (1, 0, None)
    assert (looked.records, looked.refused, looked.last_refusal) == (7, {("pending", "Ship"): 1}, None)


def test_a_refusal_is_explained_that_nothing_has_happened_since(engine: Engine) -> None:
    """That of o is history: it was paid since. Of the others, a guard's no tells more than there being no way."""
    live(engine, "o", (0, Pay(amount=1)), (1, Pay(amount=4200)))
    live(engine, "p", (0, Ship()))
    live(engine, "q", (0, Pay(amount=7)))
    live(engine, "r", (0, Ship()))
    refused = look_back(engine, OrderLifecycle).last_refusal
    assert refused is not None
    assert (refused.entity, refused.payload) == ("q", {"amount": 7})
    assert explain_record(engine, OrderLifecycle, refused).outcome == "guarded"


# The incident log.


def test_every_pair_of_status_and_substatus_is_an_event_and_every_event_leads_somewhere() -> None:
    assert len(EVENTS) == 13
    from stateward import chart_of

    triggers = {t.trigger.label for t in chart_of(IncidentLifecycle).transitions if t.trigger is not None}
    assert {event.__name__ for event in EVENTS.values()} <= triggers


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("case,when\n1,2\n", "time:timestamp"),
        (HEAD + "1,2010-03-31T16:59:42+02:00,Accepted,Sleeping,u,Low,P\n", "Accepted/Sleeping"),
        (HEAD + "1,yesterday,Accepted,Wait,u,Low,P\n", "line 2: .*yesterday"),
    ],
)
def test_a_log_of_another_form_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with Engine("memory://", lifecycles=[IncidentLifecycle]) as engine:
        with pytest.raises(ImportStopped, match=problem):
            import_incidents(engine, path)
        assert list(engine.list(IncidentLifecycle)) == []
    done = command("--log", str(path), "--db", str(tmp_path / "x.db"))
    assert done.returncode == 2
    assert re.search(problem, done.stderr)


def test_a_missing_or_broken_file_is_told(tmp_path: Path) -> None:
    done = command("--log", str(tmp_path / "none.csv"))
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(HEAD.encode() * 99)[:-9])
    done = command("--log", str(broken), "--db", str(tmp_path / "x.db"))
    assert done.returncode == 2
    assert "broken.csv.gz" in done.stderr


def test_a_log_is_replayed_and_reported_and_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    rows = ("2010-03-31T16:59:42+02:00,Accepted,In Progress", "2010-04-01T16:59:42+02:00,Completed,Closed")
    (tmp_path / "log.csv").write_text(HEAD + "".join(f"1,{row},u,Low,P\n" for row in rows))
    file = tmp_path / "kept.db"
    done = command("--log", str(tmp_path / "log.csv"), "--db", str(file))
    assert done.returncode == 0, done.stderr
    for expected in (
        "2 events of 1 entities",
        "accepted.in_progress             1            0            -             -",
        "accepted.in_progress  Closed      1",
        "why, for 1:\nClosed on Incident in accepted.in_progress: illegal",
    ):
        assert expected in done.stdout
    before = file.read_bytes()
    again = command("--db", str(file))
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert file.read_bytes() == before


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the incident log lies beside the project, not in it")
def test_the_real_log_runs_through_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    thrown_away = SqliteLedger(tmp_path / "incidents.db", synchronous="OFF")
    with Engine(thrown_away, lifecycles=[IncidentLifecycle]) as engine:
        done = import_incidents(engine, REAL_LOG)
        assert (done.events, done.entities) == (65_533, 7_554)
        assert done.applied + done.already_done + done.refused.total() == 65_533
        assert 0 < done.refused.total() < 2_000
        assert sum(engine.census(IncidentLifecycle).values()) == 7_554
        revisions: dict[str, list[int]] = {}
        records = 0
        for entity in engine.list(IncidentLifecycle):
            for record in engine.history(IncidentLifecycle, entity.id):
                records += 1
                if record.outcome == "applied":
                    revisions.setdefault(record.entity, []).append(record.revision)
        assert records == 65_533 + 7_554
        assert all(each == list(range(1, len(each) + 1)) for each in revisions.values()), "revisions are dense from 1"
        answer = engine.attempt(
            IncidentLifecycle, "1-364285768", EVENTS["Accepted", "In Progress"](), actor="user:x", occurred_at=AT
        )
        assert isinstance(answer, Refusal)
        assert answer.state == "completed.closed"

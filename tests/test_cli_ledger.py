"""The commands that look at ledgers and fill them: what they print, where, and what they exit with; on SQLite."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stateward import Chart
from stateward.cli import _group
from stateward.engine import Engine
from stateward.ledger.checking import Facts, SchemaVersions, find_faults
from stateward.ledger.checking.facts import Bloat, Holder
from stateward.ledger.sql import read_migrations
from tests.ledger.lifecycles import Parcel, ParcelLifecycle, Pay, Ship

MIGRATIONS = read_migrations("stateward.ledger.sqlite")
KNOWN = MIGRATIONS[-1].number
"""The schema of this version."""
TARGET = "tests.ledger.lifecycles:ParcelLifecycle"
MAPS = [
    word
    for each in ("entity=case", "time=when", "actor=who", "event=what", "Pay.amount=amount")
    for word in ("--map", each)
]
LOG = """case,when,who,what,amount
p1,2026-01-01T10:00:00Z,ann,Ship,
p1,2026-01-01T11:00:00Z,ann,Pay,100
p2,2026-01-01T12:00:00Z,bob,Pay,5
p1,2026-01-01T13:00:00Z,ann,Pay,100
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file that is not there yet, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STATEWARD_LEDGER", raising=False)
    return tmp_path / "parcels.db"


def run(*arguments: str | Path, code: int = 0) -> Result:
    """Run a command, and hold what it exits with against what it should."""
    done = CliRunner().invoke(_group, [str(each) for each in arguments], prog_name="stateward")
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def fill(path: Path) -> None:
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        for n in range(3):
            engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a")
        engine.send(ParcelLifecycle, "p0", Pay(amount=100), actor="a")


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for each in statements:
            connection.execute(each)
    connection.close()


# db


def test_a_fresh_database_is_ready_after_one_upgrade(path: Path) -> None:
    assert run("db", "upgrade", "--ledger", path).stdout.splitlines() == [
        f"applied {each.number:04}_{each.name}" for each in MIGRATIONS
    ]
    assert (
        run("db", "upgrade", "--ledger", f"sqlite:///{path}").stdout == f"nothing to apply: the schema is at {KNOWN}\n"
    )
    assert run("db", "current", "--ledger", "sqlite:///parcels.db").stdout.split() == [
        "found",
        "known",
        "-----",
        "-----",
        f"{KNOWN}",
        f"{KNOWN}",
    ]
    assert json.loads(run("db", "current", "--ledger", path, "-o", "json").stdout) == [{"found": KNOWN, "known": KNOWN}]
    assert run("db", "check", "--ledger", path).stdout == f"the ledger's schema is current, at {KNOWN}\n"


def test_the_ledger_may_be_named_by_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATEWARD_LEDGER", str(path))
    run("db", "upgrade")
    assert f"current, at {KNOWN}" in run("db", "check").stdout
    assert "no findings" in run("doctor", TARGET).stdout


@pytest.mark.parametrize(("version", "hint"), [(0, "run `stateward db upgrade`"), (99, "upgrade stateward")])
def test_a_schema_that_is_another_is_told(path: Path, version: int, hint: str) -> None:
    change(path, f"PRAGMA user_version = {version}")
    done = run("db", "check", "--ledger", path, code=1)
    assert done.stdout == ""
    assert f"is at {version}, and this version of stateward knows {KNOWN}: {hint}" in done.stderr
    [finding] = json.loads(run("doctor", "--ledger", path, TARGET, "-o", "json", code=1).stdout)
    assert (finding["check"], finding["todo"], finding["where"]) == ("schema", hint, str(path))


@pytest.mark.parametrize("command", [["db", "current"], ["db", "check"], ["doctor", TARGET]])
def test_looking_at_what_is_not_there_makes_nothing(path: Path, command: list[str]) -> None:
    done = run(*command, "--ledger", path, code=5)
    assert done.stderr == f"Error: there is no file {path}; `stateward db upgrade` makes one\n"
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("memory://", "is no database that lasts"),
        ("sqlite://", "is no database that lasts"),
        ("mysql://somewhere", "is no database that lasts"),
        ("postgresql://nobody@localhost:1/none", "postgres: connection failed"),
        ("text.db", "file is not a database"),
    ],
)
def test_a_ledger_that_cannot_be_reached_is_exit_code_5(path: Path, address: str, problem: str) -> None:
    (path.parent / "text.db").write_text("no database at all " * 100)
    for command in (["db", "current"], ["db", "upgrade"], ["doctor", TARGET]):
        assert problem in run(*command, "--ledger", address, code=5).stderr


def test_no_ledger_is_a_usage_error(path: Path) -> None:
    for command in (["db", "upgrade"], ["doctor", TARGET], ["import", __file__, "--lifecycle", TARGET]):
        assert "Missing option '--ledger' (env var: 'STATEWARD_LEDGER')" in run(*command, code=2).stderr


# doctor


def findings(path: Path, *arguments: str) -> list[tuple[str, str, str]]:
    done = CliRunner().invoke(_group, ["doctor", "--ledger", str(path), *(arguments or (TARGET,)), "-o", "json"])
    rows: list[dict[str, str]] = json.loads(done.stdout)
    assert done.exit_code == (1 if rows else 0)
    assert all(row["todo"] for row in rows)
    return [(row["check"], row["what"], row["where"]) for row in rows]


def test_a_ledger_that_is_well_has_no_findings(path: Path) -> None:
    fill(path)
    done = run("doctor", "--ledger", path, TARGET)
    expected = f"no findings; schema {KNOWN}, 3 entities, 2 effects in the outbox; 1 version of lifecycles given\n"
    assert done.stdout == f"{path}: {expected}"
    assert done.stderr == ""
    done = run("doctor", "--ledger", path, TARGET, "-o", "jsonl")
    assert (done.stdout, done.stderr) == ("", f"{path}: {expected}")


def breaks(*statements: str) -> Callable[[Path], None]:
    return lambda path: change(path, *statements)


def breaks_both(what: str) -> Callable[[Path], None]:
    """Of the one paid parcel, in the entity and in the census alike."""
    return breaks(f"UPDATE entity SET {what} WHERE id = 'p0'", f"UPDATE census SET {what} WHERE state = 'paid'")


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (
            breaks("UPDATE lifecycle SET digest = printf('%064d', 0)"),
            [("digest", "registered with the digest 000000000000, and is now", "Parcel version 1")],
        ),
        (
            breaks_both("version = 9"),
            [("version", "1 entity of a version that no target has", "Parcel version 9")],
        ),
        (
            breaks("UPDATE entity SET kind = 'Box'", "UPDATE census SET kind = 'Box'"),
            [("version", "3 entities of a kind that no target has", "Box version 1")],
        ),
        (
            breaks_both("state = 'sold'"),
            [("state", "1 entity there, and", "Parcel version 1 in sold")],
        ),
        (
            breaks_both("state = 'moving'"),
            [("state", "1 entity there, and moving is parallel", "Parcel version 1 in moving")],
        ),
        (
            breaks("DELETE FROM entity WHERE id = 'p0'"),
            [("census", "the census says 1, and there are 0 entities", "Parcel version 1 in paid")],
        ),
        (
            breaks("DELETE FROM census WHERE state = 'ordered'"),
            [("census", "the census says 0, and there are 2 entities", "Parcel version 1 in ordered")],
        ),
        (
            breaks("UPDATE census SET count = -1 WHERE state = 'paid'"),
            [("census", "the census says -1, and there are 1 entities", "Parcel version 1 in paid")],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(path: Path, harm: Callable[[Path], None], expected: list[tuple[str, str, str]]) -> None:
    fill(path)
    harm(path)
    found = findings(path)
    assert [(check, where) for check, _, where in found] == [(check, where) for check, _, where in expected]
    assert all(what.startswith(begins) for (_, what, _), (_, begins, _) in zip(found, expected, strict=True))


def test_effects_that_wait_too_long_are_found(path: Path) -> None:
    fill(path)
    assert findings(path, TARGET, "--outbox-age", "3600") == []
    [(check, what, where)] = findings(path, TARGET, "--outbox-age", "0")
    assert (check, where) == ("outbox", "Parcel, Notify")
    assert what.startswith("2 effects wait, the oldest for 0:00:0")
    run("doctor", "--ledger", path, TARGET, "--outbox-age", "-1", code=2)


def test_findings_are_a_table_for_people(path: Path) -> None:
    fill(path)
    change(path, "DELETE FROM entity WHERE id = 'p0'")
    head, _, row, summary = run("doctor", "--ledger", path, TARGET, code=1).stdout.splitlines()
    assert head.split() == ["check", "what", "where", "what", "to", "do"]
    assert "Parcel version 1 in paid  something else than stateward wrote" in row
    assert ": 1 finding; " in summary


def test_looking_changes_nothing(path: Path) -> None:
    fill(path)
    before = path.read_bytes()
    run("doctor", "--ledger", path, TARGET)
    run("db", "current", "--ledger", path)
    assert path.read_bytes() == before


def test_several_versions_and_packages_may_be_given_and_a_broken_module_is_told(path: Path) -> None:
    fill(path)
    assert [check for check, _, _ in findings(path, "stateward.demo")] == ["version"]
    assert findings(path, "stateward.demo", "tests.ledger.lifecycles") == []
    (path.parent / "doctor_broken.py").write_text("1 / 0\n")
    done = run("doctor", "--ledger", path, "doctor_broken", code=2)
    assert "doctor_broken can't be imported: ZeroDivisionError" in done.stderr


def test_facts_of_a_database_on_a_server_are_judged_too() -> None:
    facts = Facts(
        place="orders on db1", schema=SchemaVersions(1, 1), read_at=0.0, partitions_missing=["record_2026_02"],
        default_records=3, skew_s=-1.5,
    )  # fmt: skip
    told = [(each.check, each.what, each.where) for each in find_faults(facts, [], outbox_age_s=1)]
    assert told == [
        ("clock", "the server's clock is 1.5 s behind this machine's", "orders on db1"),
        ("partition", "there is no partition record_2026_02", "orders on db1"),
        ("partition", "3 records that no month's partition took", "record_default, orders on db1"),
    ]


def test_nobody_working_while_something_waits_is_found(path: Path) -> None:
    fill(path)
    change(path, "UPDATE timer SET due_at = 0 WHERE entity = 'p1'")
    [(check, what, where)] = findings(path)
    assert (check, where) == ("worker", str(path))
    assert what.startswith("nobody works, while 2 effects and 1 due timer wait, the oldest for ")
    change(path, "DELETE FROM timer", "UPDATE outbox SET record = zeroblob(16) WHERE n = 0")
    assert [check for check, _, _ in findings(path)] == ["outbox", "worker"]
    change(path, "INSERT INTO worker VALUES ('w1', 1, 'here', 0)")
    assert [check for check, _, _ in findings(path)] == ["outbox"], "slow workers are another matter"


def test_dead_letters_are_counted_by_effect(path: Path) -> None:
    fill(path)
    letter = "INSERT INTO dead_letter VALUES ('Parcel', 'p0', 2, {}, 0, '{}', '{{}}', zeroblob(16), 3, 'no', {}, NULL)"
    long_ago, now = 1_000_000, time.time_ns() // 1000
    change(path, letter.format(0, "Notify", now), letter.format(1, "Notify", now), letter.format(2, "Bill", long_ago))
    bill, notify = findings(path)
    assert (bill[0], bill[2]) == ("dead", "Parcel, Bill")
    assert bill[1].startswith("1 dead letter, the first of ")
    assert bill[1].endswith(" ago")
    assert notify[1].startswith("2 dead letters, the first of 0:00:0")


KEEPING = """
from datetime import timedelta
from stateward.engine import AsyncEngine, Engine, Retention
from tests.ledger.lifecycles import Notify, ParcelLifecycle

KEPT = Retention(
    receipts=timedelta(days=30), dead_letters=timedelta(days=30), records=timedelta(days=90),
    max_event_age=timedelta(days=30),
)

def engine():
    return Engine("parcels.db", lifecycles=[ParcelLifecycle], retention=KEPT)

def handling():
    made = AsyncEngine("parcels.db", lifecycles=[ParcelLifecycle], retention=KEPT)
    made.handles(Notify)(lambda effect, call: None)
    return made

def in_memory():
    return Engine("memory://", lifecycles=[ParcelLifecycle])
"""
"""Applications for doctor."""


def of_application(name: str) -> list[dict[str, str]]:
    done = CliRunner().invoke(_group, ["doctor", "--app", f"keeping:{name}", "-o", "json"])
    rows: list[dict[str, str]] = json.loads(done.stdout)
    assert done.exit_code == (1 if rows else 0), done.output
    return rows


def test_effects_that_an_application_has_no_handler_for_are_found(path: Path) -> None:
    (path.parent / "keeping.py").write_text(KEEPING)
    fill(path)
    [finding] = of_application("engine")
    assert (finding["check"], finding["what"], finding["where"]) == (
        "handler", "2 effects waiting, and the application has no handler for this type", "Parcel, Notify",
    )  # fmt: skip
    assert of_application("handling") == []
    assert "is in memory" in run("doctor", "--app", "keeping:in_memory", code=2).stderr
    assert "exclude each other" in run("doctor", TARGET, "--app", "keeping:engine", code=2).stderr


def test_what_is_kept_beyond_its_retention_is_found(path: Path) -> None:
    (path.parent / "keeping.py").write_text(KEEPING)
    long_ago = datetime(2024, 3, 5, 12, tzinfo=UTC)
    with Engine(path, lifecycles=[ParcelLifecycle], clock=lambda: long_ago) as engine:
        engine.create(ParcelLifecycle, "old", Parcel(), actor="a", key="k")
    change(path, "DELETE FROM timer")
    letter = (
        "INSERT INTO dead_letter VALUES ('Parcel', 'old', 2, 0, 0, 'Notify', '{{}}', zeroblob(16), 3, 'no', {}, NULL)"
    )
    change(path, letter.format(1_700_000_000_000_000))
    found = {(each["check"], each["what"].partition(" go after ")[0][:40]): each for each in of_application("handling")}
    assert ("retention", "receipts") in found
    assert ("retention", "dead letters") in found
    [month] = [each for each in found.values() if "2024-03" in each["what"]]
    assert month["what"] == "records are kept for 90 days, 0:00:00, and those of 2024-03 are still there"
    assert month["todo"].startswith("`stateward archive 2024-03 --to FOLDER --older-than 90` ")
    # What it says is to be done can be done, once the receipts are gone.
    change(path, "DELETE FROM receipt")
    run("archive", "2024-03", "--to", path.parent, "--older-than", "90", "--ledger", path, "--apply")
    # A ledger alone says nothing of how long things are to be kept.
    assert [each for each in findings(path, "tests.ledger.lifecycles") if each[0] == "retention"] == []


def test_effects_that_were_due_long_ago_are_found_though_workers_work(path: Path) -> None:
    fill(path)
    ago = time.time_ns() // 1000 - 3_000_000_000
    change(
        path, "INSERT INTO worker VALUES ('w1', 1, 'here', 0)",
        f"UPDATE outbox SET attempts = 2, last_error = 'no', next_attempt = {ago} WHERE n = 0",
    )  # fmt: skip
    [(check, what, where)] = findings(path)
    assert (check, where) == ("overdue", "Parcel, Notify")
    assert what.startswith("1 effect that failed, to be attempted again, the first due for 0:50:0")
    assert what.endswith(", with 1 worker at work")
    change(path, f"UPDATE outbox SET next_attempt = {ago + 6_000_000_000} WHERE n = 0")
    assert findings(path) == [], "it waits for its time"


def test_a_ledger_alone_is_looked_at_without_versions_and_states(path: Path) -> None:
    fill(path)
    assert run("doctor", "--ledger", path).stdout.endswith("0 versions of lifecycles given\n")
    change(path, "DELETE FROM entity WHERE id = 'p0'", "PRAGMA user_version = 1")
    done = json.loads(run("doctor", "--ledger", path, "-o", "json", code=1).stdout)
    assert [each["check"] for each in done] == ["schema"]


def test_pauses_that_may_be_forgotten_are_found(path: Path) -> None:
    fill(path)
    day, now = 86_400_000_000, time.time_ns() // 1000
    pause = "INSERT INTO pause VALUES ('effect', '{}', 'bank is away', {}, 'operator:7', {}, {})"
    change(
        path, pause.format("Old", now - 2 * day, "NULL", "NULL"), pause.format("New", now - day // 2, "NULL", "NULL"),
        pause.format("Over", now - 2 * day, now, "'operator:8'"),
    )  # fmt: skip
    assert findings(path) == [("pause", "paused by operator:7 for 2 days, 0:00:00: bank is away", "effect Old")]


def test_what_holds_others_up_on_a_server_is_judged_too() -> None:
    facts = Facts(
        place="orders on db1", schema=SchemaVersions(1, 1), read_at=0.0,
        holders=[
            Holder("transaction", "pid 7, psql, idle in transaction", "7", "orders", 301.0, 5, False),
            Holder("transaction", "pid 8, psql, idle in transaction", "8", "orders", 301.0, 0, False),
            Holder("transaction", "pid 9, psql, active", "9", "orders", 299.0, 5, True),
            Holder("prepared transaction", "x1, of ann", "x1", "orders", 9000.0, 5, True),
            Holder("replication slot", "old, which nobody uses", "old", "orders", 0.0, 1_000_001, False),
            Holder("standby", "pid 10, north", "10", "orders", 0.0, 1_000_000, False),
        ],
        bloat=[Bloat("outbox", 10, 10_001), Bloat("entity", 5_001, 10_001), Bloat("timer", 0, 10_000)],
        next_rank=7, last_rank=7,
    )  # fmt: skip
    told = find_faults(facts, [], outbox_age_s=1)
    keeps = "keeps dead rows from being removed"
    assert [(each.check, each.what, each.where) for each in told] == [
        (
            "snapshot", f"a transaction that has lasted for 0:05:01 {keeps}",
            "pid 7, psql, idle in transaction, database orders",
        ),
        (
            "snapshot",
            f"a prepared transaction that has lasted for 2:30:00 holds up readers behind a cursor and {keeps}",
            "x1, of ann, database orders",
        ),
        (
            "snapshot", f"a replication slot that has lasted for 1,000,001 transactions {keeps}",
            "old, which nobody uses, database orders",
        ),
        (
            "vacuum", "10,001 dead rows beside 10 live ones: vacuum can't keep up, or is kept from it",
            "outbox, orders on db1",
        ),
        (
            "rank", "the next record may be given rank 7, and there is one at 7",
            "record_rank, orders on db1",
        ),
    ]  # fmt: skip
    assert "pg_terminate_backend(7)" in told[0].todo
    assert "ROLLBACK PREPARED 'x1'" in told[1].todo


# tail


def test_the_last_records_are_printed_a_line_each(path: Path) -> None:
    fill(path)
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        engine.attempt(ParcelLifecycle, "p1", Ship(), actor="bob:1")
        engine.create(ParcelLifecycle, "p\n9\x1b[0m", Parcel(), actor="a")
        cursors = [each.cursor for each in engine.tail()]
    done = run("tail", "--ledger", path)
    lines = [line.split("  ", 1)[1] for line in done.stdout.splitlines()]
    assert lines == [
        "Parcel p0 1  Started  ordered  a", "Parcel p1 1  Started  ordered  a", "Parcel p2 1  Started  ordered  a",
        "Parcel p0 2  Pay  ordered -> paid  a", "Parcel p1 1  Ship  ordered: rejected_invalid (illegal)  bob:1",
        "Parcel p 9 [0m 1  Started  ordered  a",
    ]  # fmt: skip
    assert done.stderr == f"cursor: {cursors[-1]}\n"
    assert run("tail", "--ledger", path, "-n", "2").stdout == "".join(done.stdout.splitlines(keepends=True)[-2:])
    assert run("tail", "--ledger", path, "--kind", "Nobody").output == ""
    first = run("tail", "--ledger", path, "--all", "-n", "1")
    assert (first.stdout, first.stderr) == (done.stdout.splitlines(keepends=True)[0], f"cursor: {cursors[0]}\n")
    rest = run("tail", "--ledger", path, "--after", cursors[3], "--kind", "Parcel")
    assert rest.stdout == "".join(done.stdout.splitlines(keepends=True)[4:])
    nothing = run("tail", "--ledger", path, "--after", cursors[-1])
    assert (nothing.stdout, nothing.stderr) == ("", f"cursor: {cursors[-1]}\n")


def test_programs_get_an_object_for_each_record_with_its_cursor(path: Path) -> None:
    fill(path)
    rows = [json.loads(line) for line in run("tail", "--ledger", path, "--all", "-o", "jsonl").stdout.splitlines()]
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        assert [(row["id"], row["cursor"]) for row in rows] == [(each.id, cursor) for each, cursor in engine.tail()]
    assert rows[-1]["payload"] == {"amount": 100, "note": "", "ratio": 0.0}
    assert rows[-1]["actor"] == "a"


def test_following_ends_cleanly_with_ctrl_c(path: Path) -> None:
    fill(path)
    words = [sys.executable, "-m", "stateward.cli", "tail", "--ledger", str(path), "-f", "-n", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().endswith("Pay  ordered -> paid  a\n")
            with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
                engine.send(ParcelLifecycle, "p0", Ship(), actor="a")
                [(_, cursor)] = engine.tail(last=1)
            assert "Ship  paid -> moving" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, rest, told) == (0, "", f"cursor: {cursor}\n")


def test_what_can_not_be_tailed_is_told(path: Path) -> None:
    assert run("tail", "--ledger", path, code=5).stderr.startswith("Error: there is no file")
    fill(path)
    assert "no cursor that a tail has given" in run("tail", "--ledger", path, "--after", "x", code=2).stderr
    other = "7-01a20f61-73e5-7002-816e-268a0c9b73d7"
    assert "its record is not in this ledger" in run("tail", "--ledger", path, "--after", other, code=2).stderr
    assert "different places" in run("tail", "--ledger", path, "--after", other, "--all", code=2).stderr
    change(path, "PRAGMA user_version = 1")
    assert "run `stateward db upgrade`" in run("tail", "--ledger", path, code=2).stderr


# import


@pytest.fixture
def log(path: Path) -> Path:
    file = path.parent / "log.csv"
    file.write_text(LOG)
    return file


def test_an_import_reports_on_stdout(path: Path, log: Path) -> None:
    words: list[str | Path] = ["import", log, "--lifecycle", TARGET, "--ledger", path, *MAPS]
    done = run(*words)
    summary, head, _, *rows = done.stdout.splitlines()
    assert summary.startswith("4 rows in ")
    assert summary.endswith(" s, 2 entities started: 1 applied, 1 already done, 2 refused")
    assert head.split() == ["in", "state", "event", "applied", "already", "done", "refused", "reason"]
    assert [row.split() for row in rows] == [
        ["ordered", "Pay", "1", "0", "1", "guarded"],
        ["ordered", "Ship", "0", "0", "1", "illegal"],
        ["paid", "Pay", "0", "1", "0"],
    ]
    assert done.stderr == ""
    done = run(*words, "-o", "jsonl")
    assert "; 4 of the rows by an earlier run\n" in done.stderr
    assert [json.loads(each) for each in done.stdout.splitlines()] == [
        {"state": "ordered", "event": "Pay", "applied": 1, "already_done": 0, "refused": 1, "reasons": ["guarded"]},
        {"state": "ordered", "event": "Ship", "applied": 0, "already_done": 0, "refused": 1, "reasons": ["illegal"]},
        {"state": "paid", "event": "Pay", "applied": 0, "already_done": 1, "refused": 0, "reasons": []},
    ]
    assert findings(path) == []


def test_an_import_that_is_interrupted_goes_on(path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.ledger.importing.BATCH_SIZE", 2)
    monkeypatch.setattr("stateward.cli.importing._PROGRESS_EVERY", 1)
    words: list[str | Path] = ["import", log, "--lifecycle", TARGET, "--ledger", path, *MAPS]

    def interrupt(text: str, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("stateward.cli.importing.click.echo", interrupt)
        done = CliRunner().invoke(_group, [str(each) for each in words])
    assert (done.exit_code, done.stderr.strip()) == (130, "Interrupted")
    done = run(*words)
    assert "1 applied, 1 already done, 2 refused; 2 of the rows by an earlier run\n" in done.stdout
    first, last = done.stderr.splitlines()
    assert first.startswith("100%  2 rows, 1 entities started, 1 refused, ")
    assert last.startswith("100%  4 rows, 2 entities started, 2 refused, ")


def test_bad_rows_stop_it_or_are_counted(path: Path, log: Path) -> None:
    log.write_text(LOG + "p3,now,ann,Pay,1\n")
    words: list[str | Path] = ["import", log, "--lifecycle", TARGET, "--ledger", path, *MAPS]
    done = run(*words, code=2)
    assert done.stderr == f"Error: {log}, line 6: when is 'now', no time in ISO 8601\n"
    assert done.stdout == ""
    done = run(*words, "--skip-bad", code=1)
    assert ": 1 applied, 1 already done, 2 refused, 1 bad\n" in done.stdout
    assert done.stderr == f"{log}, line 6: when is 'now', no time in ISO 8601\n"


def test_a_row_that_has_changed_since_is_a_conflict(path: Path, log: Path) -> None:
    words: list[str | Path] = ["import", log, "--lifecycle", TARGET, "--ledger", path, *MAPS]
    run(*words)
    log.write_text(LOG.replace("bob,Pay", "bob,Ship"))
    assert "line 4: this is Ship of" in run(*words, code=4).stderr


def test_events_actors_and_zones_by_option(path: Path, log: Path) -> None:
    log.write_text("case;when;what\np1;2026-07-01T12:00:00;bill/settled\np1;2026-07-01T12:00:00Z;Ship\n")
    (path.parent / "events.json").write_text('{"bill/settled": "Pay"}')
    run(
        "import", log, "--lifecycle", TARGET, "--ledger", path, *("--map", "entity=case", "--map", "time=when"),
        *("--map", "event=what", "--events", "events.json", "--actor", "service:old", "--zone", "Europe/Berlin"),
        *("--delimiter", ";"),
    )  # fmt: skip
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        _, paid, _ = engine.history(ParcelLifecycle, "p1")
    assert (paid.event, str(paid.actor)) == ("Pay", "service:old")
    assert paid.occurred_at == datetime(2026, 7, 1, 10, tzinfo=UTC)


table = Chart.from_table([("a", Ship, "b")], kind="Table", context=Parcel, initial="a", final=("b",))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--lifecycle", TARGET, "--map", "entity=case"], "nothing says which column is the time and the event"),
        (["--lifecycle", TARGET, *MAPS, "--map", "colour=case"], "colour can't be mapped"),
        (["--lifecycle", TARGET, *MAPS, "--map", "Pay.note=nowhere"], "line 1: has no column nowhere; it has case,"),
        (["--lifecycle", TARGET, *MAPS, "--events", "log.csv"], "log.csv is no JSON: "),
        (["--lifecycle", TARGET, *MAPS, "--events", "list.json"], "list.json is no JSON object"),
        (["--lifecycle", TARGET, *MAPS, "--events", "wrong.json"], "'x': Parcel has no event 'Buy'"),
        (["--lifecycle", TARGET, *MAPS, "--zone", "Mars/Base"], "there is no time zone 'Mars/Base'"),
        (["--lifecycle", TARGET, *MAPS, "--zone", "../etc"], "there is no time zone '../etc'"),
        (["--lifecycle", TARGET, *MAPS, "--delimiter", ";;"], "--delimiter is one character"),
        (["--lifecycle", "tests.test_cli_ledger:table", *MAPS], "is a chart of its own"),
        (["--lifecycle", "tests.ledger.nowhere", *MAPS], "tests.ledger.nowhere can't be imported"),
        (MAPS, "Missing option '--lifecycle'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_arguments_is_a_usage_error(
    path: Path, log: Path, arguments: list[str], problem: str
) -> None:
    (path.parent / "list.json").write_text("[]")
    (path.parent / "wrong.json").write_text('{"x": "Buy"}')
    done = run("import", log, "--ledger", path, *arguments, code=2)
    assert problem in done.stderr
    assert done.stdout == ""


def test_a_ledger_that_is_away_is_exit_code_5(path: Path, log: Path) -> None:
    done = run("import", log, "--lifecycle", TARGET, "--ledger", "nowhere/parcels.db", *MAPS, code=5)
    assert "unable to open database file" in done.stderr


def test_the_command_is_called_import(path: Path, log: Path) -> None:
    words = [sys.executable, "-m", "stateward.cli", "import", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: stateward import [OPTIONS] FILE\n")

"""A month of records is written to a file, read back, and only then dropped: on SQLite, from a partition of its own on
PostgreSQL, and from the default partition there.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import conninfo_to_dict

import stateward.ledger.archiving as archiving_module
import stateward.ledger.postgres.archiving as postgres_archiving
from stateward.cli import _group
from stateward.engine import Engine, Retention
from stateward.errors import ArchiveFailed, ArchiveRefused, LedgerUnavailable
from stateward.ledger.archives import Month, check_archive, read_archive, read_manifest
from stateward.ledger.archiving import Records, archive_month, check_age
from stateward.ledger.checking import find_faults, open_database
from stateward.ledger.ids import first_id
from stateward.ledger.postgres.archiving import open_records as open_postgres
from stateward.ledger.rows import RecordRow
from stateward.ledger.sqlite import SqliteLedger
from stateward.ledger.sqlite.archiving import open_records as open_sqlite
from stateward.work.retention import expire
from tests.ledger.faults_counting import Count, CountLifecycle, Tick, check_engine
from tests.ledger.servers import Server

ROOT = Path(__file__).parents[2]
MARCH = Month(2024, 3)
ALL = [Month(2024, number) for number in (3, 4, 5)]
NOW = datetime(2024, 7, 1, tzinfo=UTC)
KEPT = Retention(receipts=timedelta(days=30), max_event_age=timedelta(days=7))


class Place:
    """A database with three months of records, and what is done to it from outside."""

    def __init__(self, address: str, server: Server | None) -> None:
        self.address = address
        self._server = server
        self.has_partition = False

    @property
    def is_sqlite(self) -> bool:
        return self._server is None

    def execute(self, sql: str) -> list[Any]:
        if self._server is None:
            with closing(sqlite3.connect(self.address, isolation_level=None)) as connection:
                return connection.execute(sql).fetchall()
        with psycopg.connect(self.address, autocommit=True) as postgres:
            cursor = postgres.execute(sql.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def records(self) -> AbstractContextManager[Records]:
        return open_sqlite(self.address) if self._server is None else open_postgres(self.address)

    def rows(self, *months: Month) -> list[RecordRow]:
        with self.records() as records:
            return [row for month in months or ALL for row in records.read_page(month, "", 10_000)]

    def copy(self) -> Place:
        """The same in a database of its own."""
        if self._server is None:
            address = f"{self.address}.{uuid4().hex}"
            shutil.copy(self.address, address)
            return Place(address, None)
        name, source = f"t{uuid4().hex}", conninfo_to_dict(self.address)["dbname"]
        with psycopg.connect(self._server.uri(), autocommit=True) as postgres:
            postgres.execute(f"CREATE DATABASE {name} TEMPLATE {source}".encode())
        return Place(self._server.uri(name), self._server)

    def drop(self) -> None:
        if self._server is not None:
            name = conninfo_to_dict(self.address)["dbname"]
            with psycopg.connect(self._server.uri(), autocommit=True) as postgres:
                postgres.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime(2024, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "partition", "default"])
def place(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Place:
    """Records from the beginning of March into May; their receipts have come to their age."""
    if request.param == "sqlite":
        made = Place(str(tmp_path / "ledger.db"), None)
    else:
        made = Place(request.getfixturevalue("postgres_dsn"), request.getfixturevalue("postgres_server"))
    Engine(made.address, lifecycles=[CountLifecycle]).close()
    if request.param == "partition":
        made.execute("SELECT stateward_make_partition('2024-03-15')")
        made.has_partition = True
    with Engine(made.address, lifecycles=[CountLifecycle], clock=clock) as engine:
        fill(engine, clock)
        clock.now = NOW
        expire_receipts(engine)
    return made


def expire_receipts(engine: Engine) -> None:
    while engine._ledger.run(expire(KEPT, int(NOW.timestamp() * 1_000_000))).has_more:
        pass


def fill(engine: Engine, clock: Clock) -> None:
    """A tick a day, refused attempts among them; c0 lives through all of it, c1 begins in the month."""
    engine.create(CountLifecycle, "c0", Count(), actor="a:1", key="made")
    for n in range(70):
        clock.now += timedelta(days=1)
        if n == 10:
            engine.create(CountLifecycle, "c1", Count(), actor='Zoë "z"\n:1', occurred_at=NOW - timedelta(days=999))
        if n % 7 == 2:
            engine.attempt(CountLifecycle, "c0", Tick(n=n), actor="a:1", key="early", expected_revision=99)
        engine.send(CountLifecycle, "c1" if n > 10 and n % 3 == 0 else "c0", Tick(n=n), actor="a:1", key=f"k{n}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archives"


def archive(place: Place, folder: Path, *, month: Month = MARCH) -> Any:
    with place.records() as records:
        return archive_month(records, month, folder, now=NOW, older_than=None, applies=True)


def run(*arguments: str | Path, code: int = 0) -> Result:
    done = CliRunner().invoke(_group, [str(each) for each in arguments], prog_name="stateward")
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def check_append_only(place: Place) -> None:
    """Nothing can be deleted or changed, in what is left either."""
    refused: Any = (sqlite3.IntegrityError, psycopg.errors.IntegrityConstraintViolation)
    for statement in ("DELETE FROM record", "UPDATE record SET event = 'x'"):
        with pytest.raises(refused, match="append-only"):
            place.execute(statement)
    if not place.is_sqlite:
        with pytest.raises(refused, match="append-only"):
            place.execute("DELETE FROM record_default")


# What is done.


def test_a_month_is_written_and_read_back_and_only_then_dropped(place: Place, folder: Path, clock: Clock) -> None:
    before = place.rows()
    march = place.rows(MARCH)
    assert 30 < len(march) < len(before) - 30
    done = run("archive", "2024-03", "--ledger", place.address, "--to", folder, "--apply")
    assert f"{len(march)} records of 2024-03 written to {folder / 'record-2024-03.jsonl.gz'}" in done.output
    assert list(read_archive(folder / "record-2024-03.jsonl.gz")) == march
    assert place.rows() == [row for row in before if row not in march]
    check_append_only(place)
    tables = [] if place.is_sqlite else [name for (name,) in place.execute("SELECT relname FROM pg_class")]
    assert "record_2024_03" not in tables
    with Engine(place.address, lifecycles=[CountLifecycle], clock=clock) as engine:
        left = list(engine.history(CountLifecycle, "c0"))
        assert [row.id for row in left] == [row.id for row in before if row.entity == "c0" and row not in march]
        assert left[0].revision > 20, "the history begins later"
        assert next(engine.history(CountLifecycle, "c1")).revision > 1
        assert engine.get(CountLifecycle, "c1").revision == len([row for row in before if row.entity == "c1"])
        ticked = engine.send(CountLifecycle, "c0", Tick(n=99), actor="a:1", key="new")
        assert engine.send(CountLifecycle, "c0", Tick(n=99), actor="a:1", key="new").record == ticked.record
        assert sum(engine.census(CountLifecycle).values()) == 2
    with open_database(place.address) as database:
        faults = find_faults(database.read_facts(), [], outbox_age_s=1e12)
    assert {each.check for each in faults} <= {"version", "partition", "worker"}
    assert not [each for each in faults if "there is no partition" in each.what]


def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(place: Place, folder: Path) -> None:
    before = place.rows()
    done = run("archive", "2024-03", "--ledger", place.address, "--to", folder)
    assert f"{len(place.rows(MARCH))} records of 2024-03 would be written to {folder}" in done.output
    assert not folder.exists()
    assert place.rows() == before


def test_the_archive_is_plain_json_with_a_manifest(place: Place, folder: Path) -> None:
    march = place.rows(MARCH)
    archive(place, folder)
    with gzip.open(folder / "record-2024-03.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["id"] for line in lines] == [row.id for row in march]
    assert lines[3] == {**march[3]._asdict(), "payload": json.loads(march[3].payload)}
    manifest = read_manifest(folder / "record-2024-03.json")
    assert manifest == check_archive(folder / "record-2024-03.jsonl.gz")
    assert (manifest.records, manifest.first, manifest.last) == (len(march), march[0].id, march[-1].id)
    assert (manifest.month, manifest.file, manifest.written_at) == ("2024-03", "record-2024-03.jsonl.gz", NOW)
    assert sorted(each.name for each in folder.iterdir()) == ["record-2024-03.json", "record-2024-03.jsonl.gz"]


def test_months_go_one_by_one_until_nothing_old_is_left(place: Place, folder: Path, clock: Clock) -> None:
    before = place.rows()
    for month in ALL:
        archive(place, folder, month=month)
    assert place.rows() == []
    assert [row for month in ALL for row in read_archive(folder / f"record-{month}.jsonl.gz")] == before
    assert archive(place, folder).records == 0
    assert (
        "has no records of 2024-03"
        in run("archive", "2024-03", "--ledger", place.address, "--to", folder, "--apply").output
    )
    with Engine(place.address, lifecycles=[CountLifecycle], clock=clock) as engine:
        assert list(engine.history(CountLifecycle, "c0")) == []
        assert engine.send(CountLifecycle, "c0", Tick(n=50), actor="a:1").revision > 20


# What is refused.


def test_months_are_archived_in_their_order(place: Place, folder: Path) -> None:
    before = place.rows()
    told = run("archive", "2024-04", "--ledger", place.address, "--to", folder, "--apply", code=3).output
    assert "there are older records than those of 2024-04: archive 2024-03 first" in told
    assert place.rows() == before


def test_an_import_whose_records_are_archived_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads from the histories what it has done; what was refused then would be tried in the state of now."""
    monkeypatch.chdir(tmp_path)
    Path("log.csv").write_text(
        "case,when,who,what\np1,2026-01-01T10:00Z,a,Ship\np1,2026-01-01T11:00Z,a,Pay\np1,2026-01-01T12:00Z,a,Ship\n"
    )
    maps = [word for each in ("entity=case", "time=when", "actor=who", "event=what") for word in ("--map", each)]
    target = "tests.ledger.lifecycles:ParcelLifecycle"
    words = ["import", "log.csv", "--lifecycle", target, "--ledger", "parcels.db", *maps]
    run(*words)
    place = Place("parcels.db", None)
    later = datetime.now(UTC) + timedelta(days=100)
    with closing(SqliteLedger(place.address)) as ledger:
        ledger.run(expire(KEPT, int(later.timestamp() * 1_000_000)))
    with place.records() as records:
        month = Month.holding(records.find_oldest() or "")
        assert archive_month(records, month, tmp_path, now=later, older_than=None, applies=True).records == 4
    told = run(*words, code=4).output
    assert "Parcel p1: its older records are archived" in told
    assert place.execute("SELECT count(*) FROM record") == [(0,)]


@pytest.mark.parametrize(
    ("now", "days", "told"),
    [
        (datetime(2024, 3, 31, 23, 59, tzinfo=UTC), None, "is not over"),
        (datetime(2024, 3, 31, 23, 59, tzinfo=UTC), 0, "is not over"),
        (datetime(2024, 4, 30, 23, 59, tzinfo=UTC), None, "has just ended"),
        (datetime(2024, 5, 1, tzinfo=UTC), None, None),
        (datetime(2024, 4, 1, tzinfo=UTC), 0, None),
        (datetime(2024, 4, 10, tzinfo=UTC), 10, r"ended 9 days, 0:00:00 ago, and records are kept for 10 days"),
        (datetime(2024, 4, 11, tzinfo=UTC), 10, None),
    ],
)
def test_a_month_is_archived_when_it_is_old_enough(now: datetime, days: int | None, told: str | None) -> None:
    age = None if days is None else timedelta(days=days)
    if told is None:
        check_age(MARCH, now, age)
    else:
        with pytest.raises(ArchiveRefused, match=f"2024-03 {told}"):
            check_age(MARCH, now, age)


def test_the_month_that_has_just_ended_is_refused_by_the_command(place: Place, folder: Path) -> None:
    now = datetime.now(UTC)
    last = now.replace(day=1) - timedelta(days=1)
    assert "is not over" in run("archive", f"{now:%Y-%m}", "--ledger", place.address, "--to", folder, code=3).output
    assert "has just ended" in run("archive", f"{last:%Y-%m}", "--ledger", place.address, "--to", folder, code=3).output
    given = ("archive", f"{last:%Y-%m}", "--ledger", place.address, "--to", folder, "--older-than", "0")
    assert "archive 2024-03 first" in run(*given, code=3).output, "it is old enough"


@pytest.mark.parametrize("text", ["2024-13", "2024-3", "march", "2024-03-01", ""])
def test_what_is_no_month_is_told(place: Place, folder: Path, text: str) -> None:
    assert "is no month" in run("archive", text, "--ledger", place.address, "--to", folder, code=3).output


def test_a_month_whose_records_receipts_name_is_refused(place: Place, folder: Path, clock: Clock) -> None:
    zero = "zeroblob(16)" if place.is_sqlite else "'00000000-0000-0000-0000-000000000000'"
    place.execute(f"UPDATE expiry SET through = {zero}")
    add_late(place, clock, 70, key="late")
    before = place.rows()
    told = run("archive", "2024-03", "--ledger", place.address, "--to", folder, "--apply", code=3).output
    assert "receipts name records of 2024-03" in told
    assert place.rows() == before
    assert not folder.exists()
    with Engine(place.address, lifecycles=[CountLifecycle], clock=clock) as engine:
        expire_receipts(engine)
    assert archive(place, folder).records == len(before) - len(place.rows())


# Runs that end in between.


def archived_in(folder: Path) -> list[RecordRow]:
    """Whatever whole archives hold, each record once."""
    rows: dict[str, RecordRow] = {}
    for manifest in sorted(folder.glob("*.json")) if folder.exists() else []:
        for row in read_archive(folder / read_manifest(manifest).file):
            assert rows.setdefault(row.id, row) == row
    return [rows[each] for each in sorted(rows)]


def test_killed_at_any_step_nothing_is_lost_and_the_next_run_completes(place: Place, tmp_path: Path) -> None:
    before, march = place.rows(), place.rows(MARCH)
    steps = 0
    for step in range(1, 100):
        one, folder = place.copy(), tmp_path / f"archives-{step}"
        command = [sys.executable, "-m", "tests.ledger.archive_child", one.address, str(MARCH), str(folder), str(step)]
        child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert child.returncode in (0, -signal.SIGKILL), child.stderr
        there, kept = one.rows(), archived_in(folder)
        assert {*there, *kept} == {*before}, f"killed before step {step}, something is lost"
        assert there in (before, [row for row in before if row not in march]), "a month is dropped as a whole"
        check_append_only(one)
        done = archive(one, folder)
        assert one.rows() == [row for row in before if row not in march]
        assert archived_in(folder) == march
        assert done.records in (0, len(march))
        names = sorted(each.name for each in folder.iterdir())
        assert names == ["record-2024-03.json", "record-2024-03.jsonl.gz"], "no part of a file is left, and no second"
        check_append_only(one)
        one.drop()
        if child.returncode == 0:
            steps = step
            break
    assert steps > 15, "the child came by each of its steps"


# Others at the same time, and afterwards.


def add_late(place: Place, clock: Clock, n: int, key: str | None = None) -> None:
    """A record of the month that comes when the month is long over: of a process whose clock is wrong."""
    clock.now = datetime(2024, 3, 15, tzinfo=UTC)
    with Engine(place.address, lifecycles=[CountLifecycle], clock=clock) as engine:
        engine.send(CountLifecycle, "c0", Tick(n=n), actor="a:1", key=key)
    clock.now = NOW


def test_records_that_come_while_it_is_read_keep_the_month_from_being_dropped(
    place: Place, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, march = place.rows(), place.rows(MARCH)
    checked = check_archive

    def check(path: Path | str) -> Any:
        add_late(place, clock, 80)
        return checked(path)

    monkeypatch.setattr(archiving_module, "check_archive", check)
    with pytest.raises(ArchiveRefused, match="have come or gone since they were read: run it again"):
        archive(place, folder)
    monkeypatch.undo()
    assert len(place.rows()) == len(before) + 1
    assert archived_in(folder) == march
    late = place.rows(MARCH)
    assert archive(place, folder).file == "record-2024-03.2.jsonl.gz"
    assert archived_in(folder) == late


def test_records_that_come_after_the_drop_get_an_archive_of_their_own(place: Place, folder: Path, clock: Clock) -> None:
    march = place.rows(MARCH)
    archive(place, folder)
    add_late(place, clock, 81, key="behind the mark of receipts, which is past March")
    [late] = place.rows(MARCH)
    done = archive(place, folder)
    assert (done.file, done.records, done.was_there) == ("record-2024-03.2.jsonl.gz", 1, False)
    assert list(read_archive(folder / "record-2024-03.jsonl.gz")) == march
    assert list(read_archive(folder / "record-2024-03.2.jsonl.gz")) == [late]
    assert place.rows(MARCH) == []


def test_a_month_that_a_restored_backup_brings_back_is_dropped_under_the_archive_that_is_there(
    place: Place, folder: Path
) -> None:
    restored = place.copy()
    archive(place, folder)
    done = archive(restored, folder)
    assert (done.file, done.was_there) == ("record-2024-03.jsonl.gz", True)
    assert restored.rows() == place.rows()
    assert len(list(folder.iterdir())) == 2
    restored.drop()


def test_two_runs_at_once_are_told(place: Place, folder: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    before = place.rows()
    folder.mkdir()
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(ArchiveRefused, match="another process is archiving"):
        archive(place, folder)
    os.close(held)
    assert place.rows() == before
    archive(place, folder)


# Files that fail.


def damage(folder: Path, how: str) -> None:
    data, manifest = folder / "record-2024-03.jsonl.gz", folder / "record-2024-03.json"
    content = data.read_bytes()
    if how == "a byte":
        data.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    elif how == "cut":
        data.write_bytes(content[: len(content) // 2])
    elif how == "a line less":
        lines = gzip.decompress(content).splitlines(keepends=True)
        data.write_bytes(gzip.compress(b"".join(lines[:-1])))
    elif how == "gone":
        data.unlink()
    elif how == "another format":
        manifest.write_bytes(manifest.read_bytes().replace(b'"format": 1', b'"format": 2'))


@pytest.mark.parametrize("how", ["a byte", "cut", "a line less", "gone", "another format"])
def test_an_archive_that_is_damaged_is_told_and_nothing_is_dropped_for_it(place: Place, folder: Path, how: str) -> None:
    restored = place.copy()
    archive(place, folder)
    before = restored.rows()
    damage(folder, how)
    with pytest.raises(ArchiveFailed, match="record-2024-03"):
        check_archive(folder / "record-2024-03.jsonl.gz")
    with pytest.raises(ArchiveFailed, match="record-2024-03"):
        archive(restored, folder)
    assert restored.rows() == before
    restored.drop()


def test_a_file_that_is_not_read_back_as_it_was_written_keeps_the_month(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses what it was given."""
    before = place.rows()
    checked = check_archive

    def check(path: Path | str) -> Any:
        damage(folder, "a line less")
        return checked(path)

    monkeypatch.setattr(archiving_module, "check_archive", check)
    with pytest.raises(ArchiveFailed, match="are not the"):
        archive(place, folder)
    assert place.rows() == before


def test_a_folder_that_can_not_be_written_to_is_told(place: Place, tmp_path: Path) -> None:
    before = place.rows()
    (tmp_path / "file").write_text("no folder")
    told = run("archive", "2024-03", "--ledger", place.address, "--to", tmp_path / "file" / "x", "--apply", code=5)
    assert "can't be written to" in told.output
    assert place.rows() == before


def test_a_full_disk_leaves_no_part_of_a_file(place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.rows()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ArchiveFailed, match="No space left"):
        archive(place, folder)
    assert list(folder.iterdir()) == []
    assert place.rows() == before


def test_a_database_that_is_not_a_ledger_of_today_is_told(place: Place, folder: Path, tmp_path: Path) -> None:
    told = run("archive", "2024-03", "--ledger", tmp_path / "none.db", "--to", folder, code=5).output
    assert "there is no file" in told
    if place.is_sqlite:
        place.execute("PRAGMA user_version = 1")
    else:
        place.execute("DELETE FROM stateward_schema WHERE number > 1")
    assert "stateward db upgrade" in run("archive", "2024-03", "--ledger", place.address, "--to", folder, code=2).output


# Locks on PostgreSQL.


def in_thread(act: Callable[[], Any]) -> tuple[Thread, list[Any]]:
    results: list[Any] = []

    def acted() -> None:
        try:
            results.append(act())
        except Exception as error:
            results.append(error)

    thread = Thread(target=acted)
    thread.start()
    return thread, results


@pytest.mark.parametrize("place", ["partition"], indirect=True)
def test_whoever_reads_records_for_long_keeps_a_partition_and_holds_up_no_writer(
    place: Place, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_archiving, "DROP_S_MAX", 1.0)
    before = place.rows()
    with (
        Engine(place.address, lifecycles=[CountLifecycle], clock=clock) as engine,
        psycopg.connect(place.address) as reader,
    ):
        reader.execute("SELECT count(*) FROM record")
        thread, results = in_thread(lambda: archive(place, folder))
        sent = 0
        while thread.is_alive():
            engine.send(CountLifecycle, "c0", Tick(n=1000 + sent), actor="a:1")
            sent += 1
        [error] = results
        assert isinstance(error, LedgerUnavailable)
        assert "can't be dropped" in str(error)
        assert sent > 10
        assert place.rows() == before
        thread, results = in_thread(lambda: archive(place, folder))
        reader.rollback()
        thread.join(30)
        assert results[0].was_there
        assert place.rows(MARCH) == []


@pytest.mark.parametrize("place", ["partition", "default"], indirect=True)
def test_a_writer_of_the_month_is_kept_out_while_it_is_dropped(
    place: Place, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be dropped without being archived. When the month is gone it may come, and has an archive of its own."""
    drop = postgres_archiving.PostgresRecords.drop
    before, march = place.rows(), place.rows(MARCH)
    late = json.dumps({"id": first_id(int(march[5].id.replace("-", "")[:12], 16) + 1)})
    kept_out = 0

    def dropped(self: Any, month: Month, records: int) -> None:
        nonlocal kept_out
        with psycopg.connect(place.address) as writer:
            writer.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                writer.execute(
                    "INSERT INTO record SELECT (jsonb_populate_record(r, %s)).* FROM record r WHERE id = %s",
                    (late, march[5].id),
                )
            kept_out += 1
        assert place.rows() == before, "whoever reads is not held up"
        drop(self, month, records)

    monkeypatch.setattr(postgres_archiving.PostgresRecords, "drop", dropped)
    archive(place, folder)
    assert kept_out == 1
    assert place.rows(MARCH) == []
    add_late(place, clock, 91)
    assert len(place.rows(MARCH)) == 1
    check_append_only(place)


def test_a_partition_that_holds_more_than_the_month_is_not_dropped(
    postgres_dsn: str, folder: Path, clock: Clock
) -> None:
    Engine(postgres_dsn, lifecycles=[CountLifecycle]).close()
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE record_2024_03 PARTITION OF record"
            " FOR VALUES FROM (stateward_first_id('2024-02-01')) TO (stateward_first_id('2024-05-01'))"
        )
    with Engine(postgres_dsn, lifecycles=[CountLifecycle], clock=clock) as engine:
        engine.create(CountLifecycle, "c0", Count(), actor="a:1")
        clock.now = datetime(2024, 4, 10, tzinfo=UTC)
        engine.send(CountLifecycle, "c0", Tick(n=1), actor="a:1")
        with open_postgres(postgres_dsn) as records, pytest.raises(ArchiveRefused, match="2 records would be dropped"):
            archive_month(records, MARCH, folder, now=NOW, older_than=None, applies=True)
        check_engine(engine)

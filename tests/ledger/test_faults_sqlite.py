"""Faults on purpose, on real SQLite files: killed processes, full disks, locks, broken rows."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from stateward import Refusal
from stateward.engine import Engine, Sending
from stateward.errors import LedgerCorrupt, LedgerUnavailable, Unkeepable, VersionUnknown
from stateward.ledger import Applied
from stateward.ledger.sqlite import SqliteLedger
from tests.ledger.faults_counting import Close, Count, CountLifecycle, Tick, check_engine
from tests.ledger.faults_parent import acks_of, check_left_behind, start_child

TABLES = ("entity", "record", "receipt", "outbox", "timer", "census")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> SqliteLedger:
    return SqliteLedger(path, synchronous="OFF", timeout_s=0.1)


@pytest.fixture
def engine(ledger: SqliteLedger) -> Iterator[Engine]:
    with Engine(ledger, lifecycles=[CountLifecycle]) as made:
        for entity in ("c1", "c2"):
            made.create(CountLifecycle, entity, Count(), actor="a:1")
        yield made


@pytest.fixture
def other(engine: Engine, path: Path) -> Iterator[sqlite3.Connection]:
    """A connection beside the engine's."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def tick(engine: Engine, n: int, entity: str = "c1") -> Applied[Count]:
    return engine.send(CountLifecycle, entity, Tick(n=n), actor="a:1", key=f"k{n}")


def rows(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    """Everything that is kept."""
    return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in TABLES}


# The process is killed.

POINTS = {
    "before-read:5": 0,
    "between-read-and-write:5": 0,
    "inside-move_entity:5": 0,
    "inside-add_record:5": 0,
    "inside-add_receipt:5": 0,
    "inside-add_effect:5": 0,
    "inside-cancel_timer:3": 0,
    "inside-set_timer:3": 0,
    "inside-move_census:5": 0,
    "before-commit:5": 0,
    "after-write:5": 1,
}
"""The points, and how many commits are there that nobody was told of."""


@pytest.mark.parametrize("batch", [1, 7], ids=["single", "batches"])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_loses_nothing_and_applies_nothing_twice(path: Path, point: str, batch: int) -> None:
    child = start_child(f"sqlite:///{path}", 0, 50, batch=batch, fault=point)
    acks = acks_of(child)
    assert child.returncode == -signal.SIGKILL
    assert 0 < len(acks) < 50
    with Engine(f"sqlite:///{path}", lifecycles=[CountLifecycle]) as engine:
        assert check_left_behind(engine, acks, 50) == POINTS[point] * batch
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_two_processes_that_send_the_same_apply_each_once(path: Path) -> None:
    Engine(f"sqlite:///{path}", lifecycles=[CountLifecycle]).close()
    children = [start_child(f"sqlite:///{path}", 0, 60, batch=batch) for batch in (1, 3)]
    first, second = map(acks_of, children)
    assert first == second
    assert len(first) == 60
    with Engine(f"sqlite:///{path}", lifecycles=[CountLifecycle]) as engine:
        assert check_left_behind(engine, first, 60) == 0


# The disk is full.


def limit(ledger: SqliteLedger, pages_more: int | None) -> None:
    """Let the file grow by so many pages at most; the one connection that the ledger keeps says so."""
    assert len(ledger._idle) == 1
    with ledger.connection() as connection:
        [count] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {2**30 if pages_more is None else count + pages_more}")


def test_a_full_disk_is_told_and_nothing_is_half_written(
    engine: Engine, ledger: SqliteLedger, other: sqlite3.Connection
) -> None:
    limit(ledger, 1)
    done, before, caught = 0, rows(other), None
    while caught is None and done < 1000:
        try:
            tick(engine, done)
        except LedgerUnavailable as error:
            caught = error
        else:
            done, before = done + 1, rows(other)
    assert done > 0
    assert "full" in str(caught)
    assert caught is not None
    assert caught.record is not None
    assert not caught.is_outcome_unknown, "SQLite has rolled back by itself"
    assert rows(other) == before
    many = [
        Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=n), actor="a:1", key=f"m{n}")
        for n in range(100)
        for each in ("c1", "c2")
    ]
    assert all(isinstance(each, LedgerUnavailable) for each in engine.send_many(many))
    assert rows(other) == before
    check_engine(engine)
    limit(ledger, None)
    assert tick(engine, done).revision == done + 2
    assert not any(isinstance(each, LedgerUnavailable) for each in engine.send_many(many))
    check_engine(engine)


def test_a_refusal_that_could_not_be_recorded_is_not_answered(engine: Engine, ledger: SqliteLedger) -> None:
    tick(engine, 1)
    limit(ledger, 0)
    for refused in range(1000):
        try:
            answer = engine.attempt(CountLifecycle, "c1", Close(), actor="a:1")
        except LedgerUnavailable:
            return
        assert isinstance(answer, Refusal)
        assert len(list(engine.history(CountLifecycle, "c1"))) == 3 + refused, "a refusal has its record"
    pytest.fail("the disk was never full")


# The database is locked.


def test_a_lock_held_beyond_the_time_out_is_told_and_then_it_works(engine: Engine, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="locked") as caught:
        tick(engine, 1)
    assert not caught.value.is_outcome_unknown
    assert engine.get(CountLifecycle, "c1").revision == 1, "readers are not held up"
    other.execute("ROLLBACK")
    assert tick(engine, 1).revision == 2
    check_engine(engine)


def test_a_fresh_file_that_is_locked_is_told(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable, match="locked"):
        Engine(SqliteLedger(path, timeout_s=0.1), lifecycles=[CountLifecycle])
    connection.execute("ROLLBACK")
    Engine(SqliteLedger(path, timeout_s=0.1), lifecycles=[CountLifecycle]).close()
    connection.close()


def test_a_lock_that_is_let_go_within_the_time_out_is_waited_for(path: Path) -> None:
    with Engine(SqliteLedger(path, synchronous="OFF", timeout_s=30), lifecycles=[CountLifecycle]) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        answers: list[Applied[Count]] = []
        thread = Thread(target=lambda: answers.append(tick(engine, 1)))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        connection.execute("COMMIT")
        thread.join(30)
        assert [each.revision for each in answers] == [2]
        connection.close()


class Readers:
    """Readers that overlap, so that at every moment one of them is in the WAL, though each is soon gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_done = Event()
        self.is_reading = Event()
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        both = [sqlite3.connect(self._path, isolation_level=None, timeout=30) for _ in range(2)]
        for each in both:
            each.execute("BEGIN")
            each.execute("SELECT count(*) FROM entity").fetchone()
        while not self._is_done.is_set():
            for each in both:
                each.execute("COMMIT")
                each.execute("BEGIN")
                each.execute("SELECT count(*) FROM entity").fetchone()
            self.is_reading.set()
        for each in both:
            each.close()

    def stop(self) -> None:
        self._is_done.set()
        self._thread.join(30)


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "taken-out"])
def test_the_wal_does_not_grow_for_ever_under_readers_that_follow_each_other(
    path: Path, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """Taken out, by never looking at its size: it grows as long as they read."""
    monkeypatch.setattr("stateward.ledger.sqlite.ledger.WAL_BYTES_MAX", 1_000_000)
    monkeypatch.setattr("stateward.ledger.sqlite.ledger.WAL_CHECK_COMMITS", 10 if is_held else 10**9)
    with Engine(SqliteLedger(path, synchronous="OFF"), lifecycles=[CountLifecycle]) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        readers = Readers(path)
        try:
            assert readers.is_reading.wait(30)
            sizes: list[int] = []
            for n in range(400):
                tick(engine, n)
                sizes.append(path.with_name(f"{path.name}-wal").stat().st_size)
        finally:
            readers.stop()
        if is_held:
            assert max(sizes) < 3_000_000
        else:
            assert max(sizes) > 3_500_000
        check_engine(engine)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable):
        Engine(SqliteLedger(path, timeout_s=0.1), lifecycles=[CountLifecycle])


# Rows that the database refuses.


def test_a_row_that_the_database_refuses_harms_no_other(engine: Engine, other: sqlite3.Connection) -> None:
    other.execute(
        "CREATE TRIGGER no_c1 BEFORE INSERT ON record WHEN new.entity = 'c1' BEGIN SELECT raise(ABORT, 'not this'); END"
    )
    engine.create(CountLifecycle, "c3", Count(), actor="a:1")
    answers = engine.send_many(
        [Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=1), actor="a:1") for each in ("c1", "c2", "c3")]
    )
    assert [type(each) for each in answers] == [Unkeepable, Applied, Applied]
    other.execute("DROP TRIGGER no_c1")
    check_engine(engine)


# Records are append-only.

RECORD = "SELECT id, kind, entity, revision, version, 'Forged', payload, state_from, state_to, 'x', 'y', key, \
occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate, rank FROM record"
OTHER_ID = RECORD.replace("SELECT id", "SELECT randomblob(16)")
FORGERIES = {
    "update": "UPDATE record SET event = 'Forged'",
    "update or replace": "UPDATE OR REPLACE record SET revision = 1",
    "update or ignore": "UPDATE OR IGNORE record SET event = 'Forged'",
    "delete": "DELETE FROM record",
    "delete one": "DELETE FROM record WHERE revision = 2",
    "insert or replace": f"INSERT OR REPLACE INTO record {RECORD}",
    "replace": f"REPLACE INTO record {RECORD}",
    "replace a revision": f"INSERT OR REPLACE INTO record {OTHER_ID} WHERE outcome = 'applied'",
    "insert or ignore": f"INSERT OR IGNORE INTO record {RECORD}",
    "upsert": f"INSERT INTO record {RECORD} WHERE true ON CONFLICT (id) DO UPDATE SET event = 'Forged'",
}


@pytest.mark.parametrize("statement", FORGERIES.values(), ids=FORGERIES)
def test_records_are_neither_changed_nor_replaced(engine: Engine, other: sqlite3.Connection, statement: str) -> None:
    tick(engine, 1)
    engine.attempt(CountLifecycle, "c1", Close(), actor="a:1")
    before = rows(other)
    with pytest.raises(sqlite3.IntegrityError, match="records are append-only"):
        other.execute(statement)
    assert rows(other) == before


# Broken rows.

BROKEN: dict[str, dict[str, Any]] = {
    "a context of another type": {"context": '{"ticks": "many"}'},
    "a context that is no object": {"context": "[]"},
    "a context that is no JSON": {"context": "{ticks"},
    "an empty context": {"context": ""},
    "an unknown state": {"state": "nowhere"},
    "two states of one region": {"state": "even|odd"},
    "a history that is no JSON": {"history": "{"},
    "a history that is no object": {"history": "[1]"},
    "a history of an unknown state": {"history": '{"nowhere.history": ["even"]}'},
    "entries that are no JSON": {"entered": "x"},
    "entries that are no times": {"entered": '{"even": "yesterday"}'},
    "entries of an unknown state": {"entered": '{"nowhere": 1}'},
    "an entry out of time": {"entered": f'{{"even": {2**62}}}'},
    "a creation out of time": {"created_at": 2**62},
    "a move out of time": {"updated_at": -(2**62)},
    "an end out of time": {"due_by": 2**62},
}


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_a_broken_row_names_its_entity(engine: Engine, other: sqlite3.Connection, changes: dict[str, Any]) -> None:
    for column, value in changes.items():
        other.execute(f"UPDATE entity SET {column} = ? WHERE id = 'c1'", (value,))
    with pytest.raises(LedgerCorrupt, match="Count c1: ") as caught:
        engine.get(CountLifecycle, "c1")
    assert (caught.value.lifecycle, caught.value.entity) == ("Count", "c1")
    with pytest.raises(LedgerCorrupt, match="c1"):
        list(engine.list(CountLifecycle))


@pytest.mark.parametrize("changes", BROKEN.values(), ids=BROKEN)
def test_an_event_to_a_broken_row_harms_no_other(
    engine: Engine, other: sqlite3.Connection, changes: dict[str, Any]
) -> None:
    for column, value in changes.items():
        other.execute(f"UPDATE entity SET {column} = ? WHERE id = 'c1'", (value,))
    before = rows(other)
    bad, good = engine.send_many(
        [Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=1), actor="a:1") for each in ("c1", "c2")]
    )
    assert isinstance(good, Applied), good
    if isinstance(bad, Applied):
        assert any(str(2**62) in str(value) for value in changes.values()), "an event does not look at these times"
        return
    assert isinstance(bad, LedgerCorrupt), bad
    assert (bad.lifecycle, bad.entity) == ("Count", "c1")
    after = rows(other)
    assert [each for each in after["entity"] if each[1] == "c1"] == [
        each for each in before["entity"] if each[1] == "c1"
    ]
    assert [each for each in after["record"] if each[2] == "c1"] == [
        each for each in before["record"] if each[2] == "c1"
    ]


def test_an_unknown_version_is_told(engine: Engine, other: sqlite3.Connection) -> None:
    other.execute("UPDATE entity SET version = 9 WHERE id = 'c1'")
    with pytest.raises(VersionUnknown, match="Count c1 is on version 9; this engine knows 1"):
        engine.get(CountLifecycle, "c1")
    with pytest.raises(VersionUnknown):
        tick(engine, 1)


BROKEN_RECORDS: dict[str, tuple[str, Any]] = {
    "no JSON": ("payload", "{"),
    "out of time": ("occurred_at", 2**62),
}


@pytest.mark.parametrize(("column", "value"), BROKEN_RECORDS.values(), ids=BROKEN_RECORDS)
def test_a_broken_record_names_its_entity(engine: Engine, other: sqlite3.Connection, column: str, value: Any) -> None:
    columns = [each[1] for each in other.execute("PRAGMA table_info(record)")]
    given: dict[str, Any] = {"id": "randomblob(16)", "revision": "2", "state_from": "'even'", column: "?"}
    chosen = ", ".join(given.get(each, each) for each in columns)
    other.execute(f"INSERT INTO record SELECT {chosen} FROM record WHERE entity = 'c1'", (value,))
    with pytest.raises(LedgerCorrupt, match="Count c1: its record"):
        list(engine.history(CountLifecycle, "c1"))

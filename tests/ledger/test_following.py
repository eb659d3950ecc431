"""Readers with a cursor: every record once, in an order before whose end nothing is committed later.

What a plainer cursor loses is shown beside it, with the interleaving forced.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import psycopg
import pytest

from stateward.engine import AsyncEngine, Engine, Sending
from stateward.engine.tail import AsyncTail, Tail
from stateward.errors import CursorInvalid, LedgerUnavailable
from stateward.ledger import Record
from stateward.ledger.contract import Ledger, Trip
from stateward.ledger.following import FetchWriters
from stateward.ledger.postgres import PostgresLedger
from stateward.ledger.sql import read_migrations
from stateward.ledger.sqlite import SqliteLedger
from stateward.ledger.sqlite.schema import _statements
from stateward.ledger.tailing import DELAY_S_MAX, DELAY_S_MIN, HELD_S_MAX, Followed, Look, Pace
from tests.ledger.conftest import MakeLedger
from tests.ledger.faults_counting import Break, Close, Count, CountLifecycle, Tick
from tests.ledger.faults_postgres import wait_until
from tests.ledger.lifecycles import Parcel, ParcelLifecycle
from tests.ledger.other_process import EngineElsewhere
from tests.ledger.servers import Server

WAIT_S = 60


def open_engine(ledger: str | Ledger) -> Engine:
    return Engine(ledger, lifecycles=[CountLifecycle, ParcelLifecycle])


@pytest.fixture
def engine(make_ledger: MakeLedger) -> Iterator[Engine]:
    with open_engine(make_ledger()) as made:
        yield made


@pytest.fixture
def postgres(postgres_dsn: str) -> Iterator[Engine]:
    with open_engine(postgres_dsn) as made:
        made.create(CountLifecycle, "c1", Count(), actor="a:1")
        yield made


def tick(engine: Any, n: int, entity: str = "c1") -> None:
    engine.send(CountLifecycle, entity, Tick(n=n), actor="a:1")


def names(followed: Sequence[Followed]) -> list[tuple[str, int, str]]:
    return [(record.entity, record.revision, record.event) for record, _ in followed]


@contextmanager
def following(tail: Tail) -> Generator[list[Followed]]:
    """What a thread reads of it, until the block ends."""
    found: list[Followed] = []
    reader = Thread(target=lambda: found.extend(tail))
    reader.start()
    try:
        yield found
    finally:
        tail.stop()
        reader.join(WAIT_S)
        assert not reader.is_alive(), "one that is stopped ends"


def has_found(found: Sequence[Followed], count: int) -> bool:
    return len(found) == count


def everything(engine: Engine) -> list[Record]:
    lifecycles: list[Any] = [CountLifecycle, ParcelLifecycle]
    return [
        record
        for lifecycle in lifecycles
        for entity in engine.list(lifecycle)
        for record in engine.history(lifecycle, entity.id)
    ]


# On every store.


def test_all_records_are_read_in_order_each_with_its_cursor(engine: Engine) -> None:
    assert list(engine.tail()) == []
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    tick(engine, 1)
    engine.attempt(CountLifecycle, "c1", Close(), actor="a:1")
    engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    tick(engine, 2)
    found = list(engine.tail())
    assert names(found) == [
        ("c1", 1, "Started"), ("c1", 2, "Tick"), ("c1", 2, "Close"), ("p1", 1, "Started"), ("c1", 3, "Tick")
    ]  # fmt: skip
    assert sorted(each.id for each, _ in found) == sorted(each.id for each in everything(engine))
    assert [each for each, _ in found if each.kind == "Parcel"] == list(engine.history(ParcelLifecycle, "p1"))
    for n, (_, cursor) in enumerate(found):
        assert cursor.isprintable()
        assert list(engine.tail(after=cursor)) == found[n + 1 :]
    tick(engine, 3)
    assert names(list(engine.tail(after=found[-1].cursor))) == [("c1", 4, "Tick")]


def test_kinds_are_chosen_by_lifecycle_or_by_name(engine: Engine) -> None:
    for n in range(5):
        engine.create(CountLifecycle, f"c{n}", Count(), actor="a:1")
        engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a:1")
    parcels = list(engine.tail([ParcelLifecycle]))
    assert [each.entity for each, _ in parcels] == [f"p{n}" for n in range(5)]
    assert list(engine.tail(["Parcel"], after=parcels[1].cursor)) == parcels[2:]
    assert len(list(engine.tail(["Parcel", "Count"]))) == 10
    assert list(engine.tail(["Nobody's"])) == list(engine.tail([])) == []


def test_the_last_so_many_are_read(engine: Engine) -> None:
    for n in range(5):
        engine.create(CountLifecycle, f"c{n}", Count(), actor="a:1")
        engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a:1")
    assert [each.entity for each, _ in engine.tail(last=3)] == ["p3", "c4", "p4"]
    assert [each.entity for each, _ in engine.tail([CountLifecycle], last=2)] == ["c3", "c4"]
    assert len(list(engine.tail(last=10))) == len(list(engine.tail(last=99))) == 10
    tail = engine.tail(last=0)
    assert list(tail) == []
    assert tail.statistics().records == 0
    tail = engine.tail()
    assert len(list(tail)) == tail.statistics().records == 10
    assert tail.statistics().looks >= 1
    assert not tail.statistics().is_held


def test_pages_join_without_a_seam(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    for n in range(9):
        tick(engine, n)
    whole = list(engine.tail())
    for size in (1, 2, 3, 10, 11):
        monkeypatch.setattr("stateward.engine.tail.PAGE_SIZE", size)
        assert list(engine.tail()) == whole
        assert list(engine.tail(after=whole[3].cursor)) == whole[4:]
        assert list(engine.tail(["Parcel"])) == []


def test_a_batchs_records_come_in_the_order_of_its_events(engine: Engine) -> None:
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    events = [Break(), Tick(n=1), Close(), Tick(n=2), Close()]
    engine.send_many([Sending(lifecycle=CountLifecycle, entity="c1", event=each, actor="a:1") for each in events])
    # A handler that raises leaves no record.
    assert [(each.event, each.outcome) for each, _ in engine.tail()] == [
        ("Started", "applied"), ("Tick", "applied"), ("Close", "rejected_invalid"), ("Tick", "applied"),
        ("Close", "applied"),
    ]  # fmt: skip


def test_an_attempt_before_a_move_of_its_batch_comes_before_it(engine: Engine) -> None:
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    tick(engine, 1)
    events = [Close(), Tick(n=2)]
    engine.send_many([Sending(lifecycle=CountLifecycle, entity="c1", event=each, actor="a:1") for each in events])
    assert [each.event for each, _ in engine.tail()][2:] == ["Close", "Tick"]


def test_a_follower_waits_for_what_comes_and_is_stopped(engine: Engine) -> None:
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    tail = engine.tail(follow=True)
    assert names([next(tail)]) == [("c1", 1, "Started")]
    with following(tail) as found:
        for n in range(3):
            tick(engine, n)
            wait_until(partial(has_found, found, n + 1))
    tail.stop()
    assert [record.payload["n"] for record, _ in found] == [0, 1, 2]
    assert list(tail) == []


def test_a_follower_that_is_stopped_gives_nothing_more(engine: Engine) -> None:
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    tick(engine, 1)
    tail = engine.tail()
    next(tail)
    tail.stop()
    assert list(tail) == []


def test_a_task_follows_and_is_stopped(make_ledger: MakeLedger) -> None:
    async def follow() -> list[int]:
        async with AsyncEngine(make_ledger(), lifecycles=[CountLifecycle]) as engine:
            await engine.create(CountLifecycle, "c1", Count(), actor="a:1")
            assert [each.event async for each, _ in engine.tail()] == ["Started"]
            tail = engine.tail(["Count"], last=0, follow=True)
            found: list[int] = []

            async def read() -> None:
                async for record, _ in tail:
                    found.append(record.payload["n"])
                    if len(found) == 3:
                        tail.stop()

            reader = asyncio.create_task(read())
            while not tail._following._rank:  # it has looked, so that what comes now is new
                await asyncio.sleep(0)
            for n in range(5):
                await engine.send(CountLifecycle, "c1", Tick(n=n), actor="a:1")
            await asyncio.wait_for(reader, WAIT_S)
            assert [each async for each in tail] == []
            return found

    assert asyncio.run(follow()) == [0, 1, 2]


async def looked(tail: AsyncTail) -> None:
    """Wait until it has looked, and waits for more."""
    async with asyncio.timeout(WAIT_S):
        while not tail.statistics().looks:
            await asyncio.sleep(0)


def test_a_task_that_follows_is_stopped_or_cancelled_while_it_waits(make_ledger: MakeLedger) -> None:
    async def follow() -> None:
        async with AsyncEngine(make_ledger(), lifecycles=[CountLifecycle]) as engine:
            tail = engine.tail(follow=True)

            async def read() -> list[Followed]:
                return [each async for each in tail]

            reader = asyncio.create_task(read())
            await looked(tail)
            tail.stop()
            assert await asyncio.wait_for(reader, WAIT_S) == []
            tail = engine.tail(follow=True)
            reader = asyncio.create_task(read())
            await looked(tail)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(reader, WAIT_S)

    asyncio.run(follow())


# Cursors.


@pytest.mark.parametrize("cursor", ["", "x", "7", "7-", "-1-01a20f61-73e5-7002-816e-268a0c9b73d7", "9" * 40, "7-\0"])
def test_what_is_no_cursor_is_told(engine: Engine, cursor: str) -> None:
    with pytest.raises(CursorInvalid, match="no cursor that a tail has given"):
        engine.tail(after=cursor)


def test_a_cursor_whose_record_is_not_there_is_told(engine: Engine) -> None:
    """Of another ledger, or from after the moment that a backup holds: what came since is not to be known."""
    engine.create(CountLifecycle, "c1", Count(), actor="a:1")
    [(_, cursor)] = engine.tail()
    other = cursor[:-4] + ("0000" if not cursor.endswith("0000") else "1111")
    tail = engine.tail(after=other)
    with pytest.raises(CursorInvalid, match=f"the cursor {other}: its record is not in this ledger") as caught:
        next(tail)
    assert caught.value.cursor == other
    assert list(engine.tail(after=cursor)) == []


# Late commits on PostgreSQL, forced: a transaction is held open while others commit.


def naive(dsn: str, column: str) -> Callable[[], list[str]]:
    """A reader that goes on behind the last value that it saw: what each call of it finds."""
    last: list[Any] = [None]

    def read() -> list[str]:
        with psycopg.connect(dsn) as connection:
            query = f"SELECT {column}, entity FROM record WHERE %s::text IS NULL OR {column}::text > %s ORDER BY 1"
            if column == "rank":
                query = query.replace("rank::text > %s", "rank > %s::bigint")
            rows = connection.execute(query.encode(), (last[0], last[0])).fetchall()
        last[0] = str(rows[-1][0]) if rows else last[0]
        return [entity for _, entity in rows]

    return read


@pytest.mark.parametrize("column", ["id", "recorded_at", "rank"])
def test_a_naive_cursor_loses_what_commits_late_and_ours_does_not(
    postgres: Engine, postgres_dsn: str, column: str
) -> None:
    read, found = naive(postgres_dsn, column), list(postgres.tail())
    assert read() == ["c1"]
    with psycopg.connect(postgres_dsn) as late:
        postgres.joining(late).create(CountLifecycle, "late", Count(), actor="a:1")
        postgres.create(CountLifecycle, "early", Count(), actor="a:1")
        assert read() == ["early"]
        tail = postgres.tail(after=found[-1].cursor)
        assert list(tail) == []
        assert tail.is_held
        late.commit()
    assert read() == [], "the late one is lost to it for ever"
    assert [each.entity for each, _ in postgres.tail(after=found[-1].cursor)] == ["late", "early"]


def test_a_follower_that_is_held_up_gives_all_as_soon_as_it_may(postgres: Engine, postgres_dsn: str) -> None:
    tail = postgres.tail(follow=True)
    with psycopg.connect(postgres_dsn) as late:
        postgres.joining(late).create(CountLifecycle, "late", Count(), actor="a:1")
        postgres.create(CountLifecycle, "c2", Count(), actor="a:1")
        with following(tail) as found:
            wait_until(lambda: tail.is_held and tail._following._gap and tail._following._gap.writers)
            assert [record.entity for record, _ in found] == ["c1"]
            postgres.create(CountLifecycle, "c3", Count(), actor="a:1")
            late.commit()
            wait_until(lambda: len(found) == 4)
    assert [record.entity for record, _ in found] == ["c1", "late", "c2", "c3"]


def test_what_was_rolled_back_holds_nobody_up(postgres: Engine, postgres_dsn: str) -> None:
    for n in range(3):
        with psycopg.connect(postgres_dsn) as undone:
            postgres.joining(undone).create(CountLifecycle, "undone", Count(), actor="a:1")
            postgres.create(CountLifecycle, f"d{n}", Count(), actor="a:1")
            undone.rollback()
    tail = postgres.tail()
    assert [each.entity for each, _ in tail] == ["c1", "d0", "d1", "d2"]
    assert not tail.is_held


def test_gaps_of_the_past_are_looked_into_once_for_all(
    postgres: Engine, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.engine.tail.PAGE_SIZE", 2)
    for n in range(6):
        with psycopg.connect(postgres_dsn) as undone:
            postgres.joining(undone).create(CountLifecycle, "undone", Count(), actor="a:1")
            undone.rollback()
        tick(postgres, n)
    asked = 0

    class Counting(PostgresLedger):
        def _make(self, connection: Any, trip: Trip) -> Any:
            nonlocal asked
            asked += sum(isinstance(each, FetchWriters) for each in trip.operations)
            return super()._make(connection, trip)

    with open_engine(Counting(postgres_dsn)) as engine:
        assert len(list(engine.tail())) == 7
    assert asked == 2, "at the first gap: who writes, and whether they still do"


def test_only_who_writes_records_holds_a_reader_up(postgres: Engine, postgres_dsn: str, postgres_server: Any) -> None:
    """Not a writer of other tables or of another database, and not a reader of these, however old."""
    with (
        psycopg.connect(postgres_dsn) as writer,
        psycopg.connect(postgres_dsn) as reader,
        psycopg.connect(postgres_server.uri()) as elsewhere,
        psycopg.connect(postgres_dsn) as undone,
    ):
        writer.execute("CREATE TABLE other (n integer)")
        elsewhere.execute("CREATE TABLE other (n integer)")
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM record")
        postgres.joining(undone).create(CountLifecycle, "undone", Count(), actor="a:1")
        tick(postgres, 1)
        undone.rollback()
        tail = postgres.tail()
        assert [each.event for each, _ in tail] == ["Started", "Tick"]
        assert not tail.is_held
        [oldest] = reader.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone() or (0,)
        [mine] = elsewhere.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        assert oldest <= mine, "a fence at the oldest running transaction would have held it up"
        for each in (writer, elsewhere):
            each.rollback()


@pytest.fixture
def other_server(postgres_binaries: Path) -> Iterator[Server]:
    """A young server beside the one of the tests."""
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        server = Server(Path(folder) / "data", postgres_binaries, settings=["max_prepared_transactions=4"])
        yield server
        server.stop()


def test_a_prepared_transaction_holds_a_reader_up_until_it_is_decided(other_server: Server) -> None:
    with open_engine(other_server.uri()) as engine:
        with psycopg.connect(other_server.uri()) as late:
            late.execute("BEGIN")
            engine.joining(late).create(CountLifecycle, "late", Count(), actor="a:1")
            late.execute("PREPARE TRANSACTION 'late'")
        engine.create(CountLifecycle, "early", Count(), actor="a:1")
        tail = engine.tail()
        assert list(tail) == []
        assert tail.is_held
        with psycopg.connect(other_server.uri(), autocommit=True) as connection:
            connection.execute("COMMIT PREPARED 'late'")
        assert [each.entity for each, _ in engine.tail()] == ["late", "early"]


def test_one_that_is_prepared_under_a_readers_eyes_holds_it_up_still(other_server: Server) -> None:
    with open_engine(other_server.uri()) as engine, psycopg.connect(other_server.uri(), autocommit=True) as late:
        late.execute("BEGIN")
        engine.joining(late).create(CountLifecycle, "late", Count(), actor="a:1")
        engine.create(CountLifecycle, "early", Count(), actor="a:1")
        tail = engine.tail(follow=True)
        looks = [engine._read(tail._following.look) for _ in range(2)]
        assert tail._following._gap is not None
        assert tail._following._gap.writers, "it was asked for while it was a session's"
        late.execute("PREPARE TRANSACTION 'late'")
        looks += [engine._read(tail._following.look) for _ in range(2)]
        assert [(each.records, each.is_held) for each in looks] == [([], True)] * 4
        late.execute("COMMIT PREPARED 'late'")
        assert [each.entity for each, _ in engine._read(tail._following.look).records] == ["late", "early"]


def test_who_has_drawn_a_rank_and_written_nothing_yet_holds_a_reader_up(postgres: Engine, postgres_dsn: str) -> None:
    """A refused attempt is the first that its transaction writes; a trigger stops it between its rank and its row."""
    with psycopg.connect(postgres_dsn, autocommit=True) as barrier, open_engine(postgres_dsn) as other:
        barrier.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$ BEGIN "
            "IF new.event = 'Close' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN new; END $$"
        )
        barrier.execute("CREATE TRIGGER waits BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION wait()")
        tick(postgres, 1)
        found = list(postgres.tail())
        barrier.execute("SELECT pg_advisory_lock(1)")
        late = Thread(target=other.attempt, args=(CountLifecycle, "c1", Close()), kwargs={"actor": "a:1"})
        late.start()
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: barrier.execute(waiting).fetchall())
        postgres.create(CountLifecycle, "early", Count(), actor="a:1")
        tail = postgres.tail(after=found[-1].cursor)
        assert list(tail) == []
        assert tail.is_held
        barrier.execute("SELECT pg_advisory_unlock(1)")
        late.join(WAIT_S)
        assert [each.event for each, _ in postgres.tail(after=found[-1].cursor)] == ["Close", "Started"]


def test_an_entitys_records_come_as_they_were_applied_however_old_the_transactions_are(
    postgres: Engine, postgres_dsn: str
) -> None:
    """By the number of its transaction, the later one would come first."""
    with psycopg.connect(postgres_dsn) as old:
        [before] = old.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        tick(postgres, 1)
        postgres.joining(old).send(CountLifecycle, "c1", Tick(n=2), actor="a:1")
        old.commit()
        xids = old.execute("SELECT xmin::text::bigint FROM record ORDER BY revision").fetchall()
    assert before < xids[1][0]
    assert [record.revision for record, _ in postgres.tail()] == [1, 2, 3]


def test_a_ledger_restored_from_a_dump_keeps_its_cursors(
    postgres: Engine, postgres_dsn: str, postgres_binaries: Path, other_server: Server
) -> None:
    """Into a younger cluster, whose transactions have lower numbers; what was lost after the dump is told."""
    tick(postgres, 1)
    found = list(postgres.tail())
    dump = subprocess.run(
        [postgres_binaries / "pg_dump", "--no-sync", postgres_dsn], capture_output=True, text=True, check=True
    ).stdout
    tick(postgres, 2)
    [(_, lost)] = postgres.tail(after=found[-1].cursor)
    subprocess.run(
        [postgres_binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", other_server.uri()],
        input=dump, text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with open_engine(other_server.uri()) as restored:
        assert list(restored.tail()) == found
        tick(restored, 3)
        assert [record.payload for record, _ in restored.tail(after=found[-1].cursor)] == [{"n": 3}]
        with pytest.raises(CursorInvalid, match="restored"):
            list(restored.tail(after=lost))


def test_a_ledger_of_before_ranks_is_given_them_on_postgresql_too(fresh_postgres_dsn: str) -> None:
    migrations = read_migrations("stateward.ledger.postgres")
    [number] = [each.number for each in migrations if each.name == "rank"]
    with psycopg.connect(fresh_postgres_dsn) as connection:
        connection.execute("CREATE TABLE stateward_schema (number integer, name text, applied_at timestamptz)")
        for each in migrations[: number - 1]:
            connection.execute(each.text.encode())
            connection.execute("INSERT INTO stateward_schema VALUES (%s, %s, now())", each[:2])
        for n in range(1, 4):
            connection.execute(
                "INSERT INTO record VALUES (gen_random_uuid(), 'Count', 'c1', %s, 1, 'Tick', '{}', %s, 'even', 'a', "
                "'1', NULL, now(), now(), NULL, 'call', 'applied', NULL, NULL, NULL)",
                (n, None if n == 1 else "even"),
            )
    ledger = PostgresLedger(fresh_postgres_dsn, connections_max=1)
    ledger.upgrade()
    ledger.close()
    with open_engine(fresh_postgres_dsn) as engine:
        assert [record.revision for record, _ in engine.tail()] == [1, 2, 3]
        engine.create(CountLifecycle, "c2", Count(), actor="a:1")
        assert [record.entity for record, _ in engine.tail()][3:] == ["c2"]


# SQLite: two writers never overlap, but ids are minted before they wait for each other.


def test_an_id_is_no_cursor_on_sqlite_either(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_engine(SqliteLedger(path, synchronous="OFF")) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        start = list(engine.tail())
        late = engine._core.creation(
            CountLifecycle, "late", Count(), actor="a:1", key=None, occurred_at=None, source="call"
        )
        engine.create(CountLifecycle, "early", Count(), actor="a:1")  # accepted after it, and committed before it
        found = list(engine.tail(after=start[-1].cursor))
        engine._committer.submit((late,))
        connection = sqlite3.connect(path)
        behind = "SELECT entity FROM record WHERE id > (SELECT id FROM record WHERE entity = 'early')"
        assert connection.execute(behind).fetchall() == [], "by its id, the late one is never seen"
        connection.close()
        assert [each.entity for each, _ in engine.tail(after=found[-1].cursor)] == ["late"]


def test_ranks_never_come_again_on_sqlite_when_all_records_were_archived(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_engine(SqliteLedger(path, synchronous="OFF")) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        with following(engine.tail(follow=True)) as found:
            wait_until(lambda: len(found) == 1)
            connection = sqlite3.connect(path)
            with connection:
                connection.execute("DROP TRIGGER record_is_not_deleted")
                connection.execute("DELETE FROM record")
            connection.close()
            engine.create(CountLifecycle, "c2", Count(), actor="a:1")
            wait_until(lambda: len(found) == 2)


def test_a_ledger_of_before_ranks_is_given_them_in_the_order_of_recording(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    migrations = read_migrations("stateward.ledger.sqlite")
    [number] = [each.number for each in migrations if each.name == "rank"]
    connection = sqlite3.connect(path, isolation_level=None)
    for each in migrations[: number - 1]:
        for statement in _statements(each.text):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {number - 1}")
    for n in range(1, 4):
        row = (bytes([9 - n]) * 16, n, None if n == 1 else "even", n)
        connection.execute(
            "INSERT INTO record VALUES (?, 'Count', 'c1', ?, 1, 'Tick', '{}', ?, 'even', 'a', '1', NULL, 0, ?, NULL, "
            "'call', 'applied', NULL, NULL, NULL)",
            row,
        )
    connection.close()
    SqliteLedger(path).upgrade()
    with open_engine(SqliteLedger(path, synchronous="OFF")) as engine:
        assert [record.revision for record, _ in engine.tail()] == [1, 2, 3]
        engine.create(CountLifecycle, "c2", Count(), actor="a:1")
        assert [record.entity for record, _ in engine.tail()][3:] == ["c2"]
        connection = sqlite3.connect(path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("UPDATE record SET rank = 7")
        connection.close()


# Writers and readers together.


def write(engine: Engine, name: str, rounds: int, rng: random.Random, connect: Callable[[], Any] | None) -> None:
    """Single events, batches, attempts, and on PostgreSQL transactions that stay open, or are rolled back."""
    engine.create(CountLifecycle, name, Count(), actor="a:1")
    for n in range(rounds):
        what = rng.randrange(6)
        if what == 0 and connect is not None:
            with connect() as own:
                engine.joining(own).create(CountLifecycle, f"{name}-{n}", Count(), actor="a:1")
                tick(engine, n, name)
                if rng.random() < 0.5:
                    own.rollback()
        elif what == 1:
            sendings = [
                Sending(lifecycle=CountLifecycle, entity=rng.choice([name, "shared"]), event=Tick(n=n), actor="a:1")
                for _ in range(rng.randrange(1, 20))
            ]
            engine.send_many(sendings)
        elif what == 2:
            engine.attempt(CountLifecycle, "shared", Tick(n=n), actor="a:1", expected_revision=0)
        else:
            tick(engine, n, rng.choice([name, "shared"]))


def check_all_once(found: Sequence[Followed], engine: Engine) -> None:
    """Every record was seen once; of each entity, the applied ones as they were applied."""
    counts = Counter(record.id for record, _ in found)
    assert max(counts.values()) == 1, counts.most_common(3)
    assert set(counts) == {each.id for each in everything(engine)}
    applied: dict[str, list[int]] = {}
    for record, _ in found:
        if record.outcome == "applied":
            applied.setdefault(record.entity, []).append(record.revision)
    for entity, revisions in applied.items():
        assert revisions == list(range(1, len(revisions) + 1)), entity


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_beside_writers_sees_every_record_once(make_ledger: MakeLedger, seed: int) -> None:
    """One follows, one gives up now and then and goes on behind its cursor with another iterator."""
    with open_engine(make_ledger()) as engine:
        engine.create(CountLifecycle, "shared", Count(), actor="a:1")
        ledger: Any = engine._ledger
        connect = (lambda: psycopg.connect(str(ledger._pool.conninfo))) if isinstance(ledger, PostgresLedger) else None
        writers = [
            Thread(target=write, args=(engine, f"w{n}", 40, random.Random(seed * 10 + n), connect)) for n in range(4)
        ]
        resumed: list[Followed] = []
        is_over = Event()
        resumer = Thread(target=read_by_pieces, args=(engine, resumed, random.Random(seed), is_over))
        with following(engine.tail(follow=True)) as found:
            for each in (resumer, *writers):
                each.start()
            for each in writers:
                each.join(WAIT_S)
            is_over.set()
            resumer.join(WAIT_S)
            total = len(everything(engine))
            wait_until(lambda: len(found) == total, "for the follower to catch up")
        check_all_once(found, engine)
        check_all_once(resumed, engine)
        assert resumed == found, "there is one order"


def read_by_pieces(engine: Engine, found: list[Followed], rng: random.Random, is_over: Event) -> None:
    while True:
        was_over = is_over.is_set()
        tail = engine.tail(after=found[-1].cursor if found else None)
        found += islice(tail, rng.randrange(1, 50))
        if was_over and not list(islice(engine.tail(after=found[-1].cursor), 1)):
            return


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_readers_and_writers_in_two_processes(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = str(tmp_path / "ledger.db") if store == "sqlite" else request.getfixturevalue("postgres_dsn")
    given: Any = SqliteLedger(address, synchronous="OFF") if store == "sqlite" else address
    with open_engine(given) as engine:
        elsewhere = EngineElsewhere(address, lambda: datetime.now(UTC))
        try:
            engine.create(CountLifecycle, "c1", Count(), actor="a:1")
            with following(engine.tail(follow=True)) as found:
                for n in range(30):
                    sendings = [
                        Sending(lifecycle=CountLifecycle, entity="c1", event=Tick(n=m), actor="a:2") for m in range(5)
                    ]
                    elsewhere.begin("send_many", sendings)
                    tick(engine, n)
                    elsewhere.finish()
                wait_until(lambda: len(found) == 181)
            check_all_once(found, engine)
        finally:
            elsewhere.close()


# The pace, without waiting.


def test_looks_that_find_nothing_are_ever_further_apart() -> None:
    pace = Pace(follows=True)
    idle, full = Look([], is_end=True, is_held=False), Look([], is_end=False, is_held=False)
    waits = [pace.delay_s(idle) or 0.0 for _ in range(12)]
    assert waits[0] == DELAY_S_MIN
    assert waits[-1] == DELAY_S_MAX
    assert waits == sorted(waits)
    assert pace.delay_s(full) == 0.0, "there is more to read"
    some: Any = [None]
    assert pace.delay_s(Look(some, is_end=True, is_held=False)) == DELAY_S_MIN


def test_one_that_does_not_follow_ends_and_waits_for_others_for_a_bounded_time() -> None:
    pace = Pace(follows=False)
    assert pace.delay_s(Look([], is_end=False, is_held=False)) == 0.0
    held, waited = Look([], is_end=False, is_held=True), 0.0
    while (delay_s := pace.delay_s(held)) is not None:
        waited += delay_s
    assert HELD_S_MAX <= waited <= HELD_S_MAX + DELAY_S_MAX
    assert Pace(follows=False).delay_s(Look([], is_end=True, is_held=False)) is None


def test_a_ledger_that_is_away_ends_the_iterator(make_ledger: MakeLedger) -> None:
    engine = open_engine(make_ledger())
    tail = engine.tail()
    engine.close()
    with pytest.raises(LedgerUnavailable):
        next(tail)

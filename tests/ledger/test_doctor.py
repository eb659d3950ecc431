"""What `stateward doctor` tells of a PostgreSQL server: who holds up readers, and who keeps dead rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from stateward.cli import _group
from stateward.engine import Engine
from tests.ledger.faults_postgres import wait_until
from tests.ledger.lifecycles import Parcel, ParcelLifecycle, Pay
from tests.ledger.servers import Server

KEEPS = "keeps dead rows from being removed"


@pytest.fixture
def engine(postgres_dsn: str) -> Iterator[Engine]:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as made:
        made.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
        yield made


def found(dsn: str, *arguments: str) -> list[dict[str, str]]:
    """What doctor finds there, of any transaction at all that is open."""
    words = ["doctor", "--ledger", dsn, "tests.ledger.lifecycles", "-o", "json", "--snapshot-age", "0", *arguments]
    done = CliRunner().invoke(_group, words)
    rows: list[dict[str, str]] = json.loads(done.stdout)
    assert done.exit_code == (1 if rows else 0), done.output
    return rows


def name_of(connection: psycopg.Connection[Any]) -> str:
    return connection.info.dbname


def test_an_old_snapshot_is_named_with_what_to_do(engine: Engine, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, application_name="report") as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM record")
        assert found(postgres_dsn) == [], "there is nothing yet that it keeps"
        engine.create(ParcelLifecycle, "p2", Parcel(), actor="a:1")
        [finding] = found(postgres_dsn)
        pid = old.info.backend_pid
        assert finding["where"] == f"pid {pid}, report, idle in transaction, database {name_of(old)}"
        assert finding["what"].startswith("a transaction that has lasted for 0:00:0")
        assert finding["what"].endswith(KEEPS)
        assert "readers" not in finding["what"]
        assert f"pg_terminate_backend({pid})" in finding["todo"]
        assert found(postgres_dsn, "--snapshot-age", "300") == []
    assert found(postgres_dsn) == []


def test_a_transaction_that_has_written_records_is_told_to_hold_up_readers(engine: Engine, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as late:
        engine.joining(late).create(ParcelLifecycle, "late", Parcel(), actor="a:1")
        engine.create(ParcelLifecycle, "early", Parcel(), actor="a:1")
        [finding] = found(postgres_dsn)
        assert finding["check"] == "snapshot"
        assert "holds up readers behind a cursor" in finding["what"]
        assert list(engine.tail(last=0)) == []


def test_transactions_that_hold_nothing_and_those_of_other_databases_are_no_finding(
    engine: Engine, postgres_dsn: str, postgres_server: Server
) -> None:
    with psycopg.connect(postgres_dsn) as idle, psycopg.connect(postgres_server.uri()) as elsewhere:
        idle.execute("SELECT 1")
        elsewhere.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        elsewhere.execute("SELECT 1")
        assert found(postgres_dsn) == []


def test_a_prepared_transaction_is_named(postgres_binaries: Path) -> None:
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        server = Server(Path(folder) / "data", postgres_binaries, settings=["max_prepared_transactions=4"])
        try:
            with Engine(server.uri(), lifecycles=[ParcelLifecycle]) as engine, psycopg.connect(server.uri()) as late:
                late.execute("BEGIN")
                engine.joining(late).create(ParcelLifecycle, "late", Parcel(), actor="a:1")
                late.execute("PREPARE TRANSACTION 'late'")
                [finding] = found(server.uri())
                assert finding["where"] == "late, of postgres, database postgres"
                assert "a prepared transaction that has lasted for 0:00:" in finding["what"]
                assert "holds up readers behind a cursor and keeps dead rows" in finding["what"]
                assert "ROLLBACK PREPARED 'late'" in finding["todo"]
        finally:
            server.stop()


def test_dead_rows_that_vacuum_does_not_remove_are_told(fresh_postgres_dsn: str) -> None:
    with Engine(fresh_postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    with psycopg.connect(fresh_postgres_dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE timer SET (autovacuum_enabled = off)")
        connection.execute(
            "INSERT INTO timer SELECT 'Parcel', 'p' || n, 'x', 1, 0, now() + interval '1 day', gen_random_uuid() "
            "FROM generate_series(1, 10001) AS n"
        )
        connection.execute("DELETE FROM timer WHERE name = 'x'")
        connection.execute("SELECT pg_stat_force_next_flush()")
        wait_until(lambda: found(fresh_postgres_dsn))
    [finding] = found(fresh_postgres_dsn)
    assert (finding["check"], finding["where"].split(",")[0]) == ("vacuum", "timer")
    assert finding["what"].startswith("10,001 dead rows beside ")
    assert "ALTER TABLE timer SET (autovacuum_vacuum_scale_factor" in finding["todo"]


def test_a_sequence_that_was_set_back_is_told(engine: Engine, postgres_dsn: str) -> None:
    engine.create(ParcelLifecycle, "p2", Parcel(), actor="a:1")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("ALTER SEQUENCE record_rank RESTART WITH 2")
        [finding] = found(postgres_dsn)
        assert (finding["check"], finding["what"]) == (
            "rank", "the next record may be given rank 2, and there is one at 2",
        )  # fmt: skip
        connection.execute(finding["todo"].partition(":")[0].encode())
    assert found(postgres_dsn) == []


def test_what_waits_for_workers_and_operators_is_found(engine: Engine, postgres_dsn: str) -> None:
    engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="a:1")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO timer VALUES ('Parcel', 'p1', 'x', 1, 0, now() - interval '6 min', %s)", (ID,))
        connection.execute(
            "INSERT INTO dead_letter VALUES ('Parcel', 'p1', 2, 9, 0, 'Notify', '{}', %s, 3, 'no', now())", (ID,)
        )
        connection.execute("INSERT INTO pause VALUES ('kind', 'Parcel', 'why', now() - interval '25 h', 'operator:7')")
        worker, dead, pause = found(postgres_dsn)
        assert worker["what"].startswith("nobody works, while 2 effects and 1 due timer wait, the oldest for 0:06:0")
        assert (dead["check"], dead["where"]) == ("dead", "Parcel, Notify")
        assert pause["what"].startswith("paused by operator:7 for 1 day, 1:00:0")
        connection.execute("INSERT INTO worker VALUES ('w1', 1, 'here', now())")
    assert [each["check"] for each in found(postgres_dsn)] == ["dead", "pause"]


def test_what_an_application_keeps_and_handles_is_held_against_the_server(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime(2024, 3, 5, 12, tzinfo=UTC)
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle], clock=lambda: long_ago) as engine:
        engine.create(ParcelLifecycle, "old", Parcel(), actor="a:1", key="k")
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "new", Parcel(), actor="a:1")
        engine.send(ParcelLifecycle, "new", Pay(amount=100), actor="a:1")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM timer")
        connection.execute("INSERT INTO worker VALUES ('w1', 1, 'here', now())")
        connection.execute(
            "UPDATE outbox SET attempts = 2, last_error = 'no', next_attempt = now() - interval '1 h' WHERE n = 0"
        )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeping_on_postgres.py").write_text(
        "from datetime import timedelta\nfrom stateward.engine import AsyncEngine, Engine, Retention\n"
        "from tests.ledger.lifecycles import ParcelLifecycle\n"
        "kept = Retention(receipts=timedelta(days=30), records=timedelta(days=90), max_event_age=timedelta(days=30))\n"
        f"def threads():\n    return Engine({postgres_dsn!r}, lifecycles=[ParcelLifecycle], retention=kept)\n"
        f"def tasks():\n    return AsyncEngine({postgres_dsn!r}, lifecycles=[ParcelLifecycle], retention=kept)\n"
    )
    for name in ("threads", "tasks"):
        done = CliRunner().invoke(_group, ["doctor", "--app", f"keeping_on_postgres:{name}", "-o", "json"])
        rows: list[dict[str, str]] = json.loads(done.stdout)
        assert [each["check"] for each in rows] == ["partition", "overdue", "handler", "retention", "retention"]
        assert rows[3]["what"].startswith("receipts go after 30 days")
        assert "those of 2024-03 are still there" in rows[4]["what"]


ID = "01a20f61-73e5-7002-816e-268a0c9b73d7"

"""Partitions of records on PostgreSQL: made ahead, and none of them open to change."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from stateward.engine import Engine
from tests.ledger.lifecycles import Parcel, ParcelLifecycle


def partitions(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'record'::regclass ORDER BY 1"
        )
        return [name for (name,) in rows]


def test_partitions_are_made_ahead_when_a_ledger_is_opened(postgres_dsn: str) -> None:
    Engine(postgres_dsn, lifecycles=[ParcelLifecycle]).close()
    made = partitions(postgres_dsn)
    assert f"record_{datetime.now(UTC):%Y_%m}" in made
    assert "record_default" in made
    assert len(made) == 5
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"DROP TABLE {made[1]}".encode())
    Engine(postgres_dsn, lifecycles=[ParcelLifecycle]).close()
    assert partitions(postgres_dsn) == made


def test_a_record_lies_in_the_partition_of_its_month(postgres_dsn: str) -> None:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    with psycopg.connect(postgres_dsn) as connection:
        [name] = connection.execute("SELECT tableoid::regclass::text FROM record").fetchone() or ("",)
    assert name == f"record_{datetime.now(UTC):%Y_%m}"


@pytest.mark.parametrize("statement", ["UPDATE {} SET event = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_no_partition_can_be_changed(postgres_dsn: str, statement: str) -> None:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for table in ("record", *partitions(postgres_dsn)):
            if table.startswith("record") and ("TRUNCATE" in statement or table == "record"):
                with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
                    connection.execute(statement.format(table).encode())
        this_month = f"record_{datetime.now(UTC):%Y_%m}"
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
            connection.execute(statement.format(this_month).encode())


def test_records_in_the_default_partition_do_not_keep_an_engine_from_opening(postgres_dsn: str) -> None:
    """Their month has had no partition, in a process that ran for long, say."""
    this_month = f"record_{datetime.now(UTC):%Y_%m}"
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            connection.execute(f"DROP TABLE {this_month}".encode())
            connection.execute(f"DROP TABLE {partitions(postgres_dsn)[1]}".encode())
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        assert len(list(engine.history(ParcelLifecycle, "p1"))) == 1
    made = partitions(postgres_dsn)
    assert this_month not in made
    assert len(made) == 4, "the other months have theirs"


def test_opening_an_engine_does_not_hold_up_writers_behind_an_open_transaction(postgres_dsn: str) -> None:
    """It lacks a partition, which can't be made while the transaction is open; whoever waits for that holds up all."""
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine, psycopg.connect(postgres_dsn) as slow:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            connection.execute(f"DROP TABLE {partitions(postgres_dsn)[1]}".encode())
        engine.joining(slow).create(ParcelLifecycle, "p2", Parcel(), actor="a:1")
        with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as other:
            assert other.get(ParcelLifecycle, "p1").revision == 1
        assert engine.create(ParcelLifecycle, "p3", Parcel(), actor="a:1").revision == 1
        slow.commit()
    Engine(postgres_dsn, lifecycles=[ParcelLifecycle]).close()
    assert len(partitions(postgres_dsn)) == 5

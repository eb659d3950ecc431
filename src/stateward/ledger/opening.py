"""From an address to a ledger, made ready."""

from __future__ import annotations

import re
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, cast

from stateward.errors import ExtraMissing, LedgerUnavailable
from stateward.ledger.contract import AsyncLedger, Ledger

__all__ = ["names_postgres", "open_async_ledger", "open_ledger"]

_KEYWORDS = re.compile(r"\s*(dbname|host|hostaddr|port|service|user)\s*=")


def open_ledger(given: str | Path | Ledger) -> Ledger:
    """A ledger by its address; a fresh database is made ready.

    Args:
        given: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` in memory, `postgresql://user@host/name`,
            `memory://`, a path of a SQLite file, or a ledger.

    Raises:
        LedgerUnavailable: there is no such kind of ledger, or it can't be opened.
        LedgerOutdated: its schema is not the one that this version of stateward knows.
    """
    ledger: Any = given if not isinstance(given, (str, Path)) else _from_address(str(given))
    prepare: Any = getattr(ledger, "prepare", None)
    if prepare is not None:
        prepare()
    return cast("Ledger", ledger)


def open_async_ledger(given: str | Path | AsyncLedger | Ledger) -> AsyncLedger:
    """A ledger for tasks by its address, as `open_ledger`; one that only threads can drive is driven by one."""
    from stateward.ledger.threaded import ThreadedLedger  # noqa: PLC0415 - asyncio is for who needs it

    if isinstance(given, str) and names_postgres(given):
        try:
            from stateward.ledger.postgres import AsyncPostgresLedger  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ExtraMissing(package=error.name or "psycopg", extra="postgres") from error
        given = AsyncPostgresLedger(given)
    ledger: Any = open_ledger(cast("Any", given))
    return cast("AsyncLedger", ledger if iscoroutinefunction(ledger.run) else ThreadedLedger(ledger))


def names_postgres(address: str) -> bool:
    """Whether an address is one of PostgreSQL, in either way that libpq knows: a URI, or `host=... dbname=...`."""
    return address.startswith(("postgres://", "postgresql://")) or _KEYWORDS.match(address) is not None


def _from_address(address: str) -> Ledger:
    scheme, separator, rest = address.partition("://")
    if not separator and _KEYWORDS.match(address):
        scheme = "postgresql"  # libpq's other way of saying it: host=... dbname=...
    elif not separator or scheme == "sqlite":
        from stateward.ledger.sqlite import SqliteLedger  # noqa: PLC0415 - a ledger loads its driver when it is used

        path = address if not separator else rest.removeprefix("/")
        return SqliteLedger(path or ":memory:")
    if scheme == "memory":
        from stateward.ledger.memory import MemoryLedger  # noqa: PLC0415

        return MemoryLedger()
    if scheme in ("postgres", "postgresql"):
        try:
            from stateward.ledger.postgres import PostgresLedger  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ExtraMissing(package=error.name or "psycopg", extra="postgres") from error
        return PostgresLedger(address)
    message = f"there is no ledger of the kind {scheme!r}: sqlite, postgresql and memory are"
    raise LedgerUnavailable(message)

"""The driver's connection beneath what a caller has: SQLAlchemy's and Django's keep one, and join by it."""

from __future__ import annotations

from typing import Any

from stateward.errors import Unjoinable

__all__ = ["driver_connection"]


def driver_connection(given: Any) -> Any:
    """The connection of psycopg 3 or sqlite3 beneath a SQLAlchemy Session or Connection, or a Django connection.

    It is told by the module of its class, so that neither library is imported here.

    Raises:
        Unjoinable: it is an asynchronous session of SQLAlchemy, whose connection lies in another thread or loop.
    """
    module = type(given).__module__
    if module.startswith("sqlalchemy."):
        if module.startswith("sqlalchemy.ext.asyncio"):
            problem = "an asynchronous SQLAlchemy session can't be joined: pass session.sync_session within run_sync"
            raise Unjoinable(problem)
        # A Session gives its Connection, a Connection what the pool gave it, and that the driver's.
        connection = given.connection() if callable(getattr(given, "connection", None)) else given
        return connection.connection.driver_connection
    if hasattr(given, "ensure_connection") and hasattr(given, "settings_dict"):  # Django's wrapper
        given.ensure_connection()
        found = given.connection
        return getattr(found, "connection", found) if type(found).__module__.startswith("django.") else found
    return given

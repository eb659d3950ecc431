"""The driver's connection beneath what a caller has: SQLAlchemy's and Django's keep one, and join by it."""

from __future__ import annotations

from typing import Any

from stateward.errors import Unjoinable

__all__ = ["async_driver_connection", "driver_connection"]


def driver_connection(given: Any) -> Any:
    """The connection of psycopg 3 or sqlite3 beneath a SQLAlchemy Session or Connection, or a Django connection.

    It is told by the module of its class, so that neither library is imported here.

    Raises:
        Unjoinable: it is one of SQLAlchemy's for tasks.
    """
    module = type(given).__module__
    if module.startswith("sqlalchemy."):
        if module.startswith("sqlalchemy.ext.asyncio"):
            problem = "an asynchronous SQLAlchemy session is joined by an AsyncEngine: pass await session.connection()"
            raise Unjoinable(problem)
        # A Session gives its Connection, a Connection what the pool gave it, and that the driver's.
        connection = given.connection() if callable(getattr(given, "connection", None)) else given
        return connection.connection.driver_connection
    if hasattr(given, "ensure_connection") and hasattr(given, "settings_dict"):  # Django's wrapper
        given.ensure_connection()
        found = given.connection
        return getattr(found, "connection", found) if type(found).__module__.startswith("django.") else found
    return given


def async_driver_connection(given: Any) -> Any:
    """The AsyncConnection of psycopg 3 beneath SQLAlchemy's AsyncConnection.

    Raises:
        Unjoinable: it is an AsyncSession, whose connection has to be awaited first.
    """
    if not type(given).__module__.startswith("sqlalchemy."):
        return given
    if not hasattr(given, "sync_connection") or given.sync_connection is None:
        problem = "an asynchronous SQLAlchemy session is joined by its connection: pass await session.connection()"
        raise Unjoinable(problem)
    return given.sync_connection.connection.driver_connection

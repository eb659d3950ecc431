"""Databases for tests, used again: making one and its schema costs more than most of the tests that need it."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from stateward.ledger.postgres import PostgresLedger
from tests.ledger.servers import Server

__all__ = ["Databases"]

_SIGNATURE = """
SELECT md5(concat_ws('|',
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (
        SELECT relname, relkind, relnamespace, relowner, relacl, reloptions, relispartition,
            pg_get_expr(relpartbound, oid) FROM pg_class) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (
        SELECT attrelid::regclass, attname, atttypid, attnotnull, attstattarget, attisdropped FROM pg_attribute
        WHERE attrelid > 16000) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (
        SELECT proname, prosrc, proconfig FROM pg_proc WHERE oid > 16000) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (
        SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (
        SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE oid > 16000) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (SELECT nspname, nspacl FROM pg_namespace
        WHERE nspname NOT LIKE 'pg_t%') AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (
        SELECT setconfig FROM pg_db_role_setting WHERE setdatabase IN (
            0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (SELECT extname FROM pg_extension) AS t),
    (SELECT string_agg(t::text, ',' ORDER BY t::text) FROM (SELECT rolname, rolsuper, rolconfig FROM pg_roles
        WHERE rolname NOT LIKE 'pg%') AS t),
    (SELECT datconnlimit::text FROM pg_database WHERE datname = current_database()),
    (SELECT count(*)::text FROM pg_prepared_xacts),
    (SELECT count(*)::text FROM pg_replication_slots),
    (SELECT count(*)::text FROM pg_largeobject_metadata)
))
"""
"""All that a test could leave behind besides rows."""
_TABLES = """
SELECT relname FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
ORDER BY relname
"""


class Databases:
    """Databases with a ledger's schema, each as fresh as new when it is taken."""

    def __init__(self, server: Server) -> None:
        """Take the server that they are on."""
        self._server = server
        self._free: list[str] = []
        self._rows: dict[str, str] = {}
        """What a fresh one holds: JSON of the rows by table."""
        self._signatures: dict[str, str] = {}
        """What each was like when it was made."""

    def take(self) -> str:
        """The name of a database."""
        return self._free.pop() if self._free else self._make()

    def give_back(self, name: str) -> None:
        """Empty a database for the next test, or drop it if more than its rows is not as it was."""
        try:
            with psycopg.connect(self._server.uri(name), autocommit=True) as connection:
                self._empty(connection)
                is_as_it_was = self._sign(connection) == self._signatures[name]
        except psycopg.Error:
            is_as_it_was = False
        if is_as_it_was:
            self._free.append(name)
        else:
            self._drop(name)

    def _make(self) -> str:
        name = f"t{uuid4().hex}"
        with psycopg.connect(self._server.uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        ledger = PostgresLedger(self._server.uri(name))
        ledger.prepare()
        ledger.close()
        with psycopg.connect(self._server.uri(name), autocommit=True) as connection:
            self._signatures[name] = self._sign(connection)
            self._rows = self._rows or {table: self._read(connection, table) for table in self._tables(connection)}
        return name

    def _drop(self, name: str) -> None:
        with psycopg.connect(self._server.uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _empty(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")  # no trigger keeps records from going
            for table in self._tables(connection):
                name, rows = sql.Identifier("public", table), self._rows.get(table)
                if rows == self._read(connection, table):
                    continue
                connection.execute(sql.SQL("DELETE FROM {}").format(name))
                connection.execute(
                    sql.SQL("INSERT INTO {} SELECT * FROM json_populate_recordset(NULL::{}, %s)").format(name, name),
                    (rows or "[]",),
                )
        connection.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")

    def _sign(self, connection: psycopg.Connection[Any]) -> str:
        [signature] = connection.execute(_SIGNATURE).fetchone() or ("",)
        return str(signature)

    def _tables(self, connection: psycopg.Connection[Any]) -> list[str]:
        return [table for (table,) in connection.execute(_TABLES)]

    def _read(self, connection: psycopg.Connection[Any], table: str) -> str:
        query = sql.SQL("SELECT coalesce(json_agg(t ORDER BY t::text), '[]') FROM {} AS t").format(
            sql.Identifier(table)
        )
        [rows] = connection.execute(query).fetchone() or ("[]",)
        return json.dumps(rows)

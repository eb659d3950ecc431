"""The floor on PostgreSQL: pgbench, which has no Python in it, and the plainest transaction that keeps a transition.

Seven trips: begin, lock the entity, keep the receipt, update the entity, keep the record, ask for the effect, commit.
Its statements are prepared. What both write, and what only the ledger does:

| table | floor | ledger, beyond the floor |
|---|---|---|
| entity | state, context, revision | version, history, times of entering; indices by state and by due time |
| record | event, payload, states, time | actor, key, version, outcome and more; in months' partitions, append-only |
| receipt | key, record | digest of event and payload, answer; so that a repetition is told from a conflict |
| outbox | payload | effect type, record, part, attempts |
| timer | - | set and cancelled with the states; index by due time |
| census | - | two rows of counts |

The floor believes its caller: nothing is validated, no chart is asked whether the event may happen.
"""

from __future__ import annotations

import re
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from bench.ledger.databases import PGBENCH
from bench.measure import Run

__all__ = ["FLOOR_TABLES", "FloorTables", "Pgbench", "name_of"]

FLOOR_TABLES = ("floor_entity", "floor_record", "floor_receipt", "floor_outbox")

_SCHEMA = """
CREATE TABLE floor_entity (kind text, id text, state text NOT NULL, context jsonb NOT NULL, revision bigint NOT NULL,
    PRIMARY KEY (kind, id));
CREATE TABLE floor_record (id uuid PRIMARY KEY, kind text NOT NULL, entity text NOT NULL, revision bigint NOT NULL,
    event text NOT NULL, payload jsonb NOT NULL, state_from text NOT NULL, state_to text NOT NULL,
    at timestamptz NOT NULL);
CREATE INDEX floor_record_of_entity ON floor_record (kind, entity, revision);
CREATE TABLE floor_receipt (kind text, entity text, key text, record uuid NOT NULL, PRIMARY KEY (kind, entity, key));
CREATE TABLE floor_outbox (kind text, entity text, revision bigint, n integer, payload jsonb NOT NULL,
    PRIMARY KEY (kind, entity, revision, n))
"""

_FILL = """
INSERT INTO floor_entity SELECT 'Order', 'o' || n, 'pending', '{"total": 4200}', 1 FROM generate_series(1, %s) AS n
"""

_SCRIPT = r"""
\set id random(1, :entities)
\set n :n + 1
\set key :run * 10000000000 + :client_id * 10000000 + :n
BEGIN;
SELECT state, context, revision, uuidv7() AS record FROM floor_entity WHERE kind = 'Order' AND id = 'o' || :id
    FOR UPDATE \gset
INSERT INTO floor_receipt VALUES ('Order', 'o' || :id, :key::text, :record);
UPDATE floor_entity SET state = 'paid', context = '{"total": 4200, "paid": 4200}', revision = :revision + 1
    WHERE kind = 'Order' AND id = 'o' || :id;
INSERT INTO floor_record
    VALUES (:record, 'Order', 'o' || :id, :revision + 1, 'Pay', '{"amount": 4200}', :state, 'paid', now());
INSERT INTO floor_outbox VALUES ('Order', 'o' || :id, :revision + 1, 0, '{"amount": 4200}');
COMMIT;
"""


def name_of(number: int) -> str:
    """An entity's id, as the table is filled."""
    return f"o{number}"


class FloorTables:
    """The floor's tables in a database, and entities enough that callers seldom meet at one."""

    def __init__(self, address: str, entities: int) -> None:
        self.address = address
        self.entities = entities
        self.connection: psycopg.Connection[Any] = psycopg.connect(address, autocommit=True)
        for statement in _SCHEMA.split(";"):
            self.connection.execute(statement.encode())
        self.connection.execute(_FILL, (entities,))
        self.connection.execute("VACUUM ANALYZE floor_entity")

    def close(self) -> None:
        self.connection.close()


class Pgbench:
    """pgbench on these tables."""

    def __init__(self, tables: FloorTables, folder: Path) -> None:
        self._tables = tables
        self._script = folder / "transition.sql"
        self._script.write_text(_SCRIPT)
        self._runs = count(1)

    def clients(self, number: int, transitions: int) -> Run:
        """So many connections, each with its share of the transitions."""
        each = max(1, transitions // number)

        def run() -> tuple[int, int]:
            done = each * number
            return round(done * 1e9 / self._per_second(number, each)), done

        return run

    def _per_second(self, clients: int, transactions: int) -> float:
        command: list[str | Path] = [PGBENCH, "--no-vacuum", "--protocol=prepared", f"--file={self._script}"]
        command += [f"--client={clients}", f"--jobs={min(clients, 2)}", f"--transactions={transactions}"]
        given = {"entities": self._tables.entities, "n": 0, "run": next(self._runs)}
        command += [f"--define={name}={value}" for name, value in given.items()]
        told = subprocess.run([*command, self._tables.address], capture_output=True, text=True, check=False)
        found = re.search(r"^tps = ([0-9.]+)", told.stdout, re.MULTILINE)
        if told.returncode or found is None or "failed transactions: 0 " not in told.stdout:
            message = f"pgbench: {told.stdout}{told.stderr}"
            raise RuntimeError(message)
        return float(found[1])

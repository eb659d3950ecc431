"""The HTTP face under load from another process, beside the engine's own rate; what is there afterwards; its memory.

The server, with its engine, is one process and the client another. Beside each run over HTTP the same lives are lived
by 32 threads or tasks that call the engine directly, in the same process as the server. After each run all records are
read: every answer of success is there, nothing else is, and the revisions of each entity are dense.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import psutil

from bench.http_client import APPLIED_EACH, LIFE, REFUSED_EACH, Load, Tally
from bench.ledger.databases import temporary_folder
from bench.measure import Effort
from bench.report import Report, Table
from bench.work.processes import Elsewhere
from stateward import AsyncEngine, Engine
from stateward.http import Api
from stateward.http.serving import ApiServer, listen_on
from tests.http.orders import Deliver, Order, OrderLifecycle, Pay, Ship

__all__ = ["measure"]

CONNECTIONS = 32
_LIVES = 1_000
"""Of a run: 8,000 requests."""
_LEVEL_REQUESTS = 1_000_000
"""Over which the memory of the server is looked at."""
_LEVEL_PARTS = 20
_KINDS = ("memory", "sqlite")
_ENGINES = ("Engine", "AsyncEngine")


class Subject:
    """An engine in a process of its own: served over HTTP, or called directly."""

    def __init__(self, ledger: str, engine: str) -> None:
        self._ledger, self._engine = ledger, engine
        self._loop: asyncio.AbstractEventLoop
        self._made: Engine | AsyncEngine
        self._server: ApiServer
        self.port = 0
        is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(is_up)), daemon=True)
        self._thread.start()
        is_up.wait()

    async def _serve(self, is_up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        if self._engine == "Engine":
            self._made = Engine(self._ledger, lifecycles=[OrderLifecycle])
        else:
            self._made = AsyncEngine(self._ledger, lifecycles=[OrderLifecycle])
            await self._made.open()
        api = Api(self._made)
        listener = listen_on(api, "127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self._server = ApiServer(api)
        is_up.set()
        await self._server.serve(sockets=[listener])
        if isinstance(self._made, AsyncEngine):
            await self._made.close()
        else:
            self._made.close()

    def where(self) -> tuple[int, int]:
        """Its port, and its process."""
        return self.port, psutil.Process().pid

    def live(self, prefix: str, lives: int) -> float:
        """The same lives by direct calls; how many seconds they took."""
        ids = [f"{prefix}-{each}" for each in range(lives)]
        if isinstance(self._made, Engine):
            return _by_threads(self._made, ids)
        return asyncio.run_coroutine_threadsafe(_by_tasks(self._made, ids), self._loop).result()

    def count(self) -> tuple[int, int, int, int]:
        """Entities, records of applied events, records of refusals, entities whose revisions are not dense."""
        revisions: dict[str, int] = {}
        gaps: set[str] = set()
        refused = 0

        def look(record: Any) -> None:
            nonlocal refused
            if record.outcome != "applied":
                refused += 1
                return
            before = revisions.get(record.entity, 0)
            if record.revision != before + 1:
                gaps.add(record.entity)
            revisions[record.entity] = record.revision

        async def read(engine: AsyncEngine) -> None:
            async for each in engine.tail():
                look(each.record)

        if isinstance(self._made, Engine):
            for each in self._made.tail():
                look(each.record)
        else:
            asyncio.run_coroutine_threadsafe(read(self._made), self._loop).result()
        return len(revisions), sum(revisions.values()), refused, len(gaps)

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join()


def _by_threads(engine: Engine, ids: Sequence[str]) -> float:
    def life(entity: str) -> None:
        engine.create(OrderLifecycle, entity, Order(total=4200), actor="a:b", key=f"c-{entity}")
        engine.get(OrderLifecycle, entity)
        engine.attempt(OrderLifecycle, entity, Pay(amount=4200), actor="a:b", key=f"p-{entity}")
        engine.get(OrderLifecycle, entity)
        engine.attempt(OrderLifecycle, entity, Ship(), actor="a:b", key=f"s-{entity}")
        engine.attempt(OrderLifecycle, entity, Ship(), actor="a:b")
        engine.attempt(OrderLifecycle, entity, Deliver(), actor="a:b", key=f"d-{entity}")
        engine.get(OrderLifecycle, entity)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        began = time.perf_counter()
        for _ in threads.map(life, ids):
            pass
        return time.perf_counter() - began


async def _by_tasks(engine: AsyncEngine, ids: Sequence[str]) -> float:
    waiting = iter(ids)

    async def lives() -> None:
        for entity in waiting:
            await engine.create(OrderLifecycle, entity, Order(total=4200), actor="a:b", key=f"c-{entity}")
            await engine.get(OrderLifecycle, entity)
            await engine.attempt(OrderLifecycle, entity, Pay(amount=4200), actor="a:b", key=f"p-{entity}")
            await engine.get(OrderLifecycle, entity)
            await engine.attempt(OrderLifecycle, entity, Ship(), actor="a:b", key=f"s-{entity}")
            await engine.attempt(OrderLifecycle, entity, Ship(), actor="a:b")
            await engine.attempt(OrderLifecycle, entity, Deliver(), actor="a:b", key=f"d-{entity}")
            await engine.get(OrderLifecycle, entity)

    began = time.perf_counter()
    await asyncio.gather(*(lives() for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


class Alone:
    """The server alone, with an application that reads what it is sent and answers the same to all."""

    def __init__(self) -> None:
        self.port = 0
        is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(is_up)), daemon=True)
        self._thread.start()
        is_up.wait()

    async def _serve(self, is_up: threading.Event) -> None:
        with Engine("memory://", lifecycles=[]) as engine:
            api = Api(engine)
            listener = listen_on(api, "127.0.0.1", 0)
            self.port = listener.getsockname()[1]
            self._server = ApiServer(api, app=_constant)
            is_up.set()
            await self._server.serve(sockets=[listener])

    def where(self) -> tuple[int, int]:
        """Its port, and its process."""
        return self.port, psutil.Process().pid

    def close(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join()


_BODY = b"x" * 200


async def _constant(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(_BODY))]})
    await send({"type": "http.response.body", "body": _BODY})


@dataclass
class _Pair:
    """A run over HTTP and one of direct calls beside it, in requests a second."""

    http: float
    direct: float


def measure(effort: Effort) -> Report:
    """Rates, and memory over many requests."""
    report = Report()
    with closing(Elsewhere(Load)) as load, temporary_folder() as folder:
        report.tables.append(_rates(load, folder, effort))
        report.tables.append(_level(load, folder, effort))
    return report


def _rates(load: Elsewhere, folder: Path, effort: Effort) -> Table:
    lives = effort.times(_LIVES)
    rows: list[tuple[str, ...]] = []
    contestants = [(kind, engine) for kind in _KINDS for engine in _ENGINES]
    pairs: dict[tuple[str, str], list[_Pair]] = {each: [] for each in contestants}
    alone: list[float] = []
    for number in range(effort.rounds + 1):
        with closing(Elsewhere(Alone)) as subject:
            tally = load.call("run", subject.call("where")[0], "alone", lives, CONNECTIONS, False)
            alone += [LIFE * lives / tally.seconds] if number else []
        for kind, engine in contestants:
            with closing(Elsewhere(Subject, _address(kind, folder), engine)) as subject:
                direct = LIFE * lives / float(subject.call("live", "direct", lives))
                port, _ = subject.call("where")
                tally = _run(load, port, "http", lives)
                _check(subject, 2 * lives)
            if number:
                pairs[kind, engine].append(_Pair(LIFE * lives / tally.seconds, direct))
    rows.append(("uvicorn alone", f"{median(alone):,.0f}", "", ""))
    for (kind, engine), found in pairs.items():
        http, direct = median(each.http for each in found), median(each.direct for each in found)
        ratio = median(each.http / each.direct for each in found)
        rows.append((f"{engine}, {kind}", f"{http:,.0f}", f"{direct:,.0f}", f"{ratio:.2f} x"))
    note = (
        f"{CONNECTIONS} connections of one client in another process, one request at a time on each; directly: "
        f"{CONNECTIONS} threads or tasks. Of {LIFE} requests {APPLIED_EACH} are applied, {REFUSED_EACH} is refused, "
        "and the others read. SQLite: a file, WAL, synchronous=FULL. After each run every answer of success was found "
        "among the records, and nothing else."
    )
    return Table("Requests a second over HTTP", ("engine", "HTTP", "directly", "ratio"), rows, note)


def _level(load: Elsewhere, folder: Path, effort: Effort) -> Table:
    """The server's memory while it answers many requests, on SQLite: in memory, what is kept would be in it."""
    lives = max(1, effort.times(_LEVEL_REQUESTS) // LIFE // _LEVEL_PARTS)
    rows: list[tuple[str, ...]] = []
    with closing(Elsewhere(Subject, _address("sqlite", folder), "AsyncEngine")) as subject:
        port, pid = subject.call("where")
        process = psutil.Process(pid)
        for part in range(_LEVEL_PARTS):
            tally = _run(load, port, f"level-{part}", lives)
            rss = process.memory_info().rss / 2**20
            rows.append((f"{LIFE * lives * (part + 1):,}", f"{rss:,.1f}", f"{LIFE * lives / tally.seconds:,.0f}"))
        _check(subject, lives * _LEVEL_PARTS)
    note = "AsyncEngine on a SQLite file. All of it was found among the records afterwards; revisions are dense."
    return Table("Memory of the server over many requests", ("requests", "MiB resident", "requests/s"), rows, note)


def _run(load: Elsewhere, port: int, prefix: str, lives: int) -> Tally:
    tally: Tally = load.call("run", port, prefix, lives, CONNECTIONS)
    if tally.wrong or tally.statuses.total() != LIFE * lives:
        raise RuntimeError(f"{tally.statuses}: {tally.wrong}")
    return tally


def _check(subject: Elsewhere, lives: int) -> None:
    """Every answer of success is in the ledger, nothing else is, and revisions are dense."""
    found = subject.call("count")
    wanted = (lives, APPLIED_EACH * lives, REFUSED_EACH * lives, 0)
    if found != wanted:
        raise RuntimeError(f"entities, applied, refused, not dense: {found}, and not {wanted}")


def _address(kind: str, folder: Path) -> str:
    return "memory://" if kind == "memory" else f"sqlite:///{folder / f'{uuid4().hex}.db'}"

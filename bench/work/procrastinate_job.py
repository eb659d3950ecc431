"""procrastinate: a task for each job, deferred to a queue.

Its worker hears of new jobs by NOTIFY, which a trigger sends with each, and fetches them one at a time: several workers
fetch side by side. A job is two writes, when it is fetched and when it is done, each with a row of events by a trigger;
done jobs are kept, as is its default. The task is a coroutine: a function would be handed to a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

import procrastinate
import psycopg

from bench.work.job import WAIT_S, StartLog

__all__ = ["ProcrastinateJobs"]

_CONNECTIONS = 20
_COUNT = "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'succeeded'"

T = TypeVar("T")


class ProcrastinateJobs:
    """One app on a database, in an event loop of its own thread: it defers and it works."""

    def __init__(self, address: str, workers: int = 1, concurrency: int = 32) -> None:
        self.log = StartLog()
        self._workers = workers
        self._concurrency = concurrency
        logging.getLogger("procrastinate").setLevel(logging.ERROR)
        self._connection = psycopg.connect(address, autocommit=True)
        connector = procrastinate.PsycopgConnector(conninfo=address, min_size=_CONNECTIONS, max_size=_CONNECTIONS)
        self._app = procrastinate.App(connector=connector)
        log = self.log

        async def job(name: str) -> None:
            log.note(name)

        self._job: Any = self._app.task(name="job", pass_context=False)(job)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="procrastinate", daemon=True)
        self._thread.start()
        self._run(self._open())

    async def _open(self) -> None:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()

    def enqueue(self, queue: str, names: Sequence[str]) -> None:
        """All in one statement."""
        self._run(self._job.configure(queue=queue).batch_defer_async(*({"name": name} for name in names)))

    def enqueue_one(self, queue: str, name: str) -> None:
        self._run(self._job.configure(queue=queue).defer_async(name=name))

    @contextmanager
    def working(self, queue: str) -> Generator[None]:
        """Its worker, as its own documentation starts it within an application."""
        tasks = self._run(self._begin(queue))
        try:
            yield
        finally:
            self._run(self._end(tasks))

    async def _begin(self, queue: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._work(queue)) for _ in range(self._workers)]

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Stop the workers, and wait until they are gone."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, queue: str) -> None:
        await self._app.run_worker_async(queues=[queue], concurrency=self._concurrency, install_signal_handlers=False)

    def count_done(self, queue: str) -> int:
        return int((self._connection.execute(_COUNT, (queue,)).fetchone() or (0,))[0])

    def close(self) -> None:
        self._run(self._app.close_async())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._connection.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

"""DBOS: a workflow of one step for each job, enqueued on a queue of its own.

A queue is polled, by default once a second, which is most of what a job waits for; so it is measured with a short time
between polls as well. No limit holds how many of a queue run at once: one poll takes all that is there, as far as its
threads go. A job is written down when it is enqueued, claimed, through its step, and done.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

import sqlalchemy
from dbos import DBOS, SetWorkflowID

from bench.work.job import StartLog

__all__ = ["SHORT_POLLING_S", "DbosJobs"]

POLLING_S = 1.0
"""Its default."""
SHORT_POLLING_S = 0.01
_CONNECTIONS = 20
"""DBOS's own number for its system database."""
_SENDERS = 16
_COUNT = sqlalchemy.text("SELECT count(*) FROM dbos.workflow_status WHERE queue_name = :queue AND status = 'SUCCESS'")


class DbosJobs:
    """One DBOS on a database: it enqueues and it works."""

    def __init__(self, address: str, polling_s: float = POLLING_S) -> None:
        self.log = StartLog()
        self._polling_s = polling_s
        url = sqlalchemy.make_url(address).set(drivername="postgresql+psycopg")
        self._engine = sqlalchemy.create_engine(url, pool_size=1)
        DBOS(
            config={
                "name": "bench",
                "system_database_url": url.render_as_string(hide_password=False),
                "sys_db_pool_size": _CONNECTIONS,
                "log_level": "ERROR",
                "application_version": "1",
            }
        )
        DBOS.launch()
        log = self.log

        @DBOS.step()
        def start(name: str) -> None:
            log.note(name)

        @DBOS.workflow()
        def job(name: str) -> None:
            start(name)

        self._job: Any = job

    def polled(self, polling_s: float) -> DbosJobs:
        """The same, for a process can have but one, with another time between polls."""
        other = copy(self)
        other._polling_s = polling_s
        return other

    def enqueue(self, queue: str, names: Sequence[str]) -> None:
        """One by one, by several threads: it has no call for many."""
        with ThreadPoolExecutor(_SENDERS) as senders:
            list(senders.map(partial(self.enqueue_one, queue), names))

    def enqueue_one(self, queue: str, name: str) -> None:
        with SetWorkflowID(name):
            DBOS.enqueue_workflow(queue, self._job, name)

    @contextmanager
    def working(self, queue: str) -> Generator[None]:
        """A queue is worked on from when it is registered, at the latest a second after, until it is deleted."""
        DBOS.register_queue(queue, polling_interval_sec=self._polling_s)
        try:
            yield
        finally:
            DBOS.delete_queue(queue)

    def count_done(self, queue: str) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(_COUNT, {"queue": queue}).scalar_one())

    def close(self) -> None:
        DBOS.destroy()
        self._engine.dispose()

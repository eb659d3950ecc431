"""stateward: an entity for each job, whose creation asks for one effect.

Enqueuing creates the entity, under the job's name as its key: entity, record, receipt, census and outbox row, in one
transaction. The effect's handler notes that it was started and answers with an event, by which the entity is done:
record, receipt, census and the end of the outbox row are one transaction again. So a job is kept as done with its
history, as the peers keep theirs. The handler is a coroutine, as procrastinate's is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from bench.work.databases import Database
from bench.work.job import StartLog
from bench.work.lifecycles import Done, Job, JobLifecycle, Perform, check_all
from stateward import Call
from stateward.engine import Creating, Engine
from stateward.work.worker import WorkerSettings

__all__ = ["OurJobs"]


class OurJobs:
    """One engine that enqueues and works; or two, as if they were in two processes."""

    def __init__(self, database: Database, *, is_apart: bool = False, notifies: bool = False) -> None:
        """Open them.

        Args:
            database: of its own.
            is_apart: whether another engine works than the one that enqueues, which can't wake it then: it polls.
            notifies: whether the one tells the other by NOTIFY.
        """
        self.log = StartLog()
        self._database = database
        self._engine = Engine(database.address, lifecycles=[JobLifecycle], notify=notifies)
        self._worker = Engine(database.address, lifecycles=[JobLifecycle]) if is_apart else self._engine
        self._settings = WorkerSettings(listen=notifies)
        log = self.log

        @self._worker.handles(Perform)
        async def perform(effect: Perform, call: Call) -> Done:
            log.note(effect.name)
            return Done()

    def enqueue(self, queue: str, names: Sequence[str]) -> None:
        """By `create_many`, which commits 500 at a time."""
        creatings = [
            Creating(lifecycle=JobLifecycle, entity=name, context=Job(name), actor="bench:1", key=name)
            for name in names
        ]
        check_all(self._engine.create_many(creatings))

    def enqueue_one(self, queue: str, name: str) -> None:
        self._engine.create(JobLifecycle, name, Job(name), actor="bench:1", key=name)

    @contextmanager
    def working(self, queue: str) -> Generator[None]:
        """Its worker works on all queues: there is one kind of job, and none of another queue."""
        self._worker.start(self._settings)
        try:
            yield
        finally:
            self._worker.stop()

    def count_done(self, queue: str) -> int:
        """By the primary key: a job's name begins with its queue and a colon, behind which comes the semicolon."""
        return self._database.number(
            f"SELECT count(*) FROM entity WHERE kind = 'Job' AND id > '{queue}:' AND id < '{queue};' AND state = 'done'"
        )

    def close(self) -> None:
        self._worker.close()
        self._engine.close()

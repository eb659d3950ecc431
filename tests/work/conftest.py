"""Engines of both kinds on each ledger, a clock that is moved by hand, and workers whose trips a test decides on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import Event, Lock
from typing import Any, TypeAlias, TypeVar

import psycopg
import pytest

from stateward.engine import AsyncEngine, Creating, Engine, Sending
from stateward.errors import LedgerUnavailable
from stateward.ledger.after_commit import FetchParts
from stateward.ledger.contract import Capabilities, ConnectionLost, LedgerStatistics, Trip, Trips
from stateward.ledger.postgres import PostgresLedger
from stateward.work import WorkerSettings
from stateward.work.calling import Caller
from stateward.work.shift import Shift
from tests.conftest import MakeLedger
from tests.ledger.by_tasks import EngineByTasks
from tests.ledger.servers import Server
from tests.work.lifecycles import Ask, Job, JobLifecycle

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAIT_S = 30.0
"""How long a test waits for what must come; only one that fails waits so long."""

T = TypeVar("T")
AnyEngine: TypeAlias = Any
"""An Engine, or an AsyncEngine behind the same calls."""


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **given: float) -> None:
        self.now += timedelta(**given)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def work_dsn(postgres_server: Server) -> str:
    """A database that the tests of this folder use one after the other: to make one takes longer than most of them."""
    with psycopg.connect(postgres_server.uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE work")
    ledger = PostgresLedger(postgres_server.uri("work"))
    ledger.prepare()
    ledger.close()
    return postgres_server.uri("work")


@pytest.fixture
def postgres_dsn(work_dsn: str) -> Iterator[str]:
    """A database that is empty but for its schema."""
    yield work_dsn
    with psycopg.connect(work_dsn) as connection:
        empty(connection)


def empty(connection: psycopg.Connection[Any]) -> None:
    """Take all rows out of a ledger's database, but for its schema's."""
    # Records can't be deleted but so; and what still holds a row of this test is to fail it, not to keep the next.
    connection.execute("SET LOCAL session_replication_role = replica")
    connection.execute("SET LOCAL lock_timeout = '5s'")
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname NOT IN ('stateward_schema', 'part')"
    ).fetchall()
    for (table,) in tables:
        connection.execute(f"DELETE FROM {table}".encode())
    connection.execute("UPDATE part SET owner = NULL, epoch = 0")


@pytest.fixture
def in_memory(clock: Clock) -> Iterator[Engine]:
    """An engine for what is the same on each ledger."""
    with Engine("memory://", lifecycles=[JobLifecycle], clock=clock) as made:
        yield made


@pytest.fixture(params=["threads", "tasks"])
def either_in_memory(request: pytest.FixtureRequest, clock: Clock) -> Iterator[AnyEngine]:
    """One of each kind for what is the same on each ledger."""
    if request.param == "threads":
        with Engine("memory://", lifecycles=[JobLifecycle], clock=clock) as made:
            yield made
        return
    with EngineByTasks(lambda: AsyncEngine("memory://", lifecycles=[JobLifecycle], clock=clock)) as by_tasks:
        yield by_tasks


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Clock) -> Iterator[Engine]:
    """An engine of threads on each ledger in turn."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle], clock=clock) as made:
        yield made


@pytest.fixture(params=["threads", "tasks"])
def either(request: pytest.FixtureRequest, make_ledger: MakeLedger, clock: Clock) -> Iterator[AnyEngine]:
    """An engine of each kind on each ledger in turn."""
    ledger: Any = make_ledger()
    if request.param == "threads":
        with Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as made:
            yield made
        return
    if ledger.capabilities.name == "postgres":
        ledger = request.getfixturevalue("postgres_dsn")
    with EngineByTasks(lambda: AsyncEngine(ledger, lifecycles=[JobLifecycle], clock=clock)) as by_tasks:
        yield by_tasks


def handles(engine: AnyEngine, *given: Any, **named: Any) -> Callable[[Any], Any]:
    """Register a handler with an engine of either kind."""
    of_tasks: Any = getattr(engine, "engine", engine)
    made: Callable[[Any], Any] = of_tasks.handles(*given, **named)
    return made


def ask(engine: AnyEngine, entity: str, *what: str) -> Any:
    """Have an entity ask for effects; it is created if it is not there."""
    if not engine.get_many(JobLifecycle, [entity]):
        engine.create(JobLifecycle, entity, Job(), actor="test:1")
    return engine.send(JobLifecycle, entity, Ask(what=what), actor="test:1")


def ask_many(engine: Engine, entities: Sequence[str], *what: str) -> None:
    """Have new entities ask for effects, in batches."""
    for n in range(0, len(entities), 500):
        batch = entities[n : n + 500]
        engine.create_many(
            [Creating(lifecycle=JobLifecycle, entity=each, context=Job(), actor="test:1") for each in batch]
        )
        engine.send_many(
            [Sending(lifecycle=JobLifecycle, entity=each, event=Ask(what=what), actor="test:1") for each in batch]
        )


def trail(engine: AnyEngine, entity: str) -> tuple[str, ...]:
    """What an entity was told."""
    found: tuple[str, ...] = engine.get(JobLifecycle, entity).context.trail
    return found


def told(engine: AnyEngine, entity: str) -> list[tuple[Any, ...]]:
    """The records of what handlers replied, in short."""
    return [
        (each.event, each.outcome, each.key, each.source, each.cause)
        for each in engine.history(JobLifecycle, entity)
        if each.source == "effect"
    ]


def pending(engine: AnyEngine, entity: str) -> list[tuple[Any, ...]]:
    """What an entity waits for, in short."""
    return [
        (each.payload["name"], each.attempts, each.last_error)
        for each in engine.pending(JobLifecycle, entity)
    ]  # fmt: skip


def dead(engine: AnyEngine) -> list[Any]:
    return list(engine.dead())


class Watched:
    """A ledger whose trips a test sees, holds or breaks: `before` and `after` each one, in the thread that makes it."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.capabilities: Capabilities = ledger.capabilities
        self.before: Callable[[Trip], None] = lambda _: None
        self.after: Callable[[Trip], None] = lambda _: None

    def run(self, trips: Trips[T]) -> T:
        made: T = self._ledger.run(self._watch(trips))
        return made

    def _watch(self, trips: Trips[T]) -> Trips[T]:
        try:
            trip = next(trips)
            while True:
                self.before(trip)
                try:
                    pages = yield trip
                except Exception as error:
                    trip = trips.throw(error)
                else:
                    self.after(trip)
                    trip = trips.send(pages)
        except StopIteration as end:
            made: T = end.value
            return made

    def prepare(self) -> None:
        if hasattr(self._ledger, "prepare"):
            self._ledger.prepare()

    def close(self) -> None:
        self._ledger.close()

    def statistics(self) -> LedgerStatistics:
        found: LedgerStatistics = self._ledger.statistics()
        return found


def has(trip: Trip, *kinds: type) -> bool:
    """Whether a trip makes an operation of these kinds."""
    return any(isinstance(each, kinds) for each in trip.operations)


def once(when: Callable[[Trip], bool], then: Callable[[], None]) -> Callable[[Trip], None]:
    """Do something at the first trip that is such."""
    lock, is_done = Lock(), Event()

    def watch(trip: Trip) -> None:
        if when(trip):
            with lock:
                was_done = is_done.is_set()
                is_done.set()
            if not was_done:
                then()

    return watch


def lose_the_reply() -> None:
    raise ConnectionLost("the reply was lost", is_outcome_unknown=True)


def be_away() -> None:
    raise LedgerUnavailable("away")


def read(engine: Engine, operation: Any) -> Any:
    """The page of an operation."""

    def ask_for_it() -> Trips[Any]:
        [rows] = yield Trip((operation,))
        return list(rows)

    return engine._ledger.run(ask_for_it())


def write(engine: Engine, *operations: Any) -> Any:
    """The pages of operations that are a transaction."""

    def do_it() -> Trips[Any]:
        pages = yield Trip(operations, begins=True, commits=True)
        return list(pages)

    return engine._ledger.run(do_it())


def owners_of(engine: Engine) -> set[str | None]:
    """Who works on the parts."""
    return {row.owner for row in read(engine, FetchParts())}


def shift_of(engine: Engine, concurrency: int = 32) -> Any:
    """What a worker of the engine does under one lease, step by step as a test says; in a running loop."""

    async def run(trips: Trips[Any]) -> Any:
        return engine._ledger.run(trips)

    worker = engine._make_worker(run, WorkerSettings(concurrency=concurrency))
    return Shift(worker, Caller(concurrency))

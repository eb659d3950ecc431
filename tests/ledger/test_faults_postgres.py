"""Faults on purpose, on real PostgreSQL servers: killed processes, backends and servers, lost replies, held locks."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from stateward import Conflict, Final, Lifecycle, Refusal, State, on
from stateward.engine import AsyncEngine, Engine, Sending
from stateward.errors import LedgerCorrupt, LedgerUnavailable, StatewardError, Unkeepable, VersionUnknown
from stateward.ledger import Applied
from stateward.ledger.contract import CommitMoves, CreateEntities, LoadPairs, Trip
from stateward.ledger.postgres import AsyncPostgresLedger, PostgresLedger
from stateward.ledger.sql import read_migrations
from tests.ledger.by_tasks import EngineByTasks
from tests.ledger.faults_counting import Close, Count, CountLifecycle, Tick, check_engine, ticks
from tests.ledger.faults_parent import acks_of, check_left_behind, start_child
from tests.ledger.faults_postgres import OwnServer, Proxy, blocked_backends, wait_until

MARK = 424242
"""The number of a tick whose writing the proxy loses: what is read holds it nowhere."""


class Background:
    """A call in a thread of its own, and what came of it."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.answer: Any = None
        self._act = act
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._act()
        except StatewardError as error:
            self.answer = error

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def wait(self) -> Any:
        self._thread.join(30)
        assert not self._thread.is_alive(), "it is done within half a minute"
        return self.answer


@pytest.fixture
def admin(postgres_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection beside the engine's, to the same database."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        yield connection


BOTH = ["threads", "tasks"]
"""The engines that are held to it; the one for tasks behind the calls of the one for threads."""


def engine_by(way: str, dsn: str, timeout_s: float) -> Any:
    if way == "threads":
        return Engine(PostgresLedger(dsn, timeout_s=timeout_s), lifecycles=[CountLifecycle])
    return EngineByTasks(
        lambda: AsyncEngine(AsyncPostgresLedger(dsn, timeout_s=timeout_s), lifecycles=[CountLifecycle])
    )


@pytest.fixture
def engine(postgres_dsn: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine for threads; of tests that say so, for tasks too."""
    dsn = make_conninfo(postgres_dsn, options="-cdeadlock_timeout=50ms")
    made = engine_by(getattr(request, "param", "threads"), dsn, 10.0)
    for entity in ("c1", "c2"):
        made.create(CountLifecycle, entity, Count(), actor="a:1")
    yield made
    made.close()


EITHER = pytest.mark.parametrize("engine", BOTH, indirect=True)


def tick(engine: Engine, n: int, entity: str = "c1", **given: Any) -> Applied[Count]:
    return engine.send(CountLifecycle, entity, Tick(n=n), actor="a:1", **given)


def trips_of(monkeypatch: pytest.MonkeyPatch, before: Callable[[Any, Trip], None]) -> None:
    """Let a function come before each trip of a ledger, with its connection."""
    make, make_by_task = PostgresLedger._make, AsyncPostgresLedger._make

    def made(self: PostgresLedger, connection: Any, trip: Trip) -> Any:
        before(connection, trip)
        return make(self, connection, trip)

    async def made_by_task(self: AsyncPostgresLedger, connection: Any, trip: Trip) -> Any:
        before(connection, trip)
        return await make_by_task(self, connection, trip)

    monkeypatch.setattr(PostgresLedger, "_make", made)
    monkeypatch.setattr(AsyncPostgresLedger, "_make", made_by_task)


def holds(trip: Trip, operation: type) -> bool:
    return any(isinstance(each, operation) for each in trip.operations)


# The process is killed.


@pytest.mark.parametrize("way", BOTH)
@pytest.mark.parametrize("batch", [1, 7], ids=["single", "batches"])
@pytest.mark.parametrize("point", ["before-read", "between-read-and-write", "after-write"])
def test_a_killed_process_loses_nothing_and_applies_nothing_twice(
    postgres_dsn: str, point: str, batch: int, way: str
) -> None:
    child = start_child(postgres_dsn, 0, 40, batch=batch, fault=f"{point}:4", way=way)
    acks = acks_of(child)
    assert child.returncode == -signal.SIGKILL
    assert 0 < len(acks) < 40
    with Engine(postgres_dsn, lifecycles=[CountLifecycle]) as engine:
        assert check_left_behind(engine, acks, 40) == (batch if point == "after-write" else 0)


def test_processes_that_make_a_fresh_database_ready_at_once_and_send_the_same(fresh_postgres_dsn: str) -> None:
    from stateward.ledger.postgres.schema import _LOCK

    with psycopg.connect(fresh_postgres_dsn, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        children = [start_child(fresh_postgres_dsn, 0, 40, batch=batch) for batch in (1, 3)]
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND clock_timestamp() - waitstart > '300ms'"
        wait_until(lambda: admin.execute(query).fetchone() == (2,), "for both to have waited for longer than rows are")
        admin.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
        first, second = map(acks_of, children)
        assert first == second
        assert len(first) == 40
        numbers = [(each.number,) for each in read_migrations("stateward.ledger.postgres")]
        assert admin.execute("SELECT number FROM stateward_schema ORDER BY number").fetchall() == numbers
    with Engine(fresh_postgres_dsn, lifecycles=[CountLifecycle]) as engine:
        assert check_left_behind(engine, first, 40) == 0


# The connection is taken away.


@EITHER
def test_a_backend_terminated_between_trips_is_gone_round(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminated: list[type] = []

    def terminate(connection: psycopg.Connection[Any], trip: Trip) -> None:
        for operation in (LoadPairs, CommitMoves):
            if holds(trip, operation) and operation not in terminated:
                terminated.append(operation)
                admin.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))

    trips_of(monkeypatch, terminate)
    assert tick(engine, 1, key="k1").revision == 2
    assert terminated == [LoadPairs, CommitMoves]
    assert tick(engine, 2).revision == 3
    check_engine(engine)


@EITHER
def test_a_backend_terminated_while_nobody_sent_is_not_noticed(engine: Engine, admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert tick(engine, 1).revision == 2
    check_engine(engine)


@EITHER
def test_a_backend_terminated_while_nobody_read_is_not_noticed(engine: Engine, admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert engine.get(CountLifecycle, "c1").revision == 1


@EITHER
@pytest.mark.parametrize("key", [None, "k1"], ids=["no-key", "key"])
def test_a_backend_terminated_while_it_writes_is_gone_round(
    engine: Engine, admin: psycopg.Connection[Any], key: str | None
) -> None:
    with admin.transaction():
        admin.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")  # which is written, and not read
        sending = Background(lambda: tick(engine, 1, key=key))
        wait_until(lambda: blocked_backends(admin), "for the write")
        [pid] = blocked_backends(admin)
        admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: pid not in blocked_backends(admin))
    assert sending.wait().revision == 2
    assert tick(engine, 2).revision == 3
    check_engine(engine)


# The server is taken away.


@pytest.fixture(scope="module")
def own_server(postgres_binaries: Path) -> Iterator[OwnServer]:
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = OwnServer(Path(folder) / "data", postgres_binaries)
        yield server
        server.stop()


@pytest.fixture
def own_dsn(own_server: OwnServer) -> Iterator[str]:
    """A database of the test's own on the server that may be killed."""
    name = f"t{uuid4().hex}"
    own_server.wait_ready()
    with psycopg.connect(own_server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield make_conninfo(own_server.dsn, dbname=name)
    own_server.wait_ready()
    with psycopg.connect(own_server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=BOTH)
def own_engine(own_dsn: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    made = engine_by(request.param, own_dsn, 5.0)
    for entity in ("c1", "c2"):
        made.create(CountLifecycle, entity, Count(), actor="a:1")
    yield made
    made.close()


def send_until_done(engine: Engine, n: int, entity: str) -> list[Applied[Count]]:
    """Send under a key, again and again, until it is known to be done; as callers do whose database is away."""
    answers: list[Applied[Count]] = []

    def is_done() -> bool:
        try:
            answers.append(tick(engine, n, entity, key=f"k{n}"))
        except LedgerUnavailable:
            return False
        return True

    wait_until(is_done, f"for tick {n}")
    return answers


@pytest.mark.parametrize("victim", ["backend", "postmaster"])
def test_a_killed_server_loses_nothing_and_the_engine_recovers(
    own_engine: Engine, own_server: OwnServer, own_dsn: str, victim: str
) -> None:
    answers: list[Applied[Count]] = []
    is_over = False

    def work(worker: int) -> None:
        n = worker
        while not is_over:
            answers.extend(send_until_done(own_engine, n, f"c{1 + n % 2}"))
            n += 2

    workers = [Background(lambda worker=worker: work(worker)) for worker in range(2)]  # type: ignore[misc]
    for _ in range(2):
        so_far = len(answers)
        wait_until(lambda so_far=so_far: len(answers) > so_far + 20)  # type: ignore[misc]
        if victim == "postmaster":
            own_server.kill()
            own_server.start()
        else:
            own_server.wait_ready()
            with psycopg.connect(own_dsn) as admin:
                query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s LIMIT 1"
                [(pid,)] = admin.execute(query, (admin.info.backend_pid,)).fetchall()
            own_server.kill_backend(pid)
    so_far = len(answers)
    wait_until(lambda: len(answers) > so_far + 20)
    is_over = True
    for worker in workers:
        assert worker.wait() is None
    histories = check_engine(own_engine)
    records = {each.id: each for lines in histories.values() for each in lines}
    for answer in answers:
        assert records[answer.record].revision == answer.revision, "nothing acknowledged is lost"
    done = [n for lines in histories.values() for n in ticks(lines)]
    assert len(done) == len(set(done)) == len(answers), "nothing is applied twice"


def test_a_server_that_stays_away_is_told(own_server: OwnServer, own_dsn: str) -> None:
    with Engine(PostgresLedger(own_dsn, timeout_s=0.2), lifecycles=[CountLifecycle]) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        own_server.kill()
        try:
            with pytest.raises(LedgerUnavailable) as caught:
                tick(engine, 1)
            assert caught.value.record is not None
        finally:
            own_server.start()
        assert send_until_done(engine, 2, "c1")[0].revision == 2
        check_engine(engine)


# The reply to a commit is lost.


@pytest.fixture
def proxy(own_server: OwnServer) -> Iterator[Proxy]:
    made = Proxy(own_server.tcp_port)
    yield made
    made.close()


@pytest.fixture(params=BOTH)
def far_engine(proxy: Proxy, own_dsn: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that reaches its server through the proxy."""
    made = engine_by(request.param, make_conninfo(own_dsn, port=proxy.port), 0.5)
    for entity in ("c1", "c2", "c3"):
        made.create(CountLifecycle, entity, Count(), actor="a:1")
    yield made
    made.close()


LOSSES = ["request", "reply", "late"]
NEEDLE = str(MARK).encode()


@pytest.mark.parametrize("warm", [0, 8], ids=["first", "prepared"])
@pytest.mark.parametrize("key", [None, "k"], ids=["no-key", "key"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_send_whose_reply_is_lost_is_applied_once(
    far_engine: Engine, proxy: Proxy, loss: str, key: str | None, warm: int
) -> None:
    for n in range(warm):
        tick(far_engine, n)
    proxy.arm(loss, NEEDLE)
    answer = tick(far_engine, MARK, key=key)
    assert proxy.has_cut.is_set()
    assert (answer.revision, answer.outcome, answer.is_repetition) == (warm + 2, "applied", False)
    if loss == "late":
        proxy.release()  # a zombie: its compare-and-swap misses
    tick(far_engine, 1)
    histories = check_engine(far_engine)
    assert ticks(histories["c1"]) == [*range(warm), MARK, 1]
    assert histories["c1"][warm + 1].id == answer.record
    if key is not None:
        again = tick(far_engine, MARK, key=key)
        assert (again.record, again.is_repetition) == (answer.record, True)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_late_request_that_comes_through_after_others_moved_the_entity_changes_nothing(
    far_engine: Engine, own_dsn: str, proxy: Proxy, loss: str
) -> None:
    proxy.arm(loss, NEEDLE)
    tick(far_engine, MARK)
    with Engine(PostgresLedger(own_dsn), lifecycles=[CountLifecycle]) as other:
        for n in range(3):
            tick(other, n)
    if loss == "late":
        proxy.release()
    assert ticks(check_engine(far_engine)["c1"]) == [MARK, 0, 1, 2]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_whose_reply_is_lost_is_applied_once(far_engine: Engine, proxy: Proxy, loss: str) -> None:
    proxy.arm(loss, NEEDLE)
    answers = far_engine.send_many(
        [
            Sending(lifecycle=CountLifecycle, entity=entity, event=Tick(n=n), actor="a:1", key=key)
            for entity in ("c1", "c2", "c3")
            for n, key in ((1, None), (MARK, "k"), (2, None))
        ]
    )
    assert proxy.has_cut.is_set()
    if loss == "late":
        proxy.release()
    histories = check_engine(far_engine)
    assert [each.revision for each in answers if isinstance(each, Applied)] == [2, 3, 4] * 3
    for entity in ("c1", "c2", "c3"):
        assert ticks(histories[entity]) == [1, MARK, 2]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_refusal_whose_reply_is_lost_is_recorded_once(far_engine: Engine, proxy: Proxy, loss: str) -> None:
    proxy.arm(loss, NEEDLE)
    answer = far_engine.attempt(CountLifecycle, "c1", Tick(n=MARK), actor="a:1", expected_revision=7)
    assert proxy.has_cut.is_set()
    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.state) == ("stale", "even")
    if loss == "late":
        proxy.release()
    histories = check_engine(far_engine)
    assert [(each.outcome, each.reason) for each in histories["c1"][1:]] == [("rejected_invalid", "stale")]


@pytest.mark.parametrize("key", [None, "k"], ids=["no-key", "key"])
@pytest.mark.parametrize("loss", ["request", "reply"])
def test_a_creation_whose_commit_is_lost_is_made_once(
    far_engine: Engine, proxy: Proxy, loss: str, key: str | None
) -> None:
    proxy.arm(loss, b"COMMIT")
    made = far_engine.create(CountLifecycle, "c9", Count(), actor="a:1", key=key)
    assert proxy.has_cut.is_set()
    assert (made.revision, made.is_repetition) == (1, False)
    check_created(far_engine, made.record)


@pytest.mark.parametrize("key", [None, "k"], ids=["no-key", "key"])
def test_a_creation_whose_commit_comes_late_is_told_as_unknown(
    far_engine: Engine, proxy: Proxy, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that waits for its COMMIT still holds the id, so that the second attempt has to give up."""
    monkeypatch.setattr("stateward.ledger.committing.HELD_S_MAX", 0.2)
    proxy.arm("late", b"COMMIT")
    with pytest.raises(LedgerUnavailable) as caught:
        far_engine.create(CountLifecycle, "c9", Count(), actor="a:1", key=key)
    assert proxy.has_cut.is_set(), (
        repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.is_outcome_unknown)
    )
    proxy.release()
    assert caught.value.record is not None
    check_created(far_engine, caught.value.record)
    assert caught.value.is_outcome_unknown, "it was said not to be there, and is"


@pytest.mark.parametrize("key", [None, "k"], ids=["no-key", "key"])
@pytest.mark.parametrize("loss", ["request", "reply"])
def test_a_creation_that_is_lost_before_its_commit_was_not_made(
    far_engine: Engine, proxy: Proxy, loss: str, key: str | None
) -> None:
    proxy.arm(loss, NEEDLE)

    def create() -> Applied[Count]:
        return far_engine.create(CountLifecycle, "c9", Count(ticks=(MARK,)), actor="a:1", key=key)

    try:
        made = create()
    except LedgerUnavailable as error:
        told = error.is_outcome_unknown
        made = create()
    else:
        told = False
    assert not told
    assert proxy.has_cut.is_set()
    assert not made.is_repetition
    [record] = far_engine.history(CountLifecycle, "c9")
    assert record.id == made.record


def check_created(engine: Engine, record: str) -> None:
    """There is one c9, and it came of this record."""
    assert [each.id for each in engine.history(CountLifecycle, "c9")] == [record]
    assert engine.census(CountLifecycle) == {"even": 4}
    with pytest.raises(Conflict):
        engine.create(CountLifecycle, "c9", Count(ticks=(1,)), actor="a:1", key="k")


@pytest.mark.usefixtures("quick_settling")
@pytest.mark.parametrize("key", [None, "k"], ids=["no-key", "key"])
@pytest.mark.parametrize("loss", ["request", "reply"])
def test_an_outcome_that_stays_unknown_is_told_with_the_record(
    far_engine: Engine, proxy: Proxy, loss: str, key: str | None
) -> None:
    proxy.arm(loss, NEEDLE, stays_away=True)
    with pytest.raises(LedgerUnavailable, match="is not known") as caught:
        tick(far_engine, MARK, key=key)
    assert caught.value.is_outcome_unknown
    proxy.is_away = False
    wait_until(lambda: is_back(far_engine))
    records = {each.id for each in far_engine.history(CountLifecycle, "c1")}
    assert (caught.value.record in records) == (loss == "reply"), "by the record's id one can tell"
    if key is not None:
        assert tick(far_engine, MARK, key=key).is_repetition == (loss == "reply")
    check_engine(far_engine)


def is_back(engine: Engine) -> bool:
    try:
        engine.get(CountLifecycle, "c1")
    except LedgerUnavailable:
        return False
    return True


# Others' locks.


def test_a_deadlock_is_gone_round(engine: Engine, admin: psycopg.Connection[Any]) -> None:
    """A batch creates c7 and c8, in this order; another transaction has c8, and wants c7."""
    pairs = [
        engine._core.creation(
            CountLifecycle, each, Count(), actor="a:1", key=None, occurred_at=None, source="call"
        )
        for each in ("c7", "c8")
    ]  # fmt: skip
    row = "INSERT INTO entity SELECT kind, %s, part, version, state, history, context, revision, created_at, \
        updated_at, entered FROM entity WHERE id = 'c1'"
    connection = psycopg.connect(engine._ledger._pool.conninfo)  # type: ignore[attr-defined]
    connection.execute("SET deadlock_timeout = '1min'")
    connection.execute(row, ("c8",))
    sending = Background(lambda: engine._committer.submit(pairs))
    wait_until(lambda: blocked_backends(admin), "for the batch to wait for c8")
    connection.execute(row, ("c7",))
    connection.rollback()
    connection.close()
    assert sending.wait() is None
    assert [each.error for each in pairs] == [None, None]
    assert sorted(check_engine(engine)) == ["c1", "c2", "c7", "c8"]


def test_a_serialization_failure_is_gone_round(postgres_dsn: str, admin: psycopg.Connection[Any]) -> None:
    dsn = make_conninfo(postgres_dsn, options="-cdefault_transaction_isolation=serializable")
    with Engine(PostgresLedger(dsn), lifecycles=[CountLifecycle]) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        with admin.transaction():
            admin.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
            sending = Background(lambda: tick(engine, 1))
            wait_until(lambda: blocked_backends(admin), "for the write, which has its snapshot by then")
            admin.execute("UPDATE entity SET traceparent = 'x'")
        assert sending.wait().revision == 2
        check_engine(engine)


@EITHER
def test_an_open_transaction_that_holds_one_entity_does_not_hold_up_others(
    engine: Engine, admin: psycopg.Connection[Any]
) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute("SELECT FROM entity WHERE id = 'c1' FOR UPDATE")
        held = Background(lambda: tick(engine, 1, "c1"))
        for n in range(20):
            assert tick(engine, n, "c2").revision == n + 2
        sendings = [Sending(lifecycle=CountLifecycle, entity="c2", event=Tick(n=n), actor="a:1") for n in range(20)]
        assert all(isinstance(each, Applied) for each in engine.send_many(sendings))
        assert held.is_running
        assert held.answer is None
    assert held.wait().revision == 2
    check_engine(engine)


@EITHER
def test_a_joined_transaction_left_open_does_not_hold_up_the_rest_of_a_batch(engine: Engine, postgres_dsn: str) -> None:
    with Engine(postgres_dsn, lifecycles=[CountLifecycle]) as joining, psycopg.connect(postgres_dsn) as slow:
        joining.joining(slow).send(CountLifecycle, "c1", Tick(n=1), actor="a:1")
        sendings = [
            Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=2), actor="a:1") for each in ("c1", "c2", "c1")
        ]
        batch = Background(lambda: engine.send_many(sendings))
        wait_until(lambda: joining.get(CountLifecycle, "c2").revision == 2, "for c2, while c1 is held")
        assert batch.is_running
        slow.commit()
        assert [each.revision for each in batch.wait()] == [3, 2, 4]
    assert ticks(check_engine(engine)["c1"]) == [1, 2, 2]


@EITHER
def test_an_entity_that_stays_held_is_told_and_nothing_of_it_is_kept(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.ledger.committing.HELD_S_MAX", 0.2)
    with admin.transaction(force_rollback=True):
        admin.execute("SELECT FROM entity WHERE id = 'c1' FOR UPDATE")
        sendings = [
            Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=1), actor="a:1", key="k")
            for each in ("c1", "c2")
        ]
        held, other = engine.send_many(sendings)
        assert isinstance(other, Applied)
        assert isinstance(held, LedgerUnavailable)
        assert "c1 was held or moved by others" in str(held)
        assert not held.is_outcome_unknown
        assert held.record is not None
    assert [type(each) for each in engine.send_many(sendings)] == [Applied, Applied]
    assert ticks(check_engine(engine)["c1"]) == [1]


def test_engines_that_register_lifecycles_in_opposite_orders_do_not_fail(
    postgres_dsn: str, admin: psycopg.Connection[Any]
) -> None:
    class Second(Lifecycle[Count], name="Aaa"):
        even = State(initial=True)
        closed = Final()
        close = on(Close, even.to(closed))

    dsn = make_conninfo(postgres_dsn, options="-cdeadlock_timeout=50ms")
    connection = psycopg.connect(postgres_dsn)
    connection.execute("SET deadlock_timeout = '1min'")
    row = "INSERT INTO lifecycle VALUES (%s, 1, repeat('0', 64))"
    connection.execute(row, ("Aaa",))

    def start() -> None:
        Engine(PostgresLedger(dsn), lifecycles=[CountLifecycle, Second]).close()

    starting = Background(start)
    wait_until(lambda: blocked_backends(admin), "for the engine to wait for Aaa")
    connection.execute(row, ("Count",))
    connection.rollback()
    connection.close()
    assert starting.wait() is None
    assert admin.execute("SELECT kind FROM lifecycle ORDER BY 1").fetchall() == [("Aaa",), ("Count",)]


# Rows that the database refuses.


# Not strict: it hangs on whether the server's error and its readiness come in one piece.
@EITHER
@pytest.mark.parametrize("code", ["40001", "40P01", "55P03"], ids=["serialization", "deadlock", "lock"])
def test_what_is_rolled_back_for_others_again_and_again_is_told_some_time(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Writing c1 fails each time, as if for others; c2 beside it is written, and c1 once it no longer does."""
    monkeypatch.setattr("stateward.ledger.committing.HELD_S_MAX", 0.3)
    admin.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN PERFORM nextval('tries'); RAISE EXCEPTION 'not now' USING ERRCODE = tg_argv[0]; END $$"
    )
    admin.execute("CREATE SEQUENCE tries")
    admin.execute(
        f"CREATE TRIGGER fail BEFORE INSERT ON outbox FOR EACH ROW WHEN (new.entity = 'c1') \
        EXECUTE FUNCTION fail('{code}')".encode()
    )
    sendings = [
        Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=1), actor="a:1", key="k") for each in ("c1", "c2")
    ]
    failed, other = engine.send_many(sendings)
    assert isinstance(other, Applied)
    assert isinstance(failed, LedgerUnavailable)
    assert "c1 was held or moved by others" in str(failed)
    assert not failed.is_outcome_unknown
    [tries] = admin.execute("SELECT last_value FROM tries").fetchone() or (0,)
    assert 3 < tries < 1000
    assert len(check_engine(engine)["c1"]) == 1
    admin.execute("DROP TRIGGER fail ON outbox")
    assert [type(each) for each in engine.send_many(sendings)] == [Applied, Applied]
    assert ticks(check_engine(engine)["c1"]) == [1]


@pytest.mark.parametrize("created", [False, True], ids=["events", "with-creations"])
def test_a_row_that_the_database_refuses_harms_no_other(
    engine: Engine, admin: psycopg.Connection[Any], created: bool
) -> None:
    admin.execute("ALTER TABLE outbox ADD CHECK (entity <> 'c1')")
    pairs: list[Any] = [
        engine._core.sending(
            CountLifecycle, entity, Tick(n=n), actor="a:1", key=None, expected_revision=None, occurred_at=None,
            source="call",
        )
        for entity, n in (("c1", 1), ("c2", 1), ("c1", 2), ("c2", 2))
    ]  # fmt: skip
    if created:
        pairs.insert(
            0,
            engine._core.creation(
                CountLifecycle, "c3", Count(), actor="a:1", key=None, occurred_at=None, source="call"
            ),
        )  # fmt: skip
    engine._committer.submit(pairs)
    for pair in pairs:
        if pair.entity == "c1":
            assert isinstance(pair.error, Unkeepable), pair.error
        else:
            assert pair.error is None
            assert isinstance(pair.answer, Applied)
    histories = check_engine(engine)
    assert (len(histories["c1"]), len(histories["c2"])) == (1, 3)


# Records are append-only.

FORGERIES = {
    "update": "UPDATE {table} SET event = 'Forged'",
    "delete": "DELETE FROM {table}",
    "delete one": "DELETE FROM {table} WHERE revision = 1",
    "truncate": "TRUNCATE {table}",
    "truncate cascade": "TRUNCATE {table} CASCADE",
    "upsert": "INSERT INTO {table} SELECT * FROM record ON CONFLICT (id) DO UPDATE SET event = 'Forged'",
    "merge": "MERGE INTO {table} r USING record s ON r.id = s.id WHEN MATCHED THEN DELETE",
}


@pytest.mark.parametrize("where", ["record", "partition"])
@pytest.mark.parametrize("statement", FORGERIES.values(), ids=FORGERIES)
def test_records_are_neither_changed_nor_removed(
    engine: Engine, admin: psycopg.Connection[Any], statement: str, where: str
) -> None:
    tick(engine, 1)
    [(partition,)] = admin.execute("SELECT DISTINCT tableoid::regclass::text FROM record").fetchall()
    before = admin.execute("SELECT * FROM record ORDER BY id").fetchall()
    with pytest.raises(psycopg.IntegrityError, match="records are append-only"):
        admin.execute(statement.format(table="record" if where == "record" else partition).encode())
    assert admin.execute("SELECT * FROM record ORDER BY id").fetchall() == before


def test_no_partition_can_be_truncated(engine: Engine, admin: psycopg.Connection[Any]) -> None:
    partitions = [
        name for (name,) in admin.execute("SELECT relid::regclass::text FROM pg_partition_tree('record') WHERE isleaf")
    ]
    assert "record_default" in partitions
    assert len(partitions) >= 4, "this month's, and those ahead"
    for name in ("record", *partitions):
        with pytest.raises(psycopg.IntegrityError, match="records are append-only"):
            admin.execute(f"TRUNCATE {name}".encode())


# Broken rows.

BROKEN = {
    "a context of another type": 'context = \'{"ticks": "many"}\'',
    "a context that is no object": "context = '[]'",
    "an unknown state": "state = 'nowhere'",
    "two states of one region": "state = 'even|odd'",
    "a history that is no object": "history = '[1]'",
    "entries that are no times": 'entered = \'{"even": "yesterday"}\'',
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_broken_row_names_its_entity_and_harms_no_other(
    engine: Engine, admin: psycopg.Connection[Any], change: str
) -> None:
    admin.execute(f"UPDATE entity SET {change} WHERE id = 'c1'".encode())
    with pytest.raises(LedgerCorrupt, match="Count c1: ") as caught:
        engine.get(CountLifecycle, "c1")
    assert (caught.value.lifecycle, caught.value.entity) == ("Count", "c1")
    bad, good = engine.send_many(
        [Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=1), actor="a:1") for each in ("c1", "c2")]
    )
    assert isinstance(bad, LedgerCorrupt)
    assert isinstance(good, Applied)
    assert admin.execute("SELECT revision FROM entity WHERE id = 'c1'").fetchall() == [(1,)]
    assert len(list(engine.history(CountLifecycle, "c1"))) == 1


TIMES = ("created_at", "updated_at", "due_by")


@pytest.mark.parametrize("moment", ["200000-01-01 00:00+00", "4000-01-01 00:00+00 BC"], ids=["late", "early"])
@pytest.mark.parametrize("column", TIMES)
def test_a_time_that_python_does_not_have_names_its_entity(
    engine: Engine, admin: psycopg.Connection[Any], column: str, moment: str
) -> None:
    admin.execute(f"UPDATE entity SET {column} = '{moment}' WHERE id = 'c1'".encode())
    with pytest.raises(LedgerCorrupt, match="Count c1: "):
        engine.get(CountLifecycle, "c1")


@pytest.mark.parametrize("column", TIMES)
def test_a_time_without_end_is_refused_by_the_schema(
    engine: Engine, admin: psycopg.Connection[Any], column: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        admin.execute(f"UPDATE entity SET {column} = 'infinity' WHERE id = 'c1'".encode())


def test_an_unknown_version_is_told(engine: Engine, admin: psycopg.Connection[Any]) -> None:
    admin.execute("UPDATE entity SET version = 9 WHERE id = 'c1'")
    with pytest.raises(VersionUnknown, match="Count c1 is on version 9; this engine knows 1"):
        tick(engine, 1)


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        Engine(PostgresLedger(f"host={tmp_path} dbname=x", timeout_s=0.5), lifecycles=[CountLifecycle])


def test_creates_in_a_deadlock_leave_no_open_transaction(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error within a transaction rolls it back before anything else is asked of the connection."""
    seen: list[str] = []

    def look(connection: psycopg.Connection[Any], trip: Trip) -> None:
        if trip.begins:
            seen.append(connection.info.transaction_status.name)

    trips_of(monkeypatch, look)
    admin.execute("ALTER TABLE record ADD CHECK (entity <> 'c9')")
    with pytest.raises(Unkeepable, match="the database refused it"):
        engine.create(CountLifecycle, "c9", Count(), actor="a:1")
    assert set(seen) == {"IDLE"}
    assert not admin.execute("SELECT FROM entity WHERE id = 'c9'").fetchall()
    assert holds(Trip((CreateEntities(()),)), CreateEntities)


def test_many_connections_that_died_unseen_are_not_tried_one_after_the_other(
    engine: Engine, admin: psycopg.Connection[Any]
) -> None:
    """Seen to end in `LedgerUnavailable` with eight of them, as long as each try took the next dead one."""
    pool = engine._ledger._pool  # type: ignore[attr-defined]
    taken = [pool.getconn() for _ in range(8)]
    for each in taken:
        pool.putconn(each)
    pids = [each.info.backend_pid for each in taken]
    admin.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid", (pids,))
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s)"
    wait_until(lambda: admin.execute(query, (pids,)).fetchone() == (0,), "for the backends to be gone")
    assert tick(engine, 1).revision == 2
    check_engine(engine)


def test_a_lost_refusal_that_comes_through_just_before_it_is_written_again_is_a_refusal(
    engine: Engine, admin: psycopg.Connection[Any]
) -> None:
    """It was looked for and not found. Seen to be told as what the database can't keep."""
    engine.send(CountLifecycle, "c1", Tick(n=1), actor="a:1")
    pair = engine._core.sending(
        CountLifecycle, "c1", Close(), actor="a:1", key=None, expected_revision=None, occurred_at=None, source="call"
    )
    twin = copy(pair)
    pair.is_lost = True
    ledger: Any = engine._ledger
    make, late = ledger._make, [twin]

    def made(connection: Any, trip: Trip) -> Any:
        if late and any(isinstance(each, CommitMoves) for each in trip.operations):
            ledger.run(engine._core.committing([late.pop()], ledger.capabilities))
        return make(connection, trip)

    ledger._make = made
    engine._committer.submit([pair])
    assert isinstance(twin.answer, Refusal)
    assert isinstance(pair.answer, Refusal)
    assert pair.error is None
    check_engine(engine)


def test_a_server_that_goes_away_before_anything_was_written_leaves_no_doubt(
    far_engine: Engine, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to be told as unknown, as any trip without a transaction was."""
    proxy.arm("request", b"FROM (VALUES (", stays_away=True)
    with pytest.raises(LedgerUnavailable) as caught:
        tick(far_engine, 1)
    assert proxy.has_cut.is_set()
    assert not caught.value.is_outcome_unknown

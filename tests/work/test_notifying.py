"""Workers of other processes are told of work on PostgreSQL, once for many commits, and outside of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread, get_ident
from threading import Event as Flag

import psycopg
import pytest

from stateward import (
    Actions,
    AsyncEngine,
    Context,
    Effect,
    Engine,
    Event,
    Final,
    Lifecycle,
    Sending,
    State,
    WorkerSettings,
    on,
)
from stateward.engine import Creating
from stateward.errors import CallerError
from stateward.ledger.postgres.notifying import PostgresChannel
from stateward.work.notifying import Notifier


class Ask(Event):
    """Something is to be done."""


class Do(Effect):
    """Do it."""


class Thing(Context):
    n: int = 0


def ask_for(thing: Thing, event: Ask) -> Actions[Thing]:
    yield Do()
    return thing


class ThingLifecycle(Lifecycle[Thing]):
    version = 1

    idle = State(initial=True)
    asked = Final()
    ask = on(Ask, idle.to(asked), do=ask_for)


@pytest.fixture(autouse=True)
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is not told sleeps for longer than a test may take."""
    monkeypatch.setattr("stateward.work.shift.POLL_S_MIN", 600.0)


@pytest.fixture
def listener(postgres_dsn: str) -> Iterator[psycopg.Connection]:
    """One that hears what is told."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("LISTEN stateward_work")
        yield connection


LISTENING = WorkerSettings(listen=True, poll=timedelta(minutes=10))


def test_a_worker_of_another_engine_is_told(postgres_dsn: str) -> None:
    done = Flag()
    with Engine(postgres_dsn, lifecycles=[ThingLifecycle]) as works:
        works.handles(Do)(lambda effect, call: done.set())
        works.start(LISTENING)
        assert works._worker is not None
        sleeps = Flag()
        works._worker.effects.watchers.append(sleeps.set)
        with Engine(postgres_dsn, lifecycles=[ThingLifecycle], notify=True) as sends:
            assert sleeps.wait(20)
            sends.create(ThingLifecycle, "t1", Thing(), actor="a:1")
            assert not done.is_set()
            sends.send(ThingLifecycle, "t1", Ask(), actor="a:1")
            assert done.wait(20)


def test_tasks_tell_and_are_told(postgres_dsn: str) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def do(effect: Do, call: object) -> None:
            done.set()

        async with (
            AsyncEngine(postgres_dsn, lifecycles=[ThingLifecycle]) as works,
            AsyncEngine(postgres_dsn, lifecycles=[ThingLifecycle], notify=True) as sends,
        ):
            works.handles(Do)(do)
            await works.start(LISTENING)
            await sends.create(ThingLifecycle, "t1", Thing(), actor="a:1")
            await sends.send(ThingLifecycle, "t1", Ask(), actor="a:1")
            await asyncio.wait_for(done.wait(), 20)

    asyncio.run(main())


def test_a_thousand_commits_are_told_in_a_few_words(
    postgres_dsn: str, listener: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.work.notifying.INTERVAL_S", 60.0)
    with Engine(postgres_dsn, lifecycles=[ThingLifecycle], notify=True) as engine:
        ids = [f"t{n}" for n in range(200)]
        engine.create_many([Creating(lifecycle=ThingLifecycle, entity=n, context=Thing(), actor="a:1") for n in ids])
        for each in ids[:100]:
            engine.send(ThingLifecycle, each, Ask(), actor="a:1")
        engine.send_many([Sending(lifecycle=ThingLifecycle, entity=n, event=Ask(), actor="a:1") for n in ids[100:]])
    told = list(listener.notifies(timeout=0.5))
    assert 1 <= len(told) <= 2


def test_what_asks_for_nothing_is_not_told(postgres_dsn: str, listener: psycopg.Connection) -> None:
    with Engine(postgres_dsn, lifecycles=[ThingLifecycle], notify=True) as engine:
        engine.create(ThingLifecycle, "t1", Thing(), actor="a:1")
    assert not list(listener.notifies(timeout=0.3))


def test_a_commit_holds_while_nobody_can_be_told(postgres_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """The notifier has no server; what was sent is committed all the same."""
    with Engine(postgres_dsn, lifecycles=[ThingLifecycle]) as engine:
        engine._notifier = Notifier(PostgresChannel("host=/nowhere dbname=none"))
        engine.create(ThingLifecycle, "t1", Thing(), actor="a:1")
        engine.send(ThingLifecycle, "t1", Ask(), actor="a:1")
        assert engine.get(ThingLifecycle, "t1").state == "asked"
    assert "could not be told" in caplog.text


def test_a_listener_whose_connection_ends_listens_again(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.work.notifying.AWAY_S", 0.01)
    done = Flag()
    with Engine(postgres_dsn, lifecycles=[ThingLifecycle], notify=True) as engine:
        engine.handles(Do)(lambda effect, call: done.set())
        engine.start(LISTENING)
        with psycopg.connect(postgres_dsn, autocommit=True) as admin:
            while not admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            ).fetchall():
                pass
        with Engine(postgres_dsn, lifecycles=[ThingLifecycle], notify=True) as sends:
            sends.create(ThingLifecycle, "t1", Thing(), actor="a:1")
            sends.send(ThingLifecycle, "t1", Ask(), actor="a:1")
            assert done.wait(20)


def test_a_ledger_that_can_not_tell_says_so(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="sqlite can't tell other processes"):
        Engine(tmp_path / "things.db", lifecycles=[ThingLifecycle], notify=True)
    with Engine(tmp_path / "things.db", lifecycles=[ThingLifecycle]) as engine:
        with pytest.raises(CallerError, match="sqlite can't tell other processes"):
            engine.start(LISTENING)
        engine.stop()


def test_who_tells_at_the_same_time_is_told_for_by_one_thread() -> None:
    """The channel is one thread's: two that commit first, at the same time, begin no two."""
    begun: list[int] = []

    class Silent:
        def tell(self) -> None:
            begun.append(get_ident())

        def listen(self, timeout_s: float) -> bool:
            raise AssertionError(timeout_s)

        def close(self) -> None:
            pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            begun.clear()
            notifier, together = Notifier(Silent()), Barrier(8)

            def tell(notifier: Notifier = notifier, together: Barrier = together) -> None:
                together.wait()
                notifier.tell()

            tellers = [Thread(target=tell) for _ in range(8)]
            for each in tellers:
                each.start()
            for each in tellers:
                each.join()
            notifier.close()
            assert len(set(begun)) == 1
    finally:
        sys.setswitchinterval(interval)

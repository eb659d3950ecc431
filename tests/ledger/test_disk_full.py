"""PostgreSQL on a disk that is full: told to whoever sends, nothing half done, and gone on from once there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psycopg
import pytest

from stateward.engine import AsyncEngine, Creating, Engine, Sending
from stateward.errors import LedgerUnavailable
from stateward.ledger import Applied
from stateward.ledger.postgres import AsyncPostgresLedger, PostgresLedger
from tests.ledger.by_tasks import EngineByTasks
from tests.ledger.faults_counting import Count, CountLifecycle, Tick, check_engine, ticks
from tests.ledger.faults_postgres import wait_until
from tests.ledger.servers import Server, free_port
from tests.ledger.small_disk import MountNotPermitted, SmallDisk

pytestmark = pytest.mark.usefixtures("quick_settling")
DISK_BYTES = 64 << 20
LEFT_BYTES = 256 << 10


class Place(NamedTuple):
    """A server, and the disk that holds a part of it."""

    disk: SmallDisk
    server: Server


@pytest.fixture
def place_of(postgres_binaries: Path, pytestconfig: pytest.Config) -> Iterator[Callable[[str], Place]]:
    """Makes a server whose tables, or whose log of changes, lie on a small disk; nothing is left of it afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True)))
        folder.chmod(0o777)
        (small := folder / "small").mkdir()

        def make(what: str) -> Place:
            try:
                disk = SmallDisk(small, DISK_BYTES)
            except MountNotPermitted as error:
                problem = f"no disk can be filled, since this system lets nobody mount one: {error}"
                if pytestconfig.getoption("--postgres-bin", default=None) is not None:
                    pytest.fail(problem)
                pytest.skip(f"{problem}; make test-more fails for it")
            stack.callback(disk.close)
            data, log = (small / "data", folder / "wal") if what == "tables" else (folder / "data", small / "wal")
            # The log may grow for as long as there is room, in small files.
            settings = ["min_wal_size=2MB", "max_wal_size=1GB", "checkpoint_timeout=1h"]
            options = ["--waldir", str(log), "--wal-segsize=1"]
            server = Server(
                data, postgres_binaries, port=free_port(), settings=settings, initdb=options, within=disk.within
            )  # its socket could not be seen from here
            stack.callback(server.stop)
            return Place(disk, server)

        yield make


def engine_on(server: Server, way: str) -> Any:
    """An engine for threads or for tasks, behind the same calls."""
    if way == "threads":
        return Engine(PostgresLedger(server.uri(), timeout_s=0.5), lifecycles=[CountLifecycle])
    return EngineByTasks(
        lambda: AsyncEngine(AsyncPostgresLedger(server.uri(), timeout_s=0.5), lifecycles=[CountLifecycle])
    )


class Round(NamedTuple):
    """What was sent by one call, and what came of it."""

    numbers: range
    answers: list[Any]

    @property
    def is_done(self) -> bool:
        return all(isinstance(each, Applied) for each in self.answers)


def entity_of(n: int) -> str:
    return f"c{n % 3}"


def send_round(engine: Any, numbers: range) -> Round:
    """Send ticks in a batch, or a single one by itself; each has an answer, or an error that says what is wrong."""
    sendings = [
        Sending(lifecycle=CountLifecycle, entity=entity_of(n), event=Tick(n=n), actor="a:1", key=f"k{n}")
        for n in numbers
    ]
    answers = list(engine.send_many(sendings))
    for each in answers:
        assert isinstance(each, (Applied, LedgerUnavailable)), repr(each)
    return Round(numbers, answers)


def send_until_full(engine: Any) -> list[Round]:
    """Send by one and by tens in turn, until nothing comes through; then each of both was tried."""
    rounds: list[Round] = []
    first = 0
    while len(rounds) < 2 or any(each.is_done for each in rounds[-2:]):
        numbers = range(first, first + (1 if len(rounds) % 2 else 90))
        rounds.append(send_round(engine, numbers))
        first = numbers.stop
        assert first < 20_000, "the disk is full some time"
    return rounds


def check_all(engine: Any, rounds: list[Round]) -> None:
    """Hold the ledger against what was answered, send all of it again, and hold it against that."""
    histories = check_engine(engine)
    records = {each.id: each for lines in histories.values() for each in lines}
    there = {n for lines in histories.values() for n in ticks(lines)}
    pairs = [pair for each in rounds for pair in zip(each.numbers, each.answers, strict=True)]
    for n, answer in pairs:
        if isinstance(answer, Applied):
            assert records[answer.record].revision == answer.revision, "nothing acknowledged is lost"
        elif not answer.is_outcome_unknown:
            assert answer.record is not None
            assert answer.record not in records, "what was said not to be there is not"
            assert n not in there
    for each in rounds:
        again = send_round(engine, each.numbers)
        assert [answer.is_repetition for answer in again.answers] == [n in there for n in each.numbers]
    histories = check_engine(engine)
    done = sorted(n for lines in histories.values() for n in ticks(lines))
    assert done == [n for n, _ in pairs], "each once"


@pytest.mark.parametrize("way", ["threads", "tasks"])
def test_full_tables_are_told_and_with_room_the_same_engine_goes_on(place_of: Callable[[str], Place], way: str) -> None:
    disk, server = place_of("tables")
    engine = engine_on(server, way)
    try:
        for n in range(3):
            engine.create(CountLifecycle, entity_of(n), Count(), actor="a:1")
        disk.fill(LEFT_BYTES)
        rounds = send_until_full(engine)
        assert rounds[0].is_done
        for each in rounds[-2:]:
            for answer in each.answers:
                assert "No space left on device" in str(answer)
                assert answer.record is not None
        creatings = [
            Creating(lifecycle=CountLifecycle, entity=f"d{n}", context=Count(ticks=(0,) * 1000), actor="a:1")
            for n in range(300)
        ]
        made = [isinstance(each, Applied) for each in engine.create_many(creatings)]
        assert not all(made)
        assert [each.revision for each in engine.list(CountLifecycle) if each.id[0] == "d"] == [1] * sum(made)
        check_engine(engine)  # readers are not held up
        disk.make_room()
        rounds[-1] = send_round(engine, rounds[-1].numbers)
        assert rounds[-1].is_done, "the first that come, come through"
        assert server.is_running
        check_all(engine, rounds)
    finally:
        engine.close()


@pytest.mark.parametrize("way", ["threads", "tasks"])
def test_what_the_server_said_that_it_can_not_write_is_known_not_to_be_there(
    place_of: Callable[[str], Place], way: str
) -> None:
    disk, server = place_of("tables")
    engine = engine_on(server, way)
    try:
        for n in range(3):
            engine.create(CountLifecycle, entity_of(n), Count(), actor="a:1")
        disk.fill(LEFT_BYTES)
        told = [
            each for sent in send_until_full(engine) for each in sent.answers if isinstance(each, LedgerUnavailable)
        ]
        disk.make_room()
        assert not [each for each in told if each.is_outcome_unknown]
    finally:
        engine.close()


def use_up(server: Server, log: Path) -> None:
    """Write the log until nothing is left of the files that the server has made ahead."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        is_left = True
        while is_left:
            connection.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 500000))")
            [now] = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone() or ("",)
            is_left = any(each.name > now for each in log.iterdir() if len(each.name) == len(now))


def test_a_full_log_ends_the_server_and_with_room_the_same_engine_goes_on(place_of: Callable[[str], Place]) -> None:
    """A server that can't write its log ends all its backends, and itself when it can't recover for lack of room."""
    disk, server = place_of("log")
    with Engine(PostgresLedger(server.uri(), timeout_s=0.5), lifecycles=[CountLifecycle]) as engine:
        for n in range(3):
            engine.create(CountLifecycle, entity_of(n), Count(), actor="a:1")
        use_up(server, disk.seen_from_here / "wal")
        disk.fill(LEFT_BYTES)
        rounds = send_until_full(engine)
        assert any("PANIC" in line and "No space left on device" in line for line in server.log)
        server.stop()  # if it has not done so itself by now
        disk.make_room()
        server.start()

        def is_back() -> bool:
            rounds.append(send_round(engine, range(rounds[-1].numbers.stop, rounds[-1].numbers.stop + 2)))
            return rounds[-1].is_done

        wait_until(is_back, "for the same engine")
        check_all(engine, rounds)

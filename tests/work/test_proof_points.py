"""A worker is killed at every point, one by one: before and behind each trip to its ledger, and each call to a service.

For each point there are a few orders, which go through all that a worker does for them. The worker is killed there with
-9, another one takes over, and everything must hold in the end. The points are counted, so that none has to be known;
the last one is that which a worker no longer comes by before all is done.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import psycopg
import pytest

from stateward import Engine
from tests.ledger.servers import Server, wheel_binaries
from tests.work.world.lifecycle import OrderLifecycle
from tests.work.world.processes import Fleet, Services
from tests.work.world.small import SmallWorld

AT_ONCE = 6
"""How many small worlds there are at a time; each waits for others most of the time."""
POINTS_MIN = 40
"""Fewer points than that are not all that there are."""

IS_ALL = os.environ.get("STATEWARD_WORLD_WAYS") == "all"
WAYS = {"sqlite": ["threads", *(["tasks"] if IS_ALL else [])], "postgres": ["tasks", *(["threads"] if IS_ALL else [])]}
"""Which engine the workers have."""


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet() as fleet:
        yield fleet


@pytest.fixture
def services() -> Iterator[Services]:
    with Services() as services:
        yield services


def kill_at_every_point(make: Callable[[str], str], folder: Path, fleet: Fleet, services: Services, way: str) -> int:
    """Kill a worker at each point in turn, until there is none any more; how many there were."""
    points = count(1)
    lock = Lock()

    def go_on(small: SmallWorld) -> int:
        """Take one point after the other; the last one that killed."""
        last = 0
        with small as world:
            while True:
                with lock:
                    point = next(points)
                if not world.run(point):
                    return last
                last = point

    worlds = [
        SmallWorld(make(name), folder, name, fleet, services, has_tasks=way == "tasks")
        for name in (f"world{number}" for number in range(AT_ONCE))
    ]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return max(each.result() for each in [threads.submit(go_on, world) for world in worlds])


@pytest.mark.parametrize("way", WAYS["sqlite"])
def test_a_worker_killed_at_any_point_loses_and_doubles_nothing_on_sqlite(
    tmp_path: Path, fleet: Fleet, services: Services, way: str
) -> None:
    template = tmp_path / "template.db"
    Engine(template, lifecycles=[OrderLifecycle]).close()

    def make(name: str) -> str:
        return str(shutil.copy(template, tmp_path / f"{name}.db"))

    points = kill_at_every_point(make, tmp_path, fleet, services, way)
    print(f"{points} points")
    assert points >= POINTS_MIN


@pytest.mark.parametrize("way", WAYS["postgres"])
def test_a_worker_killed_at_any_point_loses_and_doubles_nothing_on_postgres(
    tmp_path: Path, fleet: Fleet, services: Services, way: str
) -> None:
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        # It is not the server that is killed here.
        server = Server(Path(folder) / "data", wheel_binaries(), settings=["fsync=off", "max_connections=200"])
        try:
            execute(server, "CREATE DATABASE template")
            Engine(server.uri("template"), lifecycles=[OrderLifecycle]).close()

            def make(name: str) -> str:
                execute(server, f"CREATE DATABASE {name} TEMPLATE template")
                return server.uri(name)

            points = kill_at_every_point(make, tmp_path, fleet, services, way)
        finally:
            server.stop()
    print(f"{points} points")
    assert points >= POINTS_MIN


def execute(server: Server, statement: str) -> None:
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(statement.encode())

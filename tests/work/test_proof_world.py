"""The proof of the work after commit: thousands of orders live to their ends, whatever happens to their workers.

`STATEWARD_WORLD_SEED` replays a world, `STATEWARD_WORLD_ORDERS` makes it larger. What customers, services and clocks do
is drawn from the seed; how workers' steps fall between each other is the machine's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.ledger.servers import Server, wheel_binaries
from tests.work.world.driver import Harm, World

SEED = int(os.environ.get("STATEWARD_WORLD_SEED", "1"))
ORDERS = int(os.environ.get("STATEWARD_WORLD_ORDERS", "2000"))


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that may be killed."""
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        server = Server(Path(folder) / "data", wheel_binaries(), settings=["fsync=off"])
        yield server
        server.stop()


def live_through(world: World) -> None:
    """Let all orders live to their ends, and hold everything against everything."""
    print(f"STATEWARD_WORLD_SEED={world.seed} STATEWARD_WORLD_ORDERS={ORDERS}")
    with world:
        world.run(ORDERS)
        world.stop()
        world.check()
        print(world.told())
        missing = {"kill", "kill all", "stop", "zombie", "jump", "retried"} - world.deeds_done.keys()
        assert not missing, f"no {missing} befell this world: it proves less than it says"


def test_every_order_on_sqlite_comes_to_an_end_that_its_history_justifies(tmp_path: Path) -> None:
    live_through(World(str(tmp_path / "orders.db"), tmp_path, SEED, workers=3, poisoned=1))


def test_every_order_on_postgres_comes_to_an_end_that_its_history_justifies(tmp_path: Path, server: Server) -> None:
    def restart() -> None:
        server.kill()
        server.start()

    harm = Harm(restart=0.015)
    world = World(server.uri(), tmp_path, SEED, workers=3, poisoned=1, harm=harm, restart=restart)
    live_through(world)
    assert world.deeds_done.get("restart")

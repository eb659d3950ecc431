"""A server that is stopped, neither answering nor going away: a time-out is met, and what was sent is settled later."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import Any

import pytest

from stateward.engine import AsyncEngine, Engine
from stateward.errors import LedgerUnavailable
from stateward.ledger.postgres import ledger as postgres
from tests.ledger.by_tasks import EngineByTasks
from tests.ledger.lifecycles import Parcel, ParcelLifecycle, Pay
from tests.ledger.servers import Server


@pytest.fixture(scope="module")
def server(postgres_binaries: Path) -> Iterator[Server]:
    """A server of the tests' own, since its processes are stopped."""
    with TemporaryDirectory(prefix="stateward-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = Server(Path(folder) / "data", postgres_binaries)
        yield made
        made.stop()


BOTH = pytest.mark.parametrize("way", ["threads", "tasks"])


def engine_by(way: str, server: Server, timeout_s: float = 10.0) -> Any:
    if way == "threads":
        return Engine(postgres.PostgresLedger(server.uri(), timeout_s=timeout_s), lifecycles=[ParcelLifecycle])
    return EngineByTasks(
        lambda: AsyncEngine(
            postgres.AsyncPostgresLedger(server.uri(), timeout_s=timeout_s), lifecycles=[ParcelLifecycle]
        )
    )


@BOTH
def test_a_stopped_server_meets_a_time_out_and_the_event_is_settled_when_it_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S_MAX", 0.3)
    parcel = f"waits-{way}"
    with engine_by(way, server) as engine:
        engine.create(ParcelLifecycle, parcel, Parcel(), actor="shop:1")
        server.signal(signal.SIGSTOP)
        going_on = Timer(0.5, server.signal, (signal.SIGCONT,))
        going_on.start()
        try:
            done = engine.send(ParcelLifecycle, parcel, Pay(amount=100), actor="shop:1", key="k")
        except LedgerUnavailable:
            going_on.join()
            done = engine.send(ParcelLifecycle, parcel, Pay(amount=100), actor="shop:1", key="k")
        going_on.join()
        assert done.revision == 2
        assert [each.event for each in engine.history(ParcelLifecycle, parcel)] == ["Started", "Pay"]


@BOTH
def test_a_server_that_stays_stopped_is_unavailable(server: Server, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S_MAX", 0.2)
    parcel = f"fails-{way}"
    with engine_by(way, server, timeout_s=0.5) as engine:
        engine.create(ParcelLifecycle, parcel, Parcel(), actor="shop:1")
        server.signal(signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailable):
                engine.send(ParcelLifecycle, parcel, Pay(amount=100), actor="shop:1", key="k")
        finally:
            server.signal(signal.SIGCONT)
        assert engine.send(ParcelLifecycle, parcel, Pay(amount=100), actor="shop:1", key="k").revision == 2

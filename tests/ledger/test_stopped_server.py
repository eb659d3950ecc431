"""A server that is stopped, neither answering nor going away: a time-out is met, and what was sent is settled later."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

import pytest

from stateward.engine import Engine
from stateward.errors import LedgerUnavailable
from stateward.ledger.postgres import ledger as postgres
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


def test_a_stopped_server_meets_a_time_out_and_the_event_is_settled_when_it_goes_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S_MAX", 0.3)
    with Engine(server.uri(), lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        server.signal(signal.SIGSTOP)
        going_on = Timer(0.5, server.signal, (signal.SIGCONT,))
        going_on.start()
        try:
            done = engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
        except LedgerUnavailable:
            going_on.join()
            done = engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
        going_on.join()
        assert done.revision == 2
        assert [each.event for each in engine.history(ParcelLifecycle, "p1")] == ["Started", "Pay"]


def test_a_server_that_stays_stopped_is_unavailable(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S_MAX", 0.2)
    ledger = postgres.PostgresLedger(server.uri(), timeout_s=0.5)
    with Engine(ledger, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p2", Parcel(), actor="shop:1")
        server.signal(signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailable):
                engine.send(ParcelLifecycle, "p2", Pay(amount=100), actor="shop:1", key="k")
        finally:
            server.signal(signal.SIGCONT)
        assert engine.send(ParcelLifecycle, "p2", Pay(amount=100), actor="shop:1", key="k").revision == 2

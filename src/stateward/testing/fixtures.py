"""Fixtures for pytest: `pytest_plugins = ["stateward.testing.fixtures"]` in the `conftest.py` beside `pyproject.toml`.

Or import those that you want into a `conftest.py`. Nothing is registered by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from stateward.chart import Chart, Lifecycle
from stateward.engine import Engine
from stateward.errors import ExtraMissing
from stateward.testing.clock import Clock
from stateward.testing.engines import IN_MEMORY, engine_on

try:
    import pytest
except ModuleNotFoundError as error:
    raise ExtraMissing(package="pytest", extra="testing") from error

__all__ = ["MakeEngine", "clock", "ledger", "make_engine"]

MakeEngine: TypeAlias = Callable[..., Engine]
"""Opens an engine for some lifecycles, with the options of `engine_on`; it is closed when the test is over."""


@pytest.fixture
def clock() -> Clock:
    """The time of a test."""
    return Clock()


@pytest.fixture
def ledger() -> str | Path:
    """Where the engines of a test are; have a fixture of this name, or a parameter, to have them elsewhere."""
    return IN_MEMORY


@pytest.fixture
def make_engine(clock: Clock, ledger: str | Path) -> Iterator[MakeEngine]:
    """Open engines on the test's ledger and clock: `make_engine(OrderLifecycle)`."""
    opened: list[Engine] = []

    def make(*lifecycles: type[Lifecycle[Any]] | Chart[Any], **options: Any) -> Engine:
        settings: dict[str, Any] = {"ledger": ledger, "clock": clock, **options}
        opened.append(engine_on(*lifecycles, **settings))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()

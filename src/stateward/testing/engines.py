"""An engine for a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stateward.chart import Chart, Lifecycle
from stateward.engine import Authorize, Engine, Retention
from stateward.testing.clock import Clock

__all__ = ["IN_MEMORY", "engine_on"]

IN_MEMORY = "memory://"


def engine_on(
    *lifecycles: type[Lifecycle[Any]] | Chart[Any],
    ledger: str | Path = IN_MEMORY,
    clock: Clock | None = None,
    authorize: Authorize | None = None,
    retention: Retention | None = None,
) -> Engine:
    """An engine on a ledger in memory, or on the one that is named, whose time is a test's.

    Args:
        lifecycles: those that it serves.
        ledger: `memory://`, `sqlite://`, or a path in the test's own folder, which a second engine can open, too.
        clock: the time; one of its own that stands still, if it is not given.
        authorize: as for `Engine`.
        retention: as for `Engine`.
    """
    return Engine(
        ledger, lifecycles=lifecycles, clock=Clock() if clock is None else clock, authorize=authorize,
        retention=retention,
    )  # fmt: skip

"""A worker in a process of its own, for the demo to kill.

Run by `stateward demo`: `python -m stateward.demo.worker` reads from stdin on which ledger it is to work and where the
provider is, writes what becomes of each event to stdout, and ends when stdin does.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import Any

import msgspec

from stateward.demo.children import PATIENCE_S
from stateward.demo.orders import OrderLifecycle
from stateward.demo.payments import SETTINGS, Attempt, Provider, register
from stateward.engine import Engine
from stateward.observe.committed import Committed

__all__ = ["Orders", "Told"]


class Orders(msgspec.Struct, frozen=True):
    """What a worker is told first."""

    ledger: str
    provider: int
    """The port that the provider listens on."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line that a worker writes."""

    committed: Committed | None = None
    attempt: Attempt | None = None


def main() -> None:
    """Work until stdin ends."""
    orders = msgspec.json.decode(sys.stdin.readline(), type=Orders)
    lock = Lock()

    def tell(**what: Any) -> None:
        with lock, suppress(BrokenPipeError):  # whoever started it is gone
            sys.stdout.write(msgspec.json.encode(Told(**what)).decode() + "\n")
            sys.stdout.flush()

    with Engine(orders.ledger, lifecycles=[OrderLifecycle]) as engine:
        engine.listen(lambda committed: tell(committed=committed))
        register(engine, Provider(orders.provider), lambda attempt: tell(attempt=attempt))
        engine.start(SETTINGS)
        sys.stdin.read()
        engine.stop(grace=timedelta(seconds=PATIENCE_S / 5))
    os._exit(0)  # a handler that still waits for the provider is left


if __name__ == "__main__":
    main()

"""A ledger that threads drive, driven for tasks by threads of its own: an embedded database blocks while it writes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stateward.errors import LedgerUnavailable
from stateward.ledger.contract import Capabilities, Ledger, LedgerStatistics, Trips, address_of

__all__ = ["ThreadedLedger"]

T = TypeVar("T")


class ThreadedLedger:
    """Any `Ledger` as an `AsyncLedger`."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger; it is closed with this one."""
        self._ledger = ledger
        self.capabilities: Capabilities = ledger.capabilities
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stateward-ledger")

    @property
    def address(self) -> str | None:
        """Where others find it, if they can."""
        return address_of(self._ledger)

    async def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol in a thread; see `Ledger.run`."""
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, self._ledger.run, trips)
        except RuntimeError as error:  # of an executor that is shut down
            message = f"{self.capabilities.name}: the ledger is closed"
            raise LedgerUnavailable(message) from error
        return await work

    def statistics(self) -> LedgerStatistics:
        """As the ledger's own."""
        return self._ledger.statistics()

    async def close(self) -> None:
        """Close the ledger. Twice is safe."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        self._ledger.close()

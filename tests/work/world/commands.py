"""What the process that workers are forked from is told."""

from __future__ import annotations

import msgspec

__all__ = ["Signal", "Start"]


class Start(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A worker to be started."""

    name: str
    address: str
    """Of its ledger."""
    port: int
    """Of the services."""
    clock: str
    """The file of the clock."""
    log: str
    """The file that it writes to."""
    has_tasks: bool = False
    """Whether its engine is the one for tasks."""
    lease_s: float = 1.5
    skew_s: float = 0.0
    fatal: int = 0
    """The number of the fault point that kills it; 0: none does."""
    poisoned: frozenset[str] = frozenset()
    """Orders whose receipts kill their worker, for as long as poison works."""


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A signal to a worker."""

    pid: int
    number: int

"""The order machine in each peer's own way, driven by each peer's own calls, without an adapter between.

Listeners, logs and queues are off where a peer has a switch; events and machines are made outside of what is
timed wherever a peer lets them be. What a peer can't do stands beside its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NAMES", "Peer", "load"]

NAMES = ("automat_peer", "transitions_peer", "xstate_peer", "harel_peer", "statemachine_peer")
"""A module each, whose `PEER` says how to measure it."""


@dataclass(frozen=True)
class Peer:
    """How to make an order and send it the three events."""

    name: str
    make: Callable[[], Any]
    drive: Callable[[Sequence[Any]], object]
    """Sends pay, ship and deliver to each order."""
    is_delivered: Callable[[Any], bool]
    """Whether an order got to the end with the action done, so that nobody is measured doing nothing."""
    instances: int
    """How many a round drives; fewer of the slower ones."""


def load() -> tuple[list[Peer], list[str]]:
    """The peers that are installed here, each seen to work, and the modules of those that are not."""
    found: list[Peer] = []
    missing: list[str] = []
    for name in NAMES:
        try:
            peer: Peer = importlib.import_module(f"bench.peers.{name}").PEER
        except ModuleNotFoundError:
            missing.append(name.removesuffix("_peer"))
            continue
        order = peer.make()
        peer.drive([order])
        if not peer.is_delivered(order):
            message = f"{peer.name} did not come to the end"
            raise RuntimeError(message)
        found.append(peer)
    return found, missing

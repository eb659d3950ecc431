"""What goes wrong in the test world, drawn from its seed: equal seeds, equal misfortunes.

What happens to a call is drawn for the operation, the order and how many calls of that operation for that order came
before. The idempotency key can't be drawn for: it holds a record id, which is another one in each run.
"""

from __future__ import annotations

from random import Random
from typing import Literal, NamedTuple, get_args

__all__ = ["ATTEMPTS_MAX", "CURSED_CALLS", "Fate", "Traits", "draw_fate", "draw_traits", "named_fate"]

Fate = Literal[
    "plain",  # done, and answered
    "hung",  # not done; the answer is withheld until the caller goes
    "broken_before",  # answers 500, and is not done
    "dropped_before",  # the connection is cut, and it is not done
    "busy",  # answers 503
    "dropped_after",  # done, and the connection is cut
    "broken_after",  # done, and answers 500
    "slow",  # done at once, and answered when the caller has gone
    "late",  # done only when the caller has gone
    "twice",  # done, answered twice, and told twice
]
FATES: tuple[Fate, ...] = get_args(Fate)

ATTEMPTS_MAX = 5
"""After so many attempts an effect is dead."""
CURSED_CALLS = 7
"""So many calls of a cursed operation fail: more than an effect has attempts, fewer than two rounds of them."""

_WEIGHTS: dict[Fate, float] = {
    "plain": 70, "hung": 2, "broken_before": 6, "dropped_before": 3, "busy": 5, "dropped_after": 4, "broken_after": 4,
    "slow": 2, "late": 2, "twice": 2,
}  # fmt: skip
_CURSES: tuple[Fate, ...] = ("broken_before", "dropped_before", "broken_before", "dropped_after", "broken_after")
_CURSED_SHARE = 0.015


class Traits(NamedTuple):
    """What an order is like, and what its customer does."""

    amount: int
    is_declined: bool
    is_out_of_stock: bool
    checks_out: bool
    """Whether the customer ever does; the order expires otherwise."""
    cancels_after: float | None
    """When the customer cancels, in shares of the run from the order's own turn on; below 0: before checking out."""
    copies: int
    """How often each event of the customer comes once more."""


def draw_fate(seed: int, operation: str, order: str, nth: int) -> Fate:
    """What happens to the nth call of an operation for an order, from 0."""
    chance = Random(f"{seed}:curse:{operation}:{order}")
    if chance.random() < _CURSED_SHARE and nth < CURSED_CALLS:
        return _CURSES[chance.randrange(len(_CURSES))]
    chance = Random(f"{seed}:fate:{operation}:{order}:{nth}")
    [fate] = chance.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))
    return fate


def draw_traits(seed: int, order: str) -> Traits:
    """What an order is like."""
    chance = Random(f"{seed}:order:{order}")
    cancels = chance.random() < 0.25
    return Traits(
        amount=chance.randrange(100, 10_000),
        is_declined=chance.random() < 0.08,
        is_out_of_stock=chance.random() < 0.08,
        checks_out=chance.random() > 0.02,
        cancels_after=chance.choice((-1.0, 0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2)) if cancels else None,
        copies=chance.choice((0, 0, 0, 1, 2)),
    )


def named_fate(operation: str, order: str, nth: int) -> Fate:
    """What happens to the nth call of an operation, from 0, where nothing happens but what the order's name says."""
    if order.endswith("abandoned") and operation == "reserve" and nth < ATTEMPTS_MAX:
        return "broken_before"
    return "plain"

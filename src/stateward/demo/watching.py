"""What the demo hears of what happens, and waits for: a listener of its engine, fed by its workers as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Condition

from stateward.demo.payments import Attempt
from stateward.demo.screen import Screen
from stateward.observe.committed import Committed

__all__ = ["WAIT_S", "DemoStalled", "Watch"]

WAIT_S = 60.0
"""How long is waited for what must come; a demo that works waits a second or two."""


class DemoStalled(Exception):
    """What must come has not come."""


class Watch:
    """Tells the screen of what happens, counts it, and wakes who waits for it."""

    def __init__(self, screen: Screen) -> None:
        """Take where it is told."""
        self._screen = screen
        self._turn = Condition()
        self.is_quiet = False
        """Whether nothing of it is printed."""
        self.states: dict[str, str] = {}
        self.outcomes: Counter[str] = Counter()
        self.applied: Counter[str] = Counter()
        """Transitions, by event."""
        self.failures: Counter[str] = Counter()
        """Attempts that failed, by effect."""
        self.done: Counter[str] = Counter()

    def committed(self, what: Committed, who: str = "") -> None:
        """What became of an event; said by a worker, if it was one in another process."""
        if not self.is_quiet:
            self._screen.committed(what, who)
        with self._turn:
            self.outcomes[what.outcome] += 1
            if what.outcome == "applied":
                self.states[what.entity_id] = what.state_to
                self.applied[what.event] += 1
            self._turn.notify_all()

    def attempt(self, what: Attempt, who: str = "") -> None:
        """What came of an attempt at an effect."""
        if not self.is_quiet:
            self._screen.attempt(what, who)
        with self._turn:
            (self.failures if what.is_failure else self.done)[what.effect] += 1
            self._turn.notify_all()

    def wait_state(self, order: str, state: str) -> None:
        """Wait until an order has come to a state.

        Raises:
            DemoStalled: it does not.
        """
        self.wait(lambda: self.states.get(order) == state, f"{order} has not come to {state}")

    def wait(self, is_so: Callable[[], bool], else_what: str) -> None:
        """Wait until something is so, which is asked whenever something has happened.

        Raises:
            DemoStalled: it is not, and nothing comes any more.
            BrokenPipeError: nobody reads what is printed any more.
        """

        def is_over() -> bool:
            self._screen.check()
            return is_so()

        with self._turn:
            if not self._turn.wait_for(is_over, WAIT_S):
                message = f"{else_what} within {WAIT_S:.0f} s"
                raise DemoStalled(message)

"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

__all__ = ["Clock"]

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """The time of a test; give it to an engine as its `clock=`. Any thread may read and move it."""

    def __init__(self, now: datetime = BEGINNING) -> None:
        """Take the first moment; it has a time zone.

        Raises:
            ValueError: it has none.
        """
        if now.tzinfo is None:
            message = f"{now!r} has no time zone: datetime(..., tzinfo=UTC)"
            raise ValueError(message)
        self._now = now
        self._lock = Lock()

    @property
    def now(self) -> datetime:
        """The time."""
        return self._now

    def __call__(self) -> datetime:
        """The time, for an engine."""
        return self._now

    def move(self, by: timedelta) -> datetime:
        """Let so much time go by, and say what the time is then. Nothing happens by itself: `drain` does what is due.

        Raises:
            ValueError: it would go backwards.
        """
        if by < timedelta(0):
            message = f"a clock is not moved back, by {by}"
            raise ValueError(message)
        with self._lock:
            self._now += by
            return self._now

    def __repr__(self) -> str:
        return f"<Clock {self._now.isoformat()}>"

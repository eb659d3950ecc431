"""Waking workers of other processes: told once for many commits, and outside of them.

Nothing depends on it: a worker that is not told looks for itself, by polls that grow longer while it finds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Any, Protocol

from stateward.errors import CallerError, LedgerUnavailable
from stateward.ledger.contract import Capabilities

__all__ = ["Channel", "Listener", "Notifier", "channel_of"]

INTERVAL_S = 0.01
"""How often it is told at most."""
LISTEN_S = 0.5
"""After how long a listener looks whether it is to end."""
AWAY_S = 1.0

_log = logging.getLogger(__name__)


class Channel(Protocol):
    """One end of what a database offers to tell others by; one thread's."""

    def tell(self) -> None:
        """Wake whoever listens."""
        ...

    def listen(self, timeout_s: float) -> bool:
        """Whether anybody has told something within so many seconds."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def channel_of(ledger: Any, capabilities: Capabilities) -> Channel:
    """An end of a ledger's channel.

    Raises:
        CallerError: it has none.
    """
    make: Callable[[], Channel] | None = getattr(ledger, "channel", None)
    if make is None:
        message = (
            f"a ledger of the kind {capabilities.name} can't tell other processes that there is something to do: their "
            "workers find out by themselves; leave out notify=True and listen=True"
        )
        raise CallerError(message)
    return make()


class Notifier:
    """Tells others, from a thread of its own: at most once in `INTERVAL_S`, however often it is asked to."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._wanted = Event()
        self._is_closed = Event()
        self._lock = Lock()
        self._thread: Thread | None = None

    def tell(self) -> None:
        """Have the others told, soon; returns at once. Any thread may call it."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = Thread(target=self._work, name="stateward-notifier", daemon=True)
                    thread.start()
                    self._thread = thread
        self._wanted.set()

    def close(self) -> None:
        """Tell what was asked for, and end. Twice is safe."""
        self._is_closed.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._is_closed.is_set():
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._channel.tell()
            except LedgerUnavailable as error:
                _log.warning("other processes could not be told of work: %s", error)
            self._is_closed.wait(INTERVAL_S)
        self._channel.close()


class Listener:
    """Wakes a worker when others tell, from a thread of its own."""

    def __init__(self, channel: Channel, wake: Callable[[], None]) -> None:
        self._channel = channel
        self._wake = wake
        self._is_closed = Event()
        self._thread = Thread(target=self._work, name="stateward-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End. Twice is safe."""
        self._is_closed.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._is_closed.is_set():
            try:
                self._listen()
            except LedgerUnavailable as error:
                _log.warning("not told of other processes' work for now: %s", error)
                self._is_closed.wait(AWAY_S)
        self._channel.close()

    def _listen(self) -> None:
        self._channel.listen(0)
        self._wake()  # what was told before is not heard, and nothing is missed from here on
        while not self._is_closed.is_set():
            if self._channel.listen(LISTEN_S):
                self._wake()

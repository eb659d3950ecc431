"""Workers of ours: in this process or, through `Elsewhere`, in another; their clock is one that all processes share."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from bench.work.lifecycles import LIFECYCLES, register
from stateward.engine import Engine
from stateward.work.worker import WorkerSettings

__all__ = ["Working", "wait_done"]

WAIT_S = 120.0
_LOOK_S = 0.005


class Working:
    """An engine with empty handlers, which works when it is told to."""

    def __init__(self, address: str, form: str = "function", listens: bool = False, notes: bool = False) -> None:
        """Open it.

        Args:
            address: the ledger's.
            form: "function" or "coroutine": what its handlers are.
            listens: whether it hears of commits by NOTIFY.
            notes: whether it keeps when it began with which effect.
        """
        self.engine = Engine(address, lifecycles=LIFECYCLES)
        self._settings = WorkerSettings(listen=listens)
        self._starts: dict[int, int] = {}
        self._lock = Lock()
        register(self.engine, form, self._note if notes else None)

    def _note(self, n: int) -> None:
        now = time.perf_counter_ns()
        with self._lock:
            self._starts.setdefault(n, now)

    def start(self) -> None:
        """Begin to work; it has its parts when this returns, and the handlers' threads come when they are needed."""
        self.engine.start(self._settings)
        until = time.perf_counter() + WAIT_S
        while self.statistics()[1] == 0 and time.perf_counter() < until:
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        self.engine.stop()

    def done(self) -> int:
        """Effects that are done since it was started."""
        return self.statistics()[0]

    def parts(self) -> int:
        """How many parts it has."""
        return self.statistics()[1]

    def statistics(self) -> tuple[int, int]:
        """Effects done and parts held since it was started; both 0 where it does not work."""
        worker = self.engine.statistics().worker
        return (0, 0) if worker is None else (worker.effects.done, worker.parts)

    def starts(self) -> dict[int, int]:
        """When it began with which effects, in nanoseconds, since this was last asked."""
        with self._lock:
            found, self._starts = self._starts, {}
        return found

    def close(self) -> None:
        self.engine.close()


def wait_done(done: Callable[[], int], count: int) -> int:
    """The time when so many are done, give or take a look, in nanoseconds.

    Raises:
        RuntimeError: they were not in time.
    """
    until = time.perf_counter() + WAIT_S
    while (found := done()) < count:
        if time.perf_counter() > until:
            message = f"of {count} effects {found} are done after {WAIT_S:g} s"
            raise RuntimeError(message)
        time.sleep(_LOOK_S)
    return time.perf_counter_ns()

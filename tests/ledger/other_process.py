"""An engine in a process of its own, behind the calls of an engine here; it can be killed in the midst of one."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from stateward.engine import Engine
from stateward.errors import StatewardError
from stateward.ledger.contract import Ledger
from stateward.ledger.postgres import PostgresLedger
from stateward.ledger.sqlite import SqliteLedger
from tests.ledger.faults_counting import CountLifecycle

__all__ = ["EngineElsewhere", "open_at"]

WAIT_S = 60

# Each is forked from one that has imported this module and runs no threads, so that it is there at once.
FORKS: Any = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])


def open_at(address: str) -> Ledger:
    """A ledger for tests, which are in no fear of a loss of power."""
    if address.startswith("/"):
        return SqliteLedger(Path(address), synchronous="OFF")
    return PostgresLedger(address, connections_max=4)


def serve(address: str, calls: Connection) -> None:
    """Do what is called for, one after the other."""
    now: list[datetime] = []
    with Engine(open_at(address), lifecycles=[CountLifecycle], clock=lambda: now[-1]) as engine:
        while True:
            try:
                name, moment, given, named = calls.recv()
            except EOFError:
                return
            now[:] = [moment]
            calls.send("has begun")
            try:
                answer: Any = getattr(engine, name)(*given, **named)
                if isinstance(answer, Iterator):
                    answer = list(answer)
            except StatewardError as error:
                answer = error
            calls.send((answer, name != "send_many" and isinstance(answer, StatewardError)))


class EngineElsewhere:
    """Calls go through a pipe, with the time that it is here, and answers come back."""

    def __init__(self, address: str, clock: Callable[[], datetime]) -> None:
        """Start the process; it opens the ledger."""
        self._clock = clock
        self._calls, theirs = FORKS.Pipe()
        self._process: Any = FORKS.Process(target=serve, args=(address, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, name: str, *given: Any, **named: Any) -> None:
        """Make a call, whose answer is not waited for; it has come through."""
        self._calls.send((name, self._clock(), given, named))
        assert self._calls.poll(WAIT_S), f"{name} is begun within a minute"
        assert self._calls.recv() == "has begun"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self.begin(name, *given, **named)
            return self.finish()

        return call

    def finish(self) -> Any:
        """The answer to the call that was begun."""
        assert self._calls.poll(WAIT_S), "a call is answered within a minute"
        answer, is_raised = self._calls.recv()
        if is_raised:
            raise answer
        return answer

    def kill(self) -> None:
        """End it as it stands."""
        self._process.kill()
        self._process.join(WAIT_S)
        assert self._process.exitcode == -signal.SIGKILL
        self._calls.close()

    def close(self) -> None:
        """Let it close its engine and end."""
        self._calls.close()
        self._process.join(WAIT_S)
        assert self._process.exitcode == 0

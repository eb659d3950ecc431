"""A worker of the test world, and the process that workers are forked from, so that a new one is there at once.

    python -m tests.work.world.worker

It reads commands from its standard input, JSON a line: a `Start` forks a worker, a `Signal` sends it one. On its
standard output it says `started <pid>` and, once a worker has ended, `ended <pid> <status>`, negative for a signal.
When its input ends, so do the workers and it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import selectors
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import msgspec

from stateward import AsyncEngine, Engine, WorkerSettings
from stateward.ledger import postgres, sqlite, threaded
from tests.work.world.client import Caller
from tests.work.world.clock import WorldClock
from tests.work.world.commands import Signal, Start
from tests.work.world.faultpoints import FaultPoints, plant
from tests.work.world.handlers import CALL_TIMEOUT_S, Handlers
from tests.work.world.lifecycle import OrderLifecycle

__all__ = ["main", "work"]


def work(start: Start) -> None:
    """Work until stopped, or killed."""
    clock = WorldClock(Path(start.clock), timedelta(seconds=start.skew_s))
    points = FaultPoints(start.fatal)
    handlers = Handlers(Caller(start.port, CALL_TIMEOUT_S), start.name, points.reach, clock, start.poisoned)
    settings = WorkerSettings(lease=timedelta(seconds=start.lease_s), poll=timedelta(milliseconds=50))
    if start.has_tasks:
        tasks = AsyncEngine(start.address, lifecycles=[OrderLifecycle], clock=clock)
        asyncio.run(work_with_tasks(tasks, handlers, points, settings))
        return
    with Engine(start.address, lifecycles=[OrderLifecycle], clock=clock) as engine:
        handlers.register(engine)
        plant(points)
        engine.run(settings)


async def work_with_tasks(
    engine: AsyncEngine, handlers: Handlers, points: FaultPoints, settings: WorkerSettings
) -> None:
    """The same in an event loop."""
    async with engine:
        handlers.register(engine)
        plant(points)
        await engine.run(settings)


class Nursery:
    """Forks workers, and says what becomes of them."""

    def __init__(self) -> None:
        """Hear of the ends of children as of input."""
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._children: set[int] = set()

    def run(self) -> None:
        """Obey until standard input ends."""
        decoder = msgspec.json.Decoder(Start | Signal)
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    data = os.read(key.fd, 65536)
                    if key.fd == 0:
                        if not data:
                            return self._end()
                        *lines, rest = (rest + data).split(b"\n")
                        for line in lines:
                            self._obey(decoder.decode(line))
                self._reap()

    def _obey(self, command: Start | Signal) -> None:
        if isinstance(command, Signal):
            if command.pid in self._children:
                os.kill(command.pid, command.number)
            return
        pid = os.fork()
        if not pid:
            self._be_born(command)
        self._children.add(pid)
        self._say(f"started {pid}")

    def _be_born(self, start: Start) -> None:
        """The child's way, which ends here."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for theirs, ours in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(theirs, ours)
            faulthandler.register(signal.SIGUSR1)
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # until it works, there is nothing to end
            work(start)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        for pid in tuple(self._children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._children.remove(pid)
                self._say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")

    @staticmethod
    def _say(line: str) -> None:
        os.write(1, f"{line}\n".encode())

    def _end(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


LOADED = (postgres, sqlite, threaded)
"""Forked workers have them at once."""


def main() -> None:
    """Fork workers until standard input ends."""
    Nursery().run()


if __name__ == "__main__":
    main()

"""The processes of the test world, as its driver holds them: the services, and the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from typing import Self

import msgspec

from tests.work.world.commands import Signal, Start

__all__ = ["Fleet", "Services", "WorkerProcess"]

ROOT = Path(__file__).parents[3]
WAIT_S = 30.0


def spawn(module: str, *given: str) -> subprocess.Popen[bytes]:
    """Start a module that is spoken with through its standard input and output."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *given], cwd=ROOT, env=os.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Let it end with its input."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait(WAIT_S)
    process.stdout.close()


class Services:
    """The services' process."""

    def __init__(self, seed: int | None = None) -> None:
        """Start it, and wait until it serves.

        Args:
            seed: what its misfortunes are drawn from; None: it goes by the names of orders.
        """
        self._process = spawn("tests.work.world.provider", "named" if seed is None else str(seed))
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process)


class WorkerProcess:
    """A worker, as its driver sees it."""

    def __init__(self, start: Start, pid: int, send: Callable[[Signal], None]) -> None:
        self.start, self.pid, self._send = start, pid, send
        self.is_stopped = False
        self.status: int | None = None
        """How it ended, as `subprocess` says it; None: it has not."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status is not None

    def kill(self) -> None:
        """Kill it with -9."""
        self._send(Signal(pid=self.pid, number=signal.SIGKILL))

    def stop(self) -> None:
        """Stop it where it is, as a machine that is suspended."""
        self.is_stopped = True
        self._send(Signal(pid=self.pid, number=signal.SIGSTOP))

    def go_on(self) -> None:
        """Let it go on from where it was stopped."""
        self.is_stopped = False
        self._send(Signal(pid=self.pid, number=signal.SIGCONT))

    def tell(self) -> None:
        """Have it write into its log where its threads are."""
        self._send(Signal(pid=self.pid, number=signal.SIGUSR1))

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(Signal(pid=self.pid, number=signal.SIGTERM))


class Fleet:
    """The workers, and what they are forked from."""

    def __init__(self) -> None:
        """Start what they are forked from."""
        self._nursery = spawn("tests.work.world.worker")
        self._moved = Condition()
        self._born: SimpleQueue[int] = SimpleQueue()
        self._starting = Lock()
        self.workers: dict[int, WorkerProcess] = {}
        """All that ever were, by pid."""
        self._ended: dict[int, int] = {}
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        self._nursery.wait(WAIT_S)
        self._reader.join(WAIT_S)

    def _read(self) -> None:
        """Take over what the nursery says, until it ends."""
        assert self._nursery.stdout is not None
        with self._nursery.stdout:
            for line in self._nursery.stdout:
                word, pid, *status = line.decode().split()
                if word == "started":
                    self._born.put(int(pid))
                else:
                    with self._moved:
                        self._ended[int(pid)] = int(status[0])
                        if int(pid) in self.workers:
                            self.workers[int(pid)].status = int(status[0])
                        self._moved.notify_all()

    def _say(self, command: Start | Signal) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(msgspec.json.encode(command) + b"\n")
        self._nursery.stdin.flush()

    def start(self, start: Start) -> WorkerProcess:
        """Start a worker."""
        with self._starting:
            self._say(start)
            pid = self._born.get(timeout=WAIT_S)
        worker = WorkerProcess(start, pid, self._say)
        with self._moved:
            self.workers[pid] = worker
            worker.status = self._ended.get(pid)
        return worker

    def wait_over(self, worker: WorkerProcess, timeout_s: float = WAIT_S) -> bool:
        """Wait until a worker has ended; whether it has."""
        with self._moved:
            return self._moved.wait_for(lambda: worker.is_over, timeout_s)

    def end(self, worker: WorkerProcess) -> None:
        """Ask a worker to end, and wait until it has: by itself, or at the point that kills it.

        Raises:
            AssertionError: it does not, or not well; its log is told.
        """
        worker.terminate()
        is_over = self.wait_over(worker)
        if not is_over:
            worker.tell()
            self.wait_over(worker, 1.0)
        log = Path(worker.start.log).read_text()
        assert is_over, f"{worker.start.name} ({worker.pid}) does not end:\n{log[-10_000:]}"
        fine = (0, -signal.SIGKILL) if worker.start.fatal else (0,)
        assert worker.status in fine, f"{worker.start.name} ended with {worker.status}:\n{log[-10_000:]}"

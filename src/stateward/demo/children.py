"""The demo's other processes: each ends when the pipe to it does, however whoever started it came to an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

__all__ = ["Child"]

PATIENCE_S = 5.0
"""How long a child may take to end by itself."""


class Child:
    """A module of the demo that runs in a process of its own."""

    def __init__(self, module: str, first_line: str) -> None:
        """Start it.

        It has a session of its own, so that Ctrl-C in a terminal reaches the demo alone, which then ends it.

        Args:
            module: its name.
            first_line: what it reads first from stdin: arguments that other users need not see.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: what lies in the current directory is none of its modules
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first_line}\n")
        self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def read_line(self) -> str:
        """The next line that it writes; empty when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def each_line(self, tell: Callable[[str], object]) -> None:
        """Have every further line told, in a thread."""

        def read() -> None:
            while line := self.read_line():
                tell(line)

        Thread(target=read, daemon=True).start()

    def kill(self) -> int:
        """Kill it with -9, and say what it ended by."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait()

    def stop(self) -> None:
        """Let it end; kill it if it does not. Twice is safe."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

"""A program in a pseudo-terminal: what it writes, and keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

WAIT_S = 60.0
"""How long a test waits for what must come; only one that fails waits so long."""


_LAUNCH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the one that Ctrl-C comes from, and becomes the program."""


class Terminal:
    """A program whose controlling terminal is this one."""

    def __init__(self, command: Sequence[str], *, columns: int, environment: Mapping[str, str]) -> None:
        control, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._control = control
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", **environment},
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._control)

    def press(self, keys: bytes) -> None:
        """Type: b"\\x03" is Ctrl-C."""
        os.write(self._control, keys)

    def read_until(self, expected: str) -> str:
        """All that it has written, when this is among it."""
        while expected not in self.text:
            assert self._read(), f"it has ended without {expected!r}:\n{self.text}"
        return self.text

    def read_to_end(self) -> int:
        """Read what else it writes, and say what it ended with."""
        while self._read():
            pass
        return self.process.wait(WAIT_S)

    def _read(self) -> bool:
        deadline = time.monotonic() + WAIT_S
        ready, _, _ = select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came for {WAIT_S} s:\n{self.text}"
        try:
            found = os.read(self._control, 65_536)
        except OSError:  # nobody has the other side open any more
            return False
        self.text += found.decode().replace("\r\n", "\n")
        return bool(found)

"""What the demo prints: headings, a line for each event, a line of progress; on a terminal, in a pipe, in a file.

On a terminal there are colors, unless NO_COLOR says otherwise, and the line of progress is rewritten in place. Anywhere
else there are none, and progress is a line now and then.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from types import FrameType

from stateward.demo.payments import Attempt
from stateward.observe.committed import Committed

__all__ = ["Screen"]

WIDTH_MAX = 100
EVERY_S_LIVE = 0.1
EVERY_S = 2.0

_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"


class Screen:
    """Where the demo prints to, from any number of threads."""

    def __init__(self) -> None:
        """Look at where stdout and stderr lead to."""
        self._lock = Lock()
        self._started = time.monotonic()
        self._is_live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._has_color = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
        self._progress_at = self._started
        self._has_progress = False
        self._is_left = False
        self._is_interrupted = False

    @contextmanager
    def heeding_interrupts(self) -> Generator[None]:
        """Have `check` raise KeyboardInterrupt again where the first one was lost; in the main thread.

        Python drops what is raised in a callback of the garbage collector, an interrupt that comes at that moment too,
        and the demo would go on as if nobody had pressed Ctrl-C.
        """

        def note(number: int, frame: FrameType | None) -> None:
            self._is_interrupted = True
            signal.default_int_handler(number, frame)

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def check(self) -> None:
        """See whether the show goes on: nobody has interrupted it, and somebody still reads what is printed.

        Raises:
            KeyboardInterrupt: it was interrupted.
            BrokenPipeError: nobody does. It is told to who asks, and not where it was found out, which may have been in
                a worker's thread.
        """
        if self._is_interrupted:
            raise KeyboardInterrupt
        if self._is_left:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    @property
    def width(self) -> int:
        """Columns to write in."""
        return max(20, min(shutil.get_terminal_size().columns, WIDTH_MAX))

    def heading(self, text: str) -> None:
        """Begin an act.

        Raises:
            BrokenPipeError: nobody reads it.
        """
        self.check()
        self._write("", self._styled(text, _BOLD), self._styled("-" * min(len(text), self.width), _BOLD))

    def say(self, text: str) -> None:
        """A paragraph."""
        self._write(*textwrap.wrap(text, self.width, break_long_words=False, break_on_hyphens=False))

    def show(self, lines: Sequence[str], indent: str = "  ") -> None:
        """Lines as they are: a table, an explanation, commands."""
        self._write(*(f"{indent}{line}".rstrip() for line in lines))

    def committed(self, what: Committed, who: str = "") -> None:
        """What became of an event."""
        if what.outcome == "applied":
            way = what.state_to if what.state_from is None else f"{what.state_from} -> {what.state_to}"
            color = _GREEN
        elif what.outcome == "already_done":
            way, color = f"{what.state_to}: nothing left to do", _DIM
        else:
            way, color = f"{what.state_to}: refused, {what.reason}", _RED
        actor = who or what.actor
        self._line(f"{what.entity_id:<5} {what.event:<19} {way:<26} {actor}", color)

    def attempt(self, what: Attempt, who: str = "") -> None:
        """What came of an attempt at an effect."""
        by = f" ({who})" if who else ""
        self._line(f"{what.order:<5} {what.effect}, attempt {what.attempt}: {what.result}{by}", _DIM)

    def _line(self, text: str, color: str) -> None:
        line = f"  {time.monotonic() - self._started:6.3f}  {text}".rstrip()
        if sys.stdout.isatty():  # a line that wraps is hard to read; a file keeps all of it
            line = line[: self.width]
        self._write(self._styled(line, color))

    def progress(self, text: str, *, is_last: bool = False) -> None:
        """How far it has come; most of it is not shown."""
        now = time.monotonic()
        if now - self._progress_at < (EVERY_S_LIVE if self._is_live else EVERY_S) and not is_last:
            return
        self._progress_at = now
        with self._lock:
            if self._is_live:
                sys.stderr.write(f"\r{text[: self.width - 1]}\033[K")
                self._has_progress = True
            else:
                sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def end_progress(self) -> None:
        """Leave the line of progress as it is, and go on below it."""
        with self._lock:
            self._end_progress()

    def _end_progress(self) -> None:
        if self._has_progress:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._has_progress = False

    def _styled(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._has_color and text else text

    def _write(self, *lines: str) -> None:
        with self._lock:
            self._end_progress()
            try:
                sys.stdout.write("".join(f"{line}\n" for line in lines))
                sys.stdout.flush()
            except BrokenPipeError:
                self._is_left = True

"""Commands that go on until they are stopped."""

from __future__ import annotations

import re
import signal
import subprocess
from threading import Condition, Thread

__all__ = ["Server"]


class Server:
    """A process that is waited for until it says that it works, and stopped as a supervisor does it."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self._said = ""
        self._has_ended = False
        self._is_given_up = False
        self._news = Condition()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._said += line
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()

    def wait(self, what: re.Pattern[str], timeout_s: float) -> str:
        """Wait until it has said such a thing; what it was."""
        with self._news:
            self._news.wait_for(lambda: self._has_ended or what.search(self._said), timeout_s)
            found = what.search(self._said)
        if found is None:
            self._is_given_up = True
            self._process.kill()
        assert found is not None, f"{' '.join(self._words)} does not come to work:\n{self._said}"
        return found[0]

    def stop(self) -> None:
        """Tell it to stop, and see that it ends well. Twice is safe."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(60)
        self._reader.join(60)
        if self._process.stderr is not None:
            self._process.stderr.close()
        assert code == 0 or self._is_given_up, f"{' '.join(self._words)} ends with exit code {code}:\n{self._said}"

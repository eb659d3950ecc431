"""Other processes: each has one subject, whose methods are called from here and run there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Elsewhere"]

_CONTEXT = multiprocessing.get_context("spawn")
_END_S = 30.0


class Elsewhere:
    """A subject in a process of its own, made there and closed there."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        """Start the process; it has made its subject when this returns.

        Args:
            make: makes the subject, which has a method `close`; it can be pickled, and so can the arguments.
            arguments: what it is given.
        """
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.answer()

    def ask(self, method: str, *arguments: Any) -> None:
        """Have a method called, and go on meanwhile."""
        self._pipe.send((method, arguments))

    def answer(self) -> Any:
        """What it gave back; its error is raised here."""
        value, error = self._pipe.recv()
        if error is not None:
            raise RuntimeError(error)
        return value

    def call(self, method: str, *arguments: Any) -> Any:
        """Both."""
        self.ask(method, *arguments)
        return self.answer()

    def close(self) -> None:
        """Close the subject, and end its process."""
        with suppress(BrokenPipeError, EOFError):  # it has ended by itself
            self.ask("close")
            self.answer()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()


def _serve(pipe: Any, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    subject: Any = None
    name = "open"
    while name != "close":
        try:
            value: Any = None
            if subject is None:
                subject = make(*arguments)
            else:
                name, given = pipe.recv()
                value = getattr(subject, name)(*given)
            pipe.send((value, None))
        except EOFError:  # who started it is gone
            return
        except Exception as error:
            pipe.send((None, f"{name} in another process: {error!r}"))
            if subject is None:
                return

"""What all processes of the test world share: how far the clock was moved, and whether poison still works."""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

__all__ = ["WorldClock"]

_SHARED = struct.Struct("<qq")


class WorldClock:
    """Tells the time of the world: the system's, moved by an offset that all share, with a skew of this process's.

    Whoever moves it moves it for all; only one process does.
    """

    def __init__(self, path: Path, skew: timedelta = timedelta()) -> None:
        """Share the clock of this file; a new one is not moved.

        Args:
            path: where the offset is kept.
            skew: how far the clock of this process is off.
        """
        path.touch()
        with path.open("r+b") as file:
            if path.stat().st_size < _SHARED.size:
                file.truncate(_SHARED.size)
            self._shared = mmap.mmap(file.fileno(), _SHARED.size)
        self._skew = skew

    @property
    def offset(self) -> timedelta:
        """How far it was moved."""
        return timedelta(microseconds=_SHARED.unpack(self._shared)[0])

    def move(self, by: timedelta) -> None:
        """Move it, forward or back."""
        offset = (self.offset + by) // timedelta(microseconds=1)
        _SHARED.pack_into(self._shared, 0, offset, self.is_poison_on)

    @property
    def is_poison_on(self) -> bool:
        """Whether effects of poisoned orders kill their worker."""
        return bool(_SHARED.unpack(self._shared)[1])

    def poison(self, *, is_on: bool) -> None:
        """Let effects of poisoned orders kill their worker, or not any more."""
        _SHARED.pack_into(self._shared, 0, self.offset // timedelta(microseconds=1), is_on)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset + self._skew

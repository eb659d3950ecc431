"""Record ids and parts.

A record's id is a UUID of version 7 (RFC 9562): its first 48 bits are the milliseconds at which the pair of entity and
event was accepted, so that ids sort by time and a month of records is a range of ids.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock

__all__ = ["PARTS", "RecordIds", "first_id", "minted_at", "part_of"]

PARTS = 64
"""How many parts the entities of a ledger fall into; workers lease parts."""


def part_of(kind: str, entity: str) -> int:
    """The part of an entity: the same in every process and for ever, so never Python's own hash.

    The first two bytes of BLAKE2b over `kind`, a NUL and the id in UTF-8, modulo 64.
    """
    digest = blake2b(f"{kind}\0{entity}".encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") % PARTS


def minted_at(record: str) -> int:
    """When a record's id was minted, in microseconds since 1970, to the millisecond."""
    return int(record[:8] + record[9:13], 16) * 1000


def first_id(milliseconds: int) -> str:
    """The least id of a millisecond since 1970, which none has: lower ones are of the time before."""
    value = f"{max(0, milliseconds):012x}{'0' * 20}"
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


class RecordIds:
    """Mints record ids that rise within this process, even when the clock stands still or goes back."""

    def __init__(self, milliseconds: Callable[[], int]) -> None:
        """Take the clock to mint by: milliseconds since 1970."""
        self._milliseconds = milliseconds
        self._lock = Lock()
        self._last = 0
        self._random = b""
        self._used = 0

    def mint(self) -> str:
        """A new id, in the usual form of 36 characters."""
        with self._lock:
            now = self._milliseconds() << 12
            # The 12 bits behind the milliseconds count within one: 4096 ids, then the next millisecond is borrowed.
            self._last = now if now > self._last else self._last + 1
            stamp = self._last
            if self._used >= len(self._random):
                self._random, self._used = os.urandom(1024), 0
            tail = int.from_bytes(self._random[self._used : self._used + 8], "big")
            self._used += 8
        low = (tail & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        value = f"{stamp >> 12:012x}7{stamp & 0xFFF:03x}{low:016x}"
        return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"

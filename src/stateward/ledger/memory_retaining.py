"""The ledger in memory: what is past its age is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stateward.ledger.contract import Page
from stateward.ledger.retaining import ExpireDeadLetters, ExpireReceipts
from stateward.ledger.rows import DeadLetterRow, ReceiptRow

__all__ = ["MemoryRetention"]


class MemoryRetention:
    """The tables that retention deletes from, in dicts."""

    def __init__(
        self,
        receipts: dict[tuple[str, str, str], ReceiptRow],
        dead_letters: dict[tuple[str, str, int, int], DeadLetterRow],
    ) -> None:
        """Take the tables."""
        self._receipts = receipts
        self._dead_letters = dead_letters
        self.operations: dict[type, Callable[[Any], Page]] = {
            ExpireDeadLetters: self._expire_dead_letters,
            ExpireReceipts: self._expire_receipts,
        }

    def _expire_receipts(self, operation: ExpireReceipts) -> Page:
        # It reads all of them each time, and so needs no mark.
        old = sorted((row.record, key) for key, row in self._receipts.items() if row.record < operation.before)
        for _, key in old[: operation.limit]:
            del self._receipts[key]
        gone = min(len(old), operation.limit)
        return [(gone, gone)]

    def _expire_dead_letters(self, operation: ExpireDeadLetters) -> Page:
        old = sorted((row.died_at, key) for key, row in self._dead_letters.items() if row.died_at < operation.before)
        for _, key in old[: operation.limit]:
            del self._dead_letters[key]
        return [(min(len(old), operation.limit),)]

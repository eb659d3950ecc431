"""The ledger in memory: what is past its age is deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stateward.ledger.contract import Page
from stateward.ledger.retaining import ExpireDeadLetters, ExpireReceipts
from stateward.ledger.rows import DeadLetterRow, OutboxRow, ReceiptRow

__all__ = ["MemoryRetention"]


class MemoryRetention:
    """The tables that retention deletes from, in dicts."""

    def __init__(
        self,
        receipts: dict[tuple[str, str, str], ReceiptRow],
        dead_letters: dict[tuple[str, str, int, int], DeadLetterRow],
        outbox: Mapping[Any, OutboxRow],
    ) -> None:
        """Take the tables."""
        self._receipts = receipts
        self._dead_letters = dead_letters
        self._outbox = outbox
        self.operations: dict[type, Callable[[Any], Page]] = {
            ExpireDeadLetters: self._expire_dead_letters,
            ExpireReceipts: self._expire_receipts,
        }

    def _expire_receipts(self, operation: ExpireReceipts) -> Page:
        # It reads all of them each time, and so needs no mark.
        old = sorted(
            (row.record, key)
            for key, row in self._receipts.items()
            if row.record < operation.before and not self._may_be_asked_again(row.key)
        )
        for _, key in old[: operation.limit]:
            del self._receipts[key]
        gone = min(len(old), operation.limit)
        return [(gone, gone)]

    def _may_be_asked_again(self, key: str) -> bool:
        """Whether it is the key of a reply of an effect that waits or is dead: its receipt is for that effect."""
        kind, *effect = key.split(":")[:3]
        return kind == "effect" and (
            any([row.record, str(row.n)] == effect for row in self._dead_letters.values())
            or any([row.record, str(row.n)] == effect for row in self._outbox.values())
        )

    def _expire_dead_letters(self, operation: ExpireDeadLetters) -> Page:
        old = sorted((row.died_at, key) for key, row in self._dead_letters.items() if row.died_at < operation.before)
        for _, key in old[: operation.limit]:
            del self._dead_letters[key]
        return [(min(len(old), operation.limit),)]

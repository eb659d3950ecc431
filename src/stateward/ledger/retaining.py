"""The operations of retention: what is past its age is deleted, a bounded batch at a time, the oldest first.

Nothing but its record says how old a receipt is: records lie in the order of their ids, which are times, and each
that was applied under a key has one receipt. So receipts are found by going through the records, from a mark on that
the ledger keeps, and no index of theirs is written by every commit. It also is why records stay for longer than
receipts.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["ExpireDeadLetters", "ExpireReceipts", "RetainOperation"]


class ExpireReceipts(msgspec.Struct, frozen=True):
    """Delete the receipts of the next records behind the mark, and set the mark behind them.

    Its page: (records looked at, receipts deleted), as the only row; none is looked at while another is at it.
    """

    before: str
    """A record id: receipts of records with lower ones go."""
    limit: int
    """Records that are looked at."""


class ExpireDeadLetters(msgspec.Struct, frozen=True):
    """Delete dead letters. Its page: how many, as the only row."""

    before: int
    """Those that died before then go."""
    limit: int


RetainOperation: TypeAlias = ExpireDeadLetters | ExpireReceipts

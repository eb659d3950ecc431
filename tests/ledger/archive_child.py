"""A process that archives a month, until it kills itself at one of its steps.

    python -m tests.ledger.archive_child ADDRESS MONTH FOLDER STEP

A step is a statement, or something that changes what a folder keeps; the process ends before its STEPth one. If there
are not so many, it ends well.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from stateward.cli import _group
from stateward.ledger.postgres.archiving import PostgresRecords
from stateward.ledger.sqlite.archiving import SqliteRecords

__all__ = ["main"]


def plant(step: int) -> None:
    """Let every step be counted, and this one be the last."""
    left = step

    def reached(act: Any) -> Any:
        def acted(*given: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*given, **named)

        return acted

    for owner, name in (
        (SqliteRecords, "_run"), (PostgresRecords, "_run"), (os, "fsync"), (Path, "replace"), (Path, "unlink"),
        (tempfile, "mkstemp"),
    ):  # fmt: skip
        setattr(owner, name, reached(getattr(owner, name)))


def main(address: str, month: str, folder: str, step: int) -> None:
    """Archive, and end before a step."""
    plant(step)
    _group(["archive", month, "--ledger", address, "--to", folder, "--apply"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))

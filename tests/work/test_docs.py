"""docs/work.md: its blocks are run, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TEXT = (HERE.parent.parent / "docs" / "work.md").read_text(encoding="utf-8")


def test_every_promise_and_every_failure_names_a_test_that_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    tables = [line for line in rows if "held by" in line or "`test_" in line]
    assert len(tables) >= 25
    assert [each for each in named if f"def {each}(" not in tests] == []


def test_each_row_of_the_failures_names_a_test() -> None:
    failures = TEXT.partition("## When the world fails")[2].partition("## What is promised")[0]
    rows = [line for line in failures.splitlines() if line.startswith(("| The ", "| All "))]
    assert len(rows) == 10
    assert [row for row in rows if "`test_" not in row] == []

"""The pages on ledgers: their blocks are run, and the tests that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGES = {
    name: (HERE.parent.parent / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("ledger", "operations")
}


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_a_test_that_exists(page: str) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGES[page])
    assert len(named) >= 9
    assert [each for each in named if f"def {each}(" not in tests] == []

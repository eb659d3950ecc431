"""The pages on ledgers: their blocks are run, and the tests that they name exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PAGES = {
    name: (HERE.parent.parent / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("ledger", "operations")
}


@pytest.mark.parametrize("page", PAGES)
def test_the_python_blocks_print_what_the_text_blocks_say(page: str) -> None:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "docs"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, (kind, block) in enumerate(blocks):
            if kind == "python":
                exec(compile(block, f"docs/{page}.md block {number}", "exec"), names)
    assert printed.getvalue() == "".join(block for kind, block in blocks if kind == "text")


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_a_test_that_exists(page: str) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGES[page])
    assert len(named) >= 9
    assert [each for each in named if f"def {each}(" not in tests] == []

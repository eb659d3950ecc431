"""docs/ledger.md: its blocks are run, and the tests that it names exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TEXT = (HERE.parent.parent / "docs" / "ledger.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_python_blocks_print_what_the_text_blocks_say() -> None:
    names: dict[str, Any] = {"__name__": "docs"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, (kind, block) in enumerate(BLOCKS):
            if kind == "python":
                exec(compile(block, f"docs/ledger.md block {number}", "exec"), names)
    assert printed.getvalue() == "".join(block for kind, block in BLOCKS if kind == "text")


def test_every_promise_names_a_test_that_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert len(named) >= 9
    assert [each for each in named if f"def {each}(" not in tests] == []

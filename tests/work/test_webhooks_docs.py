"""docs/webhooks.md: its blocks are run, and it tells of what there is."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import pytest

from stateward.work.webhooks import Webhook

TEXT = (Path(__file__).parent.parent.parent / "docs" / "webhooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_python_blocks_print_what_the_text_blocks_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    names: dict[str, Any] = {"__name__": "docs"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, (kind, block) in enumerate(BLOCKS):
            assert kind in ("python", "text")
            if kind == "python":
                exec(compile(block, f"docs/webhooks.md block {number}", "exec"), names)
    assert printed.getvalue() == "".join(block for kind, block in BLOCKS if kind == "text")


def test_every_option_is_told_of() -> None:
    options = list(inspect.signature(Webhook.__init__).parameters)[1:]
    assert len(options) >= 8
    assert [each for each in options if f"{each}=" not in TEXT and f"`{each}`" not in TEXT] == []

"""docs/webhooks.md: its blocks are run, and it tells of what there is."""

from __future__ import annotations

import inspect
from pathlib import Path

from stateward.work.webhooks import Webhook

TEXT = (Path(__file__).parent.parent.parent / "docs" / "webhooks.md").read_text(encoding="utf-8")


def test_every_option_is_told_of() -> None:
    options = list(inspect.signature(Webhook.__init__).parameters)[1:]
    assert len(options) >= 8
    assert [each for each in options if f"{each}=" not in TEXT and f"`{each}`" not in TEXT] == []

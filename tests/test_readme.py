"""What README's first screen shows. That its blocks run and its links lead somewhere is tested with all pages."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import read_page

ROOT = Path(__file__).parent.parent
README = read_page(ROOT / "README.md")
LINES_OF_TWO_SCREENS = 100


def test_it_is_short() -> None:
    assert len(README.text.splitlines()) <= LINES_OF_TWO_SCREENS + 10  # the links behind them


def test_its_first_screen_tells_what_it_is_and_shows_a_declaration_a_refusal_explained_and_the_two_commands() -> None:
    before, _, _ = README.text.partition("\n## ")
    assert before.startswith("# stateward\n\nDurable state machines for Python.")
    kinds = [block.language for block in README.blocks]
    assert kinds == ["python", "text", "sh", "sh"]
    declaration, refusal, clone, installed = README.blocks
    assert "class OrderLifecycle(Lifecycle[Order]):" in declaration.text
    assert "said no (event.amount = 1, context.total = 4200)" in refusal.text
    assert clone.text.splitlines() == ["make demo"]
    assert installed.text.splitlines() == ["pip install stateward", "stateward demo"]
    assert all(block.text in before for block in README.blocks)
    assert README.marks == []


def test_the_demo_that_it_names_is_one_that_can_be_made() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\ndemo: " in makefile
    assert "LOG" in makefile

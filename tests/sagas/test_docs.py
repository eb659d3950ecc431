"""docs/sagas.md: its blocks are run, the tests that it names exist, and so do the states and events of its tables."""

from __future__ import annotations

import re
from pathlib import Path

import stateward
from examples.shipping import OrderShipping
from stateward import chart_of

HERE = Path(__file__).parent
TEXT = (HERE.parent.parent / "docs" / "sagas.md").read_text(encoding="utf-8")


def test_every_promise_names_a_test_that_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert len(named) >= 6
    assert [each for each in named if f"def {each}(" not in tests] == []


def test_every_event_that_people_send_is_on_the_page_and_takes_them_out_of_the_trouble_it_stands_beside() -> None:
    from stateward.sagas import operators

    events = [name for name in operators.__all__ if name[0].isupper() and name != "StageEvent"]
    assert [name for name in events if f"`{name}" not in TEXT or not hasattr(stateward, name)] == []
    chart = chart_of(OrderShipping)
    table = TEXT.partition("### What people can send")[2].partition("They name the stage")[0]
    for state, sent in re.findall(r"^\| `(\w+)` \| `(\w+)\b", table, re.MULTILINE):
        assert chart.has_state(state)
        leaving = {
            each.trigger.label for each in chart.transitions if each.source == chart.state(state).index and each.trigger
        }
        assert sent in leaving

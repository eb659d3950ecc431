"""Writing: any chart becomes a document that says all of its structure, and runs as the chart does."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from examples.checkout import CheckoutLifecycle
from stateward import Event, Lifecycle, Refusal, Snapshot, Step, chart_of, start, step
from stateward.chart import TimerTrigger
from stateward.chart.draft import ChartDraft
from stateward.demo.incidents import IncidentLifecycle
from stateward.demo.orders import OrderLifecycle
from stateward.errors import EndlessLoop
from stateward.scxml import Session, VirtualClock, read, write
from stateward.scxml.cases import let_pass
from stateward.scxml.writer import ids_of
from stateward.scxml.xml import Element, parse
from tests.everything import EverythingLifecycle
from tests.reference.charts import chart_from, describe, general_case
from tests.reference.handlers import Log
from tests.scxml.documents import document

GOLDEN = Path(__file__).parent.parent / "golden"
WRITTEN: dict[str, type[Lifecycle[Any]]] = {
    "order": OrderLifecycle,
    "checkout": CheckoutLifecycle,
    "incident": IncidentLifecycle,
    "everything": EverythingLifecycle,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_lifecycle_is_written_as_its_golden_file_says(name: str) -> None:
    text = write(chart_of(WRITTEN[name]))
    path = GOLDEN / f"scxml_{name}.scxml"
    if os.environ.get("STATEWARD_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; after a look: make golden"


@pytest.mark.parametrize("name", WRITTEN)
def test_a_lifecycle_that_was_written_is_a_document_with_all_its_states_and_arcs(name: str) -> None:
    chart = chart_of(WRITTEN[name])
    text = write(chart)
    again = read(text)
    elements = list(parse(text).walk())
    states = [each for each in elements if each.tag in ("state", "parallel", "final", "history")]
    assert [each.attributes["id"] for each in states] == list(ids_of(chart).values())
    assert [state.kind for state in again.states] == [state.kind for state in chart.states]
    assert len(again.transitions) == len(chart.transitions)
    assert read(write(again)).digest == again.digest


# Beside the kernel.


def without_handlers(draft: ChartDraft) -> ChartDraft:
    """The structure alone, which is what a written lifecycle says: no functions, no time, nothing eventless."""
    for state in draft.root.walk():
        state.entry = state.exit = state.initial_actions = state.default_actions = ()
        state.data = None
    kept = [
        replace(each, guard=None, actions=())
        for each in draft.transitions
        if each.trigger is not None and not isinstance(each.trigger, TimerTrigger)
    ]
    return replace(draft, transitions=kept, already=[], before=None, guard_error=None)


def where(snapshot: Snapshot[Log], ids: dict[str, str]) -> tuple[str, ...]:
    """The configuration of a chart by the ids that its states were written with."""
    return tuple(ids[each] for each in snapshot.position.atoms)


@pytest.mark.parametrize("batch", range(6))
def test_a_written_chart_goes_where_the_chart_goes(batch: int) -> None:
    steps = 0
    for seed in range(batch * 50, batch * 50 + 50):
        case = general_case(seed)
        draft = without_handlers(case.draft)
        chart = chart_from(draft)
        try:
            snapshot: Snapshot[Log] = start(chart, case.context).snapshot
            session = Session(read(write(chart)), clock=VirtualClock())
        except EndlessLoop:
            continue
        ids = ids_of(chart)
        for event in case.events:
            if not isinstance(event, Event) or event.trigger_label() not in chart.events:
                continue
            assert session.configuration == tuple(ids[each] for each in snapshot.position.atoms), (
                f"seed {seed}\n{describe(draft)}"
            )
            if session.is_finished:
                break
            try:
                outcome = step(chart, snapshot, event)
            except EndlessLoop:
                break
            session.send(event.trigger_label())
            if isinstance(outcome, Step):
                snapshot = outcome.snapshot
                steps += 1
            else:
                assert isinstance(outcome, Refusal)
        else:
            assert session.configuration == tuple(ids[each] for each in snapshot.position.atoms), (
                f"seed {seed}\n{describe(draft)}"
            )
    assert steps > 50, "the charts of this batch hardly moved"


# Timers, functions, and what else a lifecycle has.


def test_a_timer_is_written_as_a_delayed_event_that_dies_with_its_state() -> None:
    def fresh() -> tuple[Session, VirtualClock]:
        clock = VirtualClock()
        return Session(read(write(chart_of(OrderLifecycle))), clock=clock), clock

    session, clock = fresh()
    let_pass(session, clock, timedelta(days=30))
    assert session.configuration == ("cancelled",)
    session, clock = fresh()
    session.send("Pay")
    let_pass(session, clock, timedelta(days=30))
    assert session.configuration == ("paying",)


def test_functions_stay_behind_as_stubs_that_can_be_filled_in() -> None:
    text = write(chart_of(OrderLifecycle))
    assert "def covers_total(): return True" in text
    refusing = text.replace("def covers_total(): return True", "def covers_total(): return _event.data['amount'] > 9")
    session = Session(read(refusing), clock=VirtualClock())
    session.send("Pay", {"amount": 5})
    assert session.configuration == ("pending",)
    session.send("Pay", {"amount": 10})
    assert session.configuration == ("paying",)


def test_text_and_data_survive_with_all_their_characters() -> None:
    body = """
    <datamodel><data id="x"> {"a": "&lt;&amp;&gt;"} </data></datamodel>
    <script>y = "1 &lt; 2 &amp; 'q' \u00e9 \u2603"
if x: y += "\t|"</script>
    <state id="a"><transition cond="x['a'] &lt; 'b' and y != &quot;&quot;" target="b"/></state><final id="b"/>"""
    chart = read(document(body))
    again = read(write(chart))
    assert again.digest == chart.digest
    first, second = Session(chart, clock=VirtualClock()), Session(again, clock=VirtualClock())
    assert first.data == second.data
    assert first.data["y"] == "1 < 2 & 'q' \u00e9 \u2603\t|"


def test_elements_that_are_not_run_yet_are_kept() -> None:
    body = """<state id="a"><invoke type="scxml" id="child" autoforward="true"><param name="p" expr="1"/>
    <finalize><assign location="x" expr="1"/></finalize></invoke><invoke srcexpr="'x'"><content>
    <scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"><final id="f"/></scxml></content></invoke></state>"""
    with pytest.raises(Exception, match="both srcexpr and <content>"):
        read(document(body))
    chart = read(document(body.replace(" srcexpr=\"'x'\"", "")))
    invokes = [each for each in parse(write(chart)).walk() if each.tag == "invoke"]
    assert [each.get("id") for each in invokes] == ["child", None]
    assert [each.tag for each in invokes[0].elements] == ["param", "finalize"]
    [content] = invokes[1].elements
    inner = content.first("scxml")
    assert isinstance(inner, Element)
    assert inner.get("version") == "1.0"
    assert read(write(chart)).digest == chart.digest

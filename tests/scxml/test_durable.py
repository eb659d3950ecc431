"""Sessions that a ledger keeps: what they hold as texts, the same lives as in memory, and engines that run them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stateward import DefinitionError, EndlessLoop, Engine, Refusal, Refused
from stateward.chart import Chart, Elapsed, Event, EventMarker, Meta
from stateward.errors import EvaluationError, Unkeepable
from stateward.kernel import Snapshot, Step, advance, start
from stateward.kernel.tables import position_of
from stateward.ledger.codec import decode_context, encode_context
from stateward.scxml import Data, ScxmlEvent, Session, VirtualClock, first_data, kept_chart, read, read_file
from stateward.scxml.durable import EVENT_LIMIT, WAITING_LIMIT
from stateward.scxml.ids import id_of
from stateward.scxml.keeping import event_from_json, event_to_json, from_json, to_json
from stateward.scxml.values import MapValue, RecordValue, SetValue, TupleValue, Value, freeze, thaw
from tests.conftest import MakeLedger
from tests.scxml.documents import document
from tests.scxml.manifest import EXPECTED_TO_FAIL, Case, automatic_cases

META = Meta(entity="session")


class Texts:
    """A session of which nothing lives from one step to the next but the texts that a ledger would keep."""

    def __init__(self, chart: Chart[Data]) -> None:
        self.chart = kept_chart(chart)
        self.now = timedelta(0)
        self.timers: dict[str, timedelta] = {}
        self._keep(start(self.chart, first_data(), META))

    def _keep(self, step: Step[Data]) -> None:
        assert step.effects == ()
        for name in step.timers_cancelled:
            del self.timers[name]
        for timer in step.timers_set:
            self.timers[timer.name] = self.now + timer.delay
        self.state, self._history = step.snapshot.state, json.dumps(step.snapshot.position.history)
        self._context = encode_context(self.chart, step.snapshot.context)
        assert decode_context(self.chart, self._context) == step.snapshot.context

    @property
    def snapshot(self) -> Snapshot[Data]:
        position = position_of(self.chart, self.state, json.loads(self._history))
        return Snapshot(position, decode_context(self.chart, self._context))

    @property
    def configuration(self) -> set[str]:
        return {id_of(path) for path in self.state.split("|")}

    def send(self, event: EventMarker) -> None:
        step = advance(self.snapshot, event, META)
        if isinstance(step, Step):
            self._keep(step)

    def let_pass(self, by: timedelta) -> None:
        """Fire what becomes due, one after the other."""
        until = self.now + by
        while self.timers:
            due, name = min((due, name) for name, due in self.timers.items())
            if due > until:
                break
            self.now = due
            del self.timers[name]
            self.send(Elapsed(name))
        self.now = until


def cases() -> list[Case]:
    """Those that need no other session and no HTTP."""
    found: list[Case] = []
    for case in automatic_cases():
        needs_http = "BasicHTTP" in case.path.read_text(encoding="utf-8")
        if case.id not in EXPECTED_TO_FAIL and not needs_http and not read_file(case.path).invokes:
            found.append(case)
    return found


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases()])
def test_a_case_passes_with_nothing_kept_but_texts(case: Case) -> None:
    session = Texts(read_file(case.path))
    expectation = case.path.with_suffix(".json")
    if not expectation.exists():
        session.let_pass(timedelta(hours=1))
        assert session.configuration == {"pass"}
        return
    expected = json.loads(expectation.read_text(encoding="utf-8"))
    assert session.configuration == set(expected["initialConfiguration"])
    for each in expected["events"]:
        session.let_pass(timedelta(milliseconds=each.get("after", 0)))
        session.send(ScxmlEvent(each["event"]["name"], freeze(each["event"].get("data"))))
        assert session.configuration == set(each["nextConfiguration"])


def test_nearly_all_cases_are_such() -> None:
    assert len(cases()) > 200


# What is kept.

numbers = st.integers(-(2**8000), 2**8000) | st.floats(allow_nan=False)
keys = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=3)
        | st.sets(keys, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(plain)
def test_a_value_is_read_back_equal_and_of_its_kind(data: object) -> None:
    value = freeze(data)
    text = json.dumps(to_json(value))
    again = from_json(json.loads(text))
    assert again == value
    assert repr(again) == repr(value)  # 1, 1.0 and True are equal


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_has_not_is_read_back(value: float) -> None:
    assert repr(from_json(json.loads(json.dumps(to_json(value))))) == repr(value)


def test_what_a_script_wrote_is_read_back_and_works() -> None:
    body = """<datamodel><data id="x"/></datamodel><script>
def add(x, y=2): return x + y
class Box:
    size = 3
    def grow(self, by): self.size = self.size + by
box = Box()
twice = lambda n: add(n, n)
known = len
</script><state id="a"><transition event="e"><script>
box.grow(add(1))
x = (twice(4), box.size, known([1, 2]), Box().size)
</script></transition></state>"""
    session = Texts(read(document(body)))
    session.send(ScxmlEvent("e"))
    assert session.snapshot.context.variables["x"] == TupleValue([8, 6, 2, 3])
    session.send(ScxmlEvent("e"))
    assert session.snapshot.context.variables["x"] == TupleValue([8, 9, 2, 3])


@pytest.mark.parametrize(
    "data",
    [{}, {"a": 1, "b": 2}, {"other": 1}, {"map": 5}, {"map": [[1]]}, {"int": "x"}, {"record": [1, 2]}, {"set": [[1]]}],
)
def test_what_is_no_value_is_told(data: Any) -> None:
    with pytest.raises((ValueError, TypeError, EvaluationError)):
        from_json(data)


@pytest.mark.parametrize("data", [object(), {"a": 1}, [[]]])
def test_an_event_whose_data_are_no_value_is_told(make_ledger: MakeLedger, data: Any) -> None:
    chart = read(DOOR)
    with Engine(make_ledger(), lifecycles=[chart]) as engine:
        engine.create(chart, "front", first_data(), actor="user:1")
        with pytest.raises(Unkeepable, match=r"is no value of a document: freeze"):
            engine.send(chart, "front", ScxmlEvent("open", data), actor="user:1")


def test_an_event_is_read_back_equal() -> None:
    for event in (
        ScxmlEvent("e"),
        ScxmlEvent("e.f", freeze([1, {"a": (2,)}]), kind="internal", sendid="s", origin="o", origintype="t", raw="r"),
    ):
        assert event_from_json(ScxmlEvent, json.loads(json.dumps(event_to_json(event)))) == event
        assert ScxmlEvent.model_validate_json(json.dumps(event.model_dump())) == event
    with pytest.raises(ValueError, match="no event"):
        ScxmlEvent.model_validate_json('{"data": 1}')
    assert RecordValue("Event", MapValue()).model_dump() == {"record": ["Event", {"map": []}]}
    assert SetValue([1]).model_dump() == {"set": [1]}


# What a step is.

LOG = '<transition event="*"><assign location="seen" expr="seen + [_event.name]"/></transition>'
SEEN = '<datamodel><data id="seen" expr="[]"/></datamodel>'


def seen(session: Texts) -> Any:
    value: Value = session.snapshot.context.variables["seen"]
    return thaw(value)


def test_what_follows_without_a_delay_is_one_step_in_the_order_of_the_queue() -> None:
    body = f"""{SEEN}<state id="a"><transition event="t"><send event="u"/><raise event="i"/><send event="v"/>
    </transition>
    <transition event="u"><send event="w"/><assign location="seen" expr="seen + ['u']"/></transition>{LOG}</state>"""
    session = Texts(read(document(body)))
    step = advance(session.snapshot, ScxmlEvent("t"), META)
    assert isinstance(step, Step)
    assert thaw(step.snapshot.context.variables["seen"]) == ["i", "u", "v", "w"]
    assert len(step.microsteps) == 5


def test_a_delayed_message_is_a_timer_and_is_cancelled_as_one() -> None:
    body = f"""{SEEN}<state id="a"><transition event="t"><send event="x" id="one" delay="1s"/>
    <send event="y" delay="2s"/>
    <send event="z" id="gone" delay="3s"/><cancel sendid="gone"/></transition>
    <transition event="c"><cancel sendid="one"/></transition>{LOG}</state>"""
    session = Texts(read(document(body)))
    session.send(ScxmlEvent("t"))
    assert session.timers == {"send.1": timedelta(seconds=1), "send.2": timedelta(seconds=2)}
    session.send(ScxmlEvent("c"))
    assert list(session.timers) == ["send.2"]
    session.let_pass(timedelta(seconds=5))
    assert seen(session) == ["y"]
    assert session.snapshot.context.waiting == ()
    refused = advance(session.snapshot, Elapsed("send.2"), META)
    assert isinstance(refused, Refusal)
    assert refused.kind == "expired"


def test_a_delayed_message_that_nobody_takes_is_gone_all_the_same() -> None:
    session = Texts(read(document('<state id="a"><onentry><send event="x" delay="1s"/></onentry></state>')))
    session.let_pass(timedelta(seconds=1))
    assert session.snapshot.context.waiting == ()


def test_the_end_runs_exit_handlers_gives_the_result_and_cancels_what_waits() -> None:
    body = f"""{SEEN}<state id="a"><onentry><send event="x" delay="1s"/></onentry>
    <transition event="t" target="f"><send event="never"/><send event="y" delay="1s"/></transition></state>
    <final id="f"><onexit><assign location="seen" expr="['out', _event.name]"/></onexit>
    <donedata><content expr="[1, 2]"/></donedata></final>"""
    session = Texts(read(document(body)))
    step = advance(session.snapshot, ScxmlEvent("t"), META)
    assert isinstance(step, Step)
    assert (step.data, step.timers_set, step.timers_cancelled) == ([1, 2], (), ("send.1",))
    session.send(ScxmlEvent("t"))
    assert seen(session) == ["out", "t"]
    assert session.timers == {}


def test_an_event_that_nothing_takes_is_refused_and_others_are_no_events_of_a_document() -> None:
    class Stranger(Event):
        pass

    session = Texts(read(document('<state id="a"><transition event="e" cond="False"/></state>')))
    for event, kind in ((ScxmlEvent("e"), "guarded"), (ScxmlEvent("f"), "unknown"), (Stranger(), "unknown")):
        refused = advance(session.snapshot, event, META)
        assert isinstance(refused, Refusal)
        assert refused.kind == kind


def test_an_event_from_outside_is_one_whatever_it_says() -> None:
    body = f"""{SEEN}<state id="a"><transition event="e"><assign location="seen" expr="[_event.type]"/></transition>
    </state>"""
    session = Texts(read(document(body)))
    session.send(ScxmlEvent("e", kind="internal"))
    assert seen(session) == ["external"]


@pytest.mark.parametrize("target", ["#_parent", "#_kid", "#_scxml_other"])
def test_others_can_not_be_reached(target: str) -> None:
    body = f"""{SEEN}<state id="a"><onentry><send event="e" target="{target}"/></onentry>{LOG}</state>"""
    assert seen(Texts(read(document(body)))) == ["error.communication"]


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        ('<send event="e"/>', EVENT_LIMIT),
        ('<send event="e"/><send event="d" delay="1s"/>', min(EVENT_LIMIT, WAITING_LIMIT)),
        (
            f"""<foreach array="list(range({WAITING_LIMIT + 1}))" item="i"><send event="d" delay="1s"/>
    </foreach>""",
            WAITING_LIMIT,
        ),
    ],
)
def test_what_does_not_come_to_rest_is_an_error_and_changes_nothing(content: str, limit: int) -> None:
    session = Texts(read(document(f'<state id="a"><transition event="e">{content}</transition></state>')))
    with pytest.raises(EndlessLoop) as caught:
        session.send(ScxmlEvent("e"))
    assert caught.value.limit == limit


def test_the_chart_that_is_kept_is_another_and_always_the_same() -> None:
    chart = read(document('<state id="a"/>'))
    kept = kept_chart(chart)
    assert kept is kept_chart(chart)
    assert kept.digest != chart.digest
    assert Session(chart, clock=VirtualClock()).configuration == ("a",)
    assert read(document('<state id="a"/>'), version=3).version == 3


# Engines.

DOOR = document(
    """<datamodel><data id="opened" expr="0"/></datamodel>
    <state id="shut"><transition event="open" target="open"/></state>
    <state id="open"><onentry><assign location="opened" expr="opened + 1"/><send id="t" event="close" delay="5s"/>
    </onentry>
    <onexit><cancel sendid="t"/></onexit><transition event="close" target="shut"/>
    <transition event="break" target="broken"><send event="told"/></transition></state>
    <final id="broken"><donedata><param name="times" expr="opened"/></donedata></final>""",
    name="Door",
)


class Clock:
    """An engine's clock, that is told when to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_an_engine_keeps_sessions_of_a_document(make_ledger: MakeLedger) -> None:
    clock = Clock()
    chart = read(DOOR)
    with Engine(make_ledger(), lifecycles=[chart], clock=clock) as engine:
        engine.create(chart, "front", first_data({"opened": 10}), actor="user:1")
        engine.send(chart, "front", ScxmlEvent("open"), actor="user:1", key="k")
        assert engine.send(chart, "front", ScxmlEvent("open"), actor="user:1", key="k").is_repetition
        [timer] = engine.timers(chart)
        assert timer.due_at == clock.now + timedelta(seconds=5)
        clock.now += timedelta(seconds=4)
        engine.drain()
        assert engine.get(chart, "front").state == "open"
        clock.now += timedelta(seconds=1)
        engine.drain()
        entity = engine.get(chart, "front")
        assert entity.state == "shut"
        assert thaw(entity.context.variables) == {"opened": 11}
        assert thaw(entity.context.system["_sessionid"]) == "front"
        with pytest.raises(Refused, match="close"):
            engine.send(chart, "front", ScxmlEvent("close"), actor="user:1")
        engine.send(chart, "front", ScxmlEvent("open"), actor="user:1")
        done = engine.send(chart, "front", ScxmlEvent("break"), actor="user:1")
        assert done.step is not None
        assert done.step.data == {"times": 12}
        assert list(engine.timers(chart)) == []
        names = [record.event for record in engine.history(chart, "front")]
        assert names == ["Started", "open", "elapsed(send.1)", "close", "open", "break"]
        assert engine.census(chart) == {"broken": 1}


def test_a_session_goes_on_in_another_process_where_it_was(tmp_path: Path) -> None:
    clock = Clock()
    url = f"sqlite:///{tmp_path / 'doors.db'}"
    with Engine(url, lifecycles=[read(DOOR)], clock=clock) as engine:
        chart = read(DOOR)
        engine.create(chart, "front", first_data(), actor="user:1")
        engine.send(chart, "front", ScxmlEvent("open"), actor="user:1")
    clock.now += timedelta(seconds=6)
    with Engine(url, lifecycles=[read(DOOR)], clock=clock) as engine:
        chart = read(DOOR)  # read anew, as another process would
        engine.drain()
        assert engine.get(chart, "front").state == "shut"
        engine.send(chart, "front", ScxmlEvent("open"), actor="user:1")
        assert thaw(engine.get(chart, "front").context.variables) == {"opened": 2}


def test_what_can_not_be_kept_changes_nothing() -> None:
    body = """<datamodel><data id="x"/></datamodel><state id="a"><transition event="e">
    <assign location="x" expr="'x' * 2000000"/></transition></state>"""
    chart = read(document(body))
    with Engine("memory://", lifecycles=[chart]) as engine:
        engine.create(chart, "one", first_data(), actor="user:1")
        with pytest.raises(Unkeepable):
            engine.send(chart, "one", ScxmlEvent("e"), actor="user:1")
        assert engine.get(chart, "one").revision == 1


def test_a_document_with_children_is_refused() -> None:
    chart = read(document('<state id="a"><invoke src="x"/></state>'))
    with pytest.raises(DefinitionError, match="no ledger keeps"):
        Engine("memory://", lifecycles=[chart])

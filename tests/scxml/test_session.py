"""Sessions: events from outside, time, the end, and what a caller can ask for and give."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stateward.errors import EndlessLoop
from stateward.scxml import EvaluationError, MonotonicClock, Session, VirtualClock, read
from tests.scxml.documents import document

SECOND = timedelta(seconds=1)


def start(body: str, clock: VirtualClock | None = None, **options: str) -> tuple[Session, list[tuple[str, object]]]:
    """A session of a document of this body, and what it has logged."""
    logged: list[tuple[str, object]] = []
    chart = read(document(body, **options))
    session = Session(chart, clock=clock or VirtualClock(), on_log=lambda label, value: logged.append((label, value)))
    return session, logged


def named(logged: list[tuple[str, object]]) -> list[object]:
    """What was logged, without labels."""
    return [value for _, value in logged]


LOG = '<transition event="*"><log label="got" expr="_event.name"/></transition>'
TO_THE_END = f'<state id="a"><transition event="end" target="f"/>{LOG}</state>'

# Events from outside.


def test_an_event_is_handled_before_send_returns() -> None:
    session, logged = start(f'<state id="a">{LOG}</state>')
    session.send("one")
    session.send("two")
    assert logged == [("got", "one"), ("got", "two")]


def test_an_event_and_all_that_it_sends_are_handled_before_send_returns() -> None:
    body = """<state id="a"><transition event="t"><send event="u"/><raise event="v"/></transition>
    <transition event="u v"><log expr="_event.name"/></transition></state>"""
    session, logged = start(body)
    session.send("t")
    assert named(logged) == ["v", "u"]


def test_an_events_data_are_the_documents_own_from_then_on() -> None:
    body = """<datamodel><data id="x"/></datamodel><state id="a">
    <transition event="t"><assign location="x" expr="_event.data"/><script>x.append(4)</script></transition></state>"""
    session, _ = start(body)
    given = [1, 2, 3]
    session.send("t", given)
    given.append(5)
    assert session.data == {"x": [1, 2, 3, 4]}
    found = session.data["x"]
    assert isinstance(found, list)
    found.append(6)
    assert session.data == {"x": [1, 2, 3, 4]}
    assert given == [1, 2, 3, 5]


def test_data_that_are_no_plain_data_are_refused_and_nothing_happens() -> None:
    session, logged = start(f'<state id="a">{LOG}</state>')
    with pytest.raises(EvaluationError, match="object is no data"):
        session.send("t", object())
    session.run_due()
    assert logged == []


def test_a_session_that_does_not_come_to_rest_says_so_and_stays_where_it_was() -> None:
    session, logged = start(
        f'<state id="a"><transition event="t" target="b"/>{LOG}</state><state id="b"><transition target="b"/></state>'
    )
    with pytest.raises(EndlessLoop):
        session.send("t")
    assert session.configuration == ("a",)
    session.send("u")
    assert named(logged) == ["u"]


def test_a_session_that_keeps_sending_to_itself_says_so() -> None:
    session, _ = start('<state id="a"><transition event="t"><send event="t"/></transition></state>')
    with pytest.raises(EndlessLoop, match="t"):
        session.send("t")


# Time.


def test_no_time_passes_by_itself() -> None:
    clock = VirtualClock()
    session, logged = start(f'<state id="a"><onentry><send event="e" delay="1s"/></onentry>{LOG}</state>', clock)
    session.run_due()
    session.send("t")
    assert named(logged) == ["t"]
    clock.advance(SECOND)
    assert named(logged) == ["t"]
    session.run_due()
    assert named(logged) == ["t", "e"]


def test_a_jump_past_several_delayed_events_brings_them_in_order() -> None:
    clock = VirtualClock()
    delayed = "".join(f'<send event="e{n}" delay="{n}s"/>' for n in (3, 1, 2, 5))
    session, logged = start(f'<state id="a"><onentry>{delayed}</onentry>{LOG}</state>', clock)
    clock.advance(4 * SECOND)
    session.run_due()
    assert named(logged) == ["e1", "e2", "e3"]
    assert session.next_due == 5 * SECOND


def test_delayed_events_of_one_moment_come_in_the_order_of_their_sending() -> None:
    clock = VirtualClock()
    delayed = "".join(f'<send event="e{n}" delay="1s"/>' for n in range(20))
    session, logged = start(f'<state id="a"><onentry>{delayed}</onentry>{LOG}</state>', clock)
    clock.advance(SECOND)
    session.run_due()
    assert named(logged) == [f"e{n}" for n in range(20)]


def test_events_due_one_after_the_other_find_what_the_one_before_made() -> None:
    body = """<state id="a"><onentry><send event="x" delay="1s"/><send event="y" delay="2s"/></onentry>
    <transition event="x" target="b"/><transition event="y" target="c"/></state>
    <state id="b"><transition event="y" target="d"/></state><state id="c"/><state id="d"/>"""
    clock = VirtualClock()
    session, _ = start(body, clock)
    clock.advance(3 * SECOND)
    session.run_due()
    assert session.configuration == ("d",)


def test_a_due_event_can_cancel_a_later_one_that_is_due_too() -> None:
    body = f"""<state id="a"><onentry><send event="x" delay="1s"/><send event="y" id="y" delay="2s"/></onentry>
    <transition event="x"><cancel sendid="y"/></transition>{LOG}</state>"""
    clock = VirtualClock()
    session, logged = start(body, clock)
    clock.advance(3 * SECOND)
    session.run_due()
    assert logged == []
    assert session.next_due is None


def test_delays_count_from_the_moment_of_sending() -> None:
    body = f"""<state id="a"><transition event="t"><send event="e" delay="1s"/></transition>{LOG}</state>"""
    clock = VirtualClock()
    session, logged = start(body, clock)
    clock.advance(10 * SECOND)
    session.send("t")
    assert session.next_due == 11 * SECOND
    clock.advance(SECOND)
    session.run_due()
    assert named(logged) == ["e"]


def test_what_was_due_comes_before_an_event_that_is_sent_later() -> None:
    clock = VirtualClock()
    session, logged = start(f'<state id="a"><onentry><send event="e" delay="1s"/></onentry>{LOG}</state>', clock)
    clock.advance(2 * SECOND)
    session.send("t")
    assert named(logged) == ["e", "t"]


def test_a_cancelled_event_is_no_longer_due() -> None:
    body = """<state id="a"><onentry><send event="x" id="x" delay="1s"/><send event="y" delay="2s"/></onentry>
    <transition event="t"><cancel sendid="x"/></transition></state>"""
    session, _ = start(body)
    assert session.next_due == SECOND
    session.send("t")
    assert session.next_due == 2 * SECOND


def test_a_virtual_clock_does_not_go_back() -> None:
    clock = VirtualClock()
    clock.advance(SECOND)
    with pytest.raises(ValueError, match="does not go back by 0:00:01"):
        clock.advance(-SECOND)
    assert clock.now() == SECOND


def test_a_session_without_a_clock_goes_by_the_time_outside() -> None:
    session = Session(read(document('<state id="a"><onentry><send event="e" delay="1000s"/></onentry></state>')))
    assert isinstance(session.clock, MonotonicClock)
    before = session.clock.now()
    assert session.next_due is not None
    assert timedelta(0) < session.next_due - before <= 1000 * SECOND
    assert session.clock.now() >= before


# Logs.


def test_logs_are_told_in_order_with_label_and_value() -> None:
    body = """<state id="a"><onentry><log label="l" expr="[1, {'a': (2,)}]"/><log label="m"/><log expr="None"/>
    </onentry></state>"""
    _, logged = start(body)
    assert logged == [("l", [1, {"a": (2,)}]), ("m", None), ("", None)]


def test_logs_need_no_listener() -> None:
    session = Session(read(document('<state id="a"><onentry><log expr="\'x\'"/></onentry></state>')))
    assert session.configuration == ("a",)


def test_a_step_that_fails_logs_nothing() -> None:
    body = """<state id="a"><transition event="t" target="b"><log expr="'lost'"/></transition></state>
    <state id="b"><transition target="b"/></state>"""
    session, logged = start(body)
    with pytest.raises(EndlessLoop):
        session.send("t")
    assert logged == []


# Data from outside.

DATA = """<datamodel><data id="x" expr="1"/><data id="y" expr="x + 1"/><data id="z" expr="none"/></datamodel>
<state id="a"><datamodel><data id="inner" expr="5"/></datamodel>
<transition event="error.execution"><log expr="_event.data['tagname']"/></transition></state>"""


@pytest.mark.parametrize("binding", ["early", "late"])
def test_data_given_take_the_place_of_the_documents_own(binding: str) -> None:
    logged: list[object] = []
    chart = read(document(DATA, binding=binding))
    session = Session(
        chart, clock=VirtualClock(), data={"x": 10, "z": [1]}, on_log=lambda _, value: logged.append(value)
    )
    assert session.data == {"x": 10, "y": 11, "z": [1], "inner": 5}
    assert logged == []


@pytest.mark.parametrize("name", ["inner", "unknown", "_event", "_sessionid"])
def test_only_the_documents_top_level_data_can_be_given(name: str) -> None:
    session = Session(read(document(DATA)), clock=VirtualClock(), data={name: 10})
    assert session.data == {"x": 1, "y": 2, "z": None, "inner": 5}


def test_data_given_may_be_none() -> None:
    session = Session(read(document(DATA)), clock=VirtualClock(), data={"x": None, "y": None})
    assert session.data == {"x": None, "y": None, "z": None, "inner": 5}


def test_data_given_must_be_plain_data() -> None:
    with pytest.raises(EvaluationError, match="is no data"):
        Session(read(document(DATA)), data={"x": object()})


# Its id.


def test_a_session_has_the_id_that_it_is_given() -> None:
    body = """<state id="a"><onentry><send event="e" target="#_scxml_other"/><log expr="_sessionid"/></onentry>
    <transition event="*"><log expr="(_event.name, _event.origin)"/></transition></state>"""
    logged: list[object] = []
    Session(read(document(body)), session="other", on_log=lambda _, value: logged.append(value))
    assert logged == ["other", ("e", "#_scxml_other")]


def test_sessions_of_one_chart_share_nothing() -> None:
    body = """<datamodel><data id="x" expr="[]"/></datamodel>
    <state id="a"><transition event="t" target="b"><script>x.append(1)</script></transition></state><state id="b"/>"""
    chart = read(document(body))
    one, other = (Session(chart, session=name, clock=VirtualClock()) for name in ("one", "other"))
    one.send("t")
    assert (one.configuration, one.data) == (("b",), {"x": [1]})
    assert (other.configuration, other.data) == (("a",), {"x": []})


def test_the_configuration_names_atomic_states_by_their_ids_in_document_order() -> None:
    body = """<parallel id="p"><state id="r.1"><state id="a:b"/></state><state id="r.2"/><parallel id="r%2E3"/>
    </parallel>"""
    session, _ = start(body)
    assert session.configuration == ("a:b", "r.2", "r%2E3")


# The end.


def test_a_finished_session_takes_no_more_events() -> None:
    session, logged = start(TO_THE_END + '<final id="f"/>')
    assert not session.is_finished
    session.send("end")
    assert session.is_finished
    assert session.configuration == ("f",)
    session.send("late")
    session.run_due()
    assert logged == []
    assert session.configuration == ("f",)


def test_a_session_can_be_finished_from_the_start() -> None:
    session, _ = start('<final id="f"><donedata><content expr="[1]"/></donedata></final>')
    assert session.is_finished
    assert session.result == [1]


def test_the_end_drops_what_is_queued_and_what_is_delayed() -> None:
    clock = VirtualClock()
    body = """<state id="a"><transition event="end" target="f"/>
    <onentry><send event="later" delay="1s"/><send event="end"/><send event="queued"/></onentry></state>
    <final id="f"><onexit><send event="last" delay="1s"/></onexit></final>"""
    session, _ = start(body, clock)
    assert session.is_finished
    assert session.next_due is None
    clock.advance(2 * SECOND)
    session.run_due()
    assert session.configuration == ("f",)


def test_exit_handlers_run_once_at_the_end() -> None:
    session, logged = start(TO_THE_END + '<final id="f"><onexit><log expr="\'out\'"/></onexit></final>')
    session.send("end")
    session.send("end")
    session.run_due()
    assert named(logged) == ["out"]


def test_the_result_is_what_the_final_states_donedata_came_to() -> None:
    session, _ = start(
        '<state id="a"><transition event="end" target="f"/></state>'
        '<final id="f"><donedata><param name="x" expr="_event.data"/></donedata></final>'
    )
    assert session.result is None
    session.send("end", [7])
    assert session.result == {"x": [7]}


def test_without_donedata_there_is_no_result() -> None:
    body = """<state id="s"><transition event="done.state.s" target="end"/>
    <final id="f"><donedata><content expr="1"/></donedata></final></state><final id="end"/>"""
    session, _ = start(body)
    assert session.is_finished
    assert session.result is None


def test_the_result_is_worked_out_after_the_exit_handlers() -> None:  # D exitInterpreter
    body = """<datamodel><data id="x" expr="1"/></datamodel>
    <final id="f"><onexit><assign location="x" expr="2"/></onexit><donedata><content expr="x"/></donedata></final>"""
    session, _ = start(body)
    assert session.result == 2


# Bounds.


def test_no_document_fails_a_step_by_asking_for_too_much() -> None:
    body = """<state id="a"><transition event="t">
    <foreach array="range(20000)" item="i"><raise event="e"/></foreach><log label="never"/></transition>
    <transition event="error"><log label="failed" expr="_event.data['tagname']"/></transition></state>"""
    session, logged = start(body)
    session.send("t")
    assert logged == [("failed", "transition")]

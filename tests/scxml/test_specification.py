"""Promises of SCXML 1.0, one small document each; the number is the paragraph that makes the promise.

A document passes by ending in its top-level final state `pass`, in virtual time.
"""

from __future__ import annotations

import pytest

from stateward.errors import DocumentInvalid
from stateward.scxml import Session, VirtualClock, read
from tests.scxml.documents import document

ENDS = '<final id="pass"/><final id="fail"/>'


def ending(body: str, **attributes: str) -> tuple[str, ...]:
    """Where a document of this body ends, all its delayed events delivered."""
    session = Session(read(document(body + ENDS, **attributes)), clock=VirtualClock())
    assert isinstance(session.clock, VirtualClock)
    while session.next_due is not None:
        session.clock.advance(session.next_due - session.clock.now())
        session.run_due()
    return session.configuration


def branch(name: str, cond: str = "True") -> str:
    """A transition to `pass` on this event, if the condition holds, and to `fail` on any other."""
    return f'<transition event="{name}" cond="{cond}" target="pass"/><transition event="*" target="fail"/>'


# 3.2 to 3.10: the tree.


def test_without_initial_the_first_state_is_entered() -> None:  # 3.2.1
    body = '<state id="a"><transition target="pass"/></state><state id="b"><transition target="fail"/></state>'
    assert ending(body) == ("pass",)


def test_a_parallel_is_done_when_all_its_regions_are() -> None:  # 3.4, 3.7
    body = """
    <state id="s" initial="p">
      <onentry><send event="timeout" delay="1s"/></onentry>
      <transition event="timeout" target="fail"/>
      <parallel id="p">
        <transition event="done.state.p" target="pass"/>
        <state id="r1" initial="r11"><state id="r11"><transition target="r1f"/></state><final id="r1f"/></state>
        <state id="r2" initial="r21"><state id="r21"><transition target="r2f"/></state><final id="r2f"/></state>
      </parallel>
    </state>"""
    assert ending(body) == ("pass",)


def test_the_final_child_of_a_state_gives_its_data_to_the_completion() -> None:  # 3.7, 5.5
    body = """
    <state id="s0" initial="s01">
      <transition event="done.state.s0" cond="_event.data['x'] == 1" target="s1"/>
      <transition event="done.state.s0" target="fail"/>
      <state id="s01"><transition target="s02"/></state>
      <final id="s02"><donedata><param name="x" expr="1"/></donedata></final>
    </state>
    <state id="s1" initial="s11">
      <transition event="done.state.s1" cond="_event.data == 'foo'" target="pass"/>
      <transition event="done.state.s1" target="fail"/>
      <state id="s11"><transition target="s12"/></state>
      <final id="s12"><donedata><content>foo</content></donedata></final>
    </state>"""
    assert ending(body) == ("pass",)


def test_content_of_donedata_is_data_as_it_stands() -> None:  # 5.5, 5.6
    body = f"""
    <state id="s0" initial="s01">
      {branch("done.state.s0", "_event.data == 21")}
      <state id="s01"><transition target="s02"/></state>
      <final id="s02"><donedata><content>21</content></donedata></final>
    </state>"""
    assert ending(body) == ("pass",)


def test_a_param_without_a_value_is_left_out_of_the_completion() -> None:  # 5.7.2
    body = f"""
    <state id="s0" initial="s01">
      <transition event="error.execution" target="s1"/>
      <transition event="done.state.s0" target="fail"/>
      <state id="s01"><transition target="s02"/></state>
      <final id="s02"><donedata><param name="x" expr="return"/></donedata></final>
    </state>
    <state id="s1">{branch("done.state.s0", "not _event.data")}</state>"""
    assert ending(body) == ("pass",)


def test_each_onexit_is_a_block_of_its_own() -> None:  # 3.9
    body = """
    <datamodel><data id="x" expr="1"/></datamodel>
    <state id="s0">
      <onexit><send target="baz" event="event1"/></onexit>
      <onexit><assign location="x" expr="x + 1"/></onexit>
      <transition target="s1"/>
    </state>
    <state id="s1"><transition cond="x == 2" target="pass"/><transition target="fail"/></state>"""
    assert ending(body) == ("pass",)


def test_an_unvisited_history_leads_to_its_default() -> None:  # 3.10.2
    body = """
    <state id="a"><transition target="shallow"/></state>
    <state id="s0" initial="s02">
      <history id="shallow" type="shallow"><transition target="s01"/></history>
      <state id="s01" initial="s011">
        <onentry><raise event="in.s01"/></onentry>
        <transition event="in.s01" target="fail"/>
        <state id="s011"><transition event="in.s01" cond="not In('s02')" target="b"/></state>
        <state id="s012"/>
      </state>
      <state id="s02"><transition target="fail"/></state>
    </state>
    <state id="b"><transition target="deep"/></state>
    <state id="t0" initial="t01">
      <history id="deep" type="deep"><transition target="t022"/></history>
      <state id="t01"><transition target="fail"/></state>
      <state id="t02" initial="t021">
        <state id="t021"><transition target="fail"/></state>
        <state id="t022"><transition target="pass"/></state>
      </state>
    </state>"""
    assert ending(body) == ("pass",)


# 3.12 and Appendix D: events and transitions.


def test_error_events_are_matched_like_any_other() -> None:  # 3.12.2
    body = f"""
    <state id="s0">
      <onentry><send event="timeout" delay="1s"/></onentry>
      <transition event="timeout" target="fail"/>
      <state id="s01">
        <onentry><raise event="event1"/><assign location="no.such.place" expr="2"/></onentry>
        <transition event="event1" target="s02"><raise event="event2"/></transition>
        <transition event="*" target="fail"/>
      </state>
      <state id="s02">
        <transition event="error" target="s03"/>
        <transition event="*" target="fail"/>
      </state>
      <state id="s03">{branch("event2")}</state>
    </state>"""
    assert ending(body) == ("pass",)


def test_states_are_left_in_reverse_document_order_and_before_the_content() -> None:  # 3.13, D exitStates
    body = f"""
    <state id="s0">
      <transition target="p"/>
    </state>
    <parallel id="p">
      <onexit><raise event="event3"/></onexit>
      <transition target="s1"><raise event="event4"/></transition>
      <state id="p1"><onexit><raise event="event2"/></onexit></state>
      <state id="p2"><onexit><raise event="event1"/></onexit></state>
    </parallel>
    <state id="s1"><transition event="event1" target="s2"/><transition event="*" target="fail"/></state>
    <state id="s2"><transition event="event2" target="s3"/><transition event="*" target="fail"/></state>
    <state id="s3"><transition event="event3" target="s4"/><transition event="*" target="fail"/></state>
    <state id="s4">{branch("event4")}</state>"""
    assert ending(body) == ("pass",)


def test_a_set_of_transitions_is_optimal_and_without_conflicts() -> None:  # D removeConflictingTransitions
    # On event1 the second region's transition leaves the parallel and preempts the third's; those without a target are
    # taken beside it. On event2 the transition of s0, selected through the second region, gives way to the third's.
    body = """
    <datamodel><data id="x" expr="0"/></datamodel>
    <state id="s0" initial="p0">
      <onentry>
        <raise event="event1"/><raise event="event2"/><send event="timeout" delay="1s"/>
      </onentry>
      <transition event="event2" target="fail"/>
      <transition event="timeout" target="fail"/>
      <parallel id="p0">
        <state id="p0s1">
          <transition event="event1"><assign location="x" expr="x + 10"/></transition>
          <transition event="event2"><assign location="x" expr="x + 100"/></transition>
        </state>
        <state id="p0s2">
          <transition event="event1" target="p0s1"><assign location="x" expr="x + 1"/></transition>
        </state>
        <state id="p0s3">
          <transition event="event1" target="fail"/>
          <transition event="event2" target="s1"/>
        </state>
        <state id="p0s4"><transition event="*"><assign location="x" expr="x + 1000"/></transition></state>
      </parallel>
    </state>
    <state id="s1"><transition cond="x == 2111" target="pass"/><transition target="fail"/></state>"""
    assert ending(body) == ("pass",)


def test_eventless_transitions_go_before_internal_events() -> None:  # 3.13
    body = """
    <state id="s1">
      <onentry><raise event="internal"/><send event="external"/></onentry>
      <transition event="*" target="fail"/>
      <transition target="pass"/>
    </state>"""
    assert ending(body) == ("pass",)


# 4: executable content.


def test_the_first_branch_that_holds_is_run_and_no_other() -> None:  # 4.3
    body = """
    <datamodel><data id="x" expr="0"/></datamodel>
    <state id="s0">
      <onentry>
        <if cond="False"><raise event="foo"/><assign location="x" expr="x + 1"/>
        <elseif cond="True"/><raise event="bar"/><assign location="x" expr="x + 1"/>
        <elseif cond="True"/><raise event="foo"/><assign location="x" expr="x + 1"/>
        <else/><raise event="baz"/><assign location="x" expr="x + 1"/>
        </if>
        <raise event="bat"/>
      </onentry>
      <transition event="bar" cond="x == 1" target="pass"/>
      <transition event="*" target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


def test_an_error_ends_a_foreach_and_the_block_around_it() -> None:  # 4.6
    body = """
    <datamodel><data id="x" expr="0"/><data id="y"/><data id="list1" expr="[1, 2, 3]"/></datamodel>
    <state id="s0">
      <onentry>
        <foreach item="y" array="list1">
          <assign location="x" expr="x + 1"/><assign location="y" expr="return"/>
        </foreach>
        <assign location="x" expr="x + 10"/>
      </onentry>
      <transition cond="x == 1" target="pass"/>
      <transition target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


# 5: data.


def test_data_with_a_wrong_expr_are_declared_without_a_value() -> None:  # 5.3.3
    body = """
    <datamodel><data id="x" expr="return"/></datamodel>
    <state id="s0">
      <transition event="error.execution" cond="x is None" target="s1"/>
      <transition event="*" target="fail"/>
    </state>
    <state id="s1">
      <onentry><assign location="x" expr="1"/></onentry>
      <transition cond="x == 1" target="pass"/>
      <transition target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


def test_an_assignment_whose_expr_is_wrong_is_an_error() -> None:  # 5.4.2
    body = """
    <datamodel><data id="x" expr="1"/></datamodel>
    <state id="s0">
      <onentry><assign location="x" expr="return"/><raise event="event"/></onentry>
      <transition event="error.execution" cond="x == 1" target="pass"/>
      <transition event="*" target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


def test_scripts_run_in_their_place_among_executable_content() -> None:  # 5.8.2
    body = """
    <datamodel><data id="x" expr="0"/></datamodel>
    <state id="s0">
      <onentry><assign location="x" expr="2"/><script>x = x - 1</script></onentry>
      <transition cond="x == 1" target="pass"/>
      <transition target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


def test_a_script_that_can_not_be_read_makes_the_document_invalid() -> None:  # 5.8.2
    with pytest.raises(DocumentInvalid, match=r"none\.py"):
        read(document('<script src="none.py"/><state id="a"/>'))


def test_in_tells_whether_a_state_is_active() -> None:  # 5.9.1
    body = """
    <parallel id="p">
      <state id="s0"><transition cond="In('s1') and In('p') and not In('pass')" target="pass"/></state>
      <state id="s1"/>
    </parallel>"""
    assert ending(body) == ("pass",)


def test_a_condition_that_is_wrong_counts_as_false() -> None:  # 5.9.1
    body = """
    <state id="s0"><transition cond="return" target="fail"/><transition target="s1"/></state>
    <state id="s1"><transition event="error.execution" target="pass"/><transition event="*" target="fail"/></state>"""
    assert ending(body) == ("pass",)


def test_there_is_no_event_before_the_first() -> None:  # 5.10.1
    body = """
    <datamodel><data id="x" expr="_event"/></datamodel>
    <state id="s0">
      <onentry>
        <if cond="_event or x"><raise event="bound"/><else/><raise event="unbound"/></if>
      </onentry>
      <transition event="unbound" target="pass"/>
      <transition event="*" target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


def test_the_event_processors_are_known_from_the_start() -> None:  # 5.10
    body = """
    <datamodel><data id="x" expr="_ioprocessors"/></datamodel>
    <state id="s0">
      <transition cond="x and 'scxml' in x and x == _ioprocessors" target="pass"/>
      <transition target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


def test_an_internal_event_comes_from_nowhere() -> None:  # 5.10.1
    body = """
    <state id="s0">
      <onentry><raise event="foo"/></onentry>
      <transition event="foo" cond="not _event.origin and not _event.origintype" target="pass"/>
      <transition event="*" target="fail"/>
    </state>"""
    assert ending(body) == ("pass",)


@pytest.mark.parametrize("name", ["_event", "_sessionid", "_name", "_ioprocessors", "_x", "_event.data", "_event.name"])
def test_no_system_variable_can_be_assigned_to(name: str) -> None:  # 5.10
    body = f"""
    <state id="s0">
      <onentry><raise event="foo"/></onentry>
      <transition event="foo" target="s1">
        <assign location="{name}" expr="'otherName'"/><raise event="after"/>
      </transition>
    </state>
    <state id="s1">{branch("error.execution")}</state>"""
    assert ending(body, name="machine") == ("pass",)


@pytest.mark.parametrize("name", ["_event", "_sessionid", "_name", "_ioprocessors"])
def test_no_script_and_no_loop_changes_a_system_variable(name: str) -> None:  # 5.10
    body = f"""
    <state id="s0">
      <onentry><script>{name} = 1</script><raise event="after"/></onentry>
      <onentry><foreach array="[1]" item="{name}"/><raise event="after"/></onentry>
      <transition event="error.execution" target="s1"/>
      <transition event="*" target="fail"/>
    </state>
    <state id="s1">{branch("error.execution", f"{name} != 1")}</state>"""
    assert ending(body, name="machine") == ("pass",)


# 6.2 and C.1: messages.


def test_delays_decide_the_order_of_events() -> None:  # 6.2.4
    body = f"""
    <state id="s0">
      <onentry><send event="event2" delayexpr="'1s'"/><send event="event1" delay=".5s"/></onentry>
      <transition event="event1" target="s1"/>
      <transition event="event2" target="fail"/>
    </state>
    <state id="s1">{branch("event2")}</state>"""
    assert ending(body) == ("pass",)


def test_the_scxml_event_processor_goes_by_its_address() -> None:  # 6.2.5, C.1
    body = f"""
    <state id="s0">
      <onentry><send type="http://www.w3.org/TR/scxml/#SCXMLEventProcessor" event="event1"/></onentry>
      {branch("event1", "_event.origintype.endswith('#SCXMLEventProcessor')")}
    </state>"""
    assert ending(body) == ("pass",)


def test_a_message_is_cancelled_by_an_id_that_is_worked_out() -> None:  # 6.3
    body = f"""
    <datamodel><data id="x" expr="'wrong'"/></datamodel>
    <state id="s0">
      <onentry>
        <send id="foo" event="event1" delay="1s"/><send event="event2" delay="1.5s"/>
        <assign location="x" expr="'foo'"/><cancel sendidexpr="x"/>
      </onentry>
      {branch("event2")}
    </state>"""
    assert ending(body) == ("pass",)


def test_a_message_takes_namelist_params_and_content_along() -> None:  # C.1
    body = f"""
    <datamodel><data id="x" expr="1"/></datamodel>
    <state id="s0">
      <onentry><send event="event1" namelist="x"><param name="param1" expr="2"/></send></onentry>
      <transition event="event1" cond="_event.data == {{'x': 1, 'param1': 2}}" target="s1"/>
      <transition event="*" target="fail"/>
    </state>
    <state id="s1">
      <onentry><send event="event2"><content>123</content></send></onentry>
      {branch("event2", "_event.data == 123")}
    </state>"""
    assert ending(body) == ("pass",)


def test_a_session_that_can_not_be_reached_is_an_error_of_communication() -> None:  # C.1
    body = f"""
    <state id="s0">
      <onentry><send target="#_scxml_nobody" event="event2"/></onentry>
      <onentry><send event="timeout"/></onentry>
      {branch("error.communication")}
    </state>"""
    assert ending(body) == ("pass",)


def test_an_invocation_that_fails_brings_no_completion() -> None:  # 6.4.2
    body = """
    <state id="s0">
      <onentry><send event="timer" delay="1s"/></onentry>
      <invoke type="http://www.w3.org/TR/scxml" namelist="&quot;foo">
        <content><scxml version="1.0"><final id="sub"/></scxml></content>
      </invoke>
      <transition event="done.invoke" target="fail"/>
      <transition event="timer" target="pass"/>
    </state>"""
    assert ending(body) == ("pass",)

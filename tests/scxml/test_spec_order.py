"""The order in which things happen: entries, exits, contents, completions and queues (3.7, 3.13, Appendix D)."""

from __future__ import annotations

from stateward.scxml import Session, VirtualClock, read
from tests.scxml.documents import document


def trace(body: str, *events: str, **attributes: str) -> list[object]:
    """What a document of this body logs from the start and on these events."""
    logged: list[object] = []
    chart = read(document(body, **attributes))
    session = Session(chart, clock=VirtualClock(), on_log=lambda _, value: logged.append(value))
    for event in events:
        session.send(event)
    return logged


def log(text: str) -> str:
    """Executable content that logs a text."""
    return f"""<log expr="'{text}'"/>"""


def noisy(name: str, content: str = "", tag: str = "state") -> str:
    """A state that logs when it is entered and left."""
    entry, leave = log(f"+{name}"), log(f"-{name}")
    return f'<{tag} id="{name}"><onentry>{entry}</onentry><onexit>{leave}</onexit>{content}</{tag}>'


EVENTS = '<transition event="*"><log expr="_event.name"/></transition>'
"""Logs every event that an active state below has not taken."""
DONE = '<transition event="done.state error"><log expr="_event.name"/></transition>'
"""Logs completions and errors alone."""

# Completions.


def test_a_completion_comes_after_what_the_final_state_raises() -> None:  # 3.7
    body = f'<state id="s">{EVENTS}<final id="f"><onentry><raise event="own"/></onentry></final></state>'
    assert trace(body) == ["own", "done.state.s"]


def test_a_completion_comes_after_all_entry_blocks_of_the_final_state() -> None:  # 3.7
    body = f"""<state id="s">{EVENTS}<final id="f">
    <onentry><raise event="first"/><assign location="none" expr="1"/><raise event="dropped"/></onentry>
    <onentry><raise event="second"/></onentry></final></state>"""
    assert trace(body) == ["first", "error.execution", "second", "done.state.s"]


def test_errors_of_donedata_come_before_the_completion() -> None:  # 5.5
    body = f"""<state id="s">{EVENTS}<final id="f"><onentry><raise event="own"/></onentry>
    <donedata><param name="a" expr="none"/><param name="b" expr="1"/></donedata></final></state>"""
    assert trace(body) == ["own", "error.execution", "done.state.s"]


def test_a_parallel_is_not_done_by_its_first_region() -> None:  # 3.4
    regions = "".join(
        f'<state id="r{n}"><state id="r{n}a"><transition event="t{n}" target="r{n}f"/></state><final id="r{n}f"/>'
        "</state>"
        for n in (1, 2)
    )
    body = f'<state id="s">{DONE}<parallel id="p">{regions}</parallel></state>'
    assert trace(body, "t1") == ["done.state.r1"]
    assert trace(body, "t1", "t2") == ["done.state.r1", "done.state.r2", "done.state.p"]


def test_a_parallel_is_done_after_each_of_its_regions_in_one_step() -> None:  # 3.4, 3.7
    regions = "".join(f'<state id="r{n}"><final id="r{n}f"/></state>' for n in (1, 2, 3))
    body = f'<state id="s">{DONE}<parallel id="p">{regions}</parallel></state>'
    assert trace(body) == ["done.state.r1", "done.state.r2", "done.state.r3", "done.state.p"]


def test_a_region_without_a_final_state_keeps_a_parallel_from_being_done() -> None:  # 3.4
    body = f"""<state id="s">{DONE}<parallel id="p">
    <state id="r1"><final id="r1f"/></state><state id="r2"/></parallel></state>"""
    assert trace(body) == ["done.state.r1"]


def test_a_parallel_that_is_done_within_a_region_does_not_make_the_region_done() -> None:  # D isInFinalState
    body = f"""<state id="s">{DONE}<parallel id="outer">
      <state id="r1"><parallel id="inner"><state id="i1"><final id="i1f"/></state></parallel></state>
      <state id="r2"><state id="r2a"><transition event="t" target="r2f"/></state><final id="r2f"/></state>
    </parallel></state>"""
    assert trace(body, "t") == ["done.state.i1", "done.state.inner", "done.state.r2"]


def test_a_parallel_that_is_a_region_counts_as_final_when_its_regions_are() -> None:  # D isInFinalState
    body = f"""<state id="s">{DONE}<parallel id="outer">
      <parallel id="inner"><state id="i1"><final id="i1f"/></state></parallel>
      <state id="r2"><state id="r2a"><transition event="t" target="r2f"/></state><final id="r2f"/></state>
    </parallel></state>"""
    assert trace(body, "t") == ["done.state.i1", "done.state.inner", "done.state.r2", "done.state.outer"]


def test_a_completion_asks_the_parent_and_the_grandparent_and_no_further() -> None:  # D enterStates, by its letter
    body = f"""<state id="s">{DONE}<parallel id="outer">
      <parallel id="inner">
        <state id="i1"><state id="i1a"><transition event="t" target="i1f"/></state><final id="i1f"/></state>
      </parallel>
      <state id="r2"><final id="r2f"/></state>
    </parallel></state>"""
    assert trace(body, "t") == ["done.state.r2", "done.state.i1", "done.state.inner"]


def test_a_completion_carries_the_data_of_its_own_final_state() -> None:  # 5.5
    body = """<state id="s"><transition event="*"><log expr="(_event.name, _event.data)"/></transition>
    <parallel id="p">
      <state id="r1"><final id="f1"><donedata><content expr="'one'"/></donedata></final></state>
      <state id="r2"><final id="f2"/></state>
      <state id="r3"><final id="f3"><donedata><param name="n" expr="3"/></donedata></final></state>
    </parallel></state>"""
    assert trace(body) == [
        ("done.state.r1", "one"),
        ("done.state.r2", None),
        ("done.state.r3", {"n": 3}),
        ("done.state.p", None),
    ]


# Entries and exits.


def test_all_ancestors_of_a_deep_initial_state_are_entered() -> None:  # 3.3, D addAncestorStatesToEnter
    inner = noisy("c", noisy("d"))
    assert trace(f'<state id="a" initial="d">{noisy("b", inner)}</state>') == ["+b", "+c", "+d"]
    assert trace(noisy("a", noisy("b", inner)), initial="d") == ["+a", "+b", "+c", "+d"]


def test_the_regions_beside_a_deep_initial_state_are_entered_too() -> None:  # D addAncestorStatesToEnter
    parallel = noisy("p", noisy("x", noisy("x1") + noisy("x2")) + noisy("y", noisy("y1")), tag="parallel")
    assert trace(parallel, initial="x2") == ["+p", "+x", "+x2", "+y", "+y1"]


def test_leaving_and_entering_go_through_the_tree_in_document_order() -> None:  # 3.13
    parallel = noisy("p", noisy("x", noisy("x1")) + noisy("y", noisy("y1")), tag="parallel")
    arc = f'<transition event="t" target="b1">{log("content")}</transition>'
    body = noisy("a", parallel + arc) + noisy("b", noisy("b0") + noisy("b1"))
    entered = ["+a", "+p", "+x", "+x1", "+y", "+y1"]
    left = ["-y1", "-y", "-x1", "-x", "-p", "-a"]
    assert trace(body, "t") == [*entered, *left, "content", "+b", "+b1"]


def test_contents_of_one_step_run_after_all_exits_and_before_all_entries() -> None:  # D microstep
    def region(name: str) -> str:
        arc = f'<transition event="t" target="{name}2">{log(name)}</transition>'
        return f'<state id="{name}">{noisy(f"{name}1", arc)}{noisy(f"{name}2")}</state>'

    body = f'<parallel id="p">{region("x")}{region("y")}</parallel>'
    assert trace(body, "t") == ["+x1", "+y1", "-y1", "-x1", "x", "y", "+x2", "+y2"]


def test_an_ancestors_transition_is_taken_once_however_many_regions_select_it() -> None:  # D selectTransitions
    regions = "".join(f'<state id="r{n}"/>' for n in (1, 2, 3))
    assert trace(f'<parallel id="p"><transition event="t">{log("once")}</transition>{regions}</parallel>', "t") == [
        "once"
    ]


def test_a_preempted_transition_runs_nothing() -> None:  # D removeConflictingTransitions
    body = f"""<parallel id="p">
    <state id="x"><transition event="t" target="out">{log("x")}</transition></state>
    <state id="y"><transition event="t" target="y">{log("y")}</transition></state>
    </parallel><state id="out"/>"""
    assert trace(body, "t") == ["x"]


def test_initial_content_runs_between_the_parents_entry_and_the_childs() -> None:  # 3.6
    initial = f'<initial><transition target="c">{log("initial")}</transition></initial>'
    assert trace(noisy("a", initial + noisy("b") + noisy("c"))) == ["+a", "initial", "+c"]


def test_initial_content_does_not_run_when_a_child_is_named() -> None:  # 3.6
    initial = f'<initial><transition target="c">{log("initial")}</transition></initial>'
    body = '<state id="s"><transition event="t" target="b"/></state>' + noisy("a", initial + noisy("b") + noisy("c"))
    assert trace(body, "t") == ["+a", "+b"]


HISTORY = '<state id="s"><transition event="t" target="h"/></state>' + noisy(
    "a",
    f'<initial><transition target="b">{log("initial")}</transition></initial>'
    f'<history id="h"><transition target="c">{log("default")}</transition></history>'
    f'<transition event="out" target="s"/><transition event="next" target="b"/>{noisy("b")}{noisy("c")}',
)


def test_a_historys_default_content_runs_in_place_of_the_initial_content() -> None:  # 3.10.2
    assert trace(HISTORY, "t") == ["+a", "default", "+c"]


def test_a_history_that_remembers_runs_no_default_content() -> None:  # 3.10.2
    assert trace(HISTORY, "t", "out", "t") == ["+a", "default", "+c", "-c", "-a", "+a", "+c"]


def test_a_history_as_initial_state_runs_both_contents() -> None:  # 3.6, 3.10.2
    body = noisy(
        "a",
        f'<initial><transition target="h">{log("initial")}</transition></initial>'
        f'<history id="h"><transition target="c">{log("default")}</transition></history>{noisy("b")}{noisy("c")}',
    )
    assert trace(body) == ["+a", "initial", "default", "+c"]


def test_history_is_recorded_before_any_exit_handler_runs() -> None:  # D exitStates
    body = """
    <state id="a"><history id="h"><transition target="b"/></history>
      <state id="b"><transition event="next" target="c"/></state>
      <state id="c"><onexit><raise event="left.c"/></onexit></state>
      <transition event="out" target="s"/></state>
    <state id="s"><transition event="left.c" target="h"/></state>"""
    session = Session(read(document(body)), clock=VirtualClock())
    session.send("next")
    session.send("out")
    assert session.configuration == ("c",)


def test_an_internal_transition_leaves_its_source_alone() -> None:  # 3.13
    arc = '<transition event="t" type="{}" target="c">' + log("content") + "</transition>"
    inside = noisy("b") + noisy("c")
    assert trace(noisy("a", arc.format("internal") + inside), "t") == ["+a", "+b", "-b", "content", "+c"]
    assert trace(noisy("a", arc.format("external") + inside), "t") == ["+a", "+b", "-b", "-a", "content", "+a", "+c"]


def test_an_internal_transition_out_of_its_source_is_external() -> None:  # 3.13
    body = noisy("a", '<transition event="t" type="internal" target="c"/>' + noisy("b")) + noisy("c")
    assert trace(body, "t") == ["+a", "+b", "-b", "-a", "+c"]


def test_an_internal_transition_of_an_atomic_state_to_itself_is_external() -> None:  # 3.13
    body = noisy("a", '<transition event="t" type="internal" target="a"/>')
    assert trace(body, "t") == ["+a", "-a", "+a"]


def test_whether_a_transition_to_a_history_is_internal_depends_on_where_it_leads() -> None:  # D getTransitionDomain
    deep = '<history id="h" type="deep"><transition target="c"/></history>'
    inside = '<transition event="t" type="internal" target="h"/>' + noisy("c")
    # b is not left; through the history, whose ancestors up to its parent are entered, D enters it all the same.
    assert trace(noisy("a", deep + noisy("b", inside)), "t") == ["+a", "+b", "+c", "-c", "+b", "+c"]


def test_through_its_own_history_a_state_is_entered_where_it_was_just_left() -> None:  # 3.10, D exitStates
    deep = '<history id="h" type="deep"><transition target="b"/></history><transition event="t" target="h"/>'
    body = noisy("a", deep + noisy("b", noisy("c", '<transition event="u" target="d"/>') + noisy("d")))
    assert trace(body, "u", "t") == ["+a", "+b", "+c", "-c", "+d", "-d", "-b", "-a", "+a", "+b", "+d"]


def test_a_history_of_a_state_that_is_not_left_remembers_nothing() -> None:  # 3.10, D exitStates
    deep = '<history id="h" type="deep"><transition target="b"/></history>'
    arc = '<transition event="t" target="h"/><transition event="u" target="d"/>'
    body = noisy("a", deep + noisy("b", noisy("c", arc) + noisy("d", arc)))
    assert trace(body, "u", "t") == ["+a", "+b", "+c", "-c", "+d", "-d", "-b", "+b", "+c"]


def test_where_the_record_changes_the_way_the_states_that_were_left_are_entered_again() -> None:
    # By the letter of Appendix D the domain is worked out anew after the exits, from what the history has just
    # recorded: it would be b, and a, which was left, would not be entered.
    deep = '<history id="h" type="deep"><transition target="b"/></history>'
    body = noisy("a", deep + noisy("b", noisy("c", '<transition event="t" target="h"/>')), tag="parallel")
    session = Session(read(document(body, initial="c")), clock=VirtualClock())
    session.send("t")
    assert session.configuration == ("c",)
    assert trace(body, "t") == ["+a", "+b", "+c", "-c", "-b", "-a", "+a", "+b", "+c"]


# Which states are active, moment by moment.


def test_a_state_is_active_from_its_entry_to_the_end_of_its_exit() -> None:  # D enterStates, exitStates
    ask = "<log expr=\"[s for s in ['a', 'b', 'c', 'd'] if In(s)]\"/>"
    body = f"""
    <state id="a"><onentry>{ask}</onentry><onexit>{ask}</onexit>
      <initial><transition target="b">{ask}</transition></initial>
      <state id="b"><onentry>{ask}</onentry><onexit>{ask}</onexit></state>
      <transition event="t" target="d">{ask}</transition>
    </state>
    <state id="c"><onentry>{ask}</onentry><state id="d"><onentry>{ask}</onentry></state></state>"""
    assert trace(body, "t") == [["a"], ["a"], ["a", "b"], ["a", "b"], ["a"], [], ["c"], ["c", "d"]]


def test_a_history_is_never_active() -> None:  # 3.10
    body = '<state id="a" initial="h"><history id="h"><transition target="b"/></history><state id="b"/>{}</state>'
    assert trace(body.format("<onexit><log expr=\"In('h')\"/></onexit>"), "t") == []
    arc = "<transition event=\"t\"><log expr=\"(In('h'), In('b'))\"/></transition>"
    assert trace(body.format(arc), "t") == [(False, True)]


# Queues.


def test_eventless_then_internal_then_external() -> None:  # 3.13, D mainEventLoop
    body = f"""
    <state id="a"><onentry><send event="external"/><raise event="internal"/></onentry>
      <transition event="internal external">{log("too early")}</transition>
      <transition target="b">{log("eventless")}</transition></state>
    <state id="b"><transition event="*"><log expr="_event.name"/></transition></state>"""
    assert trace(body) == ["eventless", "internal", "external"]


def test_eventless_transitions_are_looked_at_again_after_every_internal_event() -> None:  # D mainEventLoop
    body = f"""
    <datamodel><data id="x" expr="0"/></datamodel>
    <state id="a"><onentry><raise event="one"/><raise event="two"/></onentry>
      <transition event="one"><assign location="x" expr="1"/></transition>
      <transition event="two">{log("too early")}</transition>
      <transition cond="x == 1" target="b"/></state>
    <state id="b"><transition event="*"><log expr="_event.name"/></transition></state>"""
    assert trace(body) == ["two"]


def test_an_event_that_nothing_takes_can_still_enable_an_eventless_transition() -> None:  # D mainEventLoop
    body = f"""<state id="a"><transition cond="_event and _event.name == 'go'" target="b"/></state>
    <state id="b"><onentry>{log("b")}</onentry></state>"""
    assert trace(body, "stay", "go") == ["b"]


def test_internal_events_come_in_the_order_in_which_they_were_raised() -> None:  # 3.13
    body = f"""<state id="a">{EVENTS}<onentry><raise event="one"/><send event="two" target="#_internal"/>
    <raise event="three"/><send event="none" target="nowhere"/></onentry>
    <onentry><raise event="four"/></onentry></state>"""
    assert trace(body) == ["one", "two", "three", "error.execution", "four"]


def test_external_events_come_in_the_order_in_which_they_were_sent() -> None:  # 3.13
    body = f"""<state id="a">{EVENTS}<onentry><send event="one"/><send event="two" delay="0s"/></onentry>
    <onentry><send event="three" target="#_scxml_session"/><raise event="first"/></onentry></state>"""
    assert trace(body) == ["first", "one", "two", "three"]


def test_events_that_nothing_takes_are_dropped() -> None:  # 3.13
    body = '<state id="a"><transition event="next" target="b"/></state><state id="b">' + EVENTS + "</state>"
    assert trace(body, "lost", "next", "found") == ["found"]


# The end.


def test_a_top_level_final_state_ends_the_session_at_once() -> None:  # 3.7, D
    body = f"""{noisy("a", '<transition event="t" target="f"/>')}
    <final id="f"><onentry><raise event="e"/><send event="e"/>{log("+f")}</onentry><onexit>{log("-f")}</onexit>
    </final>"""
    assert trace(body, "t", "t", "e") == ["+a", "-a", "+f", "-f"]


def test_the_end_comes_before_eventless_transitions_and_internal_events() -> None:  # D mainEventLoop
    body = f"""<state id="a"><onexit><raise event="e"/></onexit><transition target="f"/></state>
    <final id="f"><onexit>{log("end")}</onexit></final>"""
    assert trace(body) == ["end"]


def test_the_active_states_are_left_one_by_one_at_the_end() -> None:  # D exitInterpreter
    ask = "<log expr=\"(In('f'), _event.name)\"/>"
    body = f"""<state id="a"><transition event="t" target="f"/></state>
    <final id="f"><onexit>{ask}</onexit><onexit><assign location="none" expr="1"/></onexit>
    <onexit>{log("last")}</onexit></final>"""
    assert trace(body, "t") == [(True, "t"), "last"]


def test_exit_handlers_at_the_end_see_the_event_that_led_there() -> None:  # 5.10, D exitInterpreter
    body = """<state id="a"><onentry><raise event="i"/></onentry><transition event="i" target="f"/></state>
    <final id="f"><onentry><log expr="_event.name"/></onentry><onexit><log expr="_event.name"/></onexit></final>"""
    assert trace(body) == ["i", "i"]


def test_exit_handlers_see_no_event_where_there_was_none() -> None:  # 5.10
    assert trace('<final id="f"><onexit><log expr="_event"/></onexit></final>') == [None]

"""Children: how they start, talk and end, what their parents do with their events, and how many there may be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from stateward.errors import DocumentInvalid, EndlessLoop
from stateward.scxml import Processor, Session, VirtualClock, read, read_file, write
from stateward.scxml.processor import DEPTH_LIMIT, SESSION_LIMIT
from tests.scxml.documents import document

SECOND = timedelta(seconds=1)
Logged = list[tuple[str, object]]


def child(body: str, **attributes: str) -> str:
    """A child's document, for a `<content>`."""
    given = "".join(f" {name}={value!r}" for name, value in {"version": "1.0", **attributes}.items())
    return f"<scxml{given}>{body}</scxml>"


def invoke(body: str, more: str = "", **attributes: str) -> str:
    """An `<invoke>` of a child of this body."""
    given = "".join(f" {name}={value!r}" for name, value in attributes.items())
    return f"<invoke{given}>{more}<content>{child(body)}</content></invoke>"


def start(body: str, clock: VirtualClock | None = None) -> tuple[Session, Logged]:
    """A session of a document of this body, and what it and its children have logged."""
    logged: Logged = []
    session = Session(
        read(document(body)),
        processor=Processor(clock or VirtualClock()),
        on_log=lambda label, value: logged.append((label, value)),
    )
    return session, logged


LOG = '<transition event="*"><log label="got" expr="_event.name"/></transition>'
DONE = '<final id="f"/>'
WAITING = f'<state id="w">{LOG}</state>'
SAYS = '<onentry><send target="#_parent" event="hello"/></onentry>'

# Start.


def test_a_child_starts_when_its_parents_macrostep_comes_to_rest() -> None:
    body = f"""<state id="a"><onentry><log expr="'entry'"/><raise event="r"/></onentry>
    {invoke('<state id="x"><onentry><log expr="chr(99)"/></onentry></state>')}
    <transition event="r"><log expr="'raised'"/></transition></state>"""
    _, logged = start(body)
    assert [value for _, value in logged] == ["entry", "raised", "c"]


def test_a_state_that_was_left_in_the_same_macrostep_invokes_nothing() -> None:
    body = f"""<state id="a">{invoke(DONE)}<transition event="t"/><transition target="b"/></state>
    <state id="b"><transition event="*"><log expr="_event.name"/></transition></state>"""
    session, logged = start(body)
    assert session.configuration == ("b",)
    assert logged == []


def test_a_state_entered_again_invokes_again_under_another_id() -> None:
    body = f"""<state id="a">{invoke(WAITING, idlocation="x")}<transition event="t" target="a"/></state>"""
    session = Session(
        read(document(f'<datamodel><data id="x"/></datamodel>{body}')), clock=VirtualClock(), session="one"
    )
    [first] = session.children
    assert (session.data["x"], first.invokeid, first.session, first.parent) == ("a.1", "a.1", "one.1", session)
    session.send("t")
    [second] = session.children
    assert first.is_finished
    assert (session.data["x"], second.invokeid) == ("a.2", "a.2")
    assert set(session.processor.sessions) == {"one", second.session}


def test_invokes_start_in_document_order_parents_first() -> None:
    says = '<state id="x"><onentry><log expr="_sessionid"/></onentry></state>'
    inner = f'<state id="b">{invoke(says)}{invoke(says)}</state><state id="c">{invoke(says)}</state>'
    session, logged = start(f'<parallel id="p">{invoke(says)}{inner}</parallel>')
    assert [each.invokeid for each in session.children] == ["p.1", "b.2", "b.3", "c.4"]
    assert [value for _, value in logged] == [f"session.{n}" for n in (1, 2, 3, 4)]


def test_what_an_invoke_raises_is_handled_in_the_same_macrostep() -> None:
    session, _ = start(
        '<state id="a"><invoke type="other"/><transition event="error.execution" target="b"/></state><state id="b"/>'
    )
    assert session.configuration == ("b",)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ('type="http://example.org/other"', "the type 'http://example.org/other' is not supported"),
        ('typeexpr="1"', "is 1, and no text"),
        ('srcexpr="nothing"', "nothing"),
        ("", "it has neither src nor content"),
        ('namelist="nothing" src="x"', "nothing"),
        ('idlocation="1" src="x"', "location"),
    ],
)
def test_what_has_no_value_starts_nothing(given: str, reason: str) -> None:
    body = f"""<state id="a"><invoke {given}/><onexit><log expr="'left'"/></onexit>
    <transition event="error.execution" target="b"><log expr="_event.data['reason']"/></transition></state>
    <state id="b">{LOG}</state>"""
    session, logged = start(body)
    assert session.configuration == ("b",)
    assert logged[0] == ("", "left")
    assert reason in str(logged[1][1])
    assert len(logged) == 2
    assert session.children == ()


@pytest.mark.parametrize(
    "text",
    ["'<scxml'", "'no document'", '\'<scxml xmlns="http://www.w3.org/2005/07/scxml" version="1.0"/>\''],
    ids=["no XML", "text", "no state"],
)
def test_a_document_that_is_none_is_an_error_of_the_parent(text: str) -> None:
    escaped = text.replace("<", "&lt;").replace('"', "&quot;")
    body = f"""<state id="a"><invoke id="i"><content expr="{escaped}"/></invoke>
    <transition event="error.execution" target="b"><log expr="_event.invokeid"/></transition></state><state id="b"/>"""
    session, logged = start(body)
    assert session.configuration == ("b",)
    assert logged == [("", "i")]


def test_a_document_in_a_document_is_checked_when_that_is_read() -> None:
    with pytest.raises(DocumentInvalid, match="nowhere"):
        read(
            document(
                f"""<state id="a">{invoke("<state id='x'><transition event='e' target='nowhere'/></state>")}</state>"""
            )
        )


def test_a_document_may_be_data_and_keeps_the_lines_of_its_scripts() -> None:
    inner = child(
        '<script>\nx = 1\nif x:\n    x = 2\n</script><state id="s"><transition cond="x == 2" target="f"/></state>'
        + DONE
    )
    body = f"""<datamodel><data id="d">{inner}</data></datamodel>
    <state id="a"><invoke><content expr="d"/></invoke><transition event="done.invoke" target="b"/></state>
    <state id="b"/>"""
    session, _ = start(body)
    assert session.configuration == ("b",)


def test_a_file_is_read_beside_the_document_when_it_is_invoked(tmp_path: Path) -> None:
    (tmp_path / "parent.scxml").write_text(
        document(
            '<state id="a"><invoke src="child.scxml"/><transition event="done.invoke" target="b"/>'
            '<transition event="error.communication" target="c"/></state><state id="b"/>'
            '<state id="c"><transition event="again" target="a"/></state>'
        )
    )
    session = Session(read_file(tmp_path / "parent.scxml"), clock=VirtualClock())
    assert session.configuration == ("c",)
    (tmp_path / "child.scxml").write_text(document(DONE))
    session.send("again")
    assert session.configuration == ("b",)


@pytest.mark.parametrize("src", ["../child.scxml", "/etc/hostname", "child.scxml"])
def test_a_file_elsewhere_or_without_a_folder_is_not_read(src: str, tmp_path: Path) -> None:
    (tmp_path / "child.scxml").write_text(document(DONE))
    (tmp_path / "below").mkdir()
    body = f"""<state id="a"><invoke src="{src}"/><transition event="error.communication" target="b"/></state>
    <state id="b"/>"""
    (tmp_path / "below" / "parent.scxml").write_text(document(body))
    assert Session(read_file(tmp_path / "below" / "parent.scxml"), clock=VirtualClock()).configuration == ("b",)
    assert start(body)[0].configuration == ("b",)


# What a child is given.


def test_a_child_gets_what_its_top_level_data_have_names_for() -> None:
    inner = """<datamodel><data id="a" expr="0"/><data id="b" expr="0"/></datamodel><state id="s">
    <datamodel><data id="deep" expr="0"/></datamodel>
    <onentry><log expr="(a, b, deep)"/></onentry><transition event="q" cond="c == 3" target="f"/></state>
    <final id="f"/>"""
    params = '<param name="a" expr="x + 1"/><param name="c" expr="3"/><param name="deep" location="x"/>'
    session, logged = start(
        f'<datamodel><data id="x" expr="1"/></datamodel><state id="q">{invoke(inner, params)}</state>'
    )
    assert logged == [("", (2, 0, 0))]
    session.children[0].send("q")
    assert session.children[0].configuration == ("s",)


def test_what_a_child_is_given_is_its_own() -> None:
    inner = """<datamodel><data id="x"/></datamodel><state id="s"><onentry><script>x.append(2)</script><log expr="x"/>
    </onentry></state>"""
    session, logged = start(
        f'<datamodel><data id="x" expr="[1]"/></datamodel><state id="q">{invoke(inner, namelist="x")}</state>'
    )
    assert logged == [("", [1, 2])]
    assert session.data == {"x": [1]}


def test_a_function_is_no_data_for_a_child() -> None:
    given = '<param name="f" expr="lambda: 1"/>'
    body = f"""<state id="q">{invoke(DONE, given)}<transition event="error.execution" target="e"/></state>
    <state id="e"/>"""
    assert start(body)[0].configuration == ("e",)


# Talk.


def test_parent_and_child_send_to_each_other_and_know_where_from() -> None:
    inner = """<state id="s"><onentry><send target="#_parent" event="hello"/></onentry>
    <transition event="answer" target="f"><log label="child" expr="(_event.type, _event.origin, _event.invokeid)"/>
    <send targetexpr="_event.origin" event="bye"/></transition></state><final id="f"/>"""
    body = f"""<state id="a">{invoke(inner, id="kid")}
    <transition event="hello"><log label="parent" expr="(_event.type, _event.origin, _event.invokeid)"/>
    <send target="#_kid" event="answer"/></transition>
    <transition event="bye done.invoke.kid"><log label="parent" expr="(_event.name, _event.invokeid)"/></transition>
    </state>"""
    _, logged = start(body)
    assert logged == [
        ("parent", ("external", "#_scxml_session.1", "kid")),
        ("child", ("external", "#_scxml_session", None)),
        ("parent", ("bye", "kid")),
        ("parent", ("done.invoke.kid", "kid")),
    ]


def test_sessions_that_have_nothing_to_do_with_each_other_talk_by_their_ids() -> None:
    logged: Logged = []
    processor = Processor(VirtualClock())
    ears = Session(
        read(document('<state id="a"><transition event="e" target="b"/></state><state id="b"/>')),
        processor=processor,
        session="ears",
    )
    mouth = Session(
        read(
            document(
                f'<state id="a"><transition event="t"><send target="#_scxml_ears" event="e"/></transition>{LOG}</state>'
            )
        ),
        processor=processor,
        session="mouth",
        on_log=lambda label, value: logged.append((label, value)),
    )
    mouth.send("t")
    assert ears.configuration == ("b",)
    assert logged == []
    with pytest.raises(ValueError, match="'ears' already"):
        Session(ears.chart, processor=processor, session="ears")
    with pytest.raises(ValueError, match="a clock already"):
        Session(ears.chart, processor=processor, clock=VirtualClock())


@pytest.mark.parametrize("target", ["#_kid", "#_scxml_session.1"])
def test_a_child_that_has_ended_can_not_be_reached(target: str) -> None:
    body = f"""<state id="a">{invoke(DONE, id="kid")}
    <transition event="done.invoke.kid"><send target="{target}" event="e" id="s"/></transition>
    <transition event="error.communication"><log expr="(_event.sendid, _event.type)"/></transition></state>"""
    assert start(body)[1] == [("", ("s", "platform"))]


def test_a_delayed_message_to_nobody_is_an_error_when_its_time_has_come() -> None:
    clock = VirtualClock()
    body = f"""<state id="a">{invoke(DONE, id="kid")}<onentry><send event="t" delay="1s"/></onentry>
    <transition event="done.invoke.kid"><send target="#_kid" event="e" delay="1s"/></transition>{LOG}</state>"""
    session, logged = start(body, clock)
    assert logged == []
    clock.advance(SECOND)
    session.run_due()
    assert logged == [("got", "t"), ("got", "error.communication")]


def test_done_data_come_with_the_completion_and_after_all_else() -> None:
    inner = """<final id="f"><onexit><send target="#_parent" event="last"/></onexit>
    <donedata><param name="p" expr="[1]"/></donedata></final>"""
    body = f"""<state id="a">{invoke(inner, id="kid")}
    <transition event="last done.invoke.kid"><log expr="(_event.name, _event.data, _event.origin)"/></transition>
    </state>"""
    assert start(body)[1] == [("", ("last", None, "#_scxml_session.1")), ("", ("done.invoke.kid", {"p": [1]}, None))]


# Finalize and autoforward.


def test_finalize_runs_before_transitions_are_looked_for_and_for_its_own_child_only() -> None:
    inner = (
        '<final id="f"><onentry><send target="#_parent" event="e"><param name="v" expr="5"/></send></onentry></final>'
    )
    finalize = "<finalize><assign location='x' expr=\"_event.data['v']\"/></finalize>"
    other = "<finalize><assign location='y' expr='1'/></finalize>"
    body = f"""<datamodel><data id="x" expr="0"/><data id="y" expr="0"/></datamodel>
    <parallel id="p"><state id="a">{invoke(inner, finalize)}</state><state id="b">{invoke(WAITING, other)}</state>
    <transition event="e" cond="x == 5" target="q"/></parallel><state id="q"/>"""
    session, _ = start(body)
    assert session.configuration == ("q",)
    assert session.data == {"x": 5, "y": 0}


def test_finalize_holds_if_no_transition_takes_the_event() -> None:
    finalize = '<finalize><assign location="x" expr="x + 1"/><log expr="_event.name"/></finalize>'
    session, logged = start(
        f"""<datamodel><data id="x" expr="0"/></datamodel>
    <state id="a">{invoke(f"<state id='s'>{SAYS}</state>", finalize)}</state>"""
    )
    assert session.data == {"x": 1}
    assert logged == [("", "hello")]
    session.send("hello")
    assert session.data == {"x": 1}


def test_an_error_in_finalize_is_one_event_and_the_first_goes_on() -> None:
    finalize = '<finalize><assign location="x" expr="nothing"/></finalize>'
    body = f"""<datamodel><data id="x" expr="0"/></datamodel>
    <state id="a">{invoke(f"<state id='s'>{SAYS}</state>", finalize)}
    {LOG}</state>"""
    assert start(body)[1] == [("got", "hello"), ("got", "error.execution")]


def test_an_empty_finalize_takes_what_comes_back_by_the_names_that_were_given() -> None:
    back = '<param name="x" expr="2"/><param name="p" expr="3"/><param name="z" expr="4"/>'
    inner = f'<final id="f"><onentry><send target="#_parent" event="e">{back}</send></onentry></final>'
    declared = "".join(f'<data id="{name}" expr="0"/>' for name in "xyz")
    by_param = invoke(inner, '<param name="p" location="y"/><param name="q" expr="1"/><finalize/>')
    session, _ = start(f'<datamodel>{declared}</datamodel><state id="a">{by_param}</state>')
    assert session.data == {"x": 0, "y": 3, "z": 0}
    session, _ = start(
        f'<datamodel>{declared}</datamodel><state id="a">{invoke(inner, "<finalize/>", namelist="x")}</state>'
    )
    assert session.data == {"x": 2, "y": 0, "z": 0}


def test_an_autoforwarding_invoke_gives_its_child_every_event_from_outside_as_it_is() -> None:
    says = """<transition event="*"><log label="child" expr="(_event.name, _event.type, _event.data, _event.sendid)"/>
    </transition>"""
    body = f"""<state id="a">{invoke(f'<state id="s">{says}</state>', autoforward="true")}{invoke(WAITING)}
    <transition event="t"><send event="own" id="i"><param name="p" expr="1"/></send><raise event="internal"/>
    </transition>
    <transition event="u" target="b"/></state><state id="b"/>"""
    session, logged = start(body)
    session.send("t", [1])
    session.send("unknown")
    session.send("u")
    session.send("v")
    assert logged == [
        ("child", ("t", "external", [1], None)),
        ("child", ("own", "external", {"p": 1}, "i")),
        ("child", ("unknown", "external", None, None)),
    ]


# The end.


def test_a_child_is_cancelled_when_its_state_is_left_and_says_no_more() -> None:
    inner = """<state id="s"><onentry><send target="#_parent" event="late" delay="1s"/></onentry>
    <state id="t"><onexit><log expr="'t'"/><send target="#_parent" event="gone"/></onexit></state>
    <onexit><log expr="'s'"/></onexit><transition event="*" target="f"/></state><final id="f"/>"""
    clock = VirtualClock()
    body = f"""<state id="a"><onexit><log expr="'parent'"/></onexit>{invoke(inner, id="kid")}
    <transition event="t" target="b"/></state><state id="b">{LOG}</state>"""
    session, logged = start(body, clock)
    [kid] = session.children
    session.send("t")
    clock.advance(2 * SECOND)
    session.run_due()
    assert logged == [("", "parent"), ("", "t"), ("", "s")]
    assert kid.is_finished
    assert session.children == ()
    assert session.next_due is None
    assert list(session.processor.sessions) == ["session"]
    kid.send("e")
    assert logged == [("", "parent"), ("", "t"), ("", "s")]


def test_what_a_child_has_sent_before_it_is_cancelled_and_has_not_arrived_is_dropped() -> None:
    body = f"""<state id="a"><onentry><send event="leave"/></onentry>{invoke(f'<state id="s">{SAYS}</state>')}
    <transition event="leave" target="b"/></state><state id="b">{LOG}</state>"""
    session, logged = start(body)
    assert session.configuration == ("b",)
    assert logged == []


def test_the_end_of_a_child_whose_state_was_left_before_it_arrived_is_not_that_of_the_next_one() -> None:
    first_ends = f"""<datamodel><data id="n"/></datamodel>
    <state id="i"><transition cond="n == 1" target="f"/></state>{DONE}"""
    runs = invoke(first_ends, '<param name="n" expr="n"/>', id="c")
    session, _ = start(
        f"""<datamodel><data id="n" expr="0"/></datamodel>
    <state id="a"><onentry><assign location="n" expr="n + 1"/><if cond="n == 1"><send event="again"/></if></onentry>
    {runs}<transition event="again" target="a"/><transition event="done.invoke.c" target="b"/></state><state id="b"/>"""
    )
    assert session.configuration == ("a",)
    assert len(session.children) == 1
    assert session.data == {"n": 2}


def test_children_of_children_end_with_them_innermost_after_their_state() -> None:
    leaf = '<state id="z"><onexit><log expr="\'leaf\'"/></onexit></state>'
    middle = f'<state id="y"><onexit><log expr="\'middle\'"/></onexit>{invoke(leaf)}</state>'
    session, logged = start(f'<state id="a">{invoke(middle)}<transition event="t" target="f"/></state><final id="f"/>')
    assert len(session.processor.sessions) == 3
    session.send("t")
    assert [value for _, value in logged] == ["middle", "leaf"]
    assert session.is_finished
    assert session.processor.sessions == {}


def test_a_child_that_does_not_come_to_rest_is_its_parents_error() -> None:
    endless = '<state id="s"><transition event="go" target="l"/></state><state id="l"><transition target="l"/></state>'
    body = f"""<state id="a">{invoke(endless, id="kid")}<transition event="t"><send target="#_kid" event="go"/>
    </transition>
    <transition event="error.execution"><log expr="_event.invokeid"/></transition></state>"""
    session, logged = start(body)
    session.send("t")
    assert logged == [("", "kid")]
    assert session.children == ()
    at_once = '<state id="l"><transition target="l"/></state>'
    body = body.replace(endless, at_once)
    assert start(body)[1] == [("", "kid")]


def test_children_that_never_rest_between_them_are_told_to_the_caller() -> None:
    inner = """<state id="s"><onentry><send target="#_parent" event="e"/></onentry><transition event="e">
    <send target="#_parent" event="e"/></transition></state>"""
    with pytest.raises(EndlessLoop):
        start(
            f"""<state id="a">{invoke(inner, id="kid")}<transition event="e"><send target="#_kid" event="e"/>
    </transition></state>"""
        )


# Bounds.


def test_a_document_that_invokes_itself_is_stopped_at_a_depth(tmp_path: Path) -> None:
    (tmp_path / "self.scxml").write_text(
        document(
            """<state id="a"><invoke src="self.scxml"/><transition event="error.execution"><log expr="_sessionid"/>
    </transition></state>"""
        )
    )
    logged: Logged = []
    session = Session(
        read_file(tmp_path / "self.scxml"),
        clock=VirtualClock(),
        on_log=lambda label, value: logged.append((label, value)),
    )
    assert len(session.processor.sessions) == DEPTH_LIMIT + 1
    assert len(logged) == 1


def test_so_many_sessions_run_at_a_time() -> None:
    many = "".join(f"<invoke><content>{child(WAITING)}</content></invoke>" for _ in range(SESSION_LIMIT))
    session, logged = start(f'<state id="a">{many}{LOG}</state>')
    assert len(session.processor.sessions) == SESSION_LIMIT
    assert logged == [("got", "error.execution")]


def test_two_children_of_one_id_can_not_run_together() -> None:
    body = f"""<parallel id="p"><state id="a">{invoke(WAITING, id="kid")}</state>
    <state id="b">{invoke(WAITING, id="kid")}<transition event="t" target="c"/></state>
    <state id="c"/>{LOG}</parallel>"""
    body = body.replace('<state id="c"/>', "").replace('target="c"', 'target="a"')
    session, logged = start(body)
    assert logged == [("got", "error.execution")]
    assert len(session.children) == 1


# Repeatable, and written.


def test_the_same_events_lead_to_the_same_sessions_in_the_same_order() -> None:
    def run() -> tuple[Logged, list[str]]:
        clock = VirtualClock()
        inner = """<state id="s"><onentry><send event="tick" delay="1s"/></onentry>
        <transition event="tick" target="s"><log expr="(_sessionid, 'tick')"/><send target="#_parent" event="n"/>
    </transition></state>"""
        regions = "".join(f'<state id="r{n}">{invoke(inner)}</state>' for n in range(3))
        session, logged = start(f'<parallel id="p">{regions}{LOG}</parallel>', clock)
        for _ in range(5):
            clock.advance(SECOND)
            session.run_due()
        return logged, list(session.processor.sessions)

    first, second = run(), run()
    assert first == second
    assert len(first[0]) == 30


def test_a_document_with_children_is_written_as_it_was() -> None:
    text = document(
        f"""<state id="a">
        {invoke(WAITING, "<param name='p' expr='1'/><finalize/>", id="kid", autoforward="true")}</state>"""
    )
    chart = read(text)
    written = write(chart)
    assert "<finalize/>" in written
    assert read(written).digest == chart.digest
    assert read(text.replace("kid", "cat")).digest != chart.digest
    assert read(text.replace('<state id="w">', '<state id="v">')).digest != chart.digest

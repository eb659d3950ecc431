"""Events and messages (5.10.1, 6.2, 6.3, C.1): what they say, where they go, what is wrong, when they come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stateward.scxml import Session, VirtualClock, read
from tests.scxml.documents import document

PROCESSOR = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"
HERE = "#_scxml_session"


def start(content: str, rest: str = "", *, logged: list[Any] | None = None, data: str = "") -> Session:
    """A session whose only state has this `<onentry>`, and these transitions."""
    found: list[object] = [] if logged is None else logged
    body = f'<datamodel>{data}</datamodel><state id="a"><onentry>{content}</onentry>{rest}</state>'
    return Session(read(document(body)), clock=VirtualClock(), on_log=lambda _, value: found.append(value))


def received(content: str, *, data: str = "", expr: str = "_event", seconds: float = 60) -> list[Any]:
    """What a state with this `<onentry>` receives within a minute: the value of an expression for each event."""
    logged: list[Any] = []
    session = start(content, f'<transition event="*"><log expr="{expr}"/></transition>', logged=logged, data=data)
    let_pass(session, seconds)
    return logged


def let_pass(session: Session, seconds: float) -> None:
    """Let time pass from one delayed event to the next."""
    clock = session.clock
    assert isinstance(clock, VirtualClock)
    end = clock.now() + timedelta(seconds=seconds)
    while session.next_due is not None and session.next_due <= end:
        clock.advance(session.next_due - clock.now())
        session.run_due()
    clock.advance(end - clock.now())
    session.run_due()


def fields(name: str, type_: str, **given: Any) -> dict[str, Any]:
    """The fields of `_event`; those that are not given are blank."""
    blank = dict.fromkeys(("sendid", "origin", "origintype", "invokeid", "data"))
    return {"name": name, "type": type_, **blank, **given}


# What an event says.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('<raise event="e"/>', fields("e", "internal")),
        ('<send event="e" target="#_internal"/>', fields("e", "internal")),
        (
            '<send event="e" id="i" target="#_internal"><param name="p" expr="1"/></send>',
            fields("e", "internal", sendid="i", data={"p": 1}),
        ),
        ('<send event="e"/>', fields("e", "external", origin=HERE, origintype=PROCESSOR)),
        (
            '<send event="e" id="i" delay="1s"><content>text</content></send>',
            fields("e", "external", origin=HERE, origintype=PROCESSOR, sendid="i", data="text"),
        ),
    ],
    ids=["raise", "send internally", "send internally with an id", "send", "send with an id, later"],
)
def test_the_fields_of_an_event_of_the_documents_own(content: str, expected: dict[str, Any]) -> None:  # 5.10.1
    assert received(content) == [expected]


def test_the_fields_of_an_event_from_outside() -> None:  # 5.10.1
    logged: list[Any] = []
    session = start("", '<transition event="*"><log expr="_event"/></transition>', logged=logged)
    session.send("e")
    session.send("e", {"a": [1, None]})
    assert logged == [fields("e", "external"), fields("e", "external", data={"a": [1, None]})]


def test_the_fields_of_an_error() -> None:  # 5.10.1, 5.9.2
    [event] = received('<log expr="none"/>')
    assert event.pop("data")["tagname"] == "log"
    assert event.items() <= fields("error.execution", "platform").items()


def test_the_fields_of_a_completion() -> None:  # 5.10.1
    logged: list[Any] = []
    body = '<state id="a"><final id="f"/><transition event="*"><log expr="_event"/></transition></state>'
    Session(read(document(body)), on_log=lambda _, value: logged.append(value))
    assert logged == [fields("done.state.a", "platform")]


def test_the_event_stays_until_the_next() -> None:  # 5.10
    body = """<state id="a"><onexit><log expr="_event.name"/></onexit>
    <transition event="t" target="b"><log expr="_event.name"/></transition></state>
    <state id="b"><onentry><log expr="_event.name"/></onentry><transition target="c"/></state>
    <state id="c"><onentry><log expr="_event.name"/></onentry></state>"""
    logged: list[Any] = []
    session = Session(read(document(body)), on_log=lambda _, value: logged.append(value))
    session.send("t")
    assert logged == ["t", "t", "t", "t"]


@pytest.mark.parametrize("location", ["_event", "_event.name", "_event.data", "_event.data['a']"])
def test_an_event_can_not_be_changed(location: str) -> None:  # 5.10
    logged: list[Any] = []
    rest = f"""<transition event="e"><assign location="{location}" expr="1"/><log expr="'changed'"/></transition>
    <transition event="error.execution"><log expr="_event.name"/></transition>"""
    start("", rest, logged=logged).send("e", {"a": 2})
    assert logged == ["error.execution"]


# What a message takes along.

DATA = '<data id="x" expr="1"/><data id="y" expr="[2]"/>'


@pytest.mark.parametrize(
    ("attributes", "content", "expected"),
    [
        ("", "", None),
        ('namelist="x y"', "", {"x": 1, "y": [2]}),
        ("", '<param name="p" expr="x + 1"/><param name="q" location="y"/>', {"p": 2, "q": [2]}),
        ('namelist="x"', '<param name="y" expr="3"/>', {"x": 1, "y": 3}),
        ("", '<content expr="(x, y)"/>', (1, [2])),
        ("", "<content>{}</content>", {}),
        ("", "<content/>", None),
    ],
    ids=["nothing", "namelist", "params", "both", "expr", "content", "empty content"],
)
def test_what_a_message_takes_along(attributes: str, content: str, expected: object) -> None:  # 6.2.4, C.1
    for more in ("", 'target="#_internal"', 'delay="1s"', f'target="{HERE}"'):
        sent = f'<send event="e" {attributes} {more}>{content}</send>'
        assert received(sent, data=DATA, expr="_event.data") == [expected]


def test_a_message_is_worked_out_when_it_is_sent() -> None:  # 6.2.4
    content = '<send event="e" namelist="x" delay="1s"/><assign location="x" expr="5"/>'
    assert received(content, data=DATA, expr="_event.data") == [{"x": 1}]


def test_event_target_type_and_delay_can_be_worked_out() -> None:  # 6.2.2
    content = f"""<send eventexpr="'e' + str(x)" targetexpr="'{HERE}'" typeexpr="'scxml'" delayexpr="str(x) + 's'"/>"""
    assert received(content, data=DATA, expr="_event.name") == ["e1"]


# Ids.


def test_an_id_made_up_for_a_message_is_unlike_any_other() -> None:  # 6.2.2
    content = '<send event="e" idlocation="x"/><send event="e" idlocation="y"/>'
    session = start(content, data=DATA)
    assert isinstance(session.data["x"], str)
    assert session.data["x"]
    assert session.data["x"] != session.data["y"]


def test_an_id_made_up_for_a_message_comes_with_it_and_cancels_it() -> None:  # 6.2.2, 6.3
    content = '<send event="e" idlocation="x" delay="1s"/>'
    assert received(content, data=DATA, expr="_event.sendid == x") == [True]
    assert received(content + '<cancel sendidexpr="x"/>', data=DATA) == []


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ('event="e" target="#_scxml_nobody"', "error.communication"),
        ('event="e" target="#_parent"', "error.communication"),
        ('event="e" target="#_nobody"', "error.communication"),
        ('event="e" target="nowhere"', "error.execution"),
        ('event="e" type="nothing"', "error.execution"),
        ('event="e" namelist="none"', "error.execution"),
        ('eventexpr="none"', "error.execution"),
        ('event="e" delay="soon"', "error.execution"),
    ],
    ids=["session", "parent", "invoked", "target", "type", "namelist", "event", "delay"],
)
def test_a_message_that_fails_is_an_error_with_its_id_and_is_not_delivered(attributes: str, name: str) -> None:
    # 5.10.1, 6.2.3, C.1
    sent = f'<send id="i" {attributes}/>'
    assert received(sent, expr="(_event.name, _event.type, _event.sendid)") == [(name, "platform", "i")]


def test_an_error_of_a_message_without_an_id_has_the_one_made_up_for_it() -> None:  # 5.10.1
    content = '<send event="e" target="nowhere" idlocation="x"/>'
    assert received(content, data=DATA, expr="_event.sendid == x") == [True]


def test_an_error_of_a_wrong_idlocation_has_the_id_too() -> None:  # 5.10.1
    assert received('<send event="e" idlocation="none"/>', expr="bool(_event.sendid)") == [True]


def test_errors_of_messages_are_internal_events() -> None:  # 3.13, 5.9.2
    content = '<send event="sent"/></onentry><onentry><send event="e" target="#_scxml_nobody"/>'
    assert received(content, expr="_event.name") == ["error.communication", "sent"]


# When messages come.


def test_messages_come_when_their_time_has_come_and_not_before() -> None:  # 6.2.4
    session = start('<send event="e" delay="1s"/>', '<transition event="e" target="a" cond="False"/>')
    assert session.next_due == timedelta(seconds=1)
    let_pass(session, 0.999)
    assert session.next_due == timedelta(seconds=1)
    let_pass(session, 0.001)
    assert session.next_due is None


def test_messages_come_in_order_of_their_time_and_then_of_their_sending() -> None:  # 6.2.4
    content = "".join(
        f'<send event="{event}" delay="{delay}"/>'
        for event, delay in [("d", "2s"), ("b", "1000ms"), ("a", ".5s"), ("c", "1s"), ("e", "2.0s")]
    )
    assert received(content, expr="_event.name") == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("1s", 1), ("0.5s", 0.5), (".5s", 0.5), ("500ms", 0.5), ("1500.5ms", 1.5005), ("+2s", 2), (" 1s ", 1)],
    ids=["seconds", "fraction", "no zero", "milliseconds", "part of one", "sign", "blanks"],
)
def test_delays_are_times_of_css(delay: str, seconds: float) -> None:  # 6.2.4
    assert start(f'<send event="e" delay="{delay}"/>').next_due == timedelta(seconds=seconds)


@pytest.mark.parametrize("delay", ["0s", "0ms", "0.0s", ".0s"])
def test_no_delay_is_no_wait(delay: str) -> None:  # 6.2.4
    assert received(f'<send event="e" delay="{delay}"/><raise event="i"/>', expr="_event.name", seconds=0) == ["i", "e"]


NO_DELAYS = ["1", "s", "1 s", "1m", "1h", "-1s", "1e3s", "1S", "1s 1s", "nan", "infs"]


@pytest.mark.parametrize("delay", NO_DELAYS)
def test_what_is_no_delay_is_an_error(delay: str) -> None:  # 6.2.4
    assert received(f'<send event="e" delay="{delay}"/>', expr="_event.name") == ["error.execution"]


def test_delays_have_plain_digits() -> None:  # 6.2.4
    assert received('<send event="e" delay="\N{ARABIC-INDIC DIGIT ONE}s"/>', expr="_event.name") == ["error.execution"]


@pytest.mark.parametrize("delay", ["9" * 400 + "s", "86399999999999s", "9" * 20 + "ms"])
def test_a_delay_beyond_all_time_is_an_error_and_breaks_no_session(delay: str) -> None:
    clock = VirtualClock()
    clock.advance(timedelta(days=100))
    logged: list[Any] = []
    body = f"""<state id="a"><transition event="t"><send event="e" delay="{delay}"/></transition>
    <transition event="error"><log expr="_event.name"/></transition></state>"""
    session = Session(read(document(body)), clock=clock, on_log=lambda _, value: logged.append(value))
    session.send("t")
    assert session.next_due is None
    assert logged == ["error.execution"]


# Cancelling.


def test_a_cancelled_message_does_not_come_and_others_do() -> None:  # 6.3
    content = '<send event="a" id="i" delay="1s"/><send event="b" id="j" delay="1s"/><cancel sendid="i"/>'
    assert received(content, expr="_event.name") == ["b"]


def test_all_messages_of_an_id_are_cancelled() -> None:  # 6.3
    content = '<send event="a" id="i" delay="1s"/><send event="b" id="i" delay="2s"/><cancel sendid="i"/>'
    assert received(content) == []


def test_cancelling_what_is_not_there_is_no_error() -> None:  # 6.3
    assert received('<cancel sendid="i"/><cancel sendidexpr="\'i\'"/><raise event="e"/>', expr="_event.name") == ["e"]


def test_a_message_without_a_delay_is_on_its_way_already() -> None:  # 6.3
    assert received('<send event="a" id="i"/><cancel sendid="i"/>', expr="_event.name") == ["a"]


def test_a_message_sent_after_the_cancelling_comes() -> None:  # 6.3
    content = '<send event="a" id="i" delay="1s"/><cancel sendid="i"/><send event="b" id="i" delay="1s"/>'
    assert received(content, expr="_event.name") == ["b"]


def test_a_state_that_is_left_does_not_take_its_messages_along() -> None:  # 6.2
    body = """<state id="a"><onentry><send event="e" delay="1s"/></onentry><transition target="b"/></state>
    <state id="b"><transition event="e" target="c"/></state><state id="c"/>"""
    session = Session(read(document(body)), clock=VirtualClock())
    let_pass(session, 1)
    assert session.configuration == ("c",)


# Descriptors.


@pytest.mark.parametrize(
    ("descriptor", "taken", "left"),
    [
        ("*", ["a", "a.b", "error.execution", "done.state.x"], []),
        ("foo", ["foo", "foo.bar", "foo.bar.baz"], ["foobar", "foo_bar", "bar.foo", "Foo", "fo", "foo:bar"]),
        ("foo.", ["foo", "foo.bar"], ["foobar", "foo:bar"]),
        ("foo.*", ["foo", "foo.bar", "foo.bar.baz"], ["foobar", "bar.foo"]),
        ("foo.bar", ["foo.bar", "foo.bar.baz"], ["foo", "foo.barbaz", "foo.baz"]),
        ("a b.c", ["a", "a.x", "b.c", "b.c.d"], ["b", "c", "b.x"]),
        ("  a\n   b  ", ["a", "b"], ["c"]),
        ("error", ["error.execution", "error.communication", "error"], ["errors", "my.error"]),
        ("done.state.s", ["done.state.s", "done.state.s.t"], ["done.state", "done.state.st"]),
    ],
    ids=["star", "one token", "trailing dot", "dot star", "two tokens", "several", "blanks", "errors", "completions"],
)
def test_descriptors_match_whole_tokens_from_the_first(descriptor: str, taken: list[str], left: list[str]) -> None:
    # 3.12.1
    logged: list[Any] = []
    session = start("", f'<transition event="{descriptor}"><log expr="_event.name"/></transition>', logged=logged)
    for name in (*left, *taken):
        session.send(name)
    assert logged == taken

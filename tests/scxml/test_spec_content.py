"""Executable content and data (sections 4 and 5): blocks and what is dropped, loops, bindings, conditions."""

from __future__ import annotations

from typing import Any

import pytest

from stateward.scxml import DocumentInvalid, Session, VirtualClock, read
from tests.scxml.documents import document


def start(body: str, *, logged: list[object] | None = None, **attributes: str) -> Session:
    """A session of a document of this body."""
    found: list[object] = [] if logged is None else logged
    chart = read(document(body, **attributes))
    return Session(chart, clock=VirtualClock(), on_log=lambda _, value: found.append(value))


def trace(body: str, *events: str, **attributes: str) -> list[object]:
    """What a document of this body logs from the start and on these events."""
    logged: list[object] = []
    session = start(body, logged=logged, **attributes)
    for event in events:
        session.send(event)
    return logged


def entering(content: str, data: str = "") -> list[object]:
    """What is logged when a state with this `<onentry>` is entered; errors are logged by their name."""
    arcs = '<transition event="error"><log expr="_event.name"/></transition>'
    return trace(f'<datamodel>{data}</datamodel><state id="a"><onentry>{content}</onentry>{arcs}</state>')


LOG_1, LOG_2, LOG_3 = (f'<log expr="{n}"/>' for n in (1, 2, 3))

# Blocks.

FAILING = {
    "assign to an undeclared name": '<assign location="none" expr="1"/>',
    "assign to no place": '<assign location="1 + 1" expr="1"/>',
    "assign to an item of nothing": '<assign location="x[\'a\']" expr="1"/>',
    "assign to a system variable": '<assign location="_name" expr="1"/>',
    "assign without a value": '<assign location="x" expr="none"/>',
    "log": '<log expr="none"/>',
    "script": "<script>x = none</script>",
    "script that is none": "<script>x = </script>",
    "array": '<foreach array="7" item="i"/>',
    "item": """<foreach array="[1]" item="'continue'"/>""",
    "item of no items": """<foreach array="[]" item="'continue'"/>""",
    "index": '<foreach array="[1]" item="i" index="x.y"/>',
    "content of a loop": '<foreach array="[1]" item="i"><log expr="none"/></foreach>',
    "content of a branch": '<if cond="True"><log expr="none"/></if>',
    "target": '<send event="e" target="nowhere"/>',
    "type": '<send event="e" type="nothing"/>',
    "eventexpr": '<send eventexpr="none"/>',
    "eventexpr that is no text": '<send eventexpr="1"/>',
    "targetexpr": '<send event="e" targetexpr="none"/>',
    "typeexpr": '<send event="e" typeexpr="none"/>',
    "delay": '<send event="e" delay="soon"/>',
    "delay without a unit": '<send event="e" delay="1"/>',
    "delay that is negative": '<send event="e" delay="-1s"/>',
    "delayexpr": '<send event="e" delayexpr="none"/>',
    "idlocation": '<send event="e" idlocation="none"/>',
    "namelist": '<send event="e" namelist="none"/>',
    "param": '<send event="e"><param name="p" expr="none"/></send>',
    "param's location": '<send event="e"><param name="p" location="none"/></send>',
    "content": '<send event="e"><content expr="none"/></send>',
    "no event": "<send><content>1</content></send>",
    "delayed internal event": '<send event="e" target="#_internal" delay="1s"/>',
    "sendidexpr": '<cancel sendidexpr="none"/>',
    "sendidexpr that is no text": '<cancel sendidexpr="1"/>',
}


@pytest.mark.parametrize("what", FAILING)
def test_an_error_drops_the_rest_of_its_block_and_no_other(what: str) -> None:  # 3.8, 3.9, 4.9, 5.9.2
    data = '<data id="x" expr="None"/>'
    content = f"{LOG_1}{FAILING[what]}{LOG_2}</onentry><onentry>{LOG_3}"
    assert entering(content, data) == [1, 3, "error.execution"]


@pytest.mark.parametrize("what", FAILING)
def test_an_error_drops_the_rest_of_an_exit_block_and_of_a_transition(what: str) -> None:  # 3.9, 3.13
    body = f"""<datamodel><data id="x" expr="None"/></datamodel>
    <state id="a"><onexit>{LOG_1}{FAILING[what]}{LOG_1}</onexit><onexit>{LOG_1}</onexit>
      <transition event="t" target="b">{LOG_2}{FAILING[what]}{LOG_2}</transition></state>
    <state id="b"><onentry>{LOG_3}</onentry>
      <transition event="error.execution"><log expr="_event.name"/></transition></state>"""
    assert trace(body, "t") == [1, 1, 2, 3, "error.execution", "error.execution"]


def test_what_a_block_did_before_its_error_holds() -> None:
    data = '<data id="x" expr="0"/>'
    content = '<assign location="x" expr="1"/><raise event="error.own"/><log expr="none"/>'
    assert entering(content + '</onentry><onentry><log expr="x"/>', data) == [1, "error.own", "error.execution"]


# Branches.


@pytest.mark.parametrize(
    ("conditions", "taken"),
    [
        (("True", "True"), [1]),
        (("False", "True"), [2]),
        (("False", "False"), [3]),
        (("''", "[0]"), [2]),
    ],
    ids=["if", "elseif", "else", "by truth"],
)
def test_one_branch_is_taken(conditions: tuple[str, str], taken: list[object]) -> None:  # 4.3
    one, other = conditions
    content = f'<if cond="{one}">{LOG_1}<elseif cond="{other}"/>{LOG_2}<else/>{LOG_3}</if>'
    assert entering(content) == taken


def test_without_an_else_no_branch_may_be_taken() -> None:  # 4.3
    assert entering(f'<if cond="False">{LOG_1}<elseif cond="0"/>{LOG_2}</if>{LOG_3}') == [3]


def test_a_wrong_condition_of_a_branch_counts_as_false() -> None:  # 5.9.1
    assert entering(f'<if cond="none">{LOG_1}<elseif cond="also.none"/>{LOG_2}<else/>{LOG_3}</if>')[0] == 3


def test_a_wrong_condition_of_a_branch_is_an_error() -> None:  # 5.9.1
    assert "error.execution" in entering(f'<if cond="none">{LOG_1}</if>')


# Loops.


def test_a_loop_goes_over_what_its_array_was_at_the_beginning() -> None:  # 4.6
    data = '<data id="xs" expr="[1, 2, 3]"/>'
    grow = '<foreach array="xs" item="i"><assign location="xs" expr="xs + [i]"/><log expr="i"/></foreach>'
    assert entering(grow + '<log expr="xs"/>', data) == [1, 2, 3, [1, 2, 3, 1, 2, 3]]
    script = '<foreach array="xs" item="i"><script>xs.append(i)</script><log expr="i"/></foreach>'
    assert entering(script, data) == [1, 2, 3]
    shrink = '<foreach array="xs" item="i"><assign location="xs" expr="[]"/><log expr="i"/></foreach>'
    assert entering(shrink, data) == [1, 2, 3]


def test_a_loops_item_is_a_variable_of_its_own() -> None:  # 4.6
    data = '<data id="xs" expr="[[1], [2]]"/>'
    content = '<foreach array="xs" item="i"><assign location="i" expr="i + [0]"/><log expr="i"/></foreach>'
    assert entering(content + '<log expr="xs"/>', data) == [[1, 0], [2, 0], [[1], [2]]]


def test_a_loop_declares_its_variables_which_keep_their_last_values() -> None:  # 4.6
    session = start(
        '<state id="a"><onentry><foreach array="[\'x\', \'y\']" item="i" index="n"/></onentry></state>',
    )
    assert session.data == {"i": "y", "n": 1}


def test_a_loop_over_nothing_runs_nothing() -> None:  # 4.6
    assert entering(f'<foreach array="[]" item="i">{LOG_1}</foreach>{LOG_2}') == [2]


def test_a_loop_goes_over_a_dict_by_its_keys_and_over_a_tuple() -> None:
    content = '<foreach array="{\'a\': 1, \'b\': 2}" item="k"><log expr="k"/></foreach>'
    assert entering(content + '<foreach array="(1, 2)" item="k"><log expr="k"/></foreach>') == ["a", "b", 1, 2]


def test_loops_and_branches_nest() -> None:  # 4.3, 4.6
    content = """<foreach array="[1, 2, 3]" item="i"><foreach array="[1, 2, 3]" item="j">
    <if cond="i == j"><log expr="(i, j)"/><elseif cond="i &gt; j"/><log expr="i - j"/></if></foreach></foreach>"""
    assert entering(content) == [(1, 1), 1, (2, 2), 2, 1, (3, 3)]


# Data and when they are bound.


def test_early_binding_binds_all_data_in_document_order_before_anything_runs() -> None:  # 5.3.2
    body = """<datamodel><data id="a" expr="1"/><data id="b" expr="a + 1"/></datamodel>
    <script>c = b + 1</script>
    <state id="s"><onentry><log expr="(a, b, c, d)"/></onentry></state>
    <state id="t"><datamodel><data id="d" expr="b + 2"/></datamodel></state>"""
    assert trace(body) == [(1, 2, 3, 4)]


def test_late_binding_declares_all_data_and_binds_those_of_a_state_when_it_is_first_entered() -> None:  # 5.3.2
    body = """<datamodel><data id="x" expr="1"/></datamodel>
    <state id="s"><onentry><log expr="(x, y)"/></onentry><transition event="t" target="u"/></state>
    <state id="u"><datamodel><data id="y" expr="x + 1"/></datamodel><onentry><log expr="(x, y)"/></onentry></state>"""
    assert trace(body, "t", binding="late") == [(1, None), (1, 2)]
    assert trace(body, "t", binding="early") == [(1, 2), (1, 2)]


def test_late_data_keep_their_values_when_their_state_is_entered_again() -> None:  # 5.3.2
    body = """<state id="s"><datamodel><data id="x" expr="1"/></datamodel>
    <onentry><log expr="x"/><assign location="x" expr="x + 1"/></onentry>
    <transition event="t" target="s"/></state>"""
    assert trace(body, "t", "t", binding="late") == [1, 2, 3]


def test_late_data_assigned_before_their_state_is_entered_are_bound_by_it() -> None:  # 5.3.2
    body = """<state id="s"><onentry><assign location="x" expr="5"/><log expr="x"/></onentry>
    <transition event="t" target="u"/></state>
    <state id="u"><datamodel><data id="x" expr="1"/></datamodel><onentry><log expr="x"/></onentry></state>"""
    assert trace(body, "t", binding="late") == [5, 1]


def test_late_data_are_bound_parents_first() -> None:  # 5.3.2, D enterStates
    body = """<state id="s"><datamodel><data id="x" expr="1"/></datamodel>
    <onentry><assign location="x" expr="2"/></onentry>
    <parallel id="p"><datamodel><data id="y" expr="x + 1"/></datamodel>
    <state id="r"><datamodel><data id="z" expr="y + 1"/></datamodel>
    <onentry><log expr="(x, y, z)"/></onentry></state></parallel></state>"""
    assert trace(body, binding="late") == [(2, 3, 4)]


@pytest.mark.parametrize("binding", ["early", "late"])
def test_data_without_a_value_are_none_and_an_error_leaves_them_so(binding: str) -> None:  # 5.3.3
    body = """<datamodel><data id="a" expr="none"/><data id="b" expr="2"/><data id="c"/></datamodel>
    <state id="s"><datamodel><data id="d" expr="none"/></datamodel>
    <onentry><log expr="(a, b, c, d)"/></onentry>
    <transition event="error.execution"><log expr="_event.type"/></transition></state>"""
    assert trace(body, binding=binding) == [(None, 2, None, None), "platform", "platform"]


def test_a_source_that_is_not_there_is_an_error_of_its_data() -> None:  # 5.3.3
    body = """<datamodel><data id="a" src="none.txt"/></datamodel>
    <state id="s"><transition event="error.execution" cond="a is None"><log expr="1"/></transition></state>"""
    assert trace(body) == [1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2.5, null, true]", [1, 2.5, None, True]),
        (' {"a": {"b": "c"}} ', {"a": {"b": "c"}}),
        ('"text"', "text"),
        ("  some\n  text ", "some text"),
        ("<![CDATA[ a < b ]]>", "a < b"),
        ("<!-- nothing -->", None),
        ("", None),
    ],
    ids=["list", "dict", "json text", "text", "cdata", "comment", "nothing"],
)
def test_what_stands_in_an_element_is_json_or_else_text(text: str, value: Any) -> None:  # 5.3.1, 5.4.1, 5.6.2
    data = f'<datamodel><data id="x">{text}</data><data id="y" expr="1"/><data id="z"/></datamodel>'
    body = f"""{data}<state id="s"><onentry><assign location="y">{text}</assign>
    <send event="e"><content>{text}</content></send></onentry>
    <transition event="e"><assign location="z" expr="_event.data"/></transition></state>"""
    assert start(body).data == {"x": value, "y": value, "z": value}


def test_elements_within_data_are_kept_as_text() -> None:  # 5.3.1
    session = start('<datamodel><data id="x"><a xmlns=""><b c="1"/></a></data></datamodel><state id="s"/>')
    assert session.data == {"x": '<a xmlns=""><b c="1"/></a>'}


def test_data_of_an_unentered_state_can_be_read_and_assigned() -> None:  # 5.3.2
    body = """<state id="s"><onentry><assign location="x" expr="x + 1"/></onentry></state>
    <state id="t"><datamodel><data id="x" expr="1"/></datamodel></state>"""
    assert start(body).data == {"x": 2}


@pytest.mark.parametrize("name", ["_event", "_sessionid", "_x", "_mine"])
def test_no_data_take_the_place_of_a_system_variable(name: str) -> None:  # 5.10
    with pytest.raises(DocumentInvalid, match=f"{name}.*system|underscore"):
        start(f'<datamodel><data id="{name}" expr="1"/></datamodel><state id="s"/>')


def test_system_variables_are_there() -> None:  # 5.10
    body = """<datamodel><data id="x"/></datamodel><state id="s"><onentry>
    <log expr="(_name, _sessionid, _ioprocessors['scxml']['location'], _event)"/></onentry></state>"""
    assert trace(body, name="my machine") == [("my machine", "session", "#_scxml_session", None)]
    assert trace(body) == [("", "session", "#_scxml_session", None)]


def test_a_document_can_have_any_name() -> None:  # 5.10
    assert trace('<state id="s"><onentry><log expr="_name"/></onentry></state>', name="scxml") == ["scxml"]


# Scripts.


def test_a_documents_script_runs_after_its_data_and_before_its_states() -> None:  # 5.8
    body = """<script>log = [x]
    </script><datamodel><data id="x" expr="1"/></datamodel>
    <state id="s"><onentry><log expr="log"/></onentry></state>"""
    assert trace(body) == [[1]]


def test_an_error_of_the_documents_script_is_an_event() -> None:  # 5.8
    body = """<script>x = none</script>
    <state id="s"><transition event="error.execution"><log expr="_event.data['tagname']"/></transition></state>"""
    assert trace(body) == ["script"]


def test_a_script_is_indented_as_its_document_likes() -> None:
    body = """<script>
        x = 1
        y = 2
    </script><state id="s"/>"""
    assert start(body).data == {"x": 1, "y": 2}


def test_a_script_whose_first_line_stands_beside_its_tag() -> None:
    body = """<script>x = 1
        y = 2
    </script><state id="s"/>"""
    assert start(body).data == {"x": 1, "y": 2}


# Conditions.


def test_a_condition_changes_nothing() -> None:  # 5.9
    body = """<datamodel><data id="x" expr="[1]"/></datamodel>
    <state id="s"><transition event="t" cond="x.append(2) or True"/></state>"""
    session = start(body)
    session.send("t")
    assert session.data == {"x": [1]}


def test_a_wrong_condition_is_asked_in_its_turn_and_the_next_one_is_taken() -> None:  # 3.13, 5.9.1
    body = """<state id="s"><transition event="t" cond="none" target="s"><log expr="1"/></transition>
    <transition event="t"><log expr="2"/></transition>
    <transition event="error.execution"><log expr="_event.data['tagname']"/></transition></state>"""
    assert trace(body, "t") == [2, "transition"]


def test_the_null_datamodel_knows_states_and_nothing_else() -> None:  # B.1
    body = """<parallel id="p"><state id="a"><state id="a1"><transition event="t" cond="In('b2')" target="a2"/>
    </state><state id="a2"/></state><state id="b"><state id="b1"><transition event="u" target="b2"/></state>
    <state id="b2"/></state></parallel>"""
    session = start(body, datamodel="null")
    session.send("t")
    assert session.configuration == ("a1", "b1")
    session.send("u")
    session.send("t")
    assert session.configuration == ("a2", "b2")

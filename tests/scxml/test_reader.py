"""Reading: what is wrong is told with file, line and element; hostile documents are refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from stateward import Chart
from stateward.scxml import DocumentInvalid, read, read_file
from stateward.scxml.xml import BYTES_LIMIT, DEPTH_LIMIT, ELEMENTS_LIMIT
from tests.scxml.documents import document

WRONG: dict[str, tuple[str, int, str, str]] = {
    "unknown element": (
        '<state id="a">\n<onenter/></state>',
        3,
        "onenter",
        "is no element of SCXML 1.0; <state> can hold",
    ),
    "misspelt attribute": ('<state id="a">\n<transition traget="a"/></state>', 3, "transition", "the attribute traget"),
    "missing attribute": (
        '<state id="a"><onentry>\n<raise/></onentry></state>',
        3,
        "raise",
        "lacks the attribute event",
    ),
    "unknown target": (
        '<state id="a">\n\n<transition target="b"/></state>',
        4,
        "transition",
        "target='b', which is no",
    ),
    "unknown initial": ('<state id="a" initial="b"><state id="c"/></state>', 2, "state", "initial='b', which is no"),
    "initial outside": (
        '<state id="a" initial="b"><state id="c"/></state>\n<state id="b"/>',
        2,
        "state",
        "not inside a",
    ),
    "two ids": ('<state id="a"/>\n<final id="a"/>', 3, "final", "has the id a, as <state> on line 2"),
    "empty id": ('<state id=" "/>', 2, "state", "has an empty id"),
    "two data ids": (
        '<datamodel><data id="x"/></datamodel>\n<state id="a"><datamodel><data id="x"/></datamodel></state>',
        3,
        "data",
        "has the id x, as <data> on line 2",
    ),
    "nothing to wait for": ('<state id="a">\n<transition/></state>', 3, "transition", "neither event nor cond"),
    "an empty event": ('<state id="a"><transition event=" " target="a"/></state>', 2, "transition", "an empty event"),
    "data of the system": ('<datamodel><data id="_x"/></datamodel><state/>', 2, "data", "has the id _x; those"),
    "both initials": (
        '<state id="a" initial="b"><initial><transition target="b"/></initial><state id="b"/></state>',
        2,
        "state",
        "has both initial and <initial>",
    ),
    "initial of nothing": ('<state id="a" initial="a"/>', 2, "state", "has an initial state and no states"),
    "initial without target": (
        '<state id="a">\n<initial><transition/></initial><state id="b"/></state>',
        3,
        "initial",
        "without a target",
    ),
    "initial that waits": (
        '<state id="a"><initial><transition target="b" cond="True"/></initial><state id="b"/></state>',
        2,
        "initial",
        "nobody would wait for",
    ),
    "history at the top": (
        '<state id="a"/>\n<history id="h"><transition target="a"/></history>',
        3,
        "history",
        "can't stand in <scxml>",
    ),
    "transition out of final": (
        '<final id="a">\n<transition target="a"/></final>',
        3,
        "transition",
        "can't stand in <final>",
    ),
    "targets in one region": (
        '<state id="a"><transition event="e" target="b c"/></state><state id="b"/><state id="c"/>',
        2,
        "transition",
        "not in different regions",
    ),
    "two of one": (
        '<final id="a"><donedata><content>1</content><content>2</content></donedata></final>',
        2,
        "content",
        "is the second in <donedata>",
    ),
    "event and eventexpr": (
        '<state id="a"><onentry><send event="e" eventexpr="1"/></onentry></state>',
        2,
        "send",
        "both event and eventexpr",
    ),
    "content and param": (
        '<state id="a"><onentry><send event="e"><content/><param name="p" expr="1"/></send></onentry></state>',
        2,
        "send",
        "both <content> and <param>",
    ),
    "param of nothing": (
        '<state id="a"><onentry><send event="e"><param name="p"/></send></onentry></state>',
        2,
        "param",
        "exactly one of",
    ),
    "cancel of nothing": ('<state id="a"><onentry><cancel/></onentry></state>', 2, "cancel", "exactly one of"),
    "expr and content": (
        '<state id="a"><onentry><assign location="x" expr="1">2</assign></onentry></state>',
        2,
        "assign",
        "both expr and content of its own",
    ),
    "text among states": ('<state id="a">hello</state>', 2, "state", "holds the text 'hello'"),
    "elseif after else": (
        '<state id="a"><onentry><if cond="1">\n<else/><elseif cond="2"/></if></onentry></state>',
        2,
        "if",
        "after its <else>",
    ),
    "raise in finalize": (
        '<state id="a"><invoke><finalize>\n<raise event="e"/></finalize></invoke></state>',
        3,
        "raise",
        "can't stand in <finalize>",
    ),
    "wrong type": ('<state id="a"><transition event="e" type="inward"/></state>', 2, "transition", "type='inward'"),
    "no state": ("<datamodel/>", 1, "scxml", "holds no state"),
    "a document within": (
        '<state id="a"><invoke><content><scxml>\n<stat/></scxml></content></invoke></state>',
        3,
        "stat",
        "is no element",
    ),
}


@pytest.mark.parametrize(("body", "line", "element", "problem"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_line_and_element(body: str, line: int, element: str, problem: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        read(document(body), document="order.scxml")
    assert problem in caught.value.problem
    assert (caught.value.line, caught.value.element) == (line, element)
    assert str(caught.value).startswith(f"order.scxml:{line}: ")


ROOTS = {
    "no namespace": ("<scxml/>", "is the root, of no namespace"),
    "another root": ("<html/>", "is the root"),
    "another version": (
        document('<state id="a"/>').replace('"1.0"', '"2.0"').replace("'1.0'", "'2.0'"),
        "version='2.0'",
    ),
    "another datamodel": (document('<state id="a"/>', datamodel="ecmascript"), "datamodel 'ecmascript'"),
    "another binding": (document('<state id="a"/>', binding="never"), "binding='never'"),
    "no XML": ("<scxml", "is no XML"),
    "nothing": ("", "is no XML"),
    "two roots": ("<a/><b/>", "is no XML"),
}


@pytest.mark.parametrize(("text", "problem"), ROOTS.values(), ids=ROOTS)
def test_what_is_no_document_is_told(text: str, problem: str) -> None:
    with pytest.raises(DocumentInvalid, match=problem):
        read(text)


def test_an_error_survives_pickling() -> None:
    with pytest.raises(DocumentInvalid) as caught:
        read("<scxml/>", document="x")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def _laughs(depth: int) -> str:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, depth))
    return f'<!DOCTYPE scxml [<!ENTITY l0 "ha">{entities}]><scxml>&l{depth - 1};</scxml>'


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "billion laughs": (_laughs(10), "DOCTYPE"),
    "quadratic blow-up": (f'<!DOCTYPE s [<!ENTITY a "{"a" * 10_000}">]><s>{"&a;" * 10_000}</s>', "DOCTYPE"),
    "external entity": ('<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><s>&x;</s>', "DOCTYPE"),
    "parameter entity": ('<!DOCTYPE s [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><s/>', "DOCTYPE"),
    "external DTD": ('<!DOCTYPE s SYSTEM "file:///etc/passwd"><s/>', "DOCTYPE"),
    "undeclared entity": (document('<state id="&x;"/>'), "is no XML"),
    "too long": (b"<s>" + b" " * BYTES_LIMIT + b"</s>", "bytes long"),
    "too deep": ("<s>" * (DEPTH_LIMIT + 1) + "</s>" * (DEPTH_LIMIT + 1), "elements deep"),
    "too many": ("<s>" + "<a/>" * ELEMENTS_LIMIT + "</s>", "elements"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="none-such"?><s/>', "is no XML|can't be decoded"),
    "a byte that is no character": (b'<?xml version="1.0" encoding="utf-8"?><s>\xff</s>', "is no XML"),
    "a null": ("<s>\0</s>", "is no XML"),
    "an unbound prefix": ("<x:s/>", "is no XML"),
}


@pytest.mark.parametrize(("text", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_document_is_refused(text: str | bytes, problem: str) -> None:
    with pytest.raises(DocumentInvalid, match=problem):
        read(text)


def test_what_another_namespace_adds_is_passed_over() -> None:
    body = """
    <state id="a" q:x="1" xmlns:q="urn:q"><q:layout><q:box/></q:layout>
      <transition event="go" target="b"><q:note>hello</q:note></transition>
    </state><final id="b"/>"""
    plain = '<state id="a"><transition event="go" target="b"/></state><final id="b"/>'
    assert read(document(body)).digest == read(document(plain)).digest


def test_the_digest_covers_what_a_document_does_and_not_how_it_is_written() -> None:
    first = document('<state id="a"><onentry><log expr="1" label="x"/></onentry></state>')
    spaced = first.replace("<log", "\n<!-- a comment -->  <log").replace("><state", ">\n\n <state")
    attributes_turned = first.replace('expr="1" label="x"', 'label="x" expr="1"')
    assert read(first).digest == read(spaced).digest == read(attributes_turned).digest
    for changed in ("expr='2'", "cond", "data"):
        other = {
            "expr='2'": first.replace('expr="1"', 'expr="2"'),
            "cond": first.replace("</state>", '<transition cond="False" target="a"/></state>'),
            "data": first.replace("<state", '<datamodel><data id="x"/></datamodel><state'),
        }[changed]
        assert read(other).digest != read(first).digest, changed


def test_the_data_of_an_early_bound_state_are_part_of_the_digest() -> None:
    first = document('<state id="a"><datamodel><data id="x" expr="1"/></datamodel></state>')
    assert read(first).digest != read(first.replace('expr="1"', 'expr="2"')).digest


def test_ids_with_dots_and_states_without_ids_have_places_of_their_own() -> None:
    chart = read(document('<state id="a.b"><state/><state id="state1"/></state><state id="a"/>'))
    assert [state.path for state in chart.states] == ["", "a%2Eb", "a%2Eb.state2", "a%2Eb.state1", "a"]


def test_a_target_named_twice_or_with_one_of_its_own_states_is_one_target() -> None:
    def digest(target: str) -> str:
        body = f'<state id="a"><transition event="t" target="{target}"/></state><state id="p"><state id="x"/></state>'
        return read(document(body)).digest

    assert digest("x x") == digest("p x") == digest("x p") == digest("x") != digest("p")


def test_attributes_of_earlier_drafts_are_passed_over() -> None:
    plain = document("<state/>")
    assert read(document("<state/>", profile="python", exmode="lax")).digest == read(plain).digest


def test_a_chart_from_a_document_is_a_chart_like_any_other() -> None:
    chart = read(document('<state id="a"><transition event="go" target="b"/></state><final id="b"/>', name="Door"))
    assert isinstance(chart, Chart)
    assert (chart.kind, chart.version) == ("Door", 1)
    assert chart.to_document()["transitions"][0]["trigger"] == "go"
    assert read(document('<state id="a"/>')).kind == "scxml"


# Files.


def test_a_source_is_read_beside_the_document_or_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "x.txt").write_text("[1, 2]")
    text = document('<datamodel><data id="x" src="file:below/x.txt"/></datamodel><state id="a"/>')
    path = tmp_path / "d.scxml"
    path.write_text(text)
    first = read_file(path).digest
    (tmp_path / "below" / "x.txt").write_text("[1, 2, 3]")
    assert read_file(path).digest != first


@pytest.mark.parametrize(
    "src", ["/etc/passwd", "file:///etc/passwd", "../outside.py", "file:../outside.py", "https://x/y"]
)
def test_a_script_from_elsewhere_is_refused(src: str, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("x = 1")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "d.scxml"
    path.write_text(document(f'<script src="{src}"/><state id="a"/>'))
    with pytest.raises(DocumentInvalid, match="can't be read") as caught:
        read_file(path)
    assert caught.value.line == 2


def test_a_text_has_no_folder_to_read_from() -> None:
    with pytest.raises(DocumentInvalid, match="no folder"):
        read(document('<script src="x.py"/><state id="a"/>'))


def test_a_file_that_is_not_there_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none.scxml")

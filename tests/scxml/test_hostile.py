"""Documents and data of an enemy: a session is told of an error, or it is stopped, and the process lives within bounds.

Bounds are proved, not looked at: the worst documents run in a process that has so much memory and processor time, and
would be killed for more.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stateward.errors import DocumentInvalid, EvaluationError, StatewardError
from stateward.scxml import Processor, Session, VirtualClock, read, write
from stateward.scxml.schema import RULES
from tests.scxml.documents import document
from tests.scxml.hostile import DOCUMENTS
from tests.scxml.manifest import ROOT

PROJECT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 400_000_000
PROCESSOR_S = 120
"""Far more than it takes, so that nothing but a hole comes near it."""

# Documents within bounds that the system keeps.


@pytest.mark.parametrize("group", DOCUMENTS)
def test_the_worst_documents_end_within_little_memory(group: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scxml.hostile", group, str(MEMORY_BYTES), str(PROCESSOR_S)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    ended = dict(json.loads(line) for line in done.stdout.splitlines())
    assert ended == {name: group for name, _ in DOCUMENTS[group]}


def test_the_bound_on_memory_is_one() -> None:
    """What is not bounded dies of it, or the test above would prove nothing."""
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES}))\n"
        f"held = [bytes(1_000_000) + bytes([n % 256]) for n in range({MEMORY_BYTES // 1_000_000})]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


# Data that come with an event.


class Text(str):
    """A text of its own kind."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        pytest.fail("a document has called a method of the caller's object")

    __hash__ = str.__hash__


class Mapping(dict[str, object]):
    """A dict of its own kind."""


class Liar:
    """What says of itself that it is a text."""

    @property
    def __class__(self) -> Any:
        return str

    @__class__.setter
    def __class__(self, _: Any) -> None:
        return


STRANGERS: dict[str, Any] = {
    "a text of its own": Text("a"),
    "a dict of its own": Mapping(a=1),
    "a liar": Liar(),
    "bytes": b"bytes",
    "complex": 1j,
    "an object": object(),
    "a class": Text,
    "a function": len,
}
WRAPS: dict[str, Any] = {
    "alone": lambda value: value,
    "in a list": lambda value: [value],
    "in a dict": lambda value: {"k": value},
    "deep": lambda value: {"k": [({"l": value},)]},
}


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_data_of_another_type_do_not_get_in(stranger: str, wrap: str) -> None:
    session = Session(read(document("<state id='a'/>")), clock=VirtualClock())
    with pytest.raises(EvaluationError, match="is no data"):
        session.send("e", WRAPS[wrap](STRANGERS[stranger]))


@pytest.mark.parametrize("stranger", ["a text of its own", "a liar", "bytes", "an object"])
def test_keys_of_another_type_do_not_get_in(stranger: str) -> None:
    session = Session(read(document("<state id='a'/>")), clock=VirtualClock())
    with pytest.raises(EvaluationError):
        session.send("e", {STRANGERS[stranger]: 1})


def test_data_that_hold_themselves_do_not_get_in() -> None:
    held: list[object] = []
    held.append(held)
    session = Session(read(document("<state id='a'/>")), clock=VirtualClock())
    with pytest.raises(EvaluationError, match="too deep"):
        session.send("e", held)


HOSTILE_DATA = {
    "__class__": "str",
    "__init__": {"__globals__": {"__builtins__": "x"}},
    "_event": 1,
    "re": "(a+)+$",
    "text": "{0.__class__.__mro__} {x!r:{y}} %(x)s %n",
}


@pytest.mark.parametrize(
    "expr",
    [
        "_event.data.__class__",
        "_event.__class__",
        "_event.data['__init__'].__globals__",
        "_event.data['text'].format(_event)",
        "_event.data['text'].format(x=_event.data, y=10 ** 9)",
        "_event.data['text'] % _event.data",
        "'{0.__class__}'.format(_event.data)",
        "'{0[__class__].__class__}'.format(_event.data)",
        "f'{_event.data.__class__}'",
        "_event.data['re'].match('a' * 100)",
        "re.match(_event.data['re'], 'a' * 100)",
        "_event.data['__class__']()",
        "(lambda x: x.__class__)(_event)",
        "sorted([_event.data], key=_event.data['__class__'])",
        "isinstance(_event.data, _event.data['__class__'])",
    ],
)
def test_what_comes_with_an_event_opens_nothing(expr: str) -> None:
    logged: list[object] = []
    body = f"""<state id="a"><transition event="e"><log expr="{expr}"/></transition>
    <transition event="error.execution"><log label="told" expr="_event.data['tagname']"/></transition></state>"""
    session = Session(read(document(body)), clock=VirtualClock(), on_log=lambda *each: logged.append(each))
    session.send("e", HOSTILE_DATA)
    assert logged == [("told", "log")]
    session.send("e", {})
    assert not session.is_finished


def test_hostile_names_in_data_are_names_and_nothing_else() -> None:
    body = """<datamodel><data id="x"/></datamodel><state id="a"><transition event="e">
    <assign location="x" expr="_event.data['__class__']"/></transition></state>"""
    session = Session(read(document(body)), clock=VirtualClock())
    session.send("e", HOSTILE_DATA)
    assert session.data == {"x": "str"}


# Any document.

STATES = ("state", "parallel", "final", "history")
TEXTS = (
    "", " ", "a", "b", "a b", "p", "c c", "nowhere", "x", "x y", "x[0]", "1", "True", "False", "In('a')", "_event",
    "_event.data", "x + [1]", "'a'", "'x' * 10 ** 9", "9 ** 9 ** 9", "[0] * 10 ** 9", "().__class__", "foo.bar",
    "lambda: x", "e", "e.*", "*", "error", "done.state.a", "done.invoke", "1s", "-1s", "'1s'", "#_internal", "#_parent",
    "#_scxml_session", "#_c", "scxml", "basichttp", "http://127.0.0.1:1/", "internal", "external", "deep", "shallow",
    "early", "late", "python", "null", "true", "file:/etc/passwd", "../x", "\ufffd", "\U0001f600", "{",
    "f'{x:{9 ** 9}}'", "while True: x = [x]",
)  # fmt: skip
"""What any attribute may say: it is right now and then."""
HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
fuzzed = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=HEALTH)


@st.composite
def elements(draw: st.DrawFn, tag: str, depth: int) -> str:
    """An element that the tables allow, and what may be in it; `@` stands for an id of its own, `@n` for any of all."""
    rule = RULES[tag]
    names = [*rule.must.split(), *draw(st.lists(st.sampled_from([*rule.may.split(), "id"]), max_size=3, unique=True))]
    if tag in STATES:
        names = ["id"]
    chosen: dict[str, str] = {}
    for name in names:
        known = dict(rule.choices).get(name)
        if name == "id" and tag in (*STATES, "data"):
            chosen[name] = "@"
        elif name == "target" and tag == "transition":
            chosen[name] = f"@{draw(st.integers(0, 9))}"
        elif known is not None:
            chosen[name] = draw(st.sampled_from(known.split()))
        elif name in rule.may.split() or name in rule.must.split():
            chosen[name] = draw(st.sampled_from(TEXTS))
    inside = ""
    if rule.children and depth > 0:
        tags = draw(st.lists(st.sampled_from(sorted(rule.children - {"initial", "history"})), max_size=4))
        once = [each for n, each in enumerate(tags) if each not in rule.once.split() or each not in tags[:n]]
        inside = "".join(draw(elements(each, depth - 1)) for each in once)
    elif rule.has_text and not chosen.keys() & {"expr", "src"}:
        inside = draw(st.sampled_from(TEXTS)).replace("&", "&amp;").replace("<", "&lt;")
        if tag == "content" and depth > 0 and draw(st.booleans()):
            inside = f"<scxml version='1.0'>{draw(elements('state', depth - 1))}</scxml>"
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in chosen.items())
    return f"<{tag}{attributes}>{inside}</{tag}>"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document of random elements, whose ids are all there."""
    body = "".join(draw(st.lists(elements("state", 4) | elements("parallel", 4), min_size=1, max_size=4)))
    ids = [f"i{n}" for n in range(body.count('id="@"'))]
    for each in ids:
        body = body.replace('id="@"', f'id="{each}"', 1)
    states = [each for each in ids if re.search(f'<(state|parallel|final) id="{each}"', body)]
    body = re.sub(r'"@(\d)"', lambda found: f'"{states[int(found[1]) % len(states)]}"', body)
    return document(f"<datamodel><data id='x' expr='[1]'/></datamodel>{body}")


def live(text: str | bytes) -> None:
    """Read and run a document; whatever it is, nothing but an error of ours comes of it, and the session is whole."""
    try:
        chart = read(text)
    except DocumentInvalid as error:
        str(error).encode()
        return
    assert read(write(chart)).digest == chart.digest
    clock = VirtualClock()
    try:
        session = Session(chart, processor=Processor(clock))
    except StatewardError:
        return
    for name in ("e", "e.f", "done.state.a", "error.execution"):
        try:
            session.send(name, HOSTILE_DATA)
            due = session.next_due
            if due is not None:
                clock.advance(due - clock.now() if due > clock.now() else due - due)
                session.run_due()
        except StatewardError as error:
            str(error).encode()
        assert isinstance(session.data, dict)
        assert session.configuration


@fuzzed
@given(documents())
def test_any_document_is_refused_or_lives(text: str) -> None:
    live(text)


REAL = [path.read_bytes() for path in sorted(ROOT.rglob("*.scxml"))[::7]]
PIECES = [
    b"0",
    b"a",
    b"True",
    b" ",
    b"s1",
    b"[]",
    b"<",
    b">",
    b"/>",
    b'"',
    b"&",
    b"&#0;",
    b"&#xD800;",
    b"]]>",
    b"<![CDATA[",
    b"<!--",
    b"<?x",
    b"\0",
    b"\xff",
    b"xmlns=''",
    b"'*9**9**9",
]


@fuzzed
@given(
    st.sampled_from(REAL),
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=4)), max_size=6
    ),
)
def test_a_real_document_that_was_damaged_is_refused_or_lives(
    text: bytes, damage: list[tuple[float, int, bytes]]
) -> None:
    for where, length, piece in damage:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + length :]
    live(text)

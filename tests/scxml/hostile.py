"""Documents of an enemy, each of which would take all time or memory if something were not bounded.

As a program, `python -m tests.scxml.hostile GROUP BYTES SECONDS`, it runs those of a group within so much memory and
processor time, and writes how each ended.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterable

from stateward.errors import DocumentInvalid, EndlessLoop
from stateward.scxml import Processor, Session, VirtualClock, read
from stateward.scxml.xml import NAMESPACE
from tests.scxml.documents import document

__all__ = ["DOCUMENTS", "main", "run"]

MANY = 1_900
"""States, about as many as a document can have."""
LOTS = 3_900_000
"""Characters, about as many as a document can have."""
Make = Callable[[], str]


def numbered(text: str, count: int, between: str = "") -> str:
    """The text so many times, `#` in it being the number."""
    return between.join(text.replace("#", str(n)) for n in range(count))


def state(content: str, data: str = "") -> str:
    """A document of one state with this content."""
    return document(f"{data}<state id='a'>{content}</state>")


def entry(content: str) -> str:
    """A document of one state that is left for another when what it does on entry is an error."""
    return document(
        f"<state id='a'><onentry>{content}</onentry><transition event='error.*' target='told'/></state>"
        "<state id='told'/>"
    )


def regions(content: str) -> str:
    """A document of a parallel of many regions, each with this content."""
    parts = numbered(f"<state id='s#'>{content}</state>", MANY)
    return document(f"<parallel id='p'>{parts}</parallel>")


def data(content: str) -> str:
    """A document with this as its only data."""
    return state("", f"<datamodel><data id='x'>{content}</data></datamodel>")


def with_doctype(inside: str, content: str) -> str:
    """A document that declares something before it begins."""
    return f"<!DOCTYPE scxml [{inside}]><scxml xmlns='{NAMESPACE}' version='1.0'>{content}</scxml>"


def each(content: str, times: int = 4000) -> str:
    """Content that is run so many times."""
    return f"<foreach array='list(range({times}))' item='i'>{content}</foreach>"


def large(attributes: str = "") -> str:
    """A large message, unlike every other."""
    return f"<send event='e' {attributes}><content expr='chr(120) * 1000000 + str(i)'/></send>"


def child(body: str) -> str:
    """A child."""
    return f"<invoke><content><scxml version='1.0'>{body}</scxml></content></invoke>"


def nested(depth: int) -> str:
    """A child in a child, and so on."""
    return f"<state>{child(nested(depth - 1))}</state>" if depth else "<state/>"


N = "<datamodel><data id='n' expr='0'/></datamodel>"
GO = "<onentry><send event='e'/></onentry>"
SELF = "<send event='e' target='#_internal'/>"
LAUGHS = "<!ENTITY e0 'ha'>" + "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 10))

REFUSED: dict[str, Make] = {
    "billion laughs": lambda: with_doctype(LAUGHS, "&e9;"),
    "quadratic entity": lambda: with_doctype(f"<!ENTITY a '{'a' * 100_000}'>", "&a;" * 10_000),
    "external entity": lambda: with_doctype("<!ENTITY a SYSTEM 'file:///etc/passwd'>", "&a;"),
    "parameter entity": lambda: with_doctype("<!ENTITY % a SYSTEM 'file:///dev/zero'>%a;", ""),
    "external DOCTYPE": lambda: f"<!DOCTYPE scxml SYSTEM 'file:///dev/zero'><scxml xmlns='{NAMESPACE}'/>",
    "an entity of nobody": lambda: state("&nbsp;"),
    "large": lambda: document(" " * 4_000_000),
    "deep": lambda: document("<state>" * 1_000 + "</state>" * 1_000),
    "many elements": lambda: state("<onentry/>" * 100_001),
    "many attributes": lambda: f"""<scxml xmlns='{NAMESPACE}' {numbered("a#='' ", 50_000)}/>""",
    "many states": lambda: document("<state/>" * 3_000),
    "many transitions": lambda: state("<transition event='e'/>" * 11_000),
    "many invokes": lambda: state("<invoke/>" * 1_100),
    "a long id above many": lambda: document(f"<state id='{'x' * 1_000_000}'>{'<state/>' * MANY}</state>"),
    "long ids in depth": lambda: document(
        numbered(f"<state id='{'x' * 200}#'>", 100) + "<state/>" * MANY + "</state>" * 100
    ),
}
LIVES: dict[str, Make] = {
    "lines": lambda: document("\n" * LOTS + "<state/>"),
    "character references": lambda: data("&#10;" * 700_000),
    "deep JSON": lambda: data("[" * LOTS),
    "a number in JSON": lambda: data("9" * LOTS),
    "many descriptors": lambda: state(f"<transition event='{numbered('e#', 400_000, ' ')}'/>"),
    "a long descriptor": lambda: state(f"<transition event='{'e.' * 1_900_000}'/>"),
    "one target many times": lambda: state(f"<transition event='e' target='{'a ' * 1_900_000}'/>"),
    "many targets": lambda: document(
        f"""<parallel>{numbered("<state id='s#'/>", 900)}</parallel>"""
        f"<state id='z'><transition event='e' target='{numbered('s#', 900, ' ')}'/></state>",
        initial="z",
    ),
    "a long condition": lambda: document(
        f"<state><transition event='e' cond='In({' ' * LOTS}'/></state>", datamodel="null"
    ),
    "many guards": lambda: state("<transition event='e' cond='False'/>" * 9_900),
    "guards in many regions": lambda: regions("<transition cond='False'/>"),
    "transitions in many regions": lambda: regions("<transition event='e' target='s#'/>"),
    "handlers in many regions": lambda: regions("<onentry><log expr='In'/></onentry>"),
    "documents within documents": lambda: document(nested(30)),
    "many children": lambda: state(child("<state/>") * 990),
}
TOLD: dict[str, Make] = {
    "more and more delayed events": lambda: document(
        f"""{N}<state id='a'>{GO}
        <transition event='e'><send event='e'/>{"<send event='d' delay='1s'/>" * 9}</transition>
        <transition event='error.communication' target='told'/></state><state id='told'/>"""
    ),
    "loops within loops": lambda: entry("<foreach array='list(range(9999))' item='y'>" * 9 + "</foreach>" * 9),
    "many data": lambda: document(
        f"""<datamodel>{numbered("<data id='x#' expr='0'/>", 12_500)}</datamodel><state id='a'>"""
        "<transition event='error.execution' target='told'/></state><state id='told'/>"
    ),
    "a long name": lambda: entry("<send eventexpr='chr(120) * 1000000'/>"),
    "many long names": lambda: entry(each("<send eventexpr='chr(120) * 1000000 + str(i)'/>")),
    "large messages": lambda: entry(each(large())),
    "large messages for later": lambda: entry(each(large("delay='1s'"))),
    "large messages to itself": lambda: entry(each(large("target='#_internal'"))),
    "large logs": lambda: entry(each("<log expr='chr(120) * 1000000 + str(i)'/>")),
    "a long type": lambda: entry("<send event='e' typeexpr='chr(120) * 1000000'/>"),
    "a long target": lambda: entry("<send event='e' targetexpr='chr(120) * 1000000'/>"),
    "digits for a delay": lambda: entry("<send event='e' delayexpr='chr(49) * 1000000'/>"),
    "a power": lambda: entry("<log expr='9 ** 9 ** 9'/>"),
    "a shift": lambda: entry("<log expr='1 &lt;&lt; 10 ** 10'/>"),
    "a repetition": lambda: entry("<log expr='[0] * 10 ** 10'/>"),
    "a text of a large integer": lambda: entry("<log expr='str(2 ** 8000 * 2 ** 8000)'/>"),
    "a wide format": lambda: entry("<log expr='\"{:9999999999}\".format(1)'/>"),
    "a wide f-string": lambda: entry("<log expr='f\"{1:9999999999}\"'/>"),
    "comprehensions": lambda: entry("<log expr='[0 for a in range(9999) for b in range(9999)]'/>"),
    "a deep expression": lambda: entry(f"<log expr='{'(' * 30_000}1{')' * 30_000}'/>"),
    "a script for ever": lambda: entry("<script>while True: pass</script>"),
    "recursion": lambda: entry("<script>def f(n): return f(n + 1)\nf(0)</script>"),
    "values that double": lambda: entry("<script>x = [0]\nwhile True: x = x + x</script>"),
    "values within values": lambda: entry("<script>x = [0]\nwhile True: x = [x]</script>"),
    "a pattern": lambda: entry('<log expr=\'re.match("(a+)+$", "a" * 99 + "b")\'/>'),
    "an import": lambda: entry("<script>import re</script>"),
}
ENDLESS: dict[str, Make] = {
    "many handlers": lambda: state("<onentry><raise event='x'/></onentry>" * 12_000),
    "children for ever": lambda: state(child("<final/>") + "<transition event='done.invoke' target='a'/>"),
    "eventless for ever": lambda: state("<transition target='a'/>"),
    "many states for ever": lambda: document(
        f"<state id='q'><transition target='q'/><parallel>{'<state/>' * MANY}</parallel></state>"
    ),
    "many states and events for ever": lambda: document(
        f"<state id='q'>{GO}<transition event='e' target='q'/><parallel>{'<state/>' * MANY}</parallel></state>"
    ),
    "names for ever": lambda: document(
        f"{N}<parallel id='p'>{GO}<transition event='*'><assign location='n' expr='n + 1'/>"
        f"<send eventexpr='chr(120) * 240 + str(n)'/></transition>{'<state/>' * 800}</parallel>"
    ),
    "steps for ever": lambda: state(
        f"<onentry>{SELF}</onentry><transition event='e'><script>while True: pass</script></transition>"
        "<transition event='error.execution' target='a'/>"
    ),
    "large messages for ever": lambda: state(
        f"""<onentry><send event='f'/>{each(large("delay='1s'"), 4)}</onentry><transition event='f' target='a'/>"""
    ),
    "large internal messages for ever": lambda: state(
        f"""<onentry>{SELF}</onentry><transition event='e'>{each(large("target='#_internal'"), 4)}</transition>"""
        "<transition event='error.execution' target='a'/>"
    ),
    "doubling for ever": lambda: state(
        "<transition cond='True' target='a'><assign location='n' expr='n + n + 1'/></transition>", N
    ),
    "large results for ever": lambda: document(
        "<state id='a'><transition event='done.state.a' target='a'/>"
        "<final><donedata><content expr='chr(120) * 7000000'/></donedata></final></state>"
    ),
}
DOCUMENTS: dict[str, Iterable[tuple[str, Make]]] = {
    "refused": REFUSED.items(),
    "lives": LIVES.items(),
    "told": TOLD.items(),
    "endless": ENDLESS.items(),
}
"""By how they end: refused when read; run without harm; told of an error and run on; stopped as endless."""


def run(text: str) -> str:
    """How a document ends."""
    try:
        session = Session(read(text), processor=Processor(VirtualClock()))
        session.send("e")
        session.send("f")
    except DocumentInvalid:
        return "refused"
    except EndlessLoop as error:
        return "endless" if len(str(error)) < 200_000 else "endless, and it talks about it for ever"
    return "told" if session.configuration == ("told",) else "lives"


def main() -> None:
    """Run the documents of a group within so many bytes and seconds, as given."""
    group, size, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for name, make in DOCUMENTS[group]:
        sys.stdout.write(json.dumps([name, run(make())]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

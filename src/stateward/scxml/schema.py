"""What stands where in an SCXML document: the tables of the specification's elements, and the check against them.

Each row is one element: the attributes it may have and must have, what may be in it, and what excludes what
(SCXML 1.0, sections 3 to 6). Elements and attributes of other namespaces are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from stateward.errors import DocumentInvalid
from stateward.scxml.xml import NAMESPACE, Element

__all__ = ["EXECUTABLE", "RULES", "Rule", "check"]

EXECUTABLE = frozenset(("raise", "if", "foreach", "log", "assign", "script", "send", "cancel"))
"""Executable content (section 4), and the elements of section 5 and 6 that may stand among it."""


@dataclass(frozen=True)
class Rule:
    """One element's row."""

    may: str = ""
    """Attributes that it may have."""
    must: str = ""
    """Attributes that it must have."""
    children: frozenset[str] = frozenset()
    once: str = ""
    """Children of which there is one at most."""
    not_both: tuple[tuple[str, str], ...] = ()
    """Attributes, or elements in <>, of which there is one at most."""
    one_of: str = ""
    """Attributes of which there is exactly one."""
    has_text: bool = False
    """Whether it can hold text, a script's say."""
    holds_data: bool = False
    """Whether it can hold elements that are data: of any name."""
    choices: tuple[tuple[str, str], ...] = ()
    """Attributes with the values that they can have."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


RULES: dict[str, Rule] = {
    "scxml": Rule(
        may="initial name version datamodel binding exmode profile",  # the last two are of earlier drafts
        children=_names("state parallel final datamodel script"),
        once="datamodel script",
        choices=(("binding", "early late"), ("version", "1.0")),
    ),
    "state": Rule(
        may="id initial",
        children=_names("onentry onexit transition initial state parallel final history datamodel invoke"),
        once="initial datamodel",
        not_both=(("initial", "<initial>"),),
    ),
    "parallel": Rule(
        may="id",
        children=_names("onentry onexit transition state parallel history datamodel invoke"),
        once="datamodel",
    ),
    "transition": Rule(may="event cond target type", children=EXECUTABLE, choices=(("type", "internal external"),)),
    "initial": Rule(children=_names("transition"), once="transition"),
    "final": Rule(may="id", children=_names("onentry onexit donedata"), once="donedata"),
    "onentry": Rule(children=EXECUTABLE),
    "onexit": Rule(children=EXECUTABLE),
    "history": Rule(
        may="id type", children=_names("transition"), once="transition", choices=(("type", "shallow deep"),)
    ),
    "raise": Rule(must="event"),
    "if": Rule(must="cond", children=EXECUTABLE | {"elseif", "else"}, once="else"),
    "elseif": Rule(must="cond"),
    "else": Rule(),
    "foreach": Rule(may="index", must="array item", children=EXECUTABLE),
    "log": Rule(may="label expr"),
    "datamodel": Rule(children=_names("data")),
    "data": Rule(may="src expr", must="id", has_text=True, holds_data=True, not_both=(("src", "expr"),)),
    "assign": Rule(may="expr", must="location", has_text=True, holds_data=True),
    "donedata": Rule(children=_names("content param"), once="content", not_both=(("<content>", "<param>"),)),
    "content": Rule(may="expr", has_text=True, holds_data=True),
    "param": Rule(must="name", may="expr location", one_of="expr location"),
    "script": Rule(may="src", has_text=True),
    "send": Rule(
        may="event eventexpr target targetexpr type typeexpr id idlocation delay delayexpr namelist",
        children=_names("param content"),
        once="content",
        not_both=(
            ("event", "eventexpr"),
            ("target", "targetexpr"),
            ("type", "typeexpr"),
            ("id", "idlocation"),
            ("delay", "delayexpr"),
            ("<content>", "<param>"),
            ("namelist", "<content>"),
        ),
    ),
    "cancel": Rule(may="sendid sendidexpr", one_of="sendid sendidexpr"),
    "invoke": Rule(
        may="type typeexpr src srcexpr id idlocation namelist autoforward",
        children=_names("param finalize content"),
        once="finalize content",
        not_both=(
            ("type", "typeexpr"),
            ("src", "srcexpr"),
            ("id", "idlocation"),
            ("namelist", "<param>"),
            ("src", "<content>"),
            ("srcexpr", "<content>"),
        ),
        choices=(("autoforward", "true false"),),
    ),
    "finalize": Rule(children=EXECUTABLE - {"raise", "send"}),
}


def check(root: Element, document: str) -> None:
    """Hold a document against the tables.

    Raises:
        DocumentInvalid: the first element that breaks a rule.
    """
    if root.tag != "scxml" or root.namespace != NAMESPACE:
        where = f"of the namespace {root.namespace!r}" if root.namespace else "of no namespace"
        problem = f'is the root, {where}; a document\'s root is <scxml xmlns="{NAMESPACE}">'
        raise DocumentInvalid(problem, document=document, line=root.line, element=root.tag)
    for element in root.walk():
        for at, problem in _problems(element):
            raise DocumentInvalid(problem, document=document, line=at.line, element=at.tag)
        if element.tag == "content":  # of an <invoke>, that may be a document of its own
            for each in element.all("scxml"):
                check(each, document)


_Problem = tuple[Element, str]
"""The element at fault, and what is wrong with it."""


def _problems(element: Element) -> Iterator[_Problem]:
    rule = RULES[element.tag]  # what stands where it can't is told of its parent, before it is its own turn
    yield from ((element, problem) for problem in _of_attributes(element, rule))
    yield from _of_children(element, rule)
    if element.tag in ("initial", "history"):
        yield from ((element, problem) for problem in _of_default(element))
    if element.tag == "if":
        yield from ((element, problem) for problem in _of_branches(element))


def _of_attributes(element: Element, rule: Rule) -> Iterator[str]:
    given = {name for name in element.attributes if not name.startswith("{")}
    allowed = _names(f"{rule.may} {rule.must}")
    for name in sorted(given - allowed):
        yield f"has the attribute {name}; it can have {', '.join(sorted(allowed)) or 'none'}"
    for name in rule.must.split():
        if name not in given:
            yield f"lacks the attribute {name}"
    one_of = rule.one_of.split()
    if one_of and len(given.intersection(one_of)) != 1:
        yield f"has exactly one of the attributes {', '.join(one_of)}"
    for name, values in rule.choices:
        value = element.get(name)
        if value is not None and value not in values.split():
            yield f"has {name}={value!r}; it can be {' or '.join(values.split())}"
    tags = {f"<{each.tag}>" for each in element.elements}
    for one, other in rule.not_both:
        if {one, other} <= given | tags:
            yield f"has both {one} and {other}; it can have one of them"


def _of_children(element: Element, rule: Rule) -> Iterator[_Problem]:
    for each in element.elements:
        if each.tag not in rule.children and not rule.holds_data:
            what = "is no element of SCXML 1.0" if each.tag not in RULES else f"can't stand in <{element.tag}>"
            yield each, f"{what}; <{element.tag}> can hold {', '.join(sorted(rule.children)) or 'nothing'}"
    counts = Counter(each.tag for each in element.elements)
    for tag in rule.once.split():
        if counts[tag] > 1:
            yield element.all(tag)[1], f"is the second in <{element.tag}>, which can hold one"
    texts = [each.strip() for each in element.children if isinstance(each, str) and each.strip()]
    if texts and not rule.has_text:
        yield element, f"holds the text {texts[0][:40]!r}; it can hold none"
    given = [name for name in ("expr", "src") if rule.has_text and element.get(name) is not None]
    if given and (texts or element.elements):
        yield element, f"has both {given[0]} and content of its own; it can have one of them"


def _of_default(element: Element) -> Iterator[str]:
    transition = element.first("transition")
    if transition is None:
        if element.tag == "initial":
            yield "lacks its <transition>"
    elif transition.get("event") is not None or transition.get("cond") is not None:
        yield "has a <transition> with event or cond, which nobody would wait for here"
    elif not transition.get("target"):
        yield "has a <transition> without a target"


def _of_branches(element: Element) -> Iterator[str]:
    tags = [each.tag for each in element.elements]
    if "else" in tags and "elseif" in tags[tags.index("else") :]:
        yield "holds an <elseif> after its <else>"

"""Where events lead: small charts, each with the states it should be in at the start and after each event."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stateward.scxml import Session, VirtualClock, read
from tests.scxml.documents import document

Walk = list[tuple[str, str]]
"""Events, and the states after each, joined by blanks; a number is seconds that pass. The first event is the start."""


def follow(body: str, walk: Walk, **attributes: str) -> None:
    """Start a document of this body, send it the events, and look where it is each time."""
    clock = VirtualClock()
    session = Session(read(document(body, **attributes)), clock=clock)
    for event, expected in walk:
        if event.replace(".", "").isdecimal():
            clock.advance(timedelta(seconds=float(event)))
            session.run_due()
        elif event:
            session.send(event)
        assert " ".join(session.configuration) == expected, f"after {event or 'the start'}"


def states(*names: str) -> str:
    """Plain states of these names."""
    return "".join(f'<state id="{name}"/>' for name in names)


def state(name: str, *arcs: str) -> str:
    """A state with transitions, each given as `event target`."""
    found = [each.partition(" ") for each in arcs]
    content = "".join(f'<transition event="{event}" target="{target}"/>' for event, _, target in found)
    return f'<state id="{name}">{content}</state>'


CHARTS: dict[str, tuple[str, Walk]] = {
    "nothing happens without a transition": (state("a"), [("", "a"), ("t", "a")]),
    "one transition": (state("a", "t b") + states("b"), [("", "a"), ("t", "b"), ("t", "b")]),
    "a loop of transitions": (
        state("a", "t1 b") + state("b", "t2 c") + state("c", "t3 a"),
        [("", "a"), ("t1", "b"), ("t3", "b"), ("t2", "c"), ("t3", "a")],
    ),
    "of two in one state the first in document order": (
        state("a", "t b", "t c") + states("b", "c"),
        [("", "a"), ("t", "b")],
    ),
    "the initial state by attribute": (
        '<state id="p" initial="b"><state id="a"/><state id="b"/></state>',
        [("", "b")],
    ),
    "the initial state by element": (
        '<state id="p"><initial><transition target="b"/></initial><state id="a"/><state id="b"/></state>',
        [("", "b")],
    ),
    "the descendant's transition goes before the ancestor's": (
        '<state id="p"><state id="a"><transition event="t" target="b"/></state><state id="b"/>'
        '<transition event="t" target="c"/></state>' + states("c"),
        [("", "a"), ("t", "b"), ("t", "c")],
    ),
    "the ancestor's transition where the descendant has none that holds": (
        '<state id="p"><state id="a"><transition event="t" cond="False" target="b"/></state><state id="b"/>'
        '<transition event="t" target="c"/></state>' + states("c"),
        [("", "a"), ("t", "c")],
    ),
    "a transition into the depth": (
        state("a", "t b12") + '<state id="b"><state id="b1"><state id="b11"/><state id="b12"/></state></state>',
        [("", "a"), ("t", "b12")],
    ),
    "a shallow history": (
        state("a", "t h", "u b3")
        + '<state id="b" initial="b1"><history id="h"><transition target="b2"/></history>'
        + states("b1")
        + state("b2", "t b3")
        + state("b3", "t a")
        + "</state>",
        [("", "a"), ("t", "b2"), ("t", "b3"), ("t", "a"), ("t", "b3")],
    ),
    "a shallow history remembers the child, not what was within": (
        state("a", "t h")
        + '<state id="b"><history id="h"><transition target="b1"/></history><transition event="back" target="a"/>'
        + f'<state id="b1">{state("b11", "t b12")}{states("b12")}</state></state>',
        [("", "a"), ("t", "b11"), ("t", "b12"), ("back", "a"), ("t", "b11")],
    ),
    "a deep history remembers what was within": (
        state("a", "t h")
        + '<state id="b"><history id="h" type="deep"><transition target="b1"/></history>'
        + '<transition event="back" target="a"/>'
        + f'<state id="b1">{state("b11", "t b12")}{states("b12")}</state></state>',
        [("", "a"), ("t", "b11"), ("t", "b12"), ("back", "a"), ("t", "b12")],
    ),
    "a history of a parallel": (
        state("a", "t h")
        + '<parallel id="p"><history id="h" type="deep"><transition target="x2 y2"/></history>'
        + '<transition event="back" target="a"/>'
        + f'<state id="x">{state("x1")}{state("x2", "t x1")}</state>'
        + f'<state id="y">{state("y1")}{state("y2")}</state></parallel>',
        [("", "a"), ("t", "x2 y2"), ("t", "x1 y2"), ("back", "a"), ("t", "x1 y2")],
    ),
    "a parallel in a parallel": (
        (
            '<parallel id="p"><parallel id="q"><state id="a"><transition event="t" target="b"/></state>'
            '<state id="b"/></parallel><state id="c"/></parallel>'
        ),
        [("", "a b c"), ("t", "a b c")],
    ),
    "both regions move on one event": (
        (
            f'<parallel id="p"><state id="x">{state("x1", "t x2")}{states("x2")}</state>'
            f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>'
        ),
        [("", "x1 y1"), ("t", "x2 y2")],
    ),
    "a region's way out takes all regions along": (
        f'<parallel id="p"><state id="x">{state("x1", "t x2")}{states("x2")}</state>'
        f'<state id="y">{state("y1", "u out")}</state></parallel>' + state("out"),
        [("", "x1 y1"), ("t", "x2 y1"), ("u", "out")],
    ),
    "of two ways out the first region's": (
        f'<parallel id="p"><state id="x">{state("x1", "t a")}</state>'
        f'<state id="y">{state("y1", "t b")}</state></parallel>' + states("a", "b"),
        [("", "x1 y1"), ("t", "a")],
    ),
    "the first region's way out interrupts the second region's move": (
        f'<parallel id="p"><state id="x">{state("x1", "t a")}</state>'
        f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>' + states("a"),
        [("", "x1 y1"), ("t", "a")],
    ),
    "the first region's move interrupts the second region's way out": (
        f'<parallel id="p"><state id="x">{state("x1", "t x2")}{states("x2")}</state>'
        f'<state id="y">{state("y1", "t b")}</state></parallel>' + states("b"),
        [("", "x1 y1"), ("t", "x2 y1"), ("t", "b")],
    ),
    "a region's move interrupts the parallel's own way out": (
        '<parallel id="p"><transition event="t" target="out"/>'
        f'<state id="x">{state("x1", "t x2")}{states("x2")}</state>'
        f'<state id="y">{state("y1")}</state></parallel>' + states("out"),
        [("", "x1 y1"), ("t", "x2 y1"), ("t", "out")],
    ),
    "the parallel's way out through an earlier region gives way to a later region's move": (
        '<parallel id="p"><transition event="t" target="out"/>'
        f'<state id="x">{state("x1")}</state>'
        f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>' + states("out"),
        [("", "x1 y1"), ("t", "x1 y2"), ("t", "out")],
    ),
    "an ancestor's way out through an earlier region gives way to a later region's way out": (
        '<state id="s"><transition event="t" target="a"/><parallel id="p">'
        f'<state id="x">{state("x1")}</state>'
        f'<state id="y">{state("y1", "t b")}</state></parallel></state>' + states("a", "b"),
        [("", "x1 y1"), ("t", "b")],
    ),
    "a move within a nested parallel and one beside it": (
        (
            '<parallel id="p"><state id="x"><parallel id="q">'
            f'<state id="q1">{state("q11", "t q12")}{states("q12")}</state>'
            f'<state id="q2">{state("q21", "t q22")}{states("q22")}</state></parallel></state>'
            f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>'
        ),
        [("", "q11 q21 y1"), ("t", "q12 q22 y2")],
    ),
    "a nested parallel is left while the other region moves": (
        (
            '<parallel id="p"><state id="x"><parallel id="q">'
            f'<state id="q1">{state("q11", "t x2")}</state>'
            f'<state id="q2">{state("q21", "t q22")}{states("q22")}</state></parallel>{states("x2")}</state>'
            f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>'
        ),
        [("", "q11 q21 y1"), ("t", "x2 y2")],
    ),
    "three regions, of which the outer two leave": (
        f'<parallel id="p"><state id="x">{state("x1", "t a")}</state>'
        f'<state id="y">{state("y1", "t y2")}{states("y2")}</state>'
        f'<state id="z">{state("z1", "t b")}</state></parallel>' + states("a", "b"),
        [("", "x1 y1 z1"), ("t", "a")],
    ),
    "a transition from a region to its own child re-enters all regions": (
        (
            '<parallel id="p"><state id="x"><transition event="back" target="x1"/>'
            f"{state('x1', 't x2')}{states('x2')}</state>"
            f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>'
        ),
        [("", "x1 y1"), ("t", "x2 y2"), ("back", "x1 y1")],
    ),
    "an internal transition from a region to its own child leaves the others alone": (
        (
            '<parallel id="p"><state id="x"><transition event="back" type="internal" target="x1"/>'
            f"{state('x1', 't x2')}{states('x2')}</state>"
            f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>'
        ),
        [("", "x1 y1"), ("t", "x2 y2"), ("back", "x1 y2")],
    ),
    "a transition into one region from outside": (
        state("a", "t x2")
        + f'<parallel id="p"><state id="x">{states("x1", "x2")}</state><state id="y">{states("y1", "y2")}</state>'
        + "</parallel>",
        [("", "a"), ("t", "x2 y1")],
    ),
    "a transition into several regions": (
        state("a", "t y2 x2")
        + f'<parallel id="p"><state id="x">{states("x1", "x2")}</state><state id="y">{states("y1", "y2")}</state>'
        + f'<state id="z">{states("z1")}</state></parallel>',
        [("", "a"), ("t", "x2 y2 z1")],
    ),
    "a transition of the parallel itself into one region": (
        (
            '<parallel id="p"><transition event="back" target="x1"/>'
            f'<state id="x">{state("x1", "t x2")}{states("x2")}</state>'
            f'<state id="y">{state("y1", "t y2")}{states("y2")}</state></parallel>'
        ),
        [("", "x1 y1"), ("t", "x2 y2"), ("back", "x1 y1")],
    ),
    "a target that is no ancestor's child, deep in an initial": (
        '<state id="p" initial="p12"><state id="p1"><state id="p11"/><state id="p12"/></state></state>',
        [("", "p12")],
    ),
    "a self-transition of a compound state enters its initial state": (
        f'<state id="p"><transition event="again" target="p"/>{state("a", "t b")}{states("b")}</state>',
        [("", "a"), ("t", "b"), ("again", "a")],
    ),
    "an internal transition to the state itself is external": (
        f'<state id="p"><transition event="again" type="internal" target="p"/>{state("a", "t b")}{states("b")}</state>',
        [("", "a"), ("t", "b"), ("again", "a")],
    ),
    "a final child is a state like any other until it is asked for": (
        (
            '<state id="p"><state id="a"><transition event="t" target="f"/></state><final id="f"/>'
            '<transition event="back" target="a"/></state>'
        ),
        [("", "a"), ("t", "f"), ("back", "a")],
    ),
    "a completion leads on": (
        f'<state id="p"><transition event="done.state.p" target="c"/>{state("a", "t f")}<final id="f"/></state>'
        + states("c"),
        [("", "a"), ("t", "c")],
    ),
    "prefixes of names": (
        state("a", "foo.bar b") + state("b", "foo c") + state("c", "foo.* d") + state("d", "* e") + states("e"),
        [
            ("", "a"),
            ("foo", "a"),
            ("foo.barbaz", "a"),
            ("foo.bar", "b"),
            ("fo", "b"),
            ("foo.x.y", "c"),
            ("foo", "d"),
            ("x", "e"),
        ],
    ),
    "several descriptors": (
        '<state id="a"><transition event="x foo.bar y" target="b"/></state>' + state("b", "y.* c") + states("c"),
        [("", "a"), ("foo", "a"), ("foo.bar.baz", "b"), ("yy", "b"), ("y", "c")],
    ),
    "names differ by case": (state("a", "Go b") + states("b"), [("", "a"), ("go", "a"), ("GO", "a"), ("Go", "b")]),
    "after a while": (
        '<state id="a"><onentry><send event="e" delay="10ms"/></onentry><transition event="e" target="b"/></state>'
        + states("b"),
        [("", "a"), ("0.005", "a"), ("0.005", "b")],
    ),
    "sent on the way out, handled where it leads": (
        '<state id="a"><onexit><send event="e"/></onexit><transition event="t" target="b"/></state>'
        + state("b", "e c")
        + states("c"),
        [("", "a"), ("t", "c")],
    ),
    "sent by a transition": (
        '<state id="a"><transition event="t" target="b"><send event="e"/></transition></state>'
        + state("b", "e c")
        + states("c"),
        [("", "a"), ("t", "c")],
    ),
    "sent on the way in": (
        state("a", "t b")
        + '<state id="b"><onentry><send event="e"/></onentry><transition event="e" target="c"/></state>'
        + states("c"),
        [("", "a"), ("t", "c")],
    ),
    "sent on the way in, after the state was left without an event": (
        state("a", "t b")
        + '<state id="b"><onentry><send event="e"/></onentry><transition event="e" target="f"/>'
        + '<transition target="c"/></state>'
        + state("c", "e d", "e f")
        + states("d", "f"),
        [("", "a"), ("t", "d")],
    ),
    "raised events before sent ones": (
        '<state id="a"><transition event="t" target="b"><send event="s"/><raise event="r"/></transition></state>'
        + state("b", "r c", "s f")
        + state("c", "s d")
        + states("d", "f"),
        [("", "a"), ("t", "d")],
    ),
    "sent to itself as an internal event": (
        '<state id="a"><transition event="t" target="b"><send event="s"/><send event="i" target="#_internal"/>'
        "</transition></state>" + state("b", "i c", "s f") + state("c", "s d") + states("d", "f"),
        [("", "a"), ("t", "d")],
    ),
    "a transition without a target stays": (
        '<datamodel><data id="x" expr="0"/></datamodel><state id="a">'
        '<transition event="t"><assign location="x" expr="x + 1"/></transition>'
        '<transition event="u" cond="x == 2" target="b"/></state>' + states("b"),
        [("", "a"), ("u", "a"), ("t", "a"), ("t", "a"), ("u", "b")],
    ),
    "a transition without a target preempts the ancestor's": (
        '<state id="p"><transition event="t" target="b"/><state id="a"><transition event="t"/></state></state>'
        + states("b"),
        [("", "a"), ("t", "a")],
    ),
    "a condition reads what the small step before it assigned": (
        '<datamodel><data id="i" expr="0"/></datamodel>'
        '<state id="a"><transition event="t" target="b"><assign location="i" expr="0"/></transition></state>'
        '<state id="b"><transition cond="i &lt; 100" target="b"><assign location="i" expr="i + 1"/></transition>'
        '<transition cond="i == 100" target="c"/></state>' + state("c", "t2 a"),
        [("", "a"), ("t", "c"), ("t2", "a"), ("t", "c")],
    ),
    "conditions in order": (
        '<state id="a"><transition event="t" cond="False" target="b"/><transition event="t" cond="True" target="c"/>'
        '<transition event="t" target="d"/></state>' + states("b", "c", "d"),
        [("", "a"), ("t", "c")],
    ),
    "another region is asked": (
        (
            """<parallel id="p"><state id="x"><state id="x1">"""
            """<transition event="t" cond="In('y2')" target="x2"/></state>"""
            f'<state id="x2"/></state><state id="y">{state("y1", "u y2")}{states("y2")}</state></parallel>'
        ),
        [("", "x1 y1"), ("t", "x1 y1"), ("u", "x1 y2"), ("t", "x2 y2")],
    ),
    "a loop over a list": (
        '<datamodel><data id="n" expr="0"/><data id="s" expr="0"/></datamodel>'
        '<state id="a"><onentry><foreach array="[2, 3, 5]" item="v" index="k">'
        '<assign location="n" expr="n + v"/><assign location="s" expr="s + k"/></foreach></onentry>'
        '<transition event="t" cond="n == 10 and s == 3 and v == 5 and k == 2" target="b"/></state>' + states("b"),
        [("", "a"), ("t", "b")],
    ),
    "several initial states in a parallel": (
        (
            '<state id="s" initial="x2 y2"><parallel id="p">'
            f'<state id="x">{states("x1", "x2")}</state><state id="y">{states("y1", "y2")}</state></parallel></state>'
        ),
        [("", "x2 y2")],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_events_lead_where_the_specification_says(name: str) -> None:
    body, walk = CHARTS[name]
    follow(body, walk)


def test_several_initial_states_of_the_document() -> None:  # 3.2.1
    regions = f'<state id="x">{states("x1", "x2")}</state><state id="y">{states("y1", "y2")}</state>'
    follow(f'<state id="a"/><parallel id="p">{regions}</parallel>', [("", "x2 y2")], initial="x2 y2")


def test_a_document_can_start_in_a_history() -> None:  # 3.10
    history = '<history id="h"><transition target="d"/></history>'
    follow(f'<state id="a"/><state id="b">{history}{states("c", "d")}</state>', [("", "d")], initial="h")

"""Charts as plain data: tables, JSON documents there and back, and what the digest does and doesn't cover."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Union

import msgspec
import pytest

from examples.checkout import CheckoutLifecycle
from stateward import (
    Actions,
    Chart,
    Composite,
    Context,
    DefinitionError,
    Effect,
    Event,
    EventMarker,
    Final,
    FrozenMap,
    Lifecycle,
    Machine,
    Parallel,
    Refusal,
    State,
    after,
    always,
    chart_of,
    done,
    nested,
    on,
    start,
    step,
)
from stateward.chart.fields import FieldTypes
from stateward.demo.incidents import IncidentLifecycle
from stateward.demo.orders import OrderLifecycle
from tests.chart.breaking import Order, Pay, Ship, wrong

pytestmark = pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)


class Cancel(Event):
    pass


class Thank(Effect):
    text: str


def covers(order: Order, event: Pay) -> bool:
    return event.amount >= order.total


def record(order: Order, event: Pay) -> Actions[Order]:
    yield Thank("you")
    return order.replace(total=order.total - event.amount)


def note(order: Order, event: Event) -> Order:
    return order


def amount(order: Order, event: Event) -> int:
    return order.total


def delay(order: Order) -> timedelta:
    return HOUR


# Tables.


class FlatLifecycle(Lifecycle[Order]):
    pending = State(initial=True)
    paid = State()
    shipped = Final()
    cancelled = Final()
    pay = on(Pay, pending.to(paid, when=covers, do=record), pending.stay(do=note))
    ship = on(Ship, paid.to(shipped))
    cancel = on(Cancel, (pending | paid).to(cancelled))


ROWS: list[tuple[Any, ...]] = [
    ("pending", Pay, "paid", covers, record),
    ("pending", Pay, None, None, note),
    ("paid", Ship, "shipped"),
    ("pending", Cancel, "cancelled"),
    ("paid", Cancel, "cancelled"),
]


def flat_table() -> Chart[Order]:
    return Chart.from_table(ROWS, kind="Flat", context=Order, initial="pending", final=("shipped", "cancelled"))


def answers(chart: Chart[Order], events: list[EventMarker]) -> list[Any]:
    """What each event leads to: state, context, effects and the microsteps' states; or the refusal."""
    snapshot = start(chart, Order(total=10)).snapshot
    found: list[Any] = []
    for event in events:
        answer = step(chart, snapshot, event)
        if isinstance(answer, Refusal):
            found.append(answer)
            continue
        snapshot = answer.snapshot
        moves = [(each.exited, each.entered) for each in answer.microsteps]
        found.append((answer.state, snapshot.context, answer.effects, moves, answer.outcome))
    return found


@pytest.mark.parametrize(
    "events",
    [
        [Pay(10), Ship(), Cancel()],
        [Ship(), Pay(3), Pay(10), Pay(10), Cancel(), Ship()],
        [Cancel(), Pay(10)],
        [Event(), Pay(0), Pay(11), Ship()],
    ],
    ids=str,
)
def test_a_table_behaves_as_the_class_does(events: list[EventMarker]) -> None:
    assert answers(flat_table(), events) == answers(chart_of(FlatLifecycle), events)


def test_a_table_is_read_in_order_the_initial_state_first() -> None:
    chart = Chart.from_table(
        [
            ("a.y", Pay, "a.x"),
            ("b", Ship, "a"),
            ("a.x", None, "b", covers_any),
            ("a", Pay, "end"),
            ("a.y", Pay, None),
        ],
        kind="Dotted",
        context=Order,
        initial="a.x",
        final=("end", "lost"),
        version=3,
    )
    assert [(each.path, each.kind.value) for each in chart.states[1:]] == [
        ("a", "composite"), ("a.x", "atomic"), ("a.y", "atomic"), ("b", "atomic"), ("end", "final"), ("lost", "final"),
    ]  # fmt: skip
    assert (chart.kind, chart.version, chart.context_type, chart.lifecycle) == ("Dotted", 3, Order, None)
    assert [each.id for each in chart.transitions] == ["Pay:a.y", "Ship:b", "always:a.x", "Pay:a", "Pay:a.y#2"]
    assert [each.origin for each in chart.transitions] == [f"row {number}" for number in range(1, 6)]
    assert chart.state("b").origin == "row 2"
    assert start(chart, Order()).state == "a.x"
    assert Machine(chart, Order()).send(Pay()).state == "end"


def covers_any(order: Order, event: Event) -> bool:
    return False


@pytest.mark.parametrize(
    ("rows", "subject", "problem"),
    [
        ([("a", Pay)], "row 1", "is not (source, event, target[, guard[, action]])"),
        ([("a", Pay, "b", None, None, None)], "row 1", "is not (source, event, target[, guard[, action]])"),
        ([["a", Pay, "b"]], "row 1", "is not (source, event, target[, guard[, action]])"),
        ([("a", Pay, "b"), ("a", "Ship", "b")], "row 2", "'Ship' is no Event class"),
        ([("a", Pay, "b"), (None, Pay, "b")], "row 2", "None is no path of a state: write it as text"),
        ([("a", Pay, State())], "row 1", "is no path of a state: write it as text"),
        ([("", Pay, "b")], "row 1", "'' is no path of a state: write it as text"),
        ([("a", Pay, "b", "covers")], "row 1", "'covers' is no function with a name"),
        ([("a", Pay, "b", None, delay)], "row 1", "takes 1 arguments; an action takes"),
    ],
)  # fmt: skip
def test_a_wrong_row_is_told_by_its_number(rows: Any, subject: str, problem: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Chart.from_table(rows, kind="Table", context=Order, initial="a", final=("b",))
    assert problem in caught.value.problem
    assert (caught.value.lifecycle, caught.value.subject, caught.value.origin) == ("Table", subject, subject)


@pytest.mark.parametrize(
    ("rows", "options", "subject", "problem", "origin"),
    [
        ([("b", Pay, "a")], {}, "Pay", "leads out of b, which is final", "row 1"),
        ([("a", Pay, "a"), ("a", None, None)], {}, "always", "is eventless, unguarded and stays", "row 2"),
        ([("a", Pay, "a|b")], {}, "a|b", "can't name a state", "row 1"),
        ([("a", Pay, "a..c")], {}, "a.", "can't name a state", "row 1"),
        ([("a", Pay, "b.c")], {}, "b", "is final and can't hold c", "row 1"),
        ([("a", Pay, "b")], {"final": "b"}, "final", "'b' is no tuple: final=('b',)", ""),
        ([("a", Pay, "b")], {"version": 0}, "version", "is 0; it is a whole number from 1", ""),
        ([("a", Pay, "b")], {"context": int}, "context", "<class 'int'> is no Context", ""),
        ([("a", Pay, "b")], {"initial": "b."}, "b.", "can't name a state", ""),
        ([("a", Pay, "b")], {"initial": wrong(None)}, "initial", "None is no path of a state: write it as text", ""),
        ([], {"initial": ""}, "initial", "'' is no path of a state: write it as text", ""),
    ],
)
def test_a_wrong_table_is_told(rows: Any, options: Any, subject: str, problem: str, origin: str) -> None:
    given: dict[str, Any] = {"kind": "Table", "context": Order, "initial": "a", "final": ("b",), **options}
    with pytest.raises(DefinitionError) as caught:
        Chart.from_table(rows, **given)
    assert problem in caught.value.problem
    assert (caught.value.lifecycle, caught.value.subject, caught.value.origin) == ("Table", subject, origin)


# Documents.


class Line(msgspec.Struct, frozen=True):
    article: str
    count: int = 1


class Basket(Context):
    lines: tuple[Line, ...] = ()
    notes: FrozenMap[str, str] = FrozenMap()
    description: str = ""


def keep(basket: Basket, event: Event) -> Basket:
    return basket


def named(name: str, role: str = "action") -> Any:
    """A function of its own with a name that others have too."""

    def action(basket: Basket, event: Event) -> Basket:
        return basket

    def guard(basket: Basket, event: Event) -> bool:
        return True

    found = action if role == "action" else guard
    found.__qualname__ = name
    return found


def wait(basket: Basket) -> timedelta:
    return HOUR


class EverythingLifecycle(Lifecycle[Basket], name="everything"):
    """All that a chart can hold."""

    version = 7

    idle = State(initial=True, entry=(keep, named("same")), exit=named("same"), sla=HOUR, description="Nothing yet.")

    @nested(entry=keep, sla=2 * HOUR)
    class active(Parallel):
        """Two at once."""

        class left(Composite):
            x = State(initial=True)
            y = Final(data=keep)
            go = on(Pay, x.to(y, when=named("same", "guard"), do=named("same")))

        class right(Composite):
            v = State(initial=True)
            w = Final()
            go = on(Pay, v.to(w))

    held = State()
    finished = Final()
    wait_short = after(timedelta(seconds=1.5), idle.to(held))
    wait_long = after(wait, active.to(held))
    begin = on(Ship, idle.to(active.left.x, active.right.v), already=active | held)
    hold = on(Cancel, active.to(held), active.left.stay(do=keep))
    resume = on(Ship, held.to(active.history(deep=True)), name="go_on")
    again = on(Pay, held.to(active.right.history(default=active.right.v)))
    inner = on(Ship, active.left.to(active.left.x, internal=True))
    finish = done(active.to(finished, do=named("same")))
    leave = always(held.to(finished), when=named("never", "guard"))


CHARTS: list[Chart[Any]] = [
    chart_of(EverythingLifecycle),
    chart_of(FlatLifecycle),
    chart_of(CheckoutLifecycle),
    chart_of(OrderLifecycle),
    chart_of(IncidentLifecycle),
    flat_table(),
]


def read_back(chart: Chart[Any], document: Any = None) -> Chart[Any]:
    return Chart.from_document(
        document or chart.to_document(), context=chart.context_type, events=chart.events, handlers=chart.handlers
    )


@pytest.mark.parametrize("chart", CHARTS, ids=repr)
def test_a_document_goes_through_json_text_and_back_to_the_same_digest(chart: Chart[Any]) -> None:
    document = json.loads(json.dumps(chart.to_document()))
    assert document == chart.to_document() == msgspec.json.decode(msgspec.json.encode(chart.to_document()))
    back = read_back(chart, document)
    assert back.digest == chart.digest
    assert back == chart
    assert back.to_document() == document
    assert [each.path for each in back.states] == [each.path for each in chart.states]
    assert [each.id for each in back.transitions] == [each.id for each in chart.transitions]
    assert [each.sla for each in back.states] == [each.sla for each in chart.states]
    assert back.description == chart.description
    assert back.lifecycle is None


def test_what_was_read_back_runs_as_the_class_does() -> None:
    events: list[EventMarker] = [Pay(10), Ship(), Cancel()]
    assert answers(read_back(chart_of(FlatLifecycle)), events) == answers(chart_of(FlatLifecycle), events)
    back = read_back(chart_of(EverythingLifecycle))
    machine = Machine(back, Basket())
    assert machine.send(Ship()).state == "active.left.x|active.right.v"
    assert machine.send(Pay()).state == "finished"


def test_functions_of_one_name_are_told_apart_by_number() -> None:
    chart = chart_of(EverythingLifecycle)
    same = [name for name in chart.handlers if name.startswith("same")]
    assert same == ["same", "same#2", "same#3", "same#4", "same#5"]
    assert len({id(chart.handlers[name]) for name in same}) == 5
    back = read_back(chart)
    assert [back.handlers[name] for name in same] == [chart.handlers[name] for name in same]
    assert {each.name for state in back.states for each in state.exit} == {"same"}


def test_a_document_by_hand_may_leave_out_what_goes_without_saying() -> None:
    chart = Chart.from_document(
        {
            "stateward": 1,
            "kind": "Door",
            "initial": ["opened"],
            "states": [{"name": "opened"}, {"name": "closed"}, {"name": "gone", "kind": "final"}],
            "transitions": [
                {"name": "close", "source": "opened", "event": "Ship", "targets": ["closed"]},
                {"name": "go", "source": "closed", "event": "Pay", "targets": ["gone"], "guard": "covers"},
            ],
            "already": [{"event": "Ship", "states": ["closed"]}],
        },
        context=Order,
        events={"Ship": Ship, "Pay": Pay},
        handlers={"covers": covers},
    )
    machine = Machine(chart, Order(total=3))
    assert [machine.send(each).outcome for each in (Ship(), Ship())] == ["applied", "already_done"]
    assert machine.send(Pay(3)).state == "gone"


def short(order: Order) -> bool:
    return True


def changed(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Sets the value at a path of a document; a path through lists goes by number."""

    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "subject", "problem"),
    [
        (changed("stateward", to=2), "document", "has the form 2; this version reads 1"),
        (
            changed("stateward", to="1"),
            "document",
            "is no chart document: Expected `int`, got `str` - at `$.stateward`",
        ),
        (changed("colour", to="red"), "document", "is no chart document: Object contains unknown field `colour`"),
        (changed("states", 0, "kind", to="odd"), "document", "Invalid enum value 'odd'"),
        (changed("states", 0, "colour", to=1), "document", "contains unknown field `colour` - at `$.states[0]`"),
        (changed("version", to=0), "version", "is 0; it is a whole number from 1"),
        (changed("initial", to=["nowhere"]), "top level", "has the initial nowhere, which is no state"),
        (changed("initial", to=[]), "top level", "has no initial state"),
        (changed("states", 0, "name", to=""), "''", "'' can't name a state"),
        (changed("states", 0, "name", to="a.b"), "a.b", "'a.b' can't name a state"),
        (changed("states", 1, "name", to="pending"), "pending", "is declared twice, first at another place"),
        (changed("states", 2, "sla_s", to=5), "shipped", "is final: nothing is due there, so it takes no sla"),
        (changed("states", 2, "states", to=[{"name": "x"}]), "shipped", "is final and can't hold x"),
        (changed("states", 0, "entry", to=["lost"]), "pending", "names the action lost, which is not among handlers="),
        (changed("transitions", 0, "guard", to="lost"), "pay", "names the guard lost, which is not among handlers="),
        (changed("transitions", 0, "guard", to="short"), "pay", "short takes 1 arguments; a guard takes"),
        (changed("transitions", 0, "guard", to="record"), "pay", "record is a generator, and a guard yields nothing"),
        (changed("transitions", 0, "event", to="Lost"), "pay", "waits for the event Lost, which is not among events="),
        (changed("transitions", 0, "event", to="NoEvent"), "pay", "is no Event class: class Pay(Event)"),
        (changed("transitions", 0, "done", to="paid"), "pay", "waits for Pay and paid at once"),
        (changed("transitions", 0, "source", to="lost"), "pay", "leaves lost, which is no state of this lifecycle"),
        (
            changed("transitions", 0, "targets", to=["lost"]),
            "pay",
            "leads to lost, which is no state of this lifecycle",
        ),
        (changed("transitions", 2, "source", to="shipped"), "ship", "leads out of shipped, which is final"),
        (
            changed("transitions", 2, to={"name": "t", "source": "paid", "timer": "t"}),
            "t",
            "has the timer t without a delay",
        ),
        (
            changed("transitions", 2, to={"name": "t", "source": "paid", "timer": "t", "delay": -1.0}),
            "t",
            "has the delay -1 day, 23:59:59, which is not positive",
        ),
        (
            changed("transitions", 2, to={"name": "t", "source": "paid", "timer": "t", "delay": "lost"}),
            "t",
            "names the delay lost, which is not among handlers=",
        ),
        (
            changed("transitions", 2, to={"name": "t", "source": "paid", "done": "lost"}),
            "t",
            "waits for lost, which is no state of this lifecycle",
        ),
        (changed("already", to=[{"states": ["paid"]}]), "already", "names no event"),
        (changed("already", to=[{"event": "Pay", "states": ["lost"]}]), "Pay", "has already=lost, which is no state"),
        (
            changed("context", "fields", "total", to="str"),
            "Order",
            "has the fields {'total': 'str'}, and the class given has {'total': 'int'}",
        ),
        (
            changed("events", "Pay", to={"sum": "int"}),
            "Pay",
            "has the fields {'sum': 'int'}, and the class given has {'amount': 'int'}",
        ),
    ],
)
def test_a_wrong_document_is_told(change: Callable[[Any], None], subject: str, problem: str) -> None:
    chart = chart_of(FlatLifecycle)
    document = chart.to_document()
    change(document)
    with pytest.raises(DefinitionError) as caught:
        Chart.from_document(
            document,
            context=Order,
            events={**chart.events, "NoEvent": wrong(Order)},
            handlers={**chart.handlers, "short": short},
        )
    assert problem in caught.value.problem
    assert (caught.value.lifecycle, caught.value.subject) == ("Flat", subject)


def test_histories_of_a_document_are_held_against_the_rules_too() -> None:
    def build(**history: Any) -> Chart[Order]:
        states = [{"name": "a"}, {"name": "H", "kind": "shallow_history", **history}]
        group = {"name": "g", "kind": "composite", "initial": ["g.a"], "states": states}
        document = {"stateward": 1, "kind": "Door", "initial": ["g"], "states": [group]}
        return Chart.from_document(document, context=Order)

    assert build().state("g.H").default == build(default=["g.a"]).state("g.H").default
    with pytest.raises(DefinitionError, match=r"Door g\.H: has the history default x, which is no state"):
        build(default=["x"])


def test_no_transition_leads_out_of_a_history() -> None:
    document = chart_of(EverythingLifecycle).to_document()
    document["transitions"][-1]["source"] = "active.H*"
    with pytest.raises(DefinitionError, match=r"leads out of active\.H\*, a history; its default is given by"):
        read_back(chart_of(EverythingLifecycle), document)


def test_fields_of_the_classes_inside_must_match_too() -> None:
    document = chart_of(EverythingLifecycle).to_document()
    assert document["types"] == {"Line": {"article": "str", "count": "int"}}
    document["types"]["Line"]["count"] = "float"
    with pytest.raises(DefinitionError, match=r"everything Line: has the fields .*'count': 'float'"):
        read_back(chart_of(EverythingLifecycle), document)


@pytest.mark.parametrize("document", [[], None, "text", 5])
def test_what_is_no_document_at_all(document: Any) -> None:
    with pytest.raises(DefinitionError, match="document: is no chart document"):
        Chart.from_document(document, context=Order)


# The digest.


def digest_with(**changes: Any) -> str:
    """The digest of one small chart with some of its parts exchanged."""
    given: dict[str, Any] = {
        "name": "Small",
        "version": 1,
        "context": Order,
        "pay": Pay,
        "guard": covers_any,
        "action": note,
        "entry": (),
        "data": None,
        "delay": HOUR,
        "order": ("a", "b", "end"),
        "arcs": ("pay", "ship", "expire"),
        "rename": {},
        "initial": "a",
        "target": "b",
        "internal": False,
        "already": None,
        "sla": None,
        "description": "",
        "doc": None,
        **changes,
    }
    found: dict[str, Any] = {
        "a": State(
            initial=given["initial"] == "a", entry=given["entry"], sla=given["sla"], description=given["description"]
        ),
        "b": State(initial=given["initial"] == "b"),
        "end": Final(data=given["data"]),
    }
    arcs = {
        "pay": on(
            given["pay"],
            found["a"].to(found[given["target"]]),
            when=given["guard"],
            do=given["action"],
            already=found["b"] if given["already"] else None,
        ),
        "ship": on(Ship, found["b"].to(found["end"])),
        "expire": after(given["delay"], found["a"].to(found["end"])),
    }
    body = type(Lifecycle).__prepare__("Small", (Lifecycle,), name=given["name"])
    body["__module__"] = given.get("module", __name__)
    body["__qualname__"] = "Small"
    body["__orig_bases__"] = (wrong(Lifecycle)[given["context"]],)
    body["version"] = given["version"]
    if given["doc"]:
        body["__doc__"] = given["doc"]
    for name in given["order"]:
        body[given["rename"].get(name, name)] = found[name]
    for name in given["arcs"]:
        body[given["rename"].get(name, name)] = arcs[name]
    made = wrong(type(Lifecycle))("Small", (Lifecycle,), body, name=given["name"])
    return chart_of(made).digest


class Sum(Event):
    amount: float = 0
    wire_name = "Pay"


def other_guard(order: Order, event: Event) -> bool:
    return False


def renamed(function: Any, name: str) -> Any:
    function.__qualname__ = name
    return function


OrderOfTwo: Any = msgspec.defstruct("Order", [("total", int, 0), ("more", int, 0)], bases=(Context,), frozen=True)
OrderOfText: Any = msgspec.defstruct("Order", [("total", str, "")], bases=(Context,), frozen=True)
OrderRenamed: Any = msgspec.defstruct("Purchase", [("total", int, 0)], bases=(Context,), frozen=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Other"},
        {"version": 2},
        {"context": OrderOfTwo, "guard": None, "action": None},
        {"context": OrderOfText, "guard": None, "action": None},
        {"pay": Ship},
        {"guard": None},
        {"guard": other_guard},
        {"action": None},
        {"action": renamed(lambda order, event: order, "note_more")},
        {"entry": note},
        {"entry": (note, note)},
        {"data": amount},
        {"delay": 2 * HOUR},
        {"delay": delay},
        {"order": ("b", "a", "end")},
        {"order": ("a", "end", "b")},
        {"arcs": ("ship", "pay", "expire")},
        {"arcs": ("pay", "ship")},
        {"rename": {"a": "first"}},
        {"rename": {"pay": "settle"}},
        {"rename": {"expire": "lapse"}},
        {"initial": "b"},
        {"target": "end"},
        {"already": True},
    ],
)
def test_the_digest_changes_with(changes: dict[str, Any]) -> None:
    plain = {key: None for key in ("guard", "action") if "context" in changes}
    assert digest_with(**changes) != digest_with(**plain)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sla": HOUR},
        {"description": "A state."},
        {"doc": "A lifecycle."},
        {"module": "somewhere.else"},
        {"guard": renamed(lambda order, event: True, "covers_any")},
        {"action": renamed(lambda order, event, meta: order, "note")},
        {"context": OrderRenamed, "guard": None, "action": None},
    ],
)
def test_the_digest_does_not_change_with(changes: dict[str, Any]) -> None:
    plain = {key: None for key in ("guard", "action") if "context" in changes}
    assert digest_with(**changes) == digest_with(**plain)


def test_the_digest_covers_the_types_of_fields_all_the_way_down() -> None:
    def digest(count: Any, description: Any = str) -> str:
        line = msgspec.defstruct("Line", [("count", count)], frozen=True)
        fields = [("lines", wrong(tuple)[line, ...]), ("description", description), ("sla_s", int | None)]
        basket = msgspec.defstruct("Basket", fields, bases=(Context,), frozen=True)
        return digest_with(context=basket, guard=None, action=None)

    assert digest(int) == digest(int)
    assert digest(int) != digest(str)
    # A field may have the name of what the digest leaves out of states.
    assert digest(int) != digest(int, bytes)


class Size(enum.Enum):
    SMALL = 1
    LARGE = ("x", None)
    ODD = object()


def test_the_types_of_fields_are_written_the_same_however_they_are_declared() -> None:
    class Row(msgspec.Struct, frozen=True):
        size: Size
        after: tuple[Row, ...] = ()

    other = msgspec.defstruct("Row", [("weight", float)], frozen=True)
    kinds: dict[str, Any] = {
        "plain": int,
        "perhaps": Optional[int],  # noqa: UP045
        "either": Union[str, int, None],  # noqa: UP007
        "noted": Annotated[int, "a note"],
        "named": NewType("Cents", int),
        "one_of": Literal["a", 1, Size.SMALL],
        "lines": tuple[Row, ...],
        "pair": tuple[other, int],  # type: ignore[valid-type]
        "notes": FrozenMap[str, frozenset[Row]],
    }
    kind = msgspec.defstruct("Kinds", [*kinds.items()], bases=(Context,), frozen=True)
    described = FieldTypes()
    assert described.of(kind) == {
        "plain": "int",
        "perhaps": "int | None",
        "either": "str | int | None",
        "noted": "int",
        "named": "int",
        "one_of": "Literal['a', 1, Size.SMALL]",
        "lines": "tuple[Row, ...]",
        "pair": "tuple[Row#2, int]",
        "notes": "FrozenMap[str, frozenset[Row]]",
    }
    assert described.inside == {
        # Row is local to this function and its annotations are text: what was written is all there is.
        "Row": {"size": "Size", "after": "tuple[Row, ...]"},
        "Row#2": {"weight": "float"},
    }


def test_an_enum_is_written_with_its_members_and_no_address() -> None:
    kind = msgspec.defstruct("Kinds", [("size", Size)], bases=(Context,), frozen=True)
    described = FieldTypes()
    assert described.of(kind) == {"size": "Size"}
    assert described.inside == {"Size": {"SMALL": "1", "LARGE": "('x', None)", "ODD": "object"}}


def test_the_digest_covers_an_events_fields_and_wire_name() -> None:
    def event(name: str, kind: Any, wire: str | None = None) -> Any:
        made = msgspec.defstruct(name, [("amount", kind)], bases=(Event,), frozen=True)
        if wire is not None:
            made.wire_name = wire  # type: ignore[attr-defined] # pyright: ignore
        return made

    plain = digest_with(pay=event("Pay", int))
    assert plain == digest_with(pay=Pay)
    assert plain == digest_with(pay=event("Payment", int, "Pay"))
    assert plain != digest_with(pay=event("Pay", float))
    assert plain != digest_with(pay=event("Payment", int))


def test_a_state_named_as_what_is_left_out_is_not() -> None:
    class OneLifecycle(Lifecycle[Order], name="Same"):
        description = State(initial=True)
        sla_s = Final()
        pay = on(Pay, description.to(sla_s))

    class TwoLifecycle(Lifecycle[Order], name="Same"):
        description = State(initial=True)
        sla = Final()
        pay = on(Pay, description.to(sla))

    assert chart_of(OneLifecycle).digest != chart_of(TwoLifecycle).digest


def test_a_frozen_dataclass_and_a_struct_of_the_same_fields_are_the_same_to_the_digest() -> None:
    from stateward import ContextMarker

    @dataclass(frozen=True)
    class Order(ContextMarker):
        total: int

    assert digest_with(context=Order, guard=None, action=None) == digest_with(guard=None, action=None)


def test_the_digest_is_the_same_in_every_run_of_the_interpreter() -> None:
    program = (
        "import sys, runpy; sys.path.insert(0, '.');"
        "from stateward import chart_of; from stateward.demo.incidents import IncidentLifecycle;"
        "from examples.checkout import CheckoutLifecycle;"
        "print(chart_of(IncidentLifecycle).digest, chart_of(CheckoutLifecycle).digest)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert printed == {f"{chart_of(IncidentLifecycle).digest} {chart_of(CheckoutLifecycle).digest}\n"}

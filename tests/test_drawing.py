"""Charts drawn as Mermaid and Graphviz text: golden drawings, syntax that no name can break, marks, durations.

Graphviz and Mermaid themselves are not needed here; that they read these golden files was checked by hand.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from examples import orders, sqlalchemy_shop, tcp
from examples.checkout import CheckoutLifecycle
from examples.shipping import OrderShipping
from examples.subscription import SubscriptionActivation
from stateward import (
    Chart,
    DefinitionError,
    DefinitionWarning,
    Event,
    Lifecycle,
    chart_of,
)
from stateward.chart.dot import to_dot
from stateward.chart.labels import describe_duration
from stateward.chart.mermaid import to_mermaid
from stateward.demo.incidents import IncidentLifecycle
from stateward.demo.orders import OrderLifecycle
from tests.everything import EverythingLifecycle, Go, Job, Note, Stop

GOLDEN = Path(__file__).parent / "golden"


DRAWN: dict[str, tuple[type[Lifecycle[Any]], tuple[str, ...]]] = {
    "order": (OrderLifecycle, ("paid",)),
    "orders": (orders.OrderLifecycle, ("paying",)),
    "checkout": (CheckoutLifecycle, ("active.payment.unpaid", "active.parcel.packing")),
    "incident": (IncidentLifecycle, ()),
    "shipping": (OrderShipping, ("payment_not_undone",)),
    "subscription": (SubscriptionActivation, ("gathering.facts.account.missing", "gathering.patience.overdue")),
    "parcel": (sqlalchemy_shop.ParcelLifecycle, ("packed",)),
    "tcp": (tcp.ConnectionLifecycle, ("opened.ESTABLISHED",)),
    "everything": (EverythingLifecycle, ("busy", "busy.left.second.inner")),
}
FORMS = {"mermaid": ("mmd", to_mermaid), "dot": ("dot", to_dot)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_drawn_as_its_golden_file_says(name: str, form: str) -> None:
    lifecycle, active = DRAWN[name]
    suffix, draw = FORMS[form]
    text = draw(chart_of(lifecycle), active=active)
    path = GOLDEN / f"drawing_{name}.{suffix}"
    if os.environ.get("STATEWARD_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; after a look at the difference: make golden"


@pytest.mark.parametrize("form", FORMS)
def test_a_drawing_is_the_same_twice_and_whichever_order_the_active_states_come_in(form: str) -> None:
    draw = FORMS[form][1]
    chart = chart_of(CheckoutLifecycle)
    one = draw(chart, active=("active.parcel.packing", "active.payment.unpaid"))
    assert one == draw(chart, active=["active.payment.unpaid", "active.parcel.packing"])
    assert one != draw(chart)


@pytest.mark.parametrize("form", FORMS)
def test_an_active_state_that_the_chart_has_not_is_told(form: str) -> None:
    with pytest.raises(KeyError, match="has no state 'gone'"):
        FORMS[form][1](chart_of(OrderLifecycle), active=("gone",))


@pytest.mark.parametrize("form", FORMS)
def test_a_chart_read_back_from_its_document_is_drawn_the_same(form: str) -> None:
    chart = chart_of(EverythingLifecycle)
    again = Chart.from_document(chart.to_document(), context=Job, events=chart.events, handlers=chart.handlers)
    assert FORMS[form][1](again) == FORMS[form][1](chart)


# Names that might break out of a label, close a block, begin a comment, a list or a keyword.
HOSTILE = [
    'a"b', "a\\", "a{b", "a}b", "[[fork]]", "<<fork>>", "a;b", "%%a", "--", "-->", "[*]", "1.", "-a", "_a_", "__a__",
    "`a`", "<b>a</b>", "&amp;", "&", "état", "状態", "end", "state", "default", "note", "click", "class", "root",
    "a_b", "a-b", "pending_start", "a\\nb", "a\\\"", "#35;", "$(x)", "a\x00b", "a*b", "1st", "STATE", "s_1st", "a.",
]  # fmt: skip


def hostile_chart() -> Chart[Any]:
    """A state, an event and a guard of each hostile name."""
    # In a path a dot would begin a child, and no state's name has a hash.
    states = [name.translate({ord("."): None, ord("#"): None}) for name in HOSTILE]
    rows: list[tuple[Any, ...]] = []
    for number, (name, state) in enumerate(zip(HOSTILE, states, strict=True)):
        event = type(f"E{number}", (Event,), {"wire_name": f"{name} direction TB", "__module__": __name__})

        def guard(job: Job, event: Event) -> bool:
            return True

        guard.__qualname__ = name
        rows.append((state, event, states[(number + 1) % len(states)], guard))
    rows += [("a{b", Stop, "over"), ("over.x[[fork]]", Stop, None), ("over.x[[fork]]", Note, "over")]
    with pytest.warns(DefinitionWarning, match="no way to a final state"):
        return Chart.from_table(rows, kind='Ho"st\\', context=Job, initial="état", final=("ended",))


def test_no_name_breaks_the_syntax_of_mermaid() -> None:
    chart = hostile_chart()
    lines = to_mermaid(chart).splitlines()
    label = r"(?:[^\W_]|[ \[\]/,()·]|#\d+;|(?<=[^\W_])[._-](?=[^\W_]))+"
    forms = [
        r"stateDiagram-v2",
        rf'state "{label}" as (?P<id>[A-Za-z][A-Za-z0-9_]*)( \{{)?',
        rf"(\[\*\]|[A-Za-z]\w*) --> (\[\*\]|[A-Za-z]\w*)( : {label})?",
        rf"[A-Za-z]\w* : {label}",
        r"\}",
        r"classDef mark stroke-dasharray:4 3",
        r"class [\w,]+ mark",
    ]
    strange = [line for line in lines if not any(re.fullmatch(form, line.strip()) for form in forms)]
    assert strange == []
    declared = [found["id"] for line in lines if (found := re.fullmatch(forms[1], line.strip()))]
    assert len(declared) == len(set(declared)) == len(chart.states)  # the root is not declared, `over again` is
    assert not {"end", "state", "default", "note", "click", "class", "root", "STATE", "pending_start"} & set(declared)


def test_no_name_breaks_the_syntax_of_dot() -> None:
    chart = hostile_chart()
    quoted = r'"(?:[^"\\]|\\.)*"'
    value = rf"(?:{quoted}|[\w.]+)"
    options = rf"\[\w+={value}(?:, \w+={value})*\]"
    edge = rf"{quoted} -> {quoted}(?: {options})?"
    statement = rf"(?:(?:digraph|subgraph) {quoted} \{{|\}}|(?:\w+|{quoted}) {options}|{edge})"
    lines = to_dot(chart).splitlines()
    assert [line for line in lines if not re.fullmatch(statement, line.strip())] == []
    declared = [line.strip() for line in lines if re.match(rf"\s*(subgraph )?{quoted} [\[{{]", line)]
    names = [found[0] for line in declared if (found := re.search(quoted, line))]
    assert len(names) == len(set(names))
    assert all("\x00" not in line for line in lines)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=1), "1 day"),
        (timedelta(days=90), "90 days"),
        (timedelta(hours=2, minutes=30), "2 hours 30 minutes"),
        (timedelta(days=1, seconds=1), "1 day 1 second"),
        (timedelta(milliseconds=1500), "1.5 seconds"),
        (timedelta(microseconds=1), "0.000001 seconds"),
        (timedelta(seconds=100), "1 minute 40 seconds"),
        (timedelta(0), "0 seconds"),
    ],
)
def test_a_delay_reads_as_one_says_it(length: timedelta, text: str) -> None:
    assert describe_duration(length) == text


def test_mermaid_says_each_part_of_an_arc() -> None:
    text = to_mermaid(chart_of(EverythingLifecycle))
    for line in [
        "[*] --> idle",
        "idle : entry / count",
        "idle : exit / count, count",
        "idle : Note [is_noted] / count",
        "idle --> looping : after(1 day 2 hours)",
        "looping --> halted : after(patience)",
        "looping_odd --> halted : [is_ready]",
        "looping_any --> looping_even : Stop (internal)",
        "looping --> looping : Stop",
        "busy_left_second_inner --> busy_again : Stop",
        "busy --> halted : done / count",
        "idle --> busy_H_ : Stop",
        "busy_left_H --> busy_left_left_over : default",
        "busy_left_second_ready : data / outcome",
        "busy_left_second_ready --> [*]",
        "state begin_idle_fork <<fork>>",
        "idle --> begin_idle_fork : Go [is_ready] / count",
        "begin_idle_fork --> busy_left_second",
        "begin_idle_fork --> busy_right_quick",
        'state "looping · Note / count" as looping {',
        "--",
    ]:
        assert f"    {line}\n" in text, line


def test_an_initial_state_deeper_than_a_child_stands_in_the_label() -> None:
    chart = chart_of(CheckoutLifecycle)
    document = chart.to_document() | {"initial": ["active.payment.captured", "active.parcel.packing"]}
    deep = Chart.from_document(document, context=chart.context_type, events=chart.events, handlers=chart.handlers)
    assert "[*] --> active : in active.payment.captured, active.parcel.packing\n" in to_mermaid(deep)


def test_a_final_state_takes_no_way_out_in_a_drawing_either() -> None:
    # What the drawing of `--> [*]` relies on: nothing else leads out of a final state.
    with pytest.raises(DefinitionError, match="is final"):
        Chart.from_table([("a", Go, "b"), ("b", Go, "a")], kind="K", context=Job, initial="a", final=("b",))

"""Golden transcripts: whole lives, step by step, reviewed as diffs.

`make golden` writes them anew; what changed in them is what changed in the product.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.checkout import (
    Capture,
    Cart,
    CheckoutLifecycle,
    Decline,
    Dispute,
    HandOver,
    Hold,
    Resume,
    Start,
)
from stateward import Context, Elapsed, EventMarker, Lifecycle, Refusal, Step, chart_of, start, step
from stateward.demo.incidents import (
    Closed,
    Incident,
    IncidentLifecycle,
    Queued,
    Resolved,
    SolvedInCall,
    UserAsked,
    WorkBegun,
)
from stateward.demo.orders import (
    Cancel,
    Charged,
    Declined,
    Deliver,
    Order,
    OrderLifecycle,
    Pay,
    Refunded,
    Reserve,
    SendBack,
    Ship,
)
from stateward.kernel import explain

GOLDEN = Path(__file__).parent.parent / "golden"

TRANSCRIPTS: dict[str, tuple[type[Lifecycle[Any]], Context, list[EventMarker]]] = {
    "order": (
        OrderLifecycle,
        Order(total=4200),
        [
            Ship(), Pay(amount=100), Pay(amount=4200), Declined(reason="no money"), Pay(amount=4200), Pay(amount=4200),
            Cancel(), Charged(payment="pay-1"), Pay(amount=4200), Ship(), Cancel(), Deliver(), SendBack(), Refunded(),
            Pay(amount=1),
        ],
    ),
    "order_expired": (OrderLifecycle, Order(), [Elapsed("expire@pending"), Pay(amount=4200)]),
    "order_lapsed": (OrderLifecycle, Order(), [Reserve(), Elapsed("expire@pending"), Elapsed("lapse@held")]),
    "checkout": (
        CheckoutLifecycle,
        Cart(id="c1"),
        [
            HandOver(), Start(), Decline(), HandOver(), Hold(), Resume(), Dispute(), Resume(), Capture(amount=7),
            Resume(),
        ],
    ),
    "incident": (
        IncidentLifecycle,
        Incident(),
        [
            Queued(impact="High"), WorkBegun(), UserAsked(), WorkBegun(), Queued(), WorkBegun(), Resolved(), Resolved(),
            WorkBegun(), Resolved(), Queued(), WorkBegun(), Resolved(), WorkBegun(), Closed(), SolvedInCall(),
            Elapsed("archive@completed"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_life_goes_as_its_golden_transcript_says(name: str) -> None:
    lifecycle, context, events = TRANSCRIPTS[name]
    text = "\n".join(_told(lifecycle, context, events)) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("STATEWARD_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; after a look at the difference: make golden"


def _told(lifecycle: type[Lifecycle[Any]], context: Context, events: list[EventMarker]) -> Iterator[str]:
    chart = chart_of(lifecycle)
    began = start(chart, context)
    snapshot = began.snapshot
    yield from _step_told("start", began)
    for event in events:
        answer = step(chart, snapshot, event)
        if isinstance(answer, Refusal):
            yield f"{event!r}"
            yield from (f"  {line}" for line in str(explain(snapshot, event)).splitlines())
        else:
            yield from _step_told(repr(event), answer)
            snapshot = answer.snapshot


def _step_told(head: str, answer: Step[Any]) -> Iterator[str]:
    yield head
    yield f"  {answer.outcome}: {answer.state}"
    for each in answer.microsteps:
        exited, entered = " ".join(each.exited) or "-", " ".join(each.entered) or "-"
        yield f"  microstep {' '.join(each.transitions) or '-'}: exits {exited}; enters {entered}"
    yield f"  context {answer.snapshot.context!r}"
    if answer.snapshot.position.history:
        yield f"  history {answer.snapshot.position.history}"
    for effect in answer.effects:
        yield f"  effect {effect!r}"
    for name in answer.timers_cancelled:
        yield f"  cancels {name}"
    for timer in answer.timers_set:
        yield f"  sets {timer.name} in {timer.delay}"
    for event in answer.unhandled:
        yield f"  unhandled {event!r}"

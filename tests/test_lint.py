"""The rules of `stateward check`: for each, what breaks it and what comes near and doesn't."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from examples.checkout import CheckoutLifecycle
from stateward import (
    Chart,
    Composite,
    DefinitionWarning,
    Event,
    Final,
    Lifecycle,
    Parallel,
    State,
    after,
    always,
    chart_of,
    done,
    on,
)
from stateward.chart.lint import Finding, lint
from stateward.demo.incidents import IncidentLifecycle
from stateward.demo.orders import OrderLifecycle
from tests import lint_handlers
from tests.lint_handlers import IMPURE, PURE, Order, Pay, Rules, decorated, holds, keep

HERE = Path(__file__)
THERE = Path(lint_handlers.__file__)


class BigPay(Pay):
    pass


class Ship(Event):
    pass


class Refund(Event):
    pass


class Paid(Event):
    pass


def found(chart: Chart[Any], rule: str = "") -> list[tuple[str, str]]:
    """The rule and subject of each finding."""
    return [(each.rule, each.subject) for each in lint(chart) if each.rule.startswith(rule)]


def table(*rows: tuple[Any, ...], initial: str = "pending", final: tuple[str, ...] = ("closed",)) -> Chart[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DefinitionWarning)
        return Chart.from_table(rows, kind="Order", context=Order, initial=initial, final=final)


@pytest.mark.parametrize("lifecycle", [OrderLifecycle, IncidentLifecycle, CheckoutLifecycle])
def test_well_written_lifecycles_give_no_findings(lifecycle: type[Lifecycle[Any]]) -> None:
    assert lint(chart_of(lifecycle)) == []


# Names and size.


@pytest.mark.parametrize(
    "name", ["pay", "ship", "cancel", "send_invoice", "refund", "Ship", "notify", "big_pay", "SHIP"]
)
def test_a_state_named_as_a_command_is_found(name: str) -> None:
    chart = table(("pending", Refund, name), (name, BigPay, "closed"))
    assert found(chart, "SW101") == [("SW101", name)]


@pytest.mark.parametrize(
    "name",
    [
        "paid", "pending", "shipped", "in_progress", "wait_user", "waiting_for_user", "payment", "sent", "lost", "new",
        "cancel_requested", "shipment", "open", "on_hold", "active", "resolved", "order", "review", "hand_over_done",
        "handed_over", "ready", "start", "draft", "capture", "delivery", "approval", "unpaid", "awaiting_payment",
        "solved_in_call",
    ],
)  # fmt: skip
def test_a_state_named_as_a_condition_or_a_thing_is_not(name: str) -> None:
    chart = table(("pending", Ship, name), (name, Pay, "closed"))
    assert found(chart, "SW101") == []


def test_an_event_in_the_past_tense_may_share_the_name_of_its_state() -> None:
    assert found(table(("pending", Paid, "paid"), ("paid", Ship, "closed"))) == []


@pytest.mark.parametrize("name", ["failed", "failure", "error", "errored", "fault", "Failed", "ERROR"])
def test_a_catch_all_failure_state_is_found(name: str) -> None:
    assert found(table(("pending", Ship, name), (name, Pay, "closed"))) == [("SW102", name)]


@pytest.mark.parametrize("name", ["payment_failed", "charge_declined", "payment.failed", "errors_found", "faulty"])
def test_a_failure_state_that_says_which_failure_is_not(name: str) -> None:
    chart = table(("pending", Ship, name), (name, Pay, "closed"))
    assert found(chart, "SW102") == []


@pytest.mark.parametrize(("count", "severity"), [(100, None), (101, "warning"), (1000, "warning"), (1001, "error")])
def test_too_many_states_are_found(count: int, severity: str | None) -> None:
    names = ["pending", *(f"step_{number}_done" for number in range(2, count)), "closed"]
    chart = table(*((one, Ship, other) for one, other in pairwise(names)))
    assert [each.severity for each in lint(chart) if each.rule == "SW103"] == ([severity] if severity else [])


# The graph.


def test_a_state_that_cannot_be_reached_is_found_without_what_is_in_it() -> None:
    chart = table(
        ("pending", Pay, "closed"),
        ("stranded", Ship, "closed"),
        ("island.east", Ship, "island.west"),
        ("island.west", Ship, "closed"),
    )
    assert found(chart) == [("SW201", "stranded"), ("SW201", "island")]


def test_a_child_beside_the_one_that_is_entered_is_found() -> None:
    chart = table(
        ("pending", Pay, "parcel.packed"), ("parcel.unused", Ship, "parcel.packed"), ("parcel", Ship, "closed")
    )
    assert found(chart) == [("SW201", "parcel.unused")]


class Remembered(Lifecycle[Order]):
    """Every state of it is reached, some only by a region, an ancestor, a history or a completion."""

    idle = State(initial=True)

    class busy(Parallel):
        class left(Composite):
            one = State(initial=True)
            two = State()
            over = Final()
            go = on(Ship, one.to(two), two.to(over))

        class right(Composite):
            slow = State(initial=True)
            quick = State()
            right_over = Final()
            speed = on(Pay, slow.to(quick), quick.to(right_over))

    paused = State()
    closed = Final()
    begin = on(Ship, idle.to(busy.left.two))
    pause = on(Refund, busy.to(paused))
    resume = on(Refund, paused.to(busy.history(deep=True)), name="resume_work")
    restart = on(Pay, paused.to(busy.left.history()))
    finish = done(busy.to(closed))


def test_regions_histories_and_completions_lead_to_states() -> None:
    assert found(chart_of(Remembered)) == []


def test_a_state_without_a_way_to_the_end_is_found() -> None:
    chart = table(
        ("pending", Pay, "closed"),
        ("pending", Ship, "lost"),
        ("lost", Ship, "lost_for_good"),
        ("lost_for_good", Pay, "lost"),
    )
    assert found(chart) == [("SW202", "lost"), ("SW202", "lost_for_good")]


def test_a_way_to_the_end_may_be_an_ancestors_or_another_regions() -> None:
    class OtherRegionLifecycle(Lifecycle[Order]):
        class both(Parallel):
            class left(Composite):
                stuck = State(initial=True)

            class right(Composite):
                moving = State(initial=True)

        closed = Final()
        leave = on(Ship, both.right.moving.to(closed))
        start = State(initial=True)
        begin = on(Pay, start.to(both))

    assert found(chart_of(OtherRegionLifecycle)) == []
    assert found(table(("pending", Pay, "parcel.lost"), ("parcel", Ship, "closed"))) == []


def test_no_way_to_the_end_from_anywhere_is_one_finding() -> None:
    assert found(table(("pending", Pay, "paid"))) == [("SW201", "closed"), ("SW202", "")]


def test_no_final_state_at_all_is_told_and_asks_for_nothing() -> None:
    (finding,) = lint(table(("pending", Pay, "paid"), final=()))
    assert (finding.rule, finding.severity, finding.subject) == ("SW205", "info", "")


def test_the_second_of_two_unguarded_arcs_is_found_once() -> None:
    chart = table(("pending", Pay, "paid"), ("pending", Pay, "closed"), ("paid", Ship, "closed"))
    assert found(chart) == [("SW203", "Pay:pending#2")]
    (finding,) = lint(chart)
    assert "Pay:pending takes the same before it" in finding.message


def test_an_arc_behind_one_for_a_wider_event_is_found() -> None:
    behind = table(("pending", Pay, "paid"), ("pending", BigPay, "closed"), ("paid", Ship, "closed"))
    assert found(behind) == [("SW203", "BigPay:pending")]
    assert found(table(("pending", BigPay, "paid"), ("pending", Pay, "closed"), ("paid", Ship, "closed"))) == []


def test_a_guarded_arc_behind_an_unguarded_one_is_found_and_before_it_not() -> None:
    behind = table(("pending", Pay, "paid"), ("pending", Pay, "closed", holds), ("paid", Ship, "closed"))
    assert found(behind) == [("SW204", "Pay:pending#2")]
    assert found(table(("pending", Pay, "paid", holds), ("pending", Pay, "closed"), ("paid", Ship, "closed"))) == []


def test_what_waits_for_an_event_beside_an_unguarded_eventless_arc_is_found() -> None:
    chart = table(("pending", Pay, "paid"), ("pending", None, "closed"), ("paid", Ship, "closed"))
    assert ("SW204", "Pay:pending") in found(chart)
    assert found(table(("pending", Pay, "paid"), ("pending", None, "closed", holds), ("paid", Ship, "closed"))) == []


def outer(*inner: tuple[Any, ...]) -> Chart[Any]:
    """A composite whose own arc for Pay may be hidden by those inside."""
    return table(*inner, ("order", Pay, "closed"), ("order", Ship, "closed"), initial="order.one")


def test_an_outer_arc_is_dead_only_if_whatever_is_active_inside_takes_the_event() -> None:
    one, other = ("order.one", Pay, "order.other"), ("order.other", Pay, "order.one")
    assert found(outer(one, other)) == [("SW204", "Pay:order")]
    assert found(outer(one, ("order.other", Refund, "order.one"))) == []
    assert found(outer(one, (*other, holds))) == []


def test_an_outer_arc_is_dead_if_one_region_always_moves_instead() -> None:
    class HalfLifecycle(Lifecycle[Order]):
        class both(Parallel):
            class left(Composite):
                one = State(initial=True)
                two = State()
                turn = on(Pay, one.to(two), two.to(one))

            class right(Composite):
                waiting = State(initial=True)

        start = State(initial=True)
        closed = Final()
        begin = on(Ship, start.to(both))
        stop_all = on(Pay, both.to(closed))
        finish = on(Ship, both.to(closed))

    class StayingLifecycle(Lifecycle[Order]):
        class both(Parallel):
            class left(Composite):
                one = State(initial=True)
                note = on(Pay, one.stay(do=keep))

            class right(Composite):
                waiting = State(initial=True)

        start = State(initial=True)
        closed = Final()
        begin = on(Ship, start.to(both))
        stop_all = on(Pay, both.to(closed))

    assert found(chart_of(HalfLifecycle)) == [("SW204", "stop_all:both")]
    # Who stays leaves the outer arc its way.
    assert found(chart_of(StayingLifecycle)) == []


def test_timers_of_one_state_do_not_hide_each_other() -> None:
    class TimedLifecycle(Lifecycle[Order]):
        waiting = State(initial=True)
        reminded = State()
        closed = Final()
        remind = after(timedelta(days=1), waiting.to(reminded))
        give_up = after(timedelta(days=2), waiting.to(closed))
        close_down = after(timedelta(days=2), reminded.to(closed), reminded.to(waiting))

    assert found(chart_of(TimedLifecycle)) == [("SW203", "close_down:reminded#2")]


# Handlers.


def with_handler(function: Callable[..., Any]) -> Chart[Any]:
    guard = function.__annotations__.get("return") == "bool"
    row = ("pending", Pay, "closed", *((function,) if guard else (None, function)))
    return table(row)


def whats(findings: list[Finding]) -> list[str]:
    """The expressions that the messages show in brackets."""
    return [each.message.partition("): ")[0].partition(" (")[2] for each in findings]


@pytest.mark.parametrize(("function", "rule", "shown"), IMPURE, ids=[each[0].__name__ for each in IMPURE])
def test_an_impure_handler_is_found(function: Callable[..., Any], rule: str, shown: list[str]) -> None:
    findings = lint(with_handler(function))
    of_rule = [each for each in findings if each.rule == rule]
    assert sorted(whats(of_rule)) == sorted(shown)
    for each in findings:
        path, _, line = each.origin.rpartition(":")
        assert Path(path) == THERE
        assert whats([each])[0].partition("(")[0] in THERE.read_text().splitlines()[int(line) - 1].replace('"', "'")
        assert "use" in each.message or "yield an effect" in each.message or "state with after" in each.message


def test_no_impure_handler_breaks_more_rules_than_it_should() -> None:
    others = {
        (function.__name__, each.rule): each.message
        for function, rule, _ in IMPURE
        for each in lint(with_handler(function))
        if each.rule != rule
    }
    # Making an awaitable that is never awaited is of asyncio too; a thread's target is a function that sleeps.
    assert set(others) == {("use_task", "SW314"), ("use_thread", "SW314")}


@pytest.mark.parametrize("function", PURE, ids=[each.__name__ for each in PURE])
def test_a_pure_handler_is_left_alone(function: Callable[..., Any]) -> None:
    assert lint(with_handler(function)) == []


def test_a_decorator_is_looked_into_and_so_is_what_it_wraps() -> None:
    findings = lint(with_handler(decorated))
    assert whats(findings) == ["time.perf_counter", "log.debug", "print"]
    assert {each.subject for each in findings} == {"Pay:pending"}


def test_a_helper_is_named_with_what_it_does() -> None:
    (finding,) = lint(with_handler(lint_handlers.use_helper))
    assert "use_helper calls now, which reads a clock (dt.now): use meta.now" in finding.message
    assert finding.severity == "error"


def test_every_place_of_a_handler_is_looked_at_and_each_handler_told_once() -> None:
    class PlacesLifecycle(Lifecycle[Order]):
        pending = State(initial=True, entry=lint_handlers.use_print, exit=lint_handlers.use_log)
        paid = State(entry=lint_handlers.use_print)
        closed = Final(data=lint_handlers.use_time)
        pay = on(Pay, pending.to(paid, when=lint_handlers.use_random, do=lint_handlers.use_print))
        wait = after(lint_handlers.use_delay, paid.to(closed))
        hurry = always(paid.to(closed, when=lint_handlers.use_getenv))

    assert found(chart_of(PlacesLifecycle)) == [
        ("SW317", "pending"),
        ("SW317", "pending"),
        ("SW311", "closed"),
        ("SW312", "pay:pending"),
        ("SW311", "wait:paid"),
        ("SW313", "hurry:paid"),
    ]


def test_lambdas_are_found_and_looked_into() -> None:
    class LambdaLifecycle(Lifecycle[Order]):
        pending = State(initial=True)
        closed = Final()
        pay = on(Pay, pending.to(closed, when=lambda order, event: bool(order), do=lambda order, event: order))
        ship = on(Ship, pending.to(closed, when=lambda order, event: time.time() > 0))
        give_back = on(Refund, pending.to(closed, when=holds, do=keep))

    assert found(chart_of(LambdaLifecycle)) == [
        ("SW301", "pay:pending"),
        ("SW301", "pay:pending"),
        ("SW301", "ship:pending"),
        ("SW311", "ship:pending"),
    ]


def test_a_function_without_a_source_is_told_unless_it_is_a_lambda() -> None:
    scope: dict[str, Any] = {}
    exec("def unseen(order, event): return True\nhidden = lambda order, event: True", scope)
    assert found(table(("pending", Pay, "closed", scope["unseen"]))) == [("SW302", "Pay:pending")]
    assert found(table(("pending", Pay, "closed", scope["hidden"]))) == [("SW301", "Pay:pending")]


def test_methods_are_read_as_functions_are() -> None:
    assert found(table(("pending", Pay, "closed", Rules().exceeds))) == []
    assert found(table(("pending", Pay, "closed", Rules().is_late))) == [
        ("SW316", "Pay:pending"),
        ("SW311", "Pay:pending"),
    ]


def test_what_a_handler_is_called_with_is_known_without_annotations() -> None:
    def bare(order, event, meta):  # type: ignore[no-untyped-def]
        return order.replace(lines=(*order.tags, *event.tags, *meta.active))

    assert whats(lint(table(("pending", Pay, "closed", None, bare)))) == ["order.tags", "event.tags", "meta.active"]


def test_a_finding_names_its_lifecycle_and_line() -> None:
    class NamedLifecycle(Lifecycle[Order]):
        pending = State(initial=True)
        pay = State()
        closed = Final()
        settle = on(Pay, pending.to(pay), pay.to(closed))

    (finding,) = lint(chart_of(NamedLifecycle))
    path, _, line = finding.origin.rpartition(":")
    assert (finding.lifecycle, Path(path)) == ("Named", HERE)
    assert HERE.read_text().splitlines()[int(line) - 1].strip() == "pay = State()"

"""The services of the test world do what they are drawn to do: each fate, over real HTTP, from another process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest

from tests.work.world.client import Busy, Caller, ServiceFailed, Watcher
from tests.work.world.faults import ATTEMPTS_MAX, CURSED_CALLS, FATES, Fate, draw_fate, draw_traits
from tests.work.world.processes import Services

SEED = 11


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with Services(SEED) as services:
        yield services


@pytest.fixture
def caller(services: Services) -> Iterator[Caller]:
    """Who does not wait for long."""
    caller = Caller(services.port, 0.2)
    yield caller
    caller.close()


@pytest.fixture
def watcher(services: Services) -> Iterator[Watcher]:
    watcher = Watcher(services.port)
    yield watcher
    watcher.close()


numbers = count()
"""Each order is called for once in this process."""


def an_order(operation: str, *fates: Fate) -> str:
    """An order that is not declined, and whose first calls of an operation have these fates."""
    for number in numbers:
        order = f"o{number}"
        drawn = [draw_fate(SEED, operation, order, nth) for nth in range(len(fates))]
        if drawn == list(fates) and not draw_traits(SEED, order).is_declined:
            return order
    raise AssertionError


def told(order: str, amount: int = 0) -> dict[str, Any]:
    return {"order": order, "effect": "Charge", "revision": 2, "attempt": 1, "worker": "test", "amount": amount}


class Case(NamedTuple):
    """What a call meets, and what comes of it."""

    fate: Fate
    error: type[Exception] | None
    charges: int
    """How often it is charged by then."""
    callbacks: int


CASES = (
    Case("plain", None, 1, 0),
    Case("twice", None, 1, 2),
    Case("broken_before", ServiceFailed, 0, 0),
    Case("dropped_before", ServiceFailed, 0, 0),
    Case("hung", ServiceFailed, 0, 0),
    Case("busy", Busy, 0, 0),
    Case("broken_after", ServiceFailed, 1, 1),
    Case("dropped_after", ServiceFailed, 1, 1),
    Case("slow", ServiceFailed, 1, 1),
    Case("late", ServiceFailed, 1, 1),
)


def test_each_fate_has_its_case() -> None:
    assert sorted(each.fate for each in CASES) == sorted(FATES)


@pytest.mark.parametrize("way", ["threads", "tasks"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fate)
def test_a_call_meets_its_fate_and_its_key_is_honoured_once(
    caller: Caller, watcher: Watcher, case: Case, way: str
) -> None:
    order = an_order("charge", case.fate, "plain")
    heard = len(watcher.callbacks(0))

    def call() -> str:
        if way == "threads":
            return caller.call("charge", f"{order}:0", told(order, 100)).event
        return asyncio.run(in_time(caller, order))

    if case.error is None:
        assert call() == "Charged"
    else:
        with pytest.raises(case.error):
            call()
    account_now = await_callbacks(watcher, order, heard + case.callbacks)
    assert len(account_now.charges) == case.charges if account_now else not case.charges
    assert call() == "Charged", "the same key gives its answer"
    books = watcher.books()
    assert books.accounts[order].charges == [f"{order}:0"], "once, whatever became of the first call"
    mine = [each for each in books.calls if each.order == order]
    assert [each.fate for each in mine] == [case.fate, "plain"]
    assert [each.has_acted for each in mine] == [case.charges == 1, case.charges == 0]
    assert len(watcher.callbacks(0)) == heard + case.callbacks


async def in_time(caller: Caller, order: str) -> str:
    try:
        async with asyncio.timeout(0.2):
            return (await caller.call_in_task("charge", f"{order}:0", told(order, 100))).event
    except TimeoutError as error:
        raise ServiceFailed from error


def await_callbacks(watcher: Watcher, order: str, number: int) -> Any:
    """What the books have of an order, once the provider has told what it tells."""
    while len(watcher.callbacks(0)) < number:
        watcher.calls(10**9)
    return watcher.books().accounts.get(order)


def test_another_key_is_charged_again_and_the_books_say_so(caller: Caller, watcher: Watcher) -> None:
    order = an_order("charge", "plain", "plain")
    for key in ("a:0", "b:0"):
        caller.call("charge", f"{order}:{key}", told(order, 100))
    assert watcher.books().accounts[order].charged == 200


def test_what_is_refunded_is_not_charged_later(caller: Caller, watcher: Watcher) -> None:
    order = next(order for order in (an_order("charge", "plain") for _ in numbers) if is_plain(order, "refund"))
    assert caller.call("refund", f"{order}:1", told(order)).fields == {"amount": 0}
    assert caller.call("charge", f"{order}:0", told(order, 100)).event == "Declined"
    assert caller.payment(order).event == ""


def test_what_was_charged_is_refunded_once_for_a_key(caller: Caller, watcher: Watcher) -> None:
    order = next(order for order in (an_order("charge", "plain") for _ in numbers) if is_plain(order, "refund"))
    caller.call("charge", f"{order}:0", told(order, 100))
    assert caller.payment(order).event == "Charged"
    for _ in range(2):
        assert caller.call("refund", f"{order}:1", told(order)).fields == {"amount": 100}
    account = watcher.books().accounts[order]
    assert (account.charged, account.refunded, account.refunds) == (100, 100, [f"{order}:1"])


def test_what_is_reserved_is_released(caller: Caller, watcher: Watcher) -> None:
    order = next(f"r{number}" for number in numbers if is_plain(f"r{number}", "reserve", "release"))
    assert [caller.call("reserve", f"{order}:0", told(order)).further[0][0] for _ in range(2)] == ["Labelled"] * 2
    assert caller.call("release", f"{order}:1", told(order)).event == "Released"
    account = watcher.books().accounts[order]
    assert (len(account.reservations), len(account.releases)) == (1, 1)


def is_plain(order: str, *operations: str) -> bool:
    return not draw_traits(SEED, order).is_out_of_stock and all(
        draw_fate(SEED, operation, order, nth) == "plain" for operation in operations for nth in range(2)
    )


def test_a_cursed_operation_outlasts_the_attempts_of_an_effect_and_not_two_rounds_of_them() -> None:
    assert ATTEMPTS_MAX < CURSED_CALLS < 2 * ATTEMPTS_MAX
    fates = [[draw_fate(SEED, "charge", f"o{number}", nth) for nth in range(CURSED_CALLS)] for number in range(1000)]
    cursed = [each for each in fates if len(set(each)) == 1 and each[0] not in ("plain", "busy")]
    assert len(cursed) > 5, "there are some"

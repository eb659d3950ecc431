"""What operators do over HTTP: dead letters looked at and put back."""

from __future__ import annotations

import asyncio
from operator import methodcaller
from threading import Event as ThreadEvent
from typing import Any

import pytest

from stateward import AsyncEngine, Call, GiveUp
from stateward.http import Limits
from tests.http.services import WAIT_S, Service, StartService
from tests.shop import Buy, Charge, Order, OrderLifecycle


def give_up(effect: Charge, call: Call) -> None:
    message = f"no money for {call.entity}"
    raise GiveUp(message)


@pytest.fixture
def shop(start: StartService) -> Service:
    """Five orders whose charges were given up."""
    service = start(lifecycles=[OrderLifecycle])
    service.engine.handles(Charge)(give_up)
    for number in range(5):
        entity = f"o{number}"
        service.call(methodcaller("create", OrderLifecycle, entity, Order(), actor="a:b"))
        service.call(methodcaller("send", OrderLifecycle, entity, Buy(), actor="a:b"))
    drain(service)
    return service


def drain(service: Service) -> None:
    service.call(lambda engine: engine.drain())


def retry(service: Service, body: Any) -> Any:
    return service.client.post("/dead/retry", json=body)


def test_dead_letters_are_listed_in_pages_and_by_choice(shop: Service) -> None:
    items: list[Any] = []
    after: str | None = None
    while True:
        page = shop.client.get("/dead", params={"limit": "2"} | ({"after": after} if after else {})).json()
        assert len(page["items"]) <= 2
        items += page["items"]
        after = page["after"]
        if after is None:
            break
    assert sorted(each["entity"] for each in items) == [f"o{number}" for number in range(5)]
    assert {(each["kind"], each["effect"], each["attempts"]) for each in items} == {("Order", "Charge", 1)}
    assert "no money for o3" in next(each["error"] for each in items if each["entity"] == "o3")
    one = {"kind": "Order", "entity": "o1"}
    for choice, count in ((one, 1), ({"effect": "Charge"}, 5), ({"effect": "Other"}, 0)):
        assert len(shop.client.get("/dead", params=choice).json()["items"]) == count


def test_dead_letters_are_put_back_by_choice_and_die_again(shop: Service) -> None:
    keys = [each["key"] for each in shop.client.get("/dead").json()["items"]]
    assert retry(shop, {"kind": "Order", "entity": "o1"}).json() == {"retried": 1}
    assert retry(shop, {"kind": "Order", "entity": "o1"}).json() == {"retried": 0}
    assert retry(shop, {"keys": [*keys, "unknown:0"]}).json() == {"retried": 4}
    assert shop.client.get("/dead").json()["items"] == []
    drain(shop)
    assert len(shop.client.get("/dead").json()["items"]) == 5
    assert retry(shop, {"all": True, "rate": 0.01}).json() == {"retried": 5}
    drain(shop)  # one of them is due, the others in more than a minute
    assert len(shop.client.get("/dead").json()["items"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {}, {"all": False}, {"all": True, "kind": "Order"}, {"rate": 1}, {"all": True, "rate": 0},
        {"all": True, "rate": -1}, {"all": True, "rate": 1e300}, {"keys": "x"}, {"kind": ""}, {"other": 1},
    ],
)  # fmt: skip
def test_which_are_meant_has_to_be_said(service: Service, body: Any) -> None:
    answer = retry(service, body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stateward:problem:invalid")


def test_a_name_that_nothing_can_have_is_told(service: Service) -> None:
    assert retry(service, {"effect": "\0"}).status_code == 422
    assert service.client.get("/dead", params={"kind": "\0"}).status_code == 422
    assert service.client.get("/dead", params={"entity": ""}).status_code == 422


def test_letters_that_take_too_long_to_put_back_are_put_back_all_the_same(
    start: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(limits=Limits(call_s=0.05))
    is_open, has_ended = ThreadEvent(), ThreadEvent()

    def slowly(*_: Any, **__: Any) -> int:
        assert is_open.wait(WAIT_S)
        has_ended.set()
        return 1

    async def slowly_in_task(*_: Any, **__: Any) -> int:
        await asyncio.to_thread(is_open.wait, WAIT_S)
        has_ended.set()
        return 1

    is_of_tasks = isinstance(service.engine, AsyncEngine)
    monkeypatch.setattr(service.engine, "retry", slowly_in_task if is_of_tasks else slowly)
    try:
        late = service.client.post("/dead/retry", json={"all": True})
        told = late.json()
        assert (late.status_code, told["is_outcome_unknown"]) == (504, True)
        assert told["detail"] == "it was not done after 0.05 seconds, and goes on to its end"
    finally:
        is_open.set()
    assert has_ended.wait(WAIT_S)

"""The OpenAPI document: made of the lifecycles, as it is committed, and kept to by what is answered."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import hypothesis
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from stateward import Chart, Context, Engine, Event
from stateward.demo import orders as demo
from stateward.http import Api, Token
from stateward.http.describing import DESCRIPTIONS
from stateward.http.problems import PROBLEMS
from tests.http.orders import OrderLifecycle, Ship
from tests.http.services import Service, StartService, serving
from tests.http.test_entities import BookLifecycle, newer

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "openapi" / "order.json"
TOKEN = "t0ken-t0ken-t0ken"


def document_of(*lifecycles: Any, **options: Any) -> dict[str, Any]:
    with Engine("memory://", lifecycles=lifecycles) as engine:
        api = Api(engine, **options)
        api.close()
        return cast("dict[str, Any]", msgspec.json.decode(api.openapi()))


def test_the_golden_document_is_that_of_the_order_lifecycle() -> None:
    with Engine("memory://", lifecycles=[demo.OrderLifecycle]) as engine:
        api = Api(engine, tokens={TOKEN: "service:shop"})
        text = api.openapi()
        api.close()
    if os.environ.get("STATEWARD_GOLDEN") == "write":
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_bytes(text)
    assert text == DOCUMENT.read_bytes(), f"{DOCUMENT.name} differs; after a look at the difference: make golden"


def test_every_operation_is_in_the_document_and_nothing_else() -> None:
    with Engine("memory://", lifecycles=[OrderLifecycle]) as engine:
        api = Api(engine, metrics=lambda: ("text/plain", b""))
        api.close()
        paths = msgspec.json.decode(api.openapi())["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert documented == {(each.method, each.path.replace("{kind}", "Order")) for each in api.operations}
    assert {each.name for each in api.operations} == set(DESCRIPTIONS)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    class Send(Event):
        amount: int

    class Problem(Event):
        inner: tuple[Nested, ...] = ()

    chart: Chart[Any] = Chart.from_table(
        [("a", Send, "b"), ("a", Problem, "b"), ("a", Ship, "b")], kind="Order 1", context=Nested, initial="a",
        final=("b",),
    )  # fmt: skip
    twin: Chart[Any] = Chart.from_table(
        [("a", Ship, "b")], kind="Order/1", context=Nested, initial="a", final=("b",)
    )  # fmt: skip
    document = document_of(OrderLifecycle, BookLifecycle, newer(), chart, twin)
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", each) for each in document["components"]["schemas"])
    assert "/entities/Order%201/{id}/events" in document["paths"]
    note = next(
        each for each in document["components"]["schemas"]["Book.send-body"]["oneOf"] if each["title"] == "Note"
    )
    assert len(note["properties"]["payload"]["anyOf"]) == 2  # of either version


class Nested(Context):
    inner: Nested | None = None


def test_tokens_are_in_the_document_where_they_are_needed() -> None:
    plain, guarded = document_of(OrderLifecycle), document_of(OrderLifecycle, tokens={TOKEN: "a:b"})
    assert "security" not in plain
    assert guarded["security"] == [{"token": []}]
    assert guarded["paths"]["/health"]["get"]["security"] == []
    assert "401" in guarded["paths"]["/dead"]["get"]["responses"]
    assert "401" not in plain["paths"]["/dead"]["get"]["responses"]


def test_every_problem_is_described() -> None:
    responses = document_of(OrderLifecycle)["components"]["responses"]
    for name, (status, _) in PROBLEMS.items():
        assert f"`{name}`" in responses[str(status)]["description"]


def test_what_is_served_is_the_document(start: StartService) -> None:
    service = start()
    assert service.client.get("/openapi.json").content == service.api.openapi()


# Schemathesis: what the document says may be sent, and what it does not, each way; the answers are as it says.


@pytest.fixture(scope="module")
def orders() -> Iterator[Service]:
    """A service with a few orders in it, whose tokens are known."""
    token = Token(secret=TOKEN, actor="service:shop", roles=frozenset({"operator"}), acts_for_others=True)
    with serving(lambda: Engine("memory://", lifecycles=[OrderLifecycle]), tokens=[token]) as service:
        service.client.headers["authorization"] = f"Bearer {TOKEN}"
        for each in ("0", "A-17"):
            service.client.post("/entities/Order", json={"id": each})
        yield service


def operations() -> list[Any]:
    """All that the document describes but streams, which have no end that could be waited for."""
    document = document_of(OrderLifecycle, tokens={TOKEN: "a:b"})
    del document["paths"]["/records"]
    # A valid request may be refused, or expect another revision; that is no fault of its form.
    accepted = {"positive_data_acceptance": {"expected-statuses": ["2xx", "304", "404", "409", "412"]}}
    rejected = {"negative_data_rejection": {"expected-statuses": ["4xx"]}}
    ignored = {"ignored_auth": {"enabled": False}}  # whatever token is made up, the right one is sent instead
    config = schemathesis.Config.from_dict({"checks": accepted | rejected | ignored})
    loaded = schemathesis.openapi.from_dict(document, config=config)
    found: list[Any] = list(loaded.get_all_operations())
    return [each.ok() for each in found]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as it says", "otherwise"])
@pytest.mark.parametrize("operation", operations(), ids=lambda each: str(each.label))
def test_what_is_answered_is_what_the_document_says(orders: Service, operation: Any, mode: GenerationMode) -> None:
    seen: list[int] = []

    @hypothesis.seed(4200)
    @hypothesis.settings(
        max_examples=25, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.headers["Authorization"] = f"Bearer {TOKEN}"
        if mode is GenerationMode.POSITIVE:  # no schema says what is a cursor, or which payload an event in a query has
            for each in ("after", "payload"):
                case.query.pop(each, None)
            if case.query.get("event") == "Pay":
                case.query["payload"] = '{"amount": 4200}'
        answer = case.call_and_validate(base_url=orders.url)
        seen.append(answer.status_code)

    try:
        ask()
    except Unsatisfiable:  # nothing can be said otherwise where nothing can be said
        assert mode is GenerationMode.NEGATIVE
    assert all(each < 500 for each in seen)

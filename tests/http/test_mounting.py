"""The application within others: below a prefix, behind other middleware, asked without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from threading import Event
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from stateward import AsyncEngine, Engine
from stateward.http import Api, Limits
from tests.http.orders import OrderLifecycle
from tests.http.services import StartService


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("home")


def within(api: Api) -> Starlette:
    return Starlette(routes=[Route("/", home), Mount("/shop/v 1", api), Mount("/shop", api)])


def test_it_takes_what_is_below_its_prefix(start: StartService) -> None:
    service = start(within=within)
    client = service.client
    assert client.get("/").text == "home"
    for prefix, entity in (("/shop", "A/1"), ("/shop/v%201", "B ü"), ("/shop", "shop"), ("/shop", "/shop/")):
        made = client.post(f"{prefix}/entities/Order", json={"id": entity})
        assert made.headers["location"] == f"{prefix}/entities/Order/{quote(entity, safe='')}"
        assert client.get(made.headers["location"]).json()["id"] == entity
    assert client.get("/shop/").json()["type"] == "urn:stateward:problem:not-found"
    assert client.get("/shop/health").json() == {"status": "ok"}
    assert client.get("/shop/health", headers={"host": "evil.example"}).status_code == 421


async def ask(app: Any, method: str, url: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(method, url, **options)


def without_raw_path(app: Any) -> Any:
    """As servers do that give no raw path, which ASGI leaves open."""

    async def called(scope: Any, receive: Any, send: Any) -> None:
        await app({key: value for key, value in scope.items() if key != "raw_path"}, receive, send)

    return called


def test_a_server_that_gives_no_raw_path_will_do() -> None:
    with Engine("memory://", lifecycles=[OrderLifecycle]) as engine:
        api = Api(engine)
        app = without_raw_path(api)

        async def asked() -> None:
            for entity in ("A", "ü 100%", "%2F"):
                made = await ask(app, "POST", "http://localhost/entities/Order", json={"id": entity})
                got = await ask(app, "GET", "http://localhost" + made.headers["location"])
                assert got.json()["id"] == entity

        asyncio.run(asked())
        api.close()


def test_a_prefix_is_not_looked_for_in_all_of_a_long_path(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def watched(text: str) -> str:
        looks.append(len(text))
        return unquote(text)

    monkeypatch.setattr("stateward.http.app.unquote", watched)

    async def asked() -> int:
        async with AsyncEngine("memory://", lifecycles=[OrderLifecycle]) as engine:
            return (await ask(within(Api(engine)), "GET", "http://localhost/shop%2F" + "%41/" * 10_000)).status_code

    assert asyncio.run(asked()) == 404
    assert sum(looks) < 100_000  # and not the square of its length


def test_a_head_without_a_server_has_no_body_either() -> None:
    with Engine("memory://", lifecycles=[OrderLifecycle]) as engine:
        api = Api(engine)
        answer = asyncio.run(ask(api, "HEAD", "http://localhost/lifecycles"))
        assert (answer.status_code, answer.content) == (200, b"")
        api.close()


def test_a_lifespan_begins_and_ends_it() -> None:
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    with Engine("memory://", lifecycles=[OrderLifecycle]) as engine:
        api = Api(engine)
        asyncio.run(api({"type": "lifespan"}, receive, send))
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        sent.clear()
        asyncio.run(api({"type": "websocket"}, receive, send))
        assert sent == ["websocket.close"]


def test_an_application_with_an_engine_for_tasks_opens_it_in_its_lifespan() -> None:
    engine = AsyncEngine("memory://", lifecycles=[OrderLifecycle])
    api = Api(engine)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with engine:
            yield
        api.close()

    async def lived() -> int:
        app = Starlette(routes=[Mount("/orders", api)], lifespan=lifespan)
        async with app.router.lifespan_context(app):
            return (await ask(app, "POST", "http://localhost/orders/entities/Order", json={"id": "A"})).status_code

    assert asyncio.run(lived()) == 201


def plain() -> tuple[str, bytes]:
    return "text/plain; version=0.0.4", b"fsm 1\n"


async def awaited() -> tuple[str, bytes]:
    return plain()


def later() -> Awaitable[tuple[str, bytes]]:
    return awaited()


@pytest.mark.parametrize("metrics", [plain, awaited, later])
def test_metrics_are_what_is_given(
    start: StartService, metrics: Callable[[], tuple[str, bytes] | Awaitable[tuple[str, bytes]]]
) -> None:
    service = start(metrics=metrics)
    answer = service.client.get("/metrics")
    assert (answer.headers["content-type"], answer.text) == ("text/plain; version=0.0.4", "fsm 1\n")
    assert "/metrics" in service.client.get("/openapi.json").json()["paths"]


def test_metrics_that_do_not_come_are_not_waited_for(start: StartService) -> None:
    is_over = Event()

    def never() -> tuple[str, bytes]:
        assert is_over.wait(30)
        return plain()

    service = start(metrics=never, limits=Limits(call_s=0.01))
    try:
        answer = service.client.get("/metrics")
        assert (answer.status_code, answer.json()["type"]) == (504, "urn:stateward:problem:call-late")
    finally:
        is_over.set()

"""Every problem, by what leads to it; what is odd or too much is told, and nothing is guessed at."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event as ThreadEvent
from typing import Any

import httpx
import msgspec
import pytest

from stateward import (
    ActionFailed,
    AsyncEngine,
    Conflict,
    Context,
    CursorInvalid,
    DefinitionError,
    EndlessLoop,
    Engine,
    Event,
    Final,
    LedgerUnavailable,
    Lifecycle,
    Refusal,
    Refused,
    Retention,
    State,
    UnknownEntity,
    on,
)
from stateward.errors import LedgerCorrupt, Unkeepable, VersionUnknown
from stateward.http import Limits
from stateward.http.problems import PROBLEMS, problem_of
from tests.http.orders import OrderLifecycle
from tests.http.services import WAIT_S, Service, StartService, ask_raw, body_of, serving

JSON = {"content-type": "application/json"}


BOTH = pytest.mark.parametrize("engine_kind", ["Engine", "AsyncEngine"], indirect=True)


@pytest.fixture
def engine_kind(request: pytest.FixtureRequest) -> type[Any]:
    """One kind will do for most: what is wrong with a request is told before any engine is asked."""
    return AsyncEngine if getattr(request, "param", "Engine") == "AsyncEngine" else Engine


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One for all tests that leave nothing in it that others look at."""
    with serving(lambda: Engine("memory://", lifecycles=[OrderLifecycle])) as started:
        yield started


def name_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    name: str = document["type"].removeprefix("urn:stateward:problem:")
    assert PROBLEMS[name] == (answer.status_code, document["title"])
    assert document["status"] == answer.status_code
    assert document["detail"]
    return answer.status_code, name


class Touch(Event):
    pass


class Thing(Context):
    pass


GATE: dict[str, ThreadEvent] = {}


def wait_at_the_gate(thing: Thing, event: Touch) -> Thing:
    GATE["entered"].set()
    assert GATE["open"].wait(WAIT_S)
    return thing


def fail(thing: Thing, event: Event) -> Thing:
    message = "no such luck"
    raise ValueError(message)


class Break(Event):
    pass


class ThingLifecycle(Lifecycle[Thing]):
    version = 1

    whole = State(initial=True)
    gone = Final()

    touch = on(Touch, whole.stay(do=wait_at_the_gate))
    broken = on(Break, whole.to(gone, do=fail))


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/entities", 404, "not-found"),
        ("GET", "/entities/", 404, "not-found"),
        ("GET", "/entities/Order/", 404, "not-found"),
        ("GET", "/entities/Order/A/", 404, "not-found"),
        ("GET", "/entities/Order/A/events/x", 404, "not-found"),
        ("GET", "/metrics", 404, "not-found"),
        ("GET", "//entities/Order", 404, "not-found"),
        ("GET", "/entities/order/A", 404, "unknown-kind"),
        ("GET", "/entities/Order/A", 404, "unknown-entity"),
        ("GET", "/entities/Order/A/history", 404, "unknown-entity"),
        ("GET", "/entities/Order/A/events", 404, "unknown-entity"),
        ("GET", "/entities/Order/A/why?event=Ship", 404, "unknown-entity"),
        ("DELETE", "/entities/Order/A", 405, "method-not-allowed"),
        ("PUT", "/entities/Order/A/events", 405, "method-not-allowed"),
        ("OPTIONS", "/health", 405, "method-not-allowed"),
        ("TRACE", "/health", 405, "method-not-allowed"),
        ("X-ODD", "/records", 405, "method-not-allowed"),
        ("GET", "/entities/Order?x=1", 422, "invalid"),
        ("GET", "/entities/Order?limit=0", 422, "invalid"),
        ("GET", "/entities/Order?limit=1001", 422, "invalid"),
        ("GET", "/entities/Order?limit=ten", 422, "invalid"),
        ("GET", "/entities/Order?limit=1&limit=2", 422, "invalid"),
        ("GET", "/entities/Order?version=x", 422, "invalid"),
        ("GET", "/entities/Order?version=99999999999999999999", 422, "invalid"),
        ("GET", "/entities/Order?due_by=yesterday", 422, "invalid"),
        ("GET", "/entities/Order?due_by=2026-01-01T00:00:00", 422, "invalid"),
        ("GET", "/entities/Order?due_by=9999-12-31T23:59:59-23:00", 422, "invalid"),
        ("GET", "/entities/Order?after=rubbish", 422, "cursor-invalid"),
        ("GET", "/entities/Order?after=", 422, "cursor-invalid"),
        ("GET", "/entities/Order?after=%00", 422, "cursor-invalid"),
        ("GET", "/dead?after=WzFd", 422, "cursor-invalid"),
        ("GET", "/entities/Order?state=%ff", 400, "malformed"),
        ("GET", "/entities/Order?&&", 400, "malformed"),
        ("GET", f"/entities/Order?state={'x' * 9000}", 400, "malformed"),
        ("GET", "/health?x=1", 422, "invalid"),
        ("GET", "/entities/Order/A/why", 422, "invalid"),
        ("GET", "/entities/Order/A/why?event=Pay&payload={", 400, "malformed"),
        ("GET", "/entities/Order/A/why?event=Fly", 422, "unknown-event"),
        ("GET", "/records?after=x", 422, "cursor-invalid"),
        ("GET", "/records?after=7-00000000-0000-0000-0000-000000000000", 422, "cursor-invalid"),
        ("GET", "/records?last=-1", 422, "invalid"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly(service: Service, method: str, path: str, status: int, name: str) -> None:
    assert name_of(service.client.request(method, path)) == (status, name)


def test_a_method_that_means_nothing_is_told_with_those_that_do(service: Service) -> None:
    answer = service.client.patch("/entities/Order/A/events")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert service.client.patch("/dead/retry").headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b'{"event":"Pay","payload":{"amount":1}} x', 400, "malformed"),
        (b'{"event":"\xff"}', 400, "malformed"),
        (b"[" * 100_000, 422, "invalid"),
        (b'{"event":"Pay","payload":' + b"[" * 100_000, 400, "malformed"),
        (b"null", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"event":7}', 422, "invalid"),
        (b'{"event":"Pay"}', 422, "invalid"),
        (b'{"event":"Pay","payload":null}', 422, "invalid"),
        (b'{"event":"Pay","payload":{"amount":"1"}}', 422, "invalid"),
        (b'{"event":"Pay","payload":{"amount":1.5}}', 422, "invalid"),
        (b'{"event":"Pay","payload":{"amount":1,"amuont":2}}', 422, "invalid"),
        (b'{"event":"Pay","payload":{"amount":1},"more":1}', 422, "invalid"),
        (b'{"event":"Ship","payload":{"x":1}}', 422, "invalid"),
        (b'{"event":"Ship","occurred_at":"2026-01-01T00:00:00"}', 422, "invalid"),
        (b'{"event":"Ship","occurred_at":"0001-01-01T00:00:00+10:00"}', 422, "invalid"),
        (b'{"event":"Ship","occurred_at":"9999-12-31T23:59:59-10:00"}', 422, "invalid"),
        (b'{"event":"Ship","occurred_at":1}', 422, "invalid"),
        (b'{"event":"Fly"}', 422, "unknown-event"),
        (b'{"event":"Elapsed","payload":{"timer":"expire@pending"}}', 422, "unknown-event"),
        (b'{"event":"Started"}', 422, "unknown-event"),
    ],
)  # fmt: skip
def test_a_body_that_is_wrong(service: Service, body: bytes, status: int, name: str) -> None:
    service.client.post("/entities/Order", json={"id": "body"})
    for path in ("events", "attempts"):
        answer = service.client.post(f"/entities/Order/body/{path}", content=body, headers=JSON)
        assert name_of(answer) == (status, name), answer.text
    history = service.client.get("/entities/Order/body/history").json()["items"]
    assert len(history) == 1  # nothing of it came to the engine


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=latin-1"}, {"content-type": "application/json5"},
        {"content-type": "multipart/form-data; boundary=x"}, JSON | {"content-encoding": "gzip"},
        {"content-type": "application/problem+json"},
    ],
)  # fmt: skip
def test_a_body_that_is_no_json(service: Service, headers: dict[str, str]) -> None:
    answer = service.client.post("/entities/Order", content=b'{"id":"A"}', headers=headers)
    assert name_of(answer) == (415, "not-json")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_may_say_that_it_is_utf_8(service: Service, kind: str) -> None:
    body = msgspec.json.encode({"id": kind})
    answer = service.client.post("/entities/Order", content=body, headers={"content-type": kind})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Idempotency-Key", ("a", "b")), ("Idempotency-Key", ("",)), ("Idempotency-Key", ('"',)),
        ("Idempotency-Key", ('""',)), ("Idempotency-Key", ("\xe9",)), ("Idempotency-Key", ("a\tb",)),
        ("If-Match", ('"1"', '"2"')), ("Content-Type", ("application/json", "application/json")),
        ("Stateward-Actor", ("a:b", "c:d")), ("Origin", ("http://localhost", "http://localhost")),
    ],
)  # fmt: skip
def test_a_header_that_could_mean_two_things_or_nothing(service: Service, name: str, values: tuple[str, ...]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for value in values)
    if name != "Content-Type":
        lines += "Content-Type: application/json\r\n"
    request = f"POST /entities/Order/A/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}"
    request += 'Content-Length: 16\r\n\r\n{"event":"Ship"}'
    status, body = body_of(ask_raw(service.port, request.encode("latin-1")))
    assert (status, msgspec.json.decode(body)["type"]) == (400, "urn:stateward:problem:malformed"), body


@pytest.mark.parametrize("key", ["effect:x", "timer:x", "reconcile:x", "k" * 501])
def test_a_key_that_can_not_be_kept(service: Service, key: str) -> None:
    answer = service.client.post("/entities/Order", json={"id": "A"}, headers={"idempotency-key": key})
    assert name_of(answer) == (422, "unkeepable")


def test_what_can_be_kept_is_and_what_can_not_is_told(service: Service) -> None:
    for digits, status in ((30, 201), (4000, 201), (5000, 422), (100_000, 422)):
        body = b'{"id":"%d","context":{"total":%s}}' % (digits, b"9" * digits)
        answer = service.client.post("/entities/Order", content=body, headers=JSON)
        assert answer.status_code == status
        assert service.client.get(f"/entities/Order/{digits}").status_code == (200 if status == 201 else 404)
    for number in (b"1e999", b"NaN", b"Infinity", b"1.5", b"true", b"0x10", b"1_000"):
        body = b'{"id":"n","context":{"total":%s}}' % number
        assert service.client.post("/entities/Order", content=body, headers=JSON).status_code in (400, 422), number


def test_a_body_that_is_too_large_is_not_read_to_its_end(start: StartService) -> None:
    service = start(limits=Limits(body_bytes_max=1000))
    fits = {"id": "A", "context": {"total": 1}}
    padded = msgspec.json.encode(fits) + b" " * (1000 - len(msgspec.json.encode(fits)))
    assert service.client.post("/entities/Order", content=padded, headers=JSON).status_code == 201
    assert name_of(service.client.post("/entities/Order", content=padded + b" ", headers=JSON)) == (
        413,
        "body-too-large",
    )
    head = "POST /entities/Order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    # By its length, before a byte of it is sent; in pieces, before its end is there, which never comes.
    for request in (
        f"{head}Content-Length: 1001\r\n\r\n",
        f"{head}Content-Length: 99999999999999999999\r\n\r\n",
        f"{head}Transfer-Encoding: chunked\r\n\r\n" + f"200\r\n{' ' * 512}\r\n" * 2,
    ):
        answer = ask_raw(service.port, request.encode())
        assert body_of(answer)[0] == 413
        assert b"connection: close" in answer.lower()


def test_a_body_that_does_not_come_is_not_waited_for(start: StartService) -> None:
    service = start(limits=Limits(body_s=0.05))
    head = (
        "POST /entities/Order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n"
    )
    for sent in ("", '{"id"'):
        answer = ask_raw(service.port, f"{head}\r\n{sent}".encode())
        assert body_of(answer)[0] == 408
        assert b"body-late" in answer


def test_headers_that_do_not_come_are_not_waited_for(start: StartService) -> None:
    service = start(limits=Limits(head_s=0.1))
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    begun = (b"", b"GET /health HT", whole[:-2], whole + b"GET /health HTTP/1.1\r\nHost")
    with ThreadPoolExecutor(len(begun)) as threads:
        answers = list(threads.map(lambda each: ask_raw(service.port, each), begun))  # until the server closes
    assert [each.count(b"HTTP/1.1 200") for each in answers] == [0, 0, 0, 1]
    assert service.client.get("/health").status_code == 200


def test_a_body_whose_length_is_said_in_two_ways_ends_the_connection(service: Service) -> None:
    hidden = b"POST /entities/Order HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = (
        b"POST /entities/Order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % (len(hidden) + 5)
    )
    answer = ask_raw(service.port, head + b"0\r\n\r\n" + hidden)
    assert answer.count(b"HTTP/1.1") == 1
    status, body = body_of(answer)
    assert (status, b"in two ways" in body) == (400, True)


def test_a_client_that_leaves_amid_its_body_does_no_harm(service: Service) -> None:
    head = (
        "POST /entities/Order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n"
    )
    before = service.client.get("/entities/Order").json()["items"]
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f'{head}\r\n{{"id"'.encode())
    assert service.client.get("/health").status_code == 200
    assert service.client.get("/entities/Order").json()["items"] == before


@BOTH
def test_a_call_that_takes_too_long_is_not_waited_for_and_the_same_again_settles_it(start: StartService) -> None:
    GATE.update(entered=ThreadEvent(), open=ThreadEvent())
    service = start(lifecycles=[ThingLifecycle], limits=Limits(call_s=0.2))
    service.client.post("/entities/Thing", json={"id": "A"})
    key = {"idempotency-key": "k"}
    late = service.client.post("/entities/Thing/A/events", json={"event": "Touch"}, headers=key)
    assert name_of(late) == (504, "call-late")
    assert late.json()["is_outcome_unknown"] is True
    assert service.client.get("/health").status_code == 200
    GATE["open"].set()
    patient = start_again_until(
        lambda: service.client.post("/entities/Thing/A/events", json={"event": "Touch"}, headers=key), 200
    )
    assert (patient.json()["revision"], patient.json()["outcome"]) == (2, "applied")


def start_again_until(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Ask again for as long as something else is answered."""
    answer = ask()
    for _ in range(1000):
        if answer.status_code == status:
            break
        answer = ask()
    assert answer.status_code == status, answer.text
    return answer


@BOTH
def test_more_than_it_takes_on_is_turned_away(start: StartService) -> None:
    GATE.update(entered=ThreadEvent(), open=ThreadEvent())
    service = start(lifecycles=[ThingLifecycle], limits=Limits(calls_max=1))
    service.client.post("/entities/Thing", json={"id": "A"})

    async def touch() -> httpx.Response:
        async with httpx.AsyncClient(base_url=service.url, timeout=WAIT_S) as client:
            return await client.post("/entities/Thing/A/events", json={"event": "Touch"})

    async def both() -> httpx.Response:
        waiting = asyncio.create_task(touch())
        await asyncio.to_thread(GATE["entered"].wait, WAIT_S)
        async with httpx.AsyncClient(base_url=service.url) as client:
            turned_away = await client.get("/lifecycles")
            assert (await client.get("/health")).status_code == 200  # it lives, and whoever looks after it may know
            assert (await client.get("/ready")).status_code == 503
        GATE["open"].set()
        assert (await waiting).status_code == 200
        return turned_away

    answer = asyncio.run(both())
    assert name_of(answer) == (503, "too-busy")
    assert answer.headers["retry-after"] == "1"


@BOTH
def test_a_function_of_the_lifecycle_that_fails_is_the_servers_fault(
    service_of_things: Service, caplog: pytest.LogCaptureFixture
) -> None:
    client = service_of_things.client
    client.post("/entities/Thing", json={"id": "A"})
    answer = client.post("/entities/Thing/A/events", json={"event": "Break"})
    assert name_of(answer) == (500, "action-failed")
    assert "no such luck" in answer.json()["detail"]
    assert answer.json()["reference"] in caplog.text
    assert client.get("/entities/Thing/A").headers["etag"] == '"1"'


@pytest.fixture
def service_of_things(start: StartService) -> Service:
    return start(lifecycles=[ThingLifecycle])


@BOTH
def test_an_event_that_is_too_old_is_gone(start: StartService) -> None:
    retention = Retention(
        max_event_age=timedelta(days=1), receipts=timedelta(days=2), records=timedelta(days=3)
    )  # fmt: skip
    service = start(engine={"retention": retention})
    service.client.post("/entities/Order", json={"id": "A"})
    old = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    answer = service.client.post("/entities/Order/A/events", json={"event": "Cancel", "occurred_at": old})
    assert name_of(answer) == (410, "expired")
    assert answer.json()["refusal"]["kind"] == "expired"
    by_value = service.client.post("/entities/Order/A/attempts", json={"event": "Cancel", "occurred_at": old})
    assert (by_value.status_code, by_value.json()["refusal"]["kind"]) == (200, "expired")


@BOTH
def test_a_ledger_that_is_away_is_told_without_its_address(
    start: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()

    def away(*_: Any, **__: Any) -> Any:
        message = "no route to postgresql://user:secret@db"
        raise LedgerUnavailable(message, record="r", is_outcome_unknown=True)

    for name in ("get", "create", "pauses"):
        monkeypatch.setattr(service.engine, name, away)
    for answer in (
        service.client.get("/entities/Order/A"),
        service.client.post("/entities/Order", json={"id": "A"}),
        service.client.get("/ready"),
    ):
        assert name_of(answer) == (503, "ledger-unavailable")
        assert answer.headers["retry-after"] == "1"
        assert (answer.json()["is_outcome_unknown"], answer.json()["record"]) == (True, "r")
        assert "secret" not in answer.text
    assert service.client.get("/health").status_code == 200


@BOTH
def test_a_fault_of_the_server_is_logged_and_not_told(
    start: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = start()

    def broken(*_: Any) -> Any:
        message = "secret things"
        raise RuntimeError(message)

    monkeypatch.setattr(service.engine, "get", broken)
    answer = service.client.get("/entities/Order/A")
    assert name_of(answer) == (500, "internal")
    assert "secret things" not in answer.text
    assert answer.json()["reference"] in caplog.text
    assert "secret things" in caplog.text


REFUSAL = Refusal("illegal", "Order", "pending", "Ship")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Refused(REFUSAL), "refused"),
        (Refused(Refusal("stale", "Order", "pending", "Ship")), "stale"),
        (Refused(Refusal("expired", "Order", "pending", "Ship")), "expired"),
        (Refused(Refusal("unauthorized", "Order", "pending", "Ship")), "unauthorized"),
        (UnknownEntity(lifecycle="Order", entity="A"), "unknown-entity"),
        (Conflict("the id is taken", lifecycle="Order", entity="A"), "conflict"),
        (Unkeepable("the id is empty"), "unkeepable"),
        (CursorInvalid("x", "none"), "cursor-invalid"),
        (ActionFailed(lifecycle="O", state="s", event="e", function="f", problem="raised"), "action-failed"),
        (EndlessLoop(lifecycle="O", state="s", event="e", cycle=("a",), limit=9), "action-failed"),
        (VersionUnknown(lifecycle="O", entity="A", version=2, known=(1,)), "version-unknown"),
        (LedgerCorrupt("broken", lifecycle="O", entity="A"), "ledger-corrupt"),
        (LedgerUnavailable("away"), "ledger-unavailable"),
        (DefinitionError("wrong"), "internal"),
        (KeyError("x"), "internal"),
    ],
)
def test_each_error_has_its_problem(error: Exception, name: str, caplog: pytest.LogCaptureFixture) -> None:
    document = problem_of(error).document()
    assert document["type"] == f"urn:stateward:problem:{name}"
    assert (document["status"], document["title"]) == PROBLEMS[name]
    assert ("reference" in document) == (document["status"] == 500)


@BOTH
def test_an_entity_on_a_version_that_is_not_served(start: StartService, tmp_path: Any) -> None:
    def newer() -> type[Lifecycle[Any]]:
        class OrderLifecycle(Lifecycle[Thing]):
            version = 2
            there = State(initial=True)
            gone = Final()
            touch = on(Touch, there.to(gone))

        return OrderLifecycle

    address = f"sqlite:///{tmp_path / 'a.db'}"
    with Engine(address, lifecycles=[newer()]) as engine:
        engine.create(newer(), "A", Thing(), actor="a:b")
    service = start(address)
    assert name_of(service.client.get("/entities/Order/A")) == (500, "version-unknown")
    assert service.client.get("/census/Order").json()["states"] == {"there": 1}


def test_every_problem_is_documented_by_its_status() -> None:
    statuses = {status for status, _ in PROBLEMS.values()}
    assert statuses >= {400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 421, 422, 500, 503, 504}

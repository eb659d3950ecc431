"""Records as server-sent events: whole, in order, resumed where they were cut off, ended cleanly."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event as ThreadEvent
from typing import Any

import httpx
import msgspec
import pytest

from stateward import AsyncEngine, LedgerUnavailable
from stateward.http import Api, Limits
from tests.http.orders import Order, OrderLifecycle, Pay
from tests.http.services import WAIT_S, Service, StartService, read_events
from tests.http.test_entities import BookLifecycle, Grown, create, send


@contextmanager
def stream(service: Service, params: Any = None, **headers: str) -> Generator[httpx.Response]:
    named = {each.replace("_", "-"): value for each, value in headers.items()}
    with (
        httpx.Client(base_url=service.url, timeout=WAIT_S) as client,
        client.stream("GET", "/records", params=params, headers=named) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response


def take(response: httpx.Response, number: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for event in read_events(response):
        if event.get("event") == "record":
            found.append(event)
        if len(found) == number:
            break
    return found


def names(events: list[dict[str, str]]) -> list[tuple[str, str]]:
    records = [msgspec.json.decode(each["data"]) for each in events]
    return [(each["entity"], each["event"]) for each in records]


def test_records_come_as_they_are_made(kept: Service) -> None:
    create(kept, "A")
    with stream(kept) as response:
        events = read_events(response)
        assert next(events) == {"retry": "1000"}
        assert names([next(events)]) == [("A", "Started")]
        send(kept, "A", "Pay", {"amount": 1})
        send(kept, "A", "Pay", {"amount": 4200})
        later = [next(events), next(events)]
    assert names(later) == [("A", "Pay"), ("A", "Pay")]
    records = [msgspec.json.decode(each["data"]) for each in later]
    assert [each["outcome"] for each in records] == ["rejected_invalid", "applied"]
    history = kept.client.get("/entities/Order/A/history").json()["items"]
    assert records == history[1:]  # one shape, wherever a record is shown


def test_a_client_that_is_cut_off_again_and_again_loses_nothing_and_sees_nothing_twice(kept: Service) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    writers, orders = 4, 25

    def write(writer: int) -> None:
        for number in range(orders):
            create(kept, f"{writer}-{number}")
            send(kept, f"{writer}-{number}", "Pay", {"amount": 4200})

    total = writers * orders * 2
    seen: list[dict[str, str]] = []
    cuts = 0
    with ThreadPoolExecutor(writers) as threads:
        writing = [threads.submit(write, each) for each in range(writers)]
        while len(seen) < total:
            headers = {"last_event_id": seen[-1]["id"]} if seen else {}
            with stream(kept, **headers) as response:
                seen += take(response, min(chance.randint(1, 30), total - len(seen)))
            cuts += 1
        for each in writing:
            each.result()
    assert cuts > 5
    ids = [each["id"] for each in seen]
    assert len(set(ids)) == total
    records = [msgspec.json.decode(each["data"]) for each in seen]
    assert len({each["id"] for each in records}) == total
    for entity in {each["entity"] for each in records}:
        assert [each["revision"] for each in records if each["entity"] == entity] == [1, 2]
    with stream(kept) as response:
        assert [each["id"] for each in take(response, total)] == ids  # the same, to whoever reads from the beginning


def test_last_event_id_counts_for_more_than_what_the_address_says(service: Service) -> None:
    for each in ("A", "B", "C"):
        create(service, each)
    with stream(service) as response:
        a, b, _ = take(response, 3)
    with stream(service, {"after": a["id"]}) as response:
        assert names(take(response, 2)) == [("B", "Started"), ("C", "Started")]
    with stream(service, {"after": a["id"]}, last_event_id=b["id"]) as response:
        assert names(take(response, 1)) == [("C", "Started")]
    with stream(service, {"last": 1}) as response:
        assert names(take(response, 1)) == [("C", "Started")]
    with stream(service, {"last": 0}) as response:
        create(service, "D")
        assert names(take(response, 1)) == [("D", "Started")]
    gone = service.client.get("/records", headers={"last-event-id": "rubbish"})
    assert (gone.status_code, gone.json()["type"]) == (422, "urn:stateward:problem:cursor-invalid")


def test_only_the_kinds_that_are_asked_for(start: StartService) -> None:
    service = start(lifecycles=[OrderLifecycle, BookLifecycle])
    service.call(lambda engine: engine.create(BookLifecycle, "b", Grown(), actor="a:b"))
    create(service, "A")
    with stream(service, {"kind": "Order"}) as response:
        assert names(take(response, 1)) == [("A", "Started")]
    with stream(service, [("kind", "Order"), ("kind", "Book")]) as response:
        assert names(take(response, 2)) == [("b", "Started"), ("A", "Started")]


def test_a_quiet_stream_shows_that_it_lives(start: StartService) -> None:
    service = start(limits=Limits(heartbeat_s=0.01))
    with stream(service) as response:
        events = read_events(response)
        assert next(events) == {"retry": "1000"}
        assert [next(events) for _ in range(3)] == [{":": "still here"}] * 3
        create(service, "A")
        assert names([next(each for each in events if "id" in each)]) == [("A", "Started")]


def test_streams_end_by_themselves_when_the_server_stops(start: StartService) -> None:
    service = start()
    create(service, "A")
    ended: list[list[dict[str, str]]] = []
    begun = [ThreadEvent() for _ in range(5)]

    def follow(number: int) -> None:
        with stream(service) as response:
            seen: list[dict[str, str]] = []
            for event in read_events(response):  # no error at its end: the answer is whole
                seen.append(event)
                if "id" in event:
                    begun[number].set()
            ended.append(seen)

    with ThreadPoolExecutor(5) as threads:
        following = [threads.submit(follow, each) for each in range(5)]
        for each in begun:
            assert each.wait(WAIT_S)
        assert service.api.streams == 5
        service.tell_to_stop()
        for done in following:
            done.result(WAIT_S)
    service.wait_stopped()
    assert [len(each) for each in ended] == [2] * 5
    assert service.api.streams == 0


def test_a_stopping_server_opens_no_stream_and_is_not_ready(service: Service) -> None:
    service.api.stop()
    assert service.client.get("/records").status_code == 503
    assert service.client.get("/ready").status_code == 503
    assert service.client.get("/health").status_code == 200
    assert create(service, "A").status_code == 201  # what is asked is still answered


def test_a_client_that_leaves_is_forgotten(start: StartService) -> None:
    service = start(limits=Limits(streams_max=2, heartbeat_s=0.01))
    for _ in range(20):
        opened = []
        for _ in range(2):
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=WAIT_S)
            connection.sendall(b"GET /records HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503")
            opened.append(connection)
        for connection in opened:
            connection.close()
    while service.api.streams:
        service.client.get("/health")
    with stream(service) as response:
        create(service, "A")
        assert names(take(response, 1)) == [("A", "Started")]


def test_no_more_streams_than_there_may_be(start: StartService) -> None:
    service = start(limits=Limits(streams_max=1))
    with stream(service) as response:
        create(service, "A")
        events = read_events(response)  # kept: httpx closes a connection whose reader is gone
        next(each for each in events if "id" in each)
        busy = service.client.get("/records")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        assert service.client.get("/entities/Order/A").status_code == 200


def test_a_client_that_reads_nothing_holds_up_neither_others_nor_the_end(start: StartService) -> None:
    service = start()

    def fill(engine: Any) -> Any:
        return engine.create_many(
            [_creating(f"e{number}", Order(total=number)) for number in range(20_000)]
        )  # fmt: skip

    service.call(fill)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(b"GET /records HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        assert send(service, "e9", "Pay", {"amount": 9}).status_code == 200
        service.tell_to_stop()
        service.wait_stopped()


def test_a_client_that_reads_nothing_of_a_full_stream_is_cut_off_when_the_server_stops(
    start: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stateward.http.serving.UNREAD_S", 0.1)
    service = start()
    service.call(
        lambda engine: engine.create_many(
            [_creating(f"{number:0500}", Order(total=number)) for number in range(20_000)]
        )
    )  # fmt: skip

    async def wait_until_full() -> None:
        connections: list[Any] = list(service.server.server_state.connections)
        while not connections[0].flow.write_paused:
            await asyncio.sleep(0)

    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(b"GET /records HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        service.in_loop(wait_until_full())
        service.tell_to_stop()
        service.wait_stopped()
    assert "timeout graceful shutdown exceeded" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_client_that_has_left_before_its_stream_begins_is_forgotten() -> None:
    async def ask() -> int:
        async with AsyncEngine("memory://", lifecycles=[OrderLifecycle]) as engine:
            api = Api(engine)
            scope = {
                "type": "http", "method": "GET", "path": "/records", "query_string": b"",
                "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1),
            }  # fmt: skip

            async def receive() -> Any:
                return {"type": "http.disconnect"}

            async def send(_: Any) -> None:
                raise ConnectionResetError

            with pytest.raises(ConnectionResetError):
                await api(scope, receive, send)
            return api.streams

    assert asyncio.run(ask()) == 0


def _creating(entity: str, context: Order) -> Any:
    from stateward.engine import Creating

    return Creating(lifecycle=OrderLifecycle, entity=entity, context=context, actor="a:b")


def test_a_ledger_that_goes_away_ends_the_stream_with_a_problem(
    start: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    create(service, "A")
    is_away = ThreadEvent()
    read = service.engine._read

    def failing(make: Any) -> Any:
        if is_away.is_set():
            message = "away"
            raise LedgerUnavailable(message)
        return read(make)

    monkeypatch.setattr(service.engine, "_read", failing)
    with stream(service) as response:
        events = read_events(response)
        cursor = next(each for each in events if "id" in each)["id"]
        is_away.set()
        [last] = list(events)
    assert last["event"] == "problem"
    assert "id" not in last  # the next one begins where this one was
    assert msgspec.json.decode(last["data"])["type"] == "urn:stateward:problem:ledger-unavailable"
    is_away.clear()
    service.call(lambda engine: engine.send(OrderLifecycle, "A", Pay(amount=4200), actor="a:b"))
    with stream(service, last_event_id=cursor) as response:
        assert names(take(response, 1)) == [("A", "Pay")]


def test_only_the_head_of_a_stream_may_be_asked_for(service: Service) -> None:
    head = service.client.head("/records")
    assert (head.status_code, head.content) == (200, b"")
    assert service.api.streams == 0

"""Webhooks out, against an HTTP server: what is posted, how it is signed, and what each answer means."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import msgspec
import pytest
import standardwebhooks

from stateward import Effect, EffectMarker
from stateward.errors import EffectFailed
from stateward.work.handling import Call, GiveUp, Snooze
from stateward.work.webhooks import ByCall, Secrets, Webhook
from tests.work.receiver import WAIT_S, Answer, Connection, Receiver, answering, open_receiver

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
OTHER = "whsec_" + base64.b64encode(b"another one of some more bytes").decode()
SOURCE = "https://shop.example/orders"
KEY = "0198c0de-0000-7000-8000-000000000001:0"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Line(msgspec.Struct, frozen=True):
    article: str
    count: int


class OrderPaid(Effect):
    amount: int
    lines: tuple[Line, ...] = ()
    on: date | None = None


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with open_receiver() as opened:
        yield opened


def call(**given: Any) -> Call:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "key": KEY,
        "kind": "Order",
        "entity": "A-17",
        "effect": "OrderPaid",
        "revision": 2,
        "attempt": 1,
        "deadline": now + timedelta(seconds=WAIT_S),
        "record": KEY.split(":", maxsplit=1)[0],
        "traceparent": None,
        "asked_at": now - timedelta(seconds=5),
    }
    return Call(**{**fields, **given})


def webhook(url: str | ByCall[str], secret: Secrets | ByCall[Secrets] = SECRET, **given: Any) -> Webhook:
    return Webhook(url=url, secret=secret, source=given.pop("source", SOURCE), **given)


def post(handler: Webhook, effect: EffectMarker | None = None, **given: Any) -> None:
    asyncio.run(handler(effect or OrderPaid(4200), call(**given)))


def posted(receiver: Receiver, effect: EffectMarker | None = None, **given: Any) -> dict[str, Any]:
    """The event that came of an effect."""
    post(webhook(receiver.url), effect, **given)
    return dict(json.loads(receiver.get().body))


def outcome(receiver: Receiver, answer: Answer, handler: Webhook | None = None, **given: Any) -> BaseException | None:
    """What an answer makes of a webhook: None if it was delivered."""
    receiver.answer = answer
    try:
        post(handler or webhook(receiver.url), **given)
    except (EffectFailed, GiveUp, Snooze) as error:
        return error
    return None


# CloudEvents 1.0, its types and its JSON format, by hand.

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def check_event(event: dict[str, Any]) -> None:
    assert event["specversion"] == "1.0"
    for name in ("id", "source", "type"):
        assert isinstance(event[name], str), name
        assert event[name], name
    for name, value in event.items():
        assert re.fullmatch(r"[a-z0-9]{1,20}", name)
        if name != "data":
            assert isinstance(value, (str, bool, int))
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]", str(value))
    assert RFC_3339.fullmatch(event["time"])
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert event["datacontenttype"] == "application/json"
    assert "data_base64" not in event


def test_what_is_posted_is_a_cloudevent(receiver: Receiver) -> None:
    asked = datetime(2026, 3, 1, 12, 30, 0, 250_000, tzinfo=UTC)
    effect = OrderPaid(4200, lines=(Line("häkel", 2),), on=date(2026, 3, 1))
    post(webhook(f"{receiver.url}/hooks?of=shop"), effect, asked_at=asked, entity="A/17 ü")
    request = receiver.get()
    assert request.path == "/hooks?of=shop"
    assert request.headers["content-type"] == "application/cloudevents+json"
    event = json.loads(request.body)
    check_event(event)
    assert event == {
        "specversion": "1.0",
        "id": KEY,
        "source": SOURCE,
        "type": "example.shop.Order.OrderPaid",
        "subject": "Order/A/17 ü",
        "time": "2026-03-01T12:30:00.250000Z",
        "datacontenttype": "application/json",
        "data": {"amount": 4200, "lines": [{"article": "häkel", "count": 2}], "on": "2026-03-01"},
    }


@dataclass(frozen=True)
class Told(EffectMarker):
    names: tuple[str, ...]
    at: datetime


@pytest.mark.parametrize(
    "effect",
    [OrderPaid(1), OrderPaid(-1, (Line("a", 1), Line('"\n', 0))), Told(("a", "ü"), datetime(2026, 3, 1, tzinfo=UTC))],
)
def test_the_data_is_the_effect_as_builtins(receiver: Receiver, effect: EffectMarker) -> None:
    event = posted(receiver, effect)
    check_event(event)
    assert event["data"] == json.loads(msgspec.json.encode(effect))


def test_a_time_in_another_zone_is_the_same_moment(receiver: Receiver) -> None:
    asked = datetime.fromisoformat("2026-03-01T12:30:00+05:30")
    event = posted(receiver, asked_at=asked)
    check_event(event)
    assert datetime.fromisoformat(event["time"]) == asked


def test_a_subject_and_a_type_hold_only_what_an_attribute_may(receiver: Receiver) -> None:
    told = call(entity="50%\n\x7f\ufdd0\U0001ffff x", effect="Told\x1b")
    asyncio.run(webhook(receiver.url)(OrderPaid(1), told))
    event = json.loads(receiver.get().body)
    check_event(event)
    assert event["subject"] == "Order/50%25%0A%7F%EF%B7%90%F0%9F%BF%BF x"
    assert event["type"] == "example.shop.Order.Told%1B"


def test_a_trace_goes_along_as_attribute_and_header(receiver: Receiver) -> None:
    post(webhook(receiver.url), traceparent=TRACEPARENT)
    request = receiver.get()
    event = json.loads(request.body)
    check_event(event)
    assert event["traceparent"] == request.headers["traceparent"] == TRACEPARENT


@pytest.mark.parametrize("given", ["", "00-12-34-01", TRACEPARENT.upper(), f"{TRACEPARENT}\r\nx-evil: 1", None])
def test_what_is_no_trace_is_left_out(receiver: Receiver, given: str | None) -> None:
    post(webhook(receiver.url), traceparent=given)
    request = receiver.get()
    assert "traceparent" not in json.loads(request.body)
    assert {"traceparent", "x-evil"}.isdisjoint(request.headers)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://orders.Shop.example:8443/x", "example.shop.orders.Order.OrderPaid"),
        ("//shop.example", "example.shop.Order.OrderPaid"),
        ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "Order.OrderPaid"),
        ("/orders", "Order.OrderPaid"),
        ("http://127.0.0.1/orders", "Order.OrderPaid"),
        ("http://localhost/orders", "Order.OrderPaid"),
    ],
)
def test_the_type_is_by_default_the_reversed_host_with_kind_and_effect(
    receiver: Receiver, source: str, expected: str
) -> None:
    post(webhook(receiver.url, source=source))
    event = json.loads(receiver.get().body)
    check_event(event)
    assert (event["source"], event["type"]) == (source, expected)


@pytest.mark.parametrize("source", ["", "two words", "https://shop.example/%zz", "https://shop.example/ü", "a\n"])
def test_a_source_that_is_no_uri_reference_is_told(source: str) -> None:
    with pytest.raises(ValueError, match="is no URI-reference"):
        webhook("https://partner.example", source=source)


async def choose_type(effect: OrderPaid, told: Call) -> str:
    return f"example.shop.{told.effect}.v{effect.amount}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("example.paid", "example.paid"), (choose_type, "example.shop.OrderPaid.v4200")],
)
def test_the_type_can_be_given_and_chosen(receiver: Receiver, given: str | ByCall[str], expected: str) -> None:
    post(webhook(receiver.url, event_type=given))
    assert json.loads(receiver.get().body)["type"] == expected


# Standard Webhooks 1.0.


def test_the_signature_verifies_with_the_secret_alone(receiver: Receiver) -> None:
    post(webhook(receiver.url))
    request = receiver.get()
    verified = standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)
    assert verified == json.loads(request.body)
    with pytest.raises(standardwebhooks.WebhookVerificationError, match="No matching signature"):
        standardwebhooks.Webhook(OTHER).verify(request.body, request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError, match="No matching signature"):
        standardwebhooks.Webhook(SECRET).verify(request.body + b" ", request.headers)
    earlier = str(int(request.headers["webhook-timestamp"]) - 1)
    for name, changed in (("webhook-id", f"{KEY}0"), ("webhook-timestamp", earlier)):
        with pytest.raises(standardwebhooks.WebhookVerificationError, match="No matching signature"):
            standardwebhooks.Webhook(SECRET).verify(request.body, {**request.headers, name: changed})


def test_the_signature_is_the_one_that_the_specification_describes(receiver: Receiver) -> None:
    import hashlib
    import hmac

    post(webhook(receiver.url))
    request = receiver.get()
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    expected = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), signed, hashlib.sha256)
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert re.fullmatch(r"\d+", request.headers["webhook-timestamp"])


@pytest.mark.parametrize(
    "secret",
    [SECRET, SECRET.removeprefix("whsec_"), SECRET.rstrip("="), b"a secret of thirty-two bytes ..."],
    ids=["prefixed", "base64", "unpadded", "bytes"],
)
def test_a_secret_can_be_written_in_each_of_its_forms(receiver: Receiver, secret: str | bytes) -> None:
    post(webhook(receiver.url, secret))
    request = receiver.get()
    standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)


def test_while_secrets_are_rotated_each_of_them_verifies(receiver: Receiver) -> None:
    post(webhook(receiver.url, [OTHER, SECRET]))
    request = receiver.get()
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OTHER):
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)


def test_a_retry_has_the_same_id_and_body_and_a_new_time(receiver: Receiver) -> None:
    start = datetime.now(UTC)
    now = [start]
    handler = webhook(receiver.url, clock=lambda: now[0])
    told = call(asked_at=start - timedelta(minutes=1), deadline=start + timedelta(minutes=3))
    receiver.answer = answering(500)
    with pytest.raises(EffectFailed):
        asyncio.run(handler(OrderPaid(4200), told))
    now[0] += timedelta(seconds=60)
    receiver.answer = answering(200)
    asyncio.run(handler(OrderPaid(4200), msgspec.structs.replace(told, attempt=2)))
    first, second = receiver.get(), receiver.get()
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == KEY
    assert int(first.headers["webhook-timestamp"]) == int(start.timestamp())
    assert int(second.headers["webhook-timestamp"]) == int(first.headers["webhook-timestamp"]) + 60
    assert first.body == second.body
    for each in (first, second):
        standardwebhooks.Webhook(SECRET).verify(each.body, each.headers)


# What an answer means.


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 206, 226, 299])
def test_a_status_of_two_hundred_and_something_is_done(receiver: Receiver, status: int) -> None:
    assert outcome(receiver, answering(status)) is None


@pytest.mark.parametrize(
    "status",
    [*range(300, 309), *range(400, 410), 411, 413, 418, 422, 425, 429, 451, *range(500, 505), 599],
)
def test_every_other_status_is_tried_again(receiver: Receiver, status: int) -> None:
    found = outcome(receiver, answering(status, b"" if status == 304 else b"the reason"))
    assert isinstance(found, EffectFailed)
    assert (found.effect, found.key) == ("OrderPaid", KEY)
    assert f"{receiver.url} answered {status}" in str(found)
    assert ("the reason" in str(found)) is (status != 304)


def test_gone_is_given_up(receiver: Receiver) -> None:
    found = outcome(receiver, answering(410))
    assert isinstance(found, GiveUp)
    assert str(found) == f"{receiver.url} answered 410 Gone: the receiver wants no more webhooks there"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("given", "delay_s"),
    [("120", 120), (" 7 ", 7), ("0", 1), ("999999999", 3600), ("9" * 400, 3600)],
)
def test_a_receiver_can_put_a_webhook_off_within_bounds(
    receiver: Receiver, status: int, given: str, delay_s: int
) -> None:
    found = outcome(receiver, answering(status, Retry_After=given))
    assert isinstance(found, Snooze)
    assert found.delay == timedelta(seconds=delay_s)


@pytest.mark.parametrize(("ahead_s", "delay_s"), [(90, 90), (-90, 1), (10_000_000, 3600)])
def test_a_receiver_can_name_the_moment(receiver: Receiver, ahead_s: int, delay_s: int) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    moment = format_datetime(now + timedelta(seconds=ahead_s), usegmt=True)
    handler = webhook(receiver.url, clock=lambda: now)
    found = outcome(receiver, answering(503, Retry_After=moment), handler)
    assert isinstance(found, Snooze)
    assert found.delay == timedelta(seconds=delay_s)


@pytest.mark.parametrize("given", ["", "soon", "-5", "1.5", "٣", "9" * 5000, "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_a_delay_that_says_nothing_is_none(receiver: Receiver, given: str) -> None:
    def answer(connection: Connection) -> None:
        connection.wfile.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: %s\r\n\r\n" % given.encode())

    assert isinstance(outcome(receiver, answer), EffectFailed)


@pytest.mark.parametrize("status", [301, 404, 500, 502])
def test_the_delay_of_another_answer_is_the_retry_policys(receiver: Receiver, status: int) -> None:
    assert isinstance(outcome(receiver, answering(status, Retry_After="120")), EffectFailed)


def test_who_puts_a_webhook_off_for_ever_runs_out_of_patience(receiver: Receiver) -> None:
    handler = webhook(receiver.url, patience=timedelta(hours=2))
    now = datetime.now(UTC)
    answer = answering(429, Retry_After="60")
    assert isinstance(outcome(receiver, answer, handler, asked_at=now - timedelta(minutes=119)), Snooze)
    assert isinstance(outcome(receiver, answer, handler, asked_at=now - timedelta(minutes=121)), EffectFailed)


def test_the_longest_delay_can_be_set(receiver: Receiver) -> None:
    handler = webhook(receiver.url, retry_after_max=timedelta(seconds=30))
    found = outcome(receiver, answering(429, Retry_After="120"), handler)
    assert isinstance(found, Snooze)
    assert found.delay == timedelta(seconds=30)
    assert str(found) == f"{receiver.url} answered 429 Too Many Requests"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    with open_receiver() as elsewhere:
        found = outcome(receiver, answering(status, Location=elsewhere.url))
        assert elsewhere.requests.empty()
    assert isinstance(found, EffectFailed)
    assert "redirects are not followed: url= must name where it has moved" in str(found)
    assert receiver.requests.qsize() == 1


# What comes instead of an answer.


def stay_silent(connection: Connection) -> None:
    connection.rfile.read(1)  # nothing, once the sender has closed the connection
    connection.close_connection = True


def drip_the_head(connection: Connection) -> None:
    """Each byte comes soon enough, and all of them never do."""
    over = connection.receiver.is_over
    connection.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while not over.wait(0.02):
        connection.wfile.write(b"x")
        connection.wfile.flush()


@pytest.mark.parametrize("answer", [stay_silent, drip_the_head])
@pytest.mark.parametrize("bound", ["deadline", "timeout"])
def test_a_slow_receiver_meets_the_earlier_of_deadline_and_timeout(
    receiver: Receiver, answer: Answer, bound: str
) -> None:
    short, long = timedelta(seconds=0.3), timedelta(seconds=WAIT_S)
    handler = webhook(receiver.url, timeout=short if bound == "timeout" else long)
    began = time.monotonic()
    found = outcome(receiver, answer, handler, deadline=datetime.now(UTC) + (short if bound == "deadline" else long))
    assert isinstance(found, EffectFailed)
    assert found.problem == f"{receiver.url} did not answer in time"
    assert 0.25 < time.monotonic() - began < WAIT_S / 2
    receiver.get()
    receiver.closed.get(timeout=WAIT_S)


def test_what_is_past_its_deadline_is_not_posted(receiver: Receiver) -> None:
    found = outcome(receiver, answering(204), deadline=datetime.now(UTC))
    assert isinstance(found, EffectFailed)
    assert found.problem == "its deadline was over before it was posted"
    assert receiver.requests.empty()


def test_what_was_answered_is_done_though_the_body_never_ends(receiver: Receiver) -> None:
    def answer(connection: Connection) -> None:
        connection.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.wfile.flush()
        stay_silent(connection)

    began = time.monotonic()
    assert outcome(receiver, answer, deadline=datetime.now(UTC) + timedelta(seconds=0.4)) is None
    assert outcome(receiver, answer) is None
    assert time.monotonic() - began < WAIT_S / 2


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: a connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EffectFailed, match=f"{url} gave no answer: "):
            post(webhook(url))


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-", b"what?\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n"],
    ids=["nothing", "half a head", "no HTTP", "no status"],
)
def test_what_is_no_answer_is_tried_again(receiver: Receiver, answer: bytes) -> None:
    def break_off(connection: Connection) -> None:
        connection.wfile.write(answer)
        connection.close_connection = True

    found = outcome(receiver, break_off)
    assert isinstance(found, EffectFailed)
    assert f"{receiver.url} gave no answer: " in str(found)


def test_a_receiver_that_speaks_no_tls_is_tried_again(receiver: Receiver) -> None:
    with pytest.raises(EffectFailed, match="gave no answer: "):
        post(webhook(receiver.url.replace("http:", "https:")))
    assert receiver.requests.empty()


def test_an_answer_of_an_outsider_is_told_in_one_short_line(receiver: Receiver) -> None:
    found = outcome(receiver, answering(500, b"<p>\x00\x1b[31m no\xff\n " * 1000))
    assert isinstance(found, EffectFailed)
    assert found.problem.startswith(f"{receiver.url} answered 500 Internal Server Error: <p> [31m no\ufffd <p> [31m")
    assert found.problem.isprintable()
    assert len(found.problem) < 400


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(("length", "is_read"), [(60_000, True), (1_000_000, False)])
def test_a_large_answer_is_not_read_to_its_end(receiver: Receiver, status: int, length: int, is_read: bool) -> None:
    """What is left unread ends the connection; what was read leaves it to the next webhook."""
    receiver.answer = answering(status, b"x" * length)
    handler = webhook(receiver.url)

    async def main() -> None:
        for _ in range(2):
            with nullcontext() if status == 200 else pytest.raises(EffectFailed):
                await handler(OrderPaid(1), call())
            if not is_read:
                await asyncio.to_thread(receiver.closed.get, timeout=WAIT_S)
        assert (receiver.get().connection == receiver.get().connection) is is_read

    asyncio.run(main())


def test_a_reason_phrase_is_as_little_trusted_as_a_body(receiver: Receiver) -> None:
    def answer(connection: Connection) -> None:
        connection.wfile.write(b"HTTP/1.1 500 Oh\xe9" + b"h" * 2000 + b"\r\nContent-Length: 0\r\n\r\n")

    found = outcome(receiver, answer)
    assert isinstance(found, EffectFailed)
    assert found.problem.isprintable()
    assert len(found.problem) < 400


def test_an_answer_is_asked_for_uncompressed_and_left_as_it_comes(receiver: Receiver) -> None:
    import gzip

    found = outcome(receiver, answering(500, gzip.compress(b"0" * 1_000_000), Content_Encoding="gzip"))
    assert receiver.get().headers["accept-encoding"] == "identity"
    assert isinstance(found, EffectFailed)
    assert "0" * 10 not in found.problem


def test_a_cancelled_webhook_lets_go_of_its_connection(receiver: Receiver) -> None:
    receiver.answer = stay_silent

    async def main() -> None:
        task = asyncio.create_task(webhook(receiver.url)(OrderPaid(1), call()))
        request = await asyncio.to_thread(receiver.get)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(receiver.closed.get, timeout=WAIT_S) == request.connection

    asyncio.run(main())


# Connections.


def test_one_connection_serves_many_calls_and_ends_with_its_loop(receiver: Receiver) -> None:
    handler = webhook(receiver.url)
    receiver.answer = answering(200, b"x" * 1000)

    async def main() -> None:
        for _ in range(3):
            await handler(OrderPaid(1), call())

    for _ in range(2):
        asyncio.run(main())
        ports = {receiver.get().connection for _ in range(3)}
        assert len(ports) == 1
        assert {receiver.closed.get(timeout=WAIT_S)} == ports


def test_calls_at_once_share_a_client(receiver: Receiver) -> None:
    handler = webhook(receiver.url)

    async def main() -> None:
        await asyncio.gather(*(handler(OrderPaid(n), call(key=f"r:{n}")) for n in range(20)))
        assert len(handler._clients._open) == 1

    asyncio.run(main())
    assert sorted(json.loads(receiver.get().body)["data"]["amount"] for _ in range(20)) == list(range(20))
    assert handler._clients._open == {}


def test_a_loop_that_was_closed_without_being_shut_down_is_forgotten(receiver: Receiver) -> None:
    handler = webhook("https://partner.example")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(handler._clients.get())
    loop.close()
    assert list(handler._clients._open) == [loop]
    asyncio.run(handler._clients.get())
    assert handler._clients._open == {}


def test_closing_ends_the_connections_and_the_next_call_opens_new_ones(receiver: Receiver) -> None:
    handler = webhook(receiver.url)

    async def main() -> None:
        await handler.aclose()
        async with handler:
            await handler(OrderPaid(1), call())
        first = receiver.get().connection
        assert await asyncio.to_thread(receiver.closed.get, timeout=WAIT_S) == first
        await handler(OrderPaid(2), call())
        assert receiver.get().connection != first

    asyncio.run(main())


def test_a_client_of_the_callers_is_used_and_left_open(receiver: Receiver) -> None:
    async def main() -> None:
        with open_receiver() as elsewhere:
            async with httpx.AsyncClient(headers={"x-from": "caller"}, follow_redirects=True) as client:
                async with webhook(receiver.url, client=client) as handler:
                    await handler(OrderPaid(1), call())
                    receiver.answer = answering(307, Location=elsewhere.url)
                    with pytest.raises(EffectFailed, match="redirects are not followed"):
                        await handler(OrderPaid(1), call())
                assert not client.is_closed
            assert elsewhere.requests.empty()

    asyncio.run(main())
    assert receiver.get().headers["x-from"] == "caller"


def test_a_proxy_of_the_environment_is_heeded(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    post(webhook("http://partner.example/hooks"))
    assert receiver.get().path == "http://partner.example/hooks"


def test_a_receivers_cookies_are_not_kept(receiver: Receiver) -> None:
    handler = webhook(receiver.url)
    receiver.answer = answering(200, Set_Cookie="a=b; Path=/")

    async def main() -> None:
        await handler(OrderPaid(1), call())
        await handler(OrderPaid(1), call())

    asyncio.run(main())
    assert "cookie" not in receiver.get().headers
    assert "cookie" not in receiver.get().headers


# Where to, with which secret and which headers.

BAD_URLS = [
    "",
    "/hooks",
    "partner.example/hooks",
    "ftp://partner.example",
    "file:///etc/passwd",
    "https://",
    "http://[::1",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_cant_be_posted_to_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="the url"):
        webhook(url)


@pytest.mark.parametrize("url", [*BAD_URLS, None, 7])
def test_a_chosen_url_that_cant_be_posted_to_is_given_up(url: Any) -> None:
    with pytest.raises(GiveUp, match="the url"):
        post(webhook(lambda _effect, _call: url))


def test_a_url_holds_no_password() -> None:
    with pytest.raises(ValueError, match="give them in headers=") as caught:
        webhook("https://me:hunter2@partner.example")
    assert "hunter2" not in str(caught.value)


def test_url_and_secret_can_be_chosen_for_each_effect(receiver: Receiver) -> None:
    async def url(effect: OrderPaid, told: Call) -> str:
        return f"{receiver.url}/{told.entity}/{effect.amount}"

    post(webhook(url, lambda effect, _call: OTHER if effect.amount == 7 else SECRET), OrderPaid(7))
    request = receiver.get()
    assert request.path == "/A-17/7"
    standardwebhooks.Webhook(OTHER).verify(request.body, request.headers)


@pytest.mark.parametrize("error", [GiveUp("nobody has subscribed"), Snooze(timedelta(seconds=3)), ValueError("mine")])
def test_what_choosing_raises_is_the_answer(error: Exception) -> None:
    def url(_effect: EffectMarker, _call: Call) -> str:
        raise error

    with pytest.raises(type(error)) as caught:
        post(webhook(url))
    assert caught.value is error


BAD_SECRETS: list[Any] = [
    "",
    b"",
    [],
    "whsec_",
    "whsec_" + base64.b64encode(b"short").decode(),
    *("whsk_" + base64.b64encode(b"k" * length).decode() for length in (31, 32, 33)),
    *(f"{SECRET[:n]}*{SECRET[n:]}" for n in (8, 9, 10, 11)),
    "not base64, but long enough to be one",
    "sécret" * 10,
    [SECRET, ""],
]


@pytest.mark.parametrize("secret", BAD_SECRETS)
def test_a_secret_that_cant_be_one_is_told_without_it(secret: Any) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        webhook("https://partner.example", secret)
    shown = str(caught.value)
    assert not any(each and str(each) in shown for each in ([secret] if isinstance(secret, (str, bytes)) else secret))
    with pytest.raises(GiveUp, match="secret"):
        post(webhook("https://partner.example", lambda _effect, _call: secret))


def test_nothing_shows_a_secret_or_the_path_of_a_url(receiver: Receiver) -> None:
    handler = webhook(f"{receiver.url}/T0KEN?key=T0KEN")
    found = outcome(receiver, answering(404), handler)
    for text in (repr(handler), str(handler), str(found), repr(found)):
        assert "T0KEN" not in text
        assert SECRET[6:] not in text


def test_headers_go_along(receiver: Receiver) -> None:
    post(webhook(receiver.url, headers={"Authorization": "Bearer x", "User-Agent": "shop/1"}))
    headers = receiver.get().headers
    assert (headers["authorization"], headers["user-agent"]) == ("Bearer x", "shop/1")
    post(webhook(receiver.url))
    assert receiver.get().headers["user-agent"] == "stateward"


@pytest.mark.parametrize("name", ["Webhook-Id", "webhook-signature", "Content-Type", "Host", "traceparent"])
def test_a_header_that_the_webhook_sets_cant_be_given(name: str) -> None:
    with pytest.raises(ValueError, match=f"headers= holds {name.lower()}"):
        webhook("https://partner.example", headers={name: "x"})


# The extra.


@pytest.mark.parametrize("package", ["httpx", "standardwebhooks"])
def test_a_missing_extra_is_told_with_what_to_install(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import stateward.work.webhooks"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"{package} is not installed: pip install 'stateward[webhooks]'")

"""Entities over HTTP: what an engine does, its answers said in HTTP, on every ledger and with both engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event as ThreadEvent
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from stateward import Chart, Context, ContextMarker, Event, EventMarker, Final, FrozenMap, Lifecycle, State, on
from stateward.http import Token
from stateward.ledger import Actor
from tests.http.orders import Cancel, Order, OrderLifecycle, Pay, Ship
from tests.http.services import Service, StartService, ask_raw, body_of

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
JSON = {"content-type": "application/json"}


def create(service: Service, entity: str, **headers: str) -> httpx.Response:
    return service.client.post("/entities/Order", json={"id": entity, "context": {"total": 4200}}, headers=headers)


def send(service: Service, entity: str, event: str, payload: Any = None, **headers: str) -> httpx.Response:
    body = {"event": event} if payload is None else {"event": event, "payload": payload}
    path = f"/entities/Order/{quote(entity, safe='')}/events"
    return service.client.post(path, json=body, headers={each.replace("_", "-"): headers[each] for each in headers})


def test_an_order_lives_over_http(kept: Service) -> None:
    client = kept.client
    made = create(kept, "A-17")
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, "/entities/Order/A-17", '"1"')
    assert made.json() | {"record": ""} == {
        "kind": "Order", "entity": "A-17", "revision": 1, "record": "", "state": "pending", "version": 1,
        "outcome": "applied", "is_repetition": False,
    }  # fmt: skip

    refused = send(kept, "A-17", "Pay", {"amount": 1})
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert refused.json()["refusal"] == {
        "kind": "guarded", "lifecycle": "Order", "state": "pending", "event": "Pay",
        "reason": "every guard of its transitions said no",
    }  # fmt: skip
    [candidate] = refused.json()["why"]["candidates"]
    assert candidate["guard"] == "covers_total"
    assert candidate["reads"] == [{"name": "event.amount", "value": 1}, {"name": "context.total", "value": 4200}]

    assert send(kept, "A-17", "Pay", {"amount": 4200}).json()["state"] == "paid"
    assert send(kept, "A-17", "Pay", {"amount": 4200}).json()["outcome"] == "already_done"
    attempt = client.post("/entities/Order/A-17/attempts", json={"event": "Deliver"})
    assert (attempt.status_code, attempt.json()["outcome"]) == (200, "refused")
    assert attempt.json()["refusal"]["kind"] == "illegal"
    assert client.post("/entities/Order/A-17/attempts", json={"event": "Ship"}).json()["outcome"] == "applied"

    found = client.get("/entities/Order/A-17").json()
    assert (found["state"], found["revision"], found["is_finished"]) == ("shipped", 3, False)
    assert found["context"] == {"total": 4200, "paid": 4200}
    assert list(found["entered"]) == ["shipped"]

    history = client.get("/entities/Order/A-17/history").json()
    assert [(each["event"], each["outcome"], each["revision"]) for each in history["items"]] == [
        ("Started", "applied", 1), ("Pay", "rejected_invalid", 1), ("Pay", "applied", 2), ("Pay", "already_done", 2),
        ("Deliver", "rejected_invalid", 2), ("Ship", "applied", 3),
    ]  # fmt: skip
    assert {each["actor"] for each in history["items"]} == {"http:anonymous"}

    assert client.get("/census/Order").json() == {"kind": "Order", "states": {"shipped": 1}}
    assert client.get("/entities/Order", params={"state": "shipped"}).json()["items"][0]["id"] == "A-17"
    assert client.get("/entities/Order", params={"state": "paid"}).json() == {"items": [], "after": None}
    assert client.get("/ready").json() == {"status": "ok"}


def test_what_the_engine_sees_is_what_came_over_http(service: Service) -> None:
    when = "2026-01-02T03:04:05.000006+02:00"
    body = {"id": "A", "context": {"total": 7}, "occurred_at": when}
    headers = {"idempotency-key": '"cart 5"', "traceparent": TRACE, "tracestate": "a=1", "stateward-actor": "buyer:9"}
    assert service.client.post("/entities/Order", json=body, headers=headers).status_code == 201
    [record] = service.client.get("/entities/Order/A/history").json()["items"]
    assert record["occurred_at"] == "2026-01-02T01:04:05.000006Z"
    assert (record["actor"], record["key"], record["traceparent"], record["tracestate"]) == (
        "buyer:9", "cart 5", TRACE, "a=1",
    )  # fmt: skip
    assert record["payload"] == {"total": 7, "paid": 0}


@pytest.mark.parametrize(
    ("parent", "state", "kept"),
    [
        ("rubbish", "a=1", (None, None)),
        (TRACE.upper(), "a=1", (None, None)),
        (TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), "a=1", (None, None)),
        (TRACE.replace("00f067aa0ba902b7", "0" * 16), "a=1", (None, None)),
        ("ff" + TRACE[2:], "a=1", (None, None)),
        (TRACE + "-more", "a=1", (None, None)),
        ("01" + TRACE[2:] + "-more", "", ("01" + TRACE[2:] + "-more", None)),
        (TRACE, "no member", (TRACE, None)),
        (TRACE, "a=" + "b" * 600, (TRACE, None)),
        (TRACE, ",".join(f"k{each}=v" for each in range(33)), (TRACE, None)),
        (TRACE, "a=1 , b=2,", (TRACE, "a=1,b=2")),
    ],
)
def test_a_place_in_a_trace_is_passed_on_if_it_is_one(
    service: Service, parent: str, state: str, kept: tuple[str | None, str | None]
) -> None:
    headers = {"traceparent": parent, "tracestate": state}
    assert create(service, "A", **headers).status_code == 201
    [record] = service.client.get("/entities/Order/A/history").json()["items"]
    assert (record["traceparent"], record["tracestate"]) == kept


def test_the_same_key_gives_the_first_answer_again(kept: Service) -> None:
    first, again = create(kept, "A", **{"idempotency-key": "k"}), create(kept, "A", **{"idempotency-key": '"k"'})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json() | {"is_repetition": True}
    paid = send(kept, "A", "Pay", {"amount": 4200}, idempotency_key="pay")
    send(kept, "A", "Ship")
    repeated = send(kept, "A", "Pay", {"amount": 4200}, idempotency_key="pay")
    assert repeated.json() == paid.json() | {"is_repetition": True}
    other = send(kept, "A", "Pay", {"amount": 4201}, idempotency_key="pay")
    assert (other.status_code, other.json()["type"]) == (409, "urn:stateward:problem:conflict")
    assert create(kept, "A").status_code == 409  # the id is taken
    assert kept.call(lambda engine: engine.get(OrderLifecycle, "A")).revision == 3


def test_one_key_that_comes_many_times_at_once_is_applied_once(kept: Service) -> None:
    create(kept, "A")

    def pay(_: int) -> httpx.Response:
        return send(kept, "A", "Pay", {"amount": 4200}, idempotency_key="pay")

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(pay, range(32)))
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["record"] for each in answers}) == 1
    assert sum(not each.json()["is_repetition"] for each in answers) == 1
    assert kept.call(lambda engine: engine.get(OrderLifecycle, "A")).revision == 2


def test_of_many_who_expect_the_same_revision_exactly_one_wins(kept: Service) -> None:
    create(kept, "A")
    send(kept, "A", "Pay", {"amount": 4200})
    events = ["Ship", "Refund", "Cancel"] * 6

    def race(event: str) -> int:
        return send(kept, "A", event, if_match='"2"').status_code

    with ThreadPoolExecutor(len(events)) as threads:
        statuses = list(threads.map(race, events))
    assert sorted(statuses) == [200] + [412] * (len(events) - 1)
    assert kept.call(lambda engine: engine.get(OrderLifecycle, "A")).revision == 3


def test_if_match_is_a_revision_or_any(service: Service) -> None:
    create(service, "A")
    assert send(service, "A", "Pay", {"amount": 4200}, if_match="*").status_code == 200
    stale = send(service, "A", "Ship", if_match='"1"')
    assert (stale.status_code, stale.json()["refusal"]["kind"]) == (412, "stale")
    for never in ('"x"', 'W/"2"', '"02"', '""', '"99999999999999999999999"'):
        assert send(service, "A", "Ship", if_match=never).status_code == 412
    for wrong in ("2", '"1", "2"', '"'):
        assert send(service, "A", "Ship", if_match=wrong).status_code == 400
    by_value = service.client.post(
        "/entities/Order/A/attempts", json={"event": "Ship"}, headers={"if-match": '"1"'}
    )  # fmt: skip
    assert (by_value.status_code, by_value.json()["refusal"]["kind"]) == (200, "stale")
    assert send(service, "A", "Ship", if_match='"2"').status_code == 200


def test_an_entity_that_the_client_has_is_not_sent_again(service: Service) -> None:
    create(service, "A")
    first = service.client.get("/entities/Order/A")
    assert (first.headers["etag"], first.headers["cache-control"]) == ('"1"', "no-cache")
    for tags in ('"1"', 'W/"1"', '"7", "1"', "*"):
        same = service.client.get("/entities/Order/A", headers={"if-none-match": tags})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"1"')
    assert service.client.get("/entities/Order/A", headers={"if-none-match": "1"}).status_code == 400
    send(service, "A", "Pay", {"amount": 4200})
    moved = service.client.get("/entities/Order/A", headers={"if-none-match": '"1"'})
    assert (moved.status_code, moved.headers["etag"]) == (200, '"2"')
    head = service.client.head("/entities/Order/A")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", '"2"')


def test_legal_events_come_with_the_schemas_of_their_payloads(service: Service) -> None:
    create(service, "A")
    found = service.client.get("/entities/Order/A/events").json()["events"]
    assert [(each["event"], each["is_guarded"], each["is_already"]) for each in found] == [
        ("Pay", True, False), ("Cancel", False, False),
    ]  # fmt: skip
    assert found[0]["payload"] == {
        "title": "Pay", "description": "Money has come in.", "type": "object",
        "properties": {"amount": {"type": "integer"}}, "required": ["amount"], "additionalProperties": False,
    }  # fmt: skip


def test_why_is_told_of_a_query_and_of_a_body_and_nothing_happens(service: Service) -> None:
    create(service, "A")
    asked = service.client.get("/entities/Order/A/why", params={"event": "Pay", "payload": '{"amount": 1}'})
    posted = service.client.post("/entities/Order/A/why", json={"event": "Pay", "payload": {"amount": 1}})
    assert asked.json() == posted.json()
    assert (asked.json()["outcome"], asked.json()["is_accepted"]) == ("guarded", False)
    assert "covers_total said no (event.amount = 1, context.total = 4200)" in asked.json()["text"]
    illegal = service.client.get("/entities/Order/A/why", params={"event": "Ship"}).json()
    assert (illegal["outcome"], illegal["elsewhere"]) == ("illegal", ["paid"])
    assert service.client.get("/entities/Order/A").headers["etag"] == '"1"'


def test_pages_lose_nothing_and_give_nothing_twice_while_writers_write(kept: Service) -> None:
    before = [f"before-{each:03}" for each in range(60)]
    for each in before:
        create(kept, each)
    is_over = ThreadEvent()

    def write() -> int:
        count = 0
        while not is_over.is_set():
            create(kept, f"during-{count:04}")
            send(kept, before[count % 60], "Pay", {"amount": 1})  # refused: history grows
            count += 1
        return count

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            listed: list[str] = []
            after: str | None = None
            while True:
                page = kept.client.get("/entities/Order", params={"limit": 7} | ({"after": after} if after else {}))
                listed += [each["id"] for each in page.json()["items"]]
                after = page.json()["after"]
                if after is None:
                    break
        finally:
            is_over.set()
        written = writing.result()
    assert len(listed) == len(set(listed))
    assert set(before) <= set(listed) <= {*before, *(f"during-{each:04}" for each in range(written))}
    assert listed == sorted(listed)


def test_a_page_ends_at_any_id(kept: Service) -> None:
    ids = ["\x01" * 499 + each for each in "\x01\x02\x03"]
    for each in ids:
        assert create(kept, each).status_code == 201
    found: list[str] = []
    after: str | None = None
    while len(found) < len(ids):
        params: dict[str, Any] = {"limit": 1} if after is None else {"limit": 1, "after": after}
        page = kept.client.get("/entities/Order", params=params)
        assert page.status_code == 200, page.text
        found += [each["id"] for each in page.json()["items"]]
        after = page.json()["after"]
    assert (found, after) == (ids, None)


def test_a_history_in_pages_is_the_history(service: Service) -> None:
    create(service, "A")
    for amount in range(23):
        send(service, "A", "Pay", {"amount": amount})
    whole = service.client.get("/entities/Order/A/history", params={"limit": 1000}).json()
    assert whole["after"] is None
    pieces: list[Any] = []
    after: str | None = None
    while True:
        params = {"limit": "5"} | ({"after": after} if after else {})
        page = service.client.get("/entities/Order/A/history", params=params).json()
        pieces += page["items"]
        after = page["after"]
        if after is None:
            break
    assert pieces == whole["items"]
    assert len(pieces) == 24


def test_entities_past_their_time_are_stuck(start: StartService) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)

    def clock() -> datetime:
        return now

    service = start(engine={"clock": clock})
    for each in ("A", "B", "C"):
        create(service, each)
        now += timedelta(minutes=1)
    assert service.client.get("/stuck/Order").json() == {"items": [], "after": None}
    now = datetime(2026, 5, 1, 1, 1, 30, tzinfo=UTC)
    page = service.client.get("/stuck/Order", params={"limit": 1}).json()
    assert [each["id"] for each in page["items"]] == ["A"]
    rest = service.client.get("/stuck/Order", params={"after": page["after"]}).json()
    assert ([each["id"] for each in rest["items"]], rest["after"]) == (["B"], None)
    due = service.client.get("/entities/Order", params={"due_by": "2026-05-01T01:02:00Z"}).json()
    assert [each["id"] for each in due["items"]] == ["A", "B", "C"]
    unmoved = service.client.get(
        "/entities/Order", params={"state": "pending", "unmoved_since": "2026-05-01T00:00:30Z"}
    )  # fmt: skip
    assert [each["id"] for each in unmoved.json()["items"]] == ["A"]
    assert service.client.get("/entities/Order", params={"version": 2}).json()["items"] == []
    assert len(service.client.get("/entities/Order", params={"version": 1}).json()["items"]) == 3


HOSTILE = [
    "a/b", "/", "//", "a/../b", "..%2f", "%", "%25", "%2F", "a b", "a+b", "a?b", "a#b", "é", "状態", "😀", "e\u0301",
    "<script>", "'; DROP TABLE entity; --", '"', "\\", "a\nb", "\t", "\x7f", "x" * 500, "ü" * 250, "events", "history",
    ";", ":", "~", "{id}", "$(id)", "null", "0", "-1", "a=b&c=d", "\u202e", " ",
]  # fmt: skip


def test_an_id_may_be_any_text(kept: Service) -> None:
    for entity in HOSTILE:
        made = create(kept, entity)
        assert made.status_code == 201, (entity, made.text)
        where = made.headers["location"]
        assert kept.client.get(where).json()["id"] == entity
        assert send(kept, entity, "Pay", {"amount": 4200}).json()["entity"] == entity
        assert len(kept.client.get(f"{where}/history").json()["items"]) == 2
    listed = kept.client.get("/entities/Order").json()["items"]
    assert {each["id"] for each in listed} == set(HOSTILE)


@pytest.mark.parametrize("entity", ["", "\0", "a\0", "x" * 501, "ü" * 251, "\ud800"])
def test_an_id_that_no_ledger_can_keep_is_told(service: Service, entity: str) -> None:
    body = b'{"id": "\\ud800"}' if entity == "\ud800" else msgspec.json.encode({"id": entity})
    answer = service.client.post("/entities/Order", content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["%00", "a%00b", "x" * 501, "x" * 20_000, "%ff", "%ed%a0%80", "%c0%af"])
def test_a_path_that_names_no_entity_is_told(service: Service, path: str) -> None:
    for method, rest in (("GET", ""), ("GET", "/history"), ("GET", "/events"), ("POST", "/events")):
        request = f"{method} /entities/Order/{path}{rest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        request += 'Content-Type: application/json\r\nContent-Length: 16\r\n\r\n{"event":"Ship"}'
        status, body = body_of(ask_raw(service.port, request.encode()))
        assert status == (400 if path in ("%ff", "%ed%a0%80", "%c0%af") else 404), body
        assert msgspec.json.decode(body)["status"] == status


def test_a_kind_that_is_not_served_is_told_with_those_that_are(service: Service) -> None:
    for path in ("/entities/Parcel", "/entities/Parcel/A", "/census/Parcel", "/stuck/Parcel", "/records?kind=Parcel"):
        answer = service.client.get(path)
        assert (answer.status_code, answer.json()["kinds"]) == (404, ["Order"])
    unknown = service.client.post("/entities/Order/A/events", json={"event": "Fly"})
    assert (unknown.status_code, unknown.json()["events"]) == (422, ["Cancel", "Deliver", "Pay", "Refund", "Ship"])


def test_an_actor_that_may_not_is_told_and_roles_go_to_the_hook(start: StartService) -> None:
    asked: list[tuple[str, frozenset[str], str, str]] = []

    def authorize(actor: Actor, kind: str, entity: str, event: Any) -> bool:
        asked.append((str(actor), actor.roles, kind, entity))
        return event is None or "clerk" in actor.roles

    tokens = [
        Token(secret="c" * 20, actor="person:ann", roles=frozenset({"clerk"})),
        Token(secret="d" * 20, actor="person:bob"),
    ]
    service = start(engine={"authorize": authorize}, tokens=tokens)
    ann, bob = ({"authorization": f"Bearer {each.secret}"} for each in tokens)
    assert create(service, "A", **bob).status_code == 201
    refused = send(service, "A", "Pay", {"amount": 4200}, **bob)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:stateward:problem:unauthorized")
    assert refused.json()["refusal"]["kind"] == "unauthorized"
    assert send(service, "A", "Pay", {"amount": 4200}, **ann).status_code == 200
    assert asked == [
        ("person:bob", frozenset(), "Order", "A"),
        ("person:bob", frozenset(), "Order", "A"),
        ("person:ann", frozenset({"clerk"}), "Order", "A"),
    ]
    history = service.client.get("/entities/Order/A/history", headers=ann).json()["items"]
    assert [(each["actor"], each["outcome"]) for each in history] == [
        ("person:bob", "applied"), ("person:bob", "rejected_auth"), ("person:ann", "applied"),
    ]  # fmt: skip


class Grown(Context):
    notes: tuple[str, ...] = ()


class Note(Event):
    text: str


class NoteAgain(Event):
    wire_name = "Note"

    text: str
    stars: int


class Leave(Event):
    pass


def add(context: Grown, event: Note) -> Grown:
    return context.replace(notes=(*context.notes, event.text))


def add_stars(context: Grown, event: NoteAgain) -> Grown:
    return context.replace(notes=(*context.notes, event.text + "*" * event.stars))


class BookLifecycle(Lifecycle[Grown]):
    version = 1

    reading = State(initial=True)
    closed = Final()

    note = on(Note, reading.stay(do=add))
    leave = on(Leave, reading.to(closed))


def newer() -> type[Lifecycle[Any]]:
    class BookLifecycle(Lifecycle[Grown]):
        version = 2

        reading = State(initial=True)
        closed = Final()

        note = on(NoteAgain, reading.stay(do=add_stars))
        leave = on(Leave, reading.to(closed))

    return BookLifecycle


def test_an_event_is_read_as_the_version_that_its_entity_is_on_has_it(start: StartService) -> None:
    service = start(lifecycles=[BookLifecycle, newer()])
    client = service.client
    for entity, version in (("old", 1), ("new", None)):
        made = client.post("/entities/Book", json={"id": entity, "version": version})
        assert (made.status_code, made.json()["version"]) == (201, version or 2), made.text
    assert client.post("/entities/Book", json={"id": "x", "version": 3}).status_code == 422
    plain, starred = ({"event": "Note", "payload": each} for each in ({"text": "a"}, {"text": "a", "stars": 2}))
    assert client.post("/entities/Book/old/events", json=plain).status_code == 200
    assert client.post("/entities/Book/old/events", json=starred).status_code == 422
    assert client.post("/entities/Book/new/events", json=plain).status_code == 422
    assert client.post("/entities/Book/new/events", json=starred).status_code == 200
    assert client.post("/entities/Book/gone/events", json=plain).status_code == 404
    assert client.get("/entities/Book/old").json()["context"] == {"notes": ["a"]}
    assert client.get("/entities/Book/new").json()["context"] == {"notes": ["a**"]}
    schemas = [client.get(f"/entities/Book/{each}/events").json()["events"][0]["payload"] for each in ("old", "new")]
    assert [sorted(each["properties"]) for each in schemas] == [["text"], ["stars", "text"]]
    [served] = client.get("/lifecycles").json()["lifecycles"]
    assert [each["version"] for each in served["versions"]] == [1, 2]


@dataclass(frozen=True)
class Box(ContextMarker):
    size: int = 1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label(EventMarker):
    text: str


def stick(box: Box, event: Label) -> Box:
    return replace(box, labels=(*box.labels, event.text))


class BoxLifecycle(Lifecycle[Box]):
    version = 1

    shut = State(initial=True)
    gone = Final()

    label = on(Label, shut.stay(do=stick))
    leave = on(Leave, shut.to(gone))


class Shelf(Context):
    counts: FrozenMap[str, int] = FrozenMap()


class Stock(Event):
    added: FrozenMap[str, int]


def add_up(shelf: Shelf, event: Stock) -> Shelf:
    return shelf.replace(counts=FrozenMap({**shelf.counts, **event.added}))


class ShelfLifecycle(Lifecycle[Shelf]):
    version = 1

    there = State(initial=True)
    gone = Final()

    stock = on(Stock, there.stay(do=add_up))
    leave = on(Leave, there.to(gone))


def test_a_frozen_map_is_an_object(start: StartService) -> None:
    service = start(lifecycles=[ShelfLifecycle])
    assert service.client.post("/entities/Shelf", json={"id": "s", "context": {"counts": {"a": 1}}}).status_code == 201
    sent = {"event": "Stock", "payload": {"added": {"b": 2}}}
    assert service.client.post("/entities/Shelf/s/events", json=sent).status_code == 200
    assert service.client.get("/entities/Shelf/s").json()["context"] == {"counts": {"a": 1, "b": 2}}
    wrong = {"event": "Stock", "payload": {"added": {"b": "two"}}}
    assert service.client.post("/entities/Shelf/s/events", json=wrong).status_code == 422


def test_dataclasses_are_contexts_and_events_like_any(start: StartService) -> None:
    service = start(lifecycles=[BoxLifecycle])
    assert service.client.post("/entities/Box", json={"id": "b", "context": {"size": 2}}).status_code == 201
    answer = service.client.post("/entities/Box/b/events", json={"event": "Label", "payload": {"text": "x"}})
    assert answer.status_code == 200
    assert service.client.get("/entities/Box/b").json()["context"] == {"size": 2, "labels": ["x"]}
    for wrong in ({"text": 1}, {}, {"text": "x", "more": 1}):
        assert service.client.post(
            "/entities/Box/b/events", json={"event": "Label", "payload": wrong}
        ).status_code == 422  # fmt: skip
    [legal, _] = service.client.get("/entities/Box/b/events").json()["events"]
    assert legal["payload"]["required"] == ["text"]
    assert legal["payload"]["additionalProperties"] is False


def test_a_chart_from_a_table_is_served_like_any(start: StartService) -> None:
    chart: Chart[Any] = Chart.from_table(
        [("draft", Ship, "sent"), ("draft", Cancel, "dropped"), ("sent", Pay, "paid")],
        kind="A letter/1", context=Order, initial="draft", final=("paid", "dropped"),
    )  # fmt: skip
    service = start(lifecycles=[chart])
    path = "/entities/A%20letter%2F1"
    made = service.client.post(path, json={"id": "x"})
    assert made.headers["location"] == f"{path}/x"
    assert service.client.post(f"{path}/x/events", json={"event": "Ship"}).json()["state"] == "sent"
    assert service.client.get(f"{path}/x").json()["kind"] == "A letter/1"
    assert f"{path}/{{id}}/events" in service.client.get("/openapi.json").json()["paths"]

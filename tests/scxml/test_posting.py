"""The Basic HTTP event processor over real sockets: what comes in, what goes out, and what neither may do."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from stateward.scxml import Processor, Session, VirtualClock, read
from stateward.scxml.listening import CONNECTIONS_LIMIT, HEAD_LIMIT
from stateward.scxml.posting import BODY_LIMIT, INBOX_LIMIT, PARAMETERS_LIMIT, HttpPort
from tests.scxml.documents import document

PATIENCE = timedelta(seconds=30)
"""How long a test waits for what is to come; nothing waits so long if it comes."""
Logged = list[tuple[str, Any]]
"""Labels and values."""
EVERYTHING = '<transition event="*"><log label="got" expr="(_event.name, _event.data)"/></transition>'


@pytest.fixture
def processor() -> Iterator[Processor]:
    with Processor(VirtualClock(), http=HttpPort(timeout=PATIENCE)) as made:
        yield made


def start(processor: Processor, body: str, session: str = "session") -> tuple[Session, Logged]:
    """A session of a document of this body, and what it has logged."""
    logged: Logged = []
    made = Session(
        read(document(body)),
        processor=processor,
        session=session,
        on_log=lambda label, value: logged.append((label, value)),
    )
    return made, logged


def port_of(processor: Processor) -> int:
    assert processor.http is not None
    return processor.http.port


def send_raw(port: int, request: bytes, *, ends: bool = True) -> str:
    """Send bytes, and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE.total_seconds()) as connection:
        connection.sendall(request)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while more := connection.recv(65_536):
            found += more
        return found.decode()


def post(processor: Processor, body: str, *, path: str = "/session/basichttp", **headers: str) -> int:
    """Post by hand; the status."""
    port = port_of(processor)
    given = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body.encode())), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in given.items())
    return int(send_raw(port, f"POST {path} HTTP/1.1\r\n{head}\r\n{body}".encode()).split(" ")[1])


# What comes in.


@pytest.mark.parametrize(
    ("body", "kind", "event", "data"),
    [
        ("_scxmleventname=e", "", "e", None),
        ("_scxmleventname=a.b&x=1&y=two+words&z=", "", "a.b", {"x": 1, "y": "two words", "z": ""}),
        ("x=1&x=2&x=a", "", "HTTP.POST", {"x": [1, 2, "a"]}),
        ("x=%5B1%2C+%7B%22k%22%3A+null%7D%5D", "", "HTTP.POST", {"x": [1, {"k": None}]}),
        ("some+content", "", "HTTP.POST", "some content"),
        ('{"a": [1, 2]}', "application/json", "HTTP.POST", {"a": [1, 2]}),
        ("a=1", "text/plain; charset=utf-8", "HTTP.POST", "a=1"),
        ("", "", "HTTP.POST", None),
        ("_scxmleventname=first&_scxmleventname=second", "", "first", None),
    ],
)
def test_a_request_becomes_an_event(processor: Processor, body: str, kind: str, event: str, data: object) -> None:
    _, logged = start(processor, f'<state id="a">{EVERYTHING}</state>')
    assert post(processor, body, **({"Content_Type": kind} if kind else {})) == 200
    assert logged == []
    processor.run_due()
    assert logged == [("got", (event, data))]


def test_an_event_knows_the_request_and_what_brought_it(processor: Processor) -> None:
    body = """<state id="a"><transition event="e"><log expr="(_event.raw, _event.origintype, _event.type)"/>
    </transition>
    </state>"""
    _, logged = start(processor, body)
    post(processor, "_scxmleventname=e&x=1", X_Own="v")
    processor.run_due()
    raw, kind, where = logged[0][1]
    assert raw.startswith("POST /session/basichttp HTTP/1.1\r\n")
    assert "X-Own: v\r\n" in raw
    assert raw.endswith("\r\n\r\n_scxmleventname=e&x=1")
    assert (kind, where) == ("http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor", "external")


def test_each_session_has_an_address_and_only_while_it_runs(processor: Processor) -> None:
    start(processor, f'<state id="a">{EVERYTHING}</state>', session="one")
    two, logged = start(
        processor,
        f"""<state id="a"><transition event="end" target="f"/>{EVERYTHING}</state>
    <final id="f"/>""",
        session="a/b c",
    )
    assert post(processor, "_scxmleventname=e", path="/a%2Fb%20c/basichttp") == 200
    processor.run_due()
    assert logged == [("got", ("e", None))]
    assert post(processor, "", path="/three/basichttp") == 404
    assert post(processor, "", path="/one/other") == 404
    two.send("end")
    assert post(processor, "", path="/a%2Fb%20c/basichttp") == 404


def test_somebody_can_wait_for_what_comes(processor: Processor) -> None:
    _, logged = start(processor, f'<state id="a">{EVERYTHING}</state>')
    assert processor.http is not None
    assert not processor.http.wait(timedelta(0))
    sender = threading.Thread(target=post, args=(processor, "_scxmleventname=e"))
    sender.start()
    assert processor.http.wait(PATIENCE)
    sender.join()
    processor.run_due()
    assert logged == [("got", ("e", None))]


def test_what_comes_goes_to_the_end_of_the_external_queue(processor: Processor) -> None:
    post_e = '<send type="basichttp" targetexpr="_ioprocessors[\'basichttp\'][\'location\']" event="e"/>'
    _, logged = start(
        processor,
        f"""<state id="a"><onentry><send event="first"/>{post_e}<send event="last"/>
    </onentry>{EVERYTHING}</state>""",
    )
    assert [value[0] for _, value in logged] == ["first", "e", "last"]


# What is refused.


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("POST /session/basichttp HTTP/1.1 more\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST /session/basichttp SPDY/3\r\nContent-Length: 0\r\n\r\n", 400),
        ("POST /session/basichttp HTTP/1.1\r\nno header\r\n\r\n", 400),
        ("POST /session/basichttp HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 5\r\n\r\n", 400),
        ("POST /session/basichttp HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST /session/basichttp HTTP/1.1\r\nContent-Length: ²\r\n\r\n", 400),
        ("POST /session/basichttp HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", 400),
        ("POST /session/basichttp HTTP/1.1\r\n\r\n", 411),
        (f"POST /session/basichttp HTTP/1.1\r\nContent-Length: {BODY_LIMIT + 1}\r\n\r\n", 413),
        (f"POST /session/basichttp HTTP/1.1\r\nContent-Length: {'9' * 5000}\r\n\r\n", 413),
        ("POST /session/basichttp HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 501),
        (f"POST /{'x' * (HEAD_LIMIT + 70_000)} HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 431),
        ("GET /session/basichttp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n", 405),
        ("POST /session/basichttp HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 403),
        ("POST /session/basichttp HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", 403),
        (
            "POST /session/basichttp HTTP/1.1\r\nHost: {host}\r\nOrigin: http://a.example\r\nContent-Length: 0\r\n\r\n",
            403,
        ),
        ("POST /session/basichttp HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Length: 0\r\n\r\n", 200),
        ("POST /session/basichttp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\n\xff", 400),
    ],
)
def test_a_request_that_is_none_is_answered_and_nothing_comes(
    processor: Processor, request_text: str, status: int
) -> None:
    _, logged = start(processor, f'<state id="a">{EVERYTHING}</state>')
    request = request_text.replace("{host}", f"127.0.0.1:{port_of(processor)}").encode("latin-1")
    assert int(send_raw(port_of(processor), request).split(" ")[1]) == status
    processor.run_due()
    assert len(logged) == (status == 200)


@pytest.mark.parametrize(
    "body",
    [
        "_scxmleventname=",
        "_scxmleventname=two+words",
        "_scxmleventname=e%00+f",
        "&".join(f"a{n}=1" for n in range(PARAMETERS_LIMIT + 1)),
        f"x={'[' * 200}{']' * 200}",
    ],
    ids=["empty name", "two words", "zero", "many parameters", "deep"],
)
def test_a_message_that_is_too_much_is_refused(processor: Processor, body: str) -> None:
    start(processor, '<state id="a"/>')
    assert post(processor, body) == 400


def test_so_many_messages_wait_to_be_taken(processor: Processor) -> None:
    _, logged = start(processor, f'<state id="a">{EVERYTHING}</state>')
    statuses = [post(processor, "") for _ in range(INBOX_LIMIT + 1)]
    assert statuses == [200] * INBOX_LIMIT + [503]
    processor.run_due()
    assert len(logged) == INBOX_LIMIT


def test_a_request_that_does_not_end_is_broken_off() -> None:
    with Processor(VirtualClock(), http=HttpPort(timeout=timedelta(milliseconds=50))) as processor:
        assert " 408 " in send_raw(port_of(processor), b"POST / HTTP/1.1\r\n", ends=False)


def test_so_many_requests_are_read_at_a_time_and_closing_breaks_them_off(processor: Processor) -> None:
    port = port_of(processor)
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS_LIMIT)]
    try:
        for each in waiting:
            each.sendall(b"POST")
        assert " 503 " in send_raw(port, b"")
        processor.close()
        processor.close()
        assert [each.recv(100) for each in waiting] == [b""] * CONNECTIONS_LIMIT
    finally:
        for each in waiting:
            each.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_who_is_turned_away_and_has_gone_by_then_does_not_end_the_listening(processor: Processor) -> None:
    port = port_of(processor)
    start(processor, f'<state id="a">{EVERYTHING}</state>')
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS_LIMIT)]
    for _ in range(300):
        gone = socket.socket()
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        gone.connect(("127.0.0.1", port))
        gone.close()
    for each in waiting:
        each.shutdown(socket.SHUT_WR)
        assert each.recv(100).startswith(b"HTTP/1.1 400 ")
        each.close()
    assert send_raw(port, b"").startswith("HTTP/1.1 ")


# What goes out.


@contextmanager
def other_end(answer: bytes) -> Generator[tuple[str, list[bytes]], None, None]:
    """A server of somebody else's: its address and the requests that it gets; it answers each like this."""
    requests: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                found = connection.recv(65_536)
                if found == b"stop":
                    return
                while b"Content-Length: " not in found or len(found.partition(b"\r\n\r\n")[2]) < length_in(found):
                    found += connection.recv(65_536)
                requests.append(found)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    port = listening.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", requests
    finally:
        with socket.create_connection(("127.0.0.1", port)) as stopping:
            stopping.sendall(b"stop")
        thread.join()
        listening.close()


def length_in(request: bytes) -> int:
    return int(request.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def sending(target: str, more: str = "", **attributes: str) -> str:
    """A state that posts on entry, and logs what comes of it."""
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"""<state id="a"><onentry><send type="http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor" id="s"
    target="{target}"{given}>{more}</send></onentry>
    <transition event="error.*"><log label="error" expr="(_event.name, _event.sendid, _event.data['reason'])"/>
    </transition></state>"""


@pytest.mark.parametrize(
    ("attributes", "more", "path", "body"),
    [
        ({"event": "a.b"}, "", "/p", "_scxmleventname=a.b"),
        (
            {"event": "e"},
            """<param name="x" expr="[1, 'a', {'k': (None, True)}]"/><param name="y" expr="'a&amp;b=ü'"/>
            <param name="z" expr="None"/>""",
            "/p",
            "_scxmleventname=e&x=%5B1%2C+%22a%22%2C+%7B%22k%22%3A+%5Bnull%2C+true%5D%7D%5D&y=a%26b%3D%C3%BC&z=",
        ),
        ({}, "<content>some content = all</content>", "/p", "some+content+%3D+all"),
        ({}, "<content expr=\"{'a': 1}\"/>", "/p", "%7B%22a%22%3A+1%7D"),
        ({"event": "e"}, "<content expr='5'/>", "/p?_scxmleventname=e", "5"),
    ],
)
def test_what_is_sent_is_posted_as_the_specification_says(
    processor: Processor, attributes: dict[str, str], more: str, path: str, body: str
) -> None:
    with other_end(OK) as (address, requests):
        _, logged = start(processor, sending(f"{address}/p", more, **attributes))
    [request] = requests
    head, _, sent = request.decode().partition("\r\n\r\n")
    assert head.startswith(f"POST {path} HTTP/1.1\r\n")
    assert "Content-Type: application/x-www-form-urlencoded\r\n" in head
    assert sent == body
    assert logged == []


def test_two_sessions_tell_each_other_plain_data_over_http(processor: Processor) -> None:
    _, logged = start(processor, f'<state id="a">{EVERYTHING}</state>', session="ears")
    assert processor.http is not None
    data = [1, 2.5, "text", {"k": [None, False]}]
    start(processor, sending(processor.http.location_of("ears"), f"<content expr='{json.dumps(json.dumps(data))}'/>"))
    assert logged == [("got", ("HTTP.POST", data))]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"", b"nonsense\r\n"]
)
def test_another_answer_is_an_error_of_communication(processor: Processor, answer: bytes) -> None:
    with other_end(answer) as (address, requests):
        _, logged = start(processor, sending(address, event="e"))
    assert len(requests) == 1
    [(_, (name, sendid, _))] = logged
    assert (name, sendid) == ("error.communication", "s")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["nothing", "half an answer"])
def test_one_who_does_not_answer_in_time_is_an_error_of_communication(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        accepted: list[socket.socket] = []

        def half() -> None:
            connection, _ = silent.accept()
            accepted.append(connection)
            connection.sendall(answer)

        thread = threading.Thread(target=half)
        thread.start()
        with Processor(VirtualClock(), http=HttpPort(timeout=timedelta(milliseconds=50))) as processor:
            _, logged = start(processor, sending(f"http://127.0.0.1:{port}/", event="e"))
        thread.join()
        accepted[0].close()
    assert [value[0] for _, value in logged] == ["error.communication"]


def test_one_who_answers_byte_by_byte_is_broken_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        port = slow.getsockname()[1]

        def drip() -> None:
            connection, _ = slow.accept()
            with connection:
                connection.settimeout(0.01)  # each byte well within any time-out of a socket's own
                while True:
                    try:
                        connection.sendall(b"H")
                        if not connection.recv(65_536):
                            return
                    except TimeoutError:
                        continue
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        with Processor(VirtualClock(), http=HttpPort(timeout=timedelta(milliseconds=200))) as processor:
            _, logged = start(processor, sending(f"http://127.0.0.1:{port}/", event="e"))
        thread.join()
    assert [value[0] for _, value in logged] == ["error.communication"]


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/",
        "file:///etc/hostname",
        "http://example.org/",
        "http://127.0.0.1.example.org/",
        "http://2130706433/",
        "http://user@127.0.0.1/",
        "http://[::1/",
        "http://127.0.0.1:port/",
        "http:///path",
        "#_parent",
        "//127.0.0.1/",
        "http://127.0.0.1:1/a b&#13;&#10;X: y",
    ],
)
def test_what_may_not_be_posted_to_is_an_error_of_communication(processor: Processor, target: str) -> None:
    _, logged = start(processor, sending(target, event="e"))
    assert [value[0] for _, value in logged] == ["error.communication"]


def test_a_host_can_be_allowed() -> None:
    with other_end(OK) as (address, requests):
        port = address.rpartition(":")[2]
        with Processor(VirtualClock(), http=HttpPort(allow=["0"], timeout=PATIENCE)) as processor:
            _, logged = start(processor, sending(f"http://0:{port}/", event="e"))
    assert len(requests) == 1
    assert logged == []


def test_a_message_that_is_too_large_is_not_posted(processor: Processor) -> None:
    with other_end(OK) as (address, requests):
        _, logged = start(processor, sending(address, f"<content expr=\"'x' * {BODY_LIMIT + 1}\"/>"))
    assert requests == []
    assert [value[0] for _, value in logged] == ["error.communication"]


def test_a_delayed_message_is_posted_when_its_time_has_come(processor: Processor) -> None:
    clock = processor.clock
    assert isinstance(clock, VirtualClock)
    with other_end(OK) as (address, requests):
        start(processor, sending(address, event="e", delay="1s"))
        assert requests == []
        clock.advance(timedelta(seconds=1))
        processor.run_due()
        assert len(requests) == 1


def test_without_a_port_there_is_no_such_processor() -> None:
    body = sending("http://127.0.0.1:1/", event="e").replace(
        "<onentry>", "<onentry><log label='known' expr=\"'basichttp' in _ioprocessors\"/>"
    )
    _, logged = start(Processor(VirtualClock()), body)
    assert logged[0] == ("known", False)
    assert logged[1][1][0] == "error.execution"

"""A receiver of webhooks: an HTTP server on this machine, in a thread, that answers as it is told."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, cast

__all__ = ["WAIT_S", "Answer", "Receiver", "Request", "answering", "open_receiver"]

WAIT_S = 20.0


@dataclass(frozen=True)
class Request:
    """What has come."""

    path: str
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes
    connection: tuple[str, int]
    """Whose: the address and port that it came from."""


Answer = Callable[["Connection"], None]


def answering(status: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer; a `_` in the name of a header is a `-`."""

    def answer(connection: Connection) -> None:
        connection.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.send_header(name.replace("_", "-"), value)
        connection.end_headers()
        connection.wfile.write(body)

    return answer


@dataclass
class Receiver:
    """Where it is, what has come, and what it is to answer."""

    url: str
    requests: queue.Queue[Request] = field(default_factory=queue.Queue[Request])
    answer: Answer = field(default_factory=lambda: answering(204))
    closed: queue.Queue[tuple[str, int]] = field(default_factory=queue.Queue[tuple[str, int]])
    """The connections that have ended, by whom they were."""
    is_over: Event = field(default_factory=Event)
    """Set when the test is: what an answer may wait for."""

    def get(self) -> Request:
        """The next request that has come or will come."""
        return self.requests.get(timeout=WAIT_S)


class Connection(BaseHTTPRequestHandler):
    """One connection of a sender, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a head and a body are one packet

    @property
    def receiver(self) -> Receiver:
        """Whose connection it is."""
        return cast("_Server", self.server).receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.requests.put(Request(self.path, headers, body, self.client_address))
        self.receiver.answer(self)

    def handle(self) -> None:
        with suppress(OSError):  # the sender has gone: what was still to be written has nowhere to go
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.receiver.closed.put(self.client_address)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named so by the base class
        """Say nothing on stderr."""


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    request_queue_size = 128  # beyond it a connection waits for a second


@contextmanager
def open_receiver() -> Generator[Receiver]:
    """A receiver for as long as the block runs."""
    with _Server(("127.0.0.1", 0), Connection) as server:
        server.receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.receiver
        finally:
            server.receiver.is_over.set()
            server.shutdown()
            thread.join()

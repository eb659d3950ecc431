"""A small HTTP server for messages to sessions: requests with a body, on loopback, bounded in size and time.

It reads one request from each connection and answers it; a request has so many bytes and so much time from its
first to its last byte, however slowly they come, and so many are read at a time. What is a message, and whom it is
for, is its caller's business.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Listener", "Request"]

HEAD_LIMIT = 16_384
"""Bytes of a request before its body."""
CONNECTIONS_LIMIT = 16
"""Requests that are read at a time."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class Request(NamedTuple):
    """A request that has been read."""

    method: str
    target: str
    headers: dict[str, str]
    """By their names in small letters."""
    head: str
    """All that came before the body, as it came."""
    body: bytes


class _Refused(Exception):
    """A request is answered without being read any further."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Listener:
    """Listens on loopback until it is closed.

    Args:
        answer: called with each request, in a thread of its own; returns the status to answer with.
        port: where to listen; 0: where there is room.
        timeout_s: how long a request may take.
        body_limit: bytes of its body.

    Raises:
        OSError: something else listens there.
    """

    def __init__(self, answer: Callable[[Request], int], *, port: int, timeout_s: float, body_limit: int) -> None:
        self._answer = answer
        self._timeout_s = timeout_s
        self._body_limit = body_limit
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._is_closed = False
        self._socket = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"scxml-http-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and break off what is being read; closing twice is safe."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            left = list(self._open.items())
        with socket.socket() as waking:  # nothing else ends an accept everywhere
            waking.settimeout(self._timeout_s)
            waking.connect(("127.0.0.1", self.port))
            self._thread.join()
        self._socket.close()
        for connection, thread in left:
            _break_off(connection)
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # there are too many open files, say: the next may get through
                continue
            with self._lock:
                if self._is_closed:
                    connection.close()
                    return
                if len(self._open) < CONNECTIONS_LIMIT:
                    thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                    self._open[connection] = thread
                    thread.start()
                    continue
            _turn_away(connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._exchange(_Incoming(connection, time.monotonic() + self._timeout_s), connection)
        except OSError:  # nobody is there any more
            pass
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()

    def _exchange(self, incoming: _Incoming, connection: socket.socket) -> None:
        connection.settimeout(self._timeout_s)
        try:
            status = self._answer(self._read(incoming))
        except _Refused as refused:
            _respond(connection, refused.status)
            # Closed with something unread, the connection would be reset, and the answer might be lost.
            connection.shutdown(socket.SHUT_WR)
            incoming.pass_over(self._body_limit)
        else:
            _respond(connection, status)

    def _read(self, incoming: _Incoming) -> Request:
        head = incoming.until(b"\r\n\r\n", HEAD_LIMIT).decode("latin-1")
        first, *lines = head.split("\r\n")
        try:
            method, target, version = first.split(" ")
            headers = dict(map(_header, lines))
        except ValueError:
            raise _Refused(400) from None
        if len(headers) < len(lines) or not version.startswith("HTTP/1."):
            raise _Refused(400)
        if "transfer-encoding" in headers:
            raise _Refused(501)
        return Request(method, target, headers, head, incoming.exactly(self._length_of(headers)))

    def _length_of(self, headers: dict[str, str]) -> int:
        length = headers.get("content-length")
        if length is None:
            raise _Refused(411)
        if not (length.isascii() and length.isdecimal()) or len(length) > len(str(self._body_limit)):
            raise _Refused(413 if length.isascii() and length.isdecimal() else 400)
        if int(length) > self._body_limit:
            raise _Refused(413)
        return int(length)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        message = f"{line!r:.50} is no header"
        raise ValueError(message)
    return name.lower(), value.strip()


class _Incoming:
    """The bytes of one request, with a moment until which all of them must have come."""

    def __init__(self, connection: socket.socket, deadline_s: float) -> None:
        self._connection = connection
        self._deadline_s = deadline_s
        self._read = b""

    def until(self, end: bytes, limit: int) -> bytes:
        while end not in self._read:
            if len(self._read) > limit:
                raise _Refused(431)
            self._read += self._more()
        found, _, self._read = self._read.partition(end)
        if len(found) > limit:
            raise _Refused(431)
        return found

    def exactly(self, length: int) -> bytes:
        parts = [self._read]
        missing = length - len(self._read)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        return b"".join(parts)[:length]

    def pass_over(self, limit: int) -> None:
        """Read on to the end, and keep nothing."""
        try:
            while limit > 0:
                limit -= len(self._more())
        except _Refused:
            return

    def _more(self) -> bytes:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise _Refused(408)
        self._connection.settimeout(left_s)
        try:
            found = self._connection.recv(65_536)
        except TimeoutError:
            raise _Refused(408) from None
        if not found:
            raise _Refused(400)
        return found


def _respond(connection: socket.socket, status: int) -> None:
    text = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    connection.sendall(text.encode())


def _turn_away(connection: socket.socket) -> None:
    """Answer that there is no room; one that has gone away by then must not end the listening."""
    with connection:
        try:
            connection.settimeout(0)  # the answer fits into any buffer: nobody is waited for
            _respond(connection, 503)
        except OSError:
            return


def _break_off(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is gone already
        return

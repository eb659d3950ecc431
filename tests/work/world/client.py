"""How the test world's processes call its services: with threads, and with tasks."""

from __future__ import annotations

import asyncio
import http.client
from contextlib import suppress
from threading import local
from typing import Any

import msgspec

from stateward import Event
from tests.work.world.lifecycle import EVENTS
from tests.work.world.services import Answer, Books

__all__ = ["Busy", "Caller", "ServiceFailed", "Watcher", "events_of"]


class ServiceFailed(Exception):
    """A call was not answered, or with an error: whether it was honoured is not known."""


class Busy(ServiceFailed):
    """The service has no time: try again later."""


def read_answer(status: int, body: bytes) -> Answer:
    """What an answer says.

    Raises:
        ServiceFailed: it is an error.
    """
    if status == 503:
        raise Busy(str(status))
    if status != 200:
        raise ServiceFailed(str(status))
    return msgspec.json.decode(body, type=Answer)


class Caller:
    """Calls the services; a connection is kept for each thread."""

    def __init__(self, port: int, timeout_s: float) -> None:
        """Take the port of the services, and how long an answer is waited for."""
        self._port, self._timeout_s = port, timeout_s
        self._kept = local()

    def call(self, operation: str, key: str, told: dict[str, Any]) -> Answer:
        """Call, and wait for the answer."""
        return self._request("POST", f"/{operation}", msgspec.json.encode(told), {"Idempotency-Key": key})

    def payment(self, order: str) -> Answer:
        """Ask what became of an order's payment."""
        return self._request("GET", f"/payments/{order}", None, {})

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._timeout_s)
            self._kept.connection = connection
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return read_answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # it is opened anew for the next call
            raise ServiceFailed(repr(error)) from error

    def close(self) -> None:
        """Close the connection of this thread."""
        connection: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is not None:
            connection.close()

    async def call_in_task(self, operation: str, key: str, told: dict[str, Any]) -> Answer:
        """Call in a task, on a connection of its own; whoever has no time to wait cancels it."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                body = msgspec.json.encode(told)
                head = (
                    f"POST /{operation} HTTP/1.1\r\nHost: services\r\nIdempotency-Key: {key}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                start = await reader.readuntil(b"\r\n\r\n")
                status, lines = int(start.split(b" ", 2)[1]), start.lower().split(b"\r\n")
                [length] = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
                return read_answer(status, await reader.readexactly(length))
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except (OSError, EOFError) as error:
            raise ServiceFailed(repr(error)) from error


class Watcher:
    """What the test looks at the services with."""

    def __init__(self, port: int) -> None:
        """Take the port of the services."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def books(self, of: str = "") -> Books:
        """All that the services know; of orders whose names begin so."""
        return msgspec.json.decode(self._get(f"/books?of={of}"), type=Books)

    def calls(self, beyond: int) -> int:
        """How many calls there were; waits for a moment until it is more than this."""
        return msgspec.json.decode(self._get(f"/calls?beyond={beyond}"), type=int)

    def callbacks(self, beyond: int) -> list[tuple[str, Answer]]:
        """What the provider tells beside its answers, from that number on."""
        return msgspec.json.decode(self._get(f"/callbacks?beyond={beyond}"), type=list[tuple[str, Answer]])

    def _get(self, path: str) -> bytes:
        self._connection.request("GET", path)
        return self._connection.getresponse().read()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def events_of(answer: Answer) -> list[Event]:
    """The events that an answer means."""
    told = [(answer.event, answer.fields), *answer.further] if answer.event else []
    return [msgspec.convert(fields, EVENTS[name]) for name, fields in told]

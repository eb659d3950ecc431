"""The services as a real HTTP server in a process of its own, with misfortunes.

    python -m tests.work.world.provider SEED|named

It prints its port and serves until its standard input ends. `POST /<operation>` honours a call; `GET /payments/<order>`
is for reconciliation; `GET /books`, `/callbacks?beyond=N` and `/calls?beyond=N` are for the test, and the last waits
until there are more than N, or for a moment.

An answer that is withheld waits until its caller is gone, which closes the connection: nothing here waits by the clock.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.work.world.faults import Fate, draw_fate, draw_traits, named_fate
from tests.work.world.services import Answer, Call, Services

__all__ = ["Provider", "main"]

WATCH_S = 0.6
"""How long who watches is kept waiting: longer than a caller waits for its answer."""
_REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


class Request(msgspec.Struct):
    """One HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Provider:
    """Serves calls, each by its fate."""

    def __init__(self, services: Services, draw: Callable[[str, str, int], Fate]) -> None:
        """Take the rules, and what draws the fate of an operation for an order, the nth time."""
        self.services, self._draw = services, draw
        self.callbacks: list[tuple[str, Answer]] = []
        """What is told beside the answers: (order, what)."""
        self._moved = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await read_request(reader)) is not None:
                path, _, query = request.path.partition("?")
                if request.method == "POST":
                    is_kept = await self._call(path.removeprefix("/"), request, reader, writer)
                else:
                    asked = {name: values[-1] for name, values in parse_qs(query).items()}
                    status, body = await self._look(path, asked.get("of", ""), int(asked.get("beyond", "0")))
                    write_answer(writer, status, body)
                    is_kept = True
                if not is_kept:
                    break
                await writer.drain()
        writer.close()

    async def _look(self, path: str, of: str, beyond: int) -> tuple[int, Any]:
        if path.startswith("/payments/"):
            return 200, self.services.payment(path.removeprefix("/payments/"))
        if path == "/books":
            return 200, self.services.books.of(of) if of else self.services.books
        if path == "/callbacks":
            return 200, self.callbacks[beyond:]
        if path == "/calls":
            await self._wait(lambda: len(self.services.books.calls) > beyond)
            return 200, len(self.services.books.calls)
        return 404, None

    async def _wait(self, holds: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S), self._moved:
                await self._moved.wait_for(holds)

    async def _call(
        self, operation: str, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Let a call meet its fate; whether the connection is kept."""
        call = msgspec.convert(
            {**msgspec.json.decode(request.body), "operation": operation, "key": request.headers["idempotency-key"]},
            Call,
        )
        fate = call.fate = self._draw(operation, call.order, self.services.note(call))
        async with self._telling():
            if fate == "plain":
                write_answer(writer, 200, self.services.act(call))
            elif fate == "twice":
                answer = self.services.act(call)
                write_answer(writer, 200, answer, closes=True)
                write_answer(writer, 200, answer, closes=True)
                self._tell(call, answer, times=2)
            elif fate in ("broken_before", "busy"):
                write_answer(writer, 503 if fate == "busy" else 500, None)
            elif fate in ("broken_after", "dropped_after", "slow"):
                self._tell(call, self.services.act(call))
                if fate == "broken_after":
                    write_answer(writer, 500, None)
        if fate in ("hung", "slow", "late"):
            await gone(reader)
        if fate == "late":
            async with self._telling():
                self._tell(call, self.services.act(call))
        return fate in ("plain", "broken_before", "busy", "broken_after")

    @asynccontextmanager
    async def _telling(self) -> AsyncGenerator[None]:
        """Tell those who watch that there is more, once it is there."""
        yield
        async with self._moved:
            self._moved.notify_all()

    def _tell(self, call: Call, answer: Answer, times: int = 1) -> None:
        """Tell what came of a charge by another way too, as providers do."""
        if call.operation == "charge":
            self.callbacks += [(call.order, answer)] * times


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None: there is none any more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Request(method, f"{parts.path}?{parts.query}", headers, body)


def write_answer(writer: asyncio.StreamWriter, status: int, body: Any, *, closes: bool = False) -> None:
    """Write a response."""
    data = msgspec.json.encode(body)
    connection = "close" if closes else "keep-alive"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        f"Connection: {connection}\r\n\r\n"
    )
    writer.write(head.encode() + data)


async def gone(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed the connection."""
    with suppress(ConnectionError):
        while await reader.read(1024):
            pass


def named_provider() -> Provider:
    """The services of a world in which nothing happens but what the names of orders say."""
    services = Services(lambda order: False, lambda order: False)
    return Provider(services, named_fate)


def drawn_provider(seed: int) -> Provider:
    """The services of a world in which everything is drawn from a seed."""
    services = Services(
        lambda order: draw_traits(seed, order).is_declined, lambda order: draw_traits(seed, order).is_out_of_stock
    )
    return Provider(services, lambda operation, order, nth: draw_fate(seed, operation, order, nth))


async def main(seed: str) -> None:
    """Serve until standard input ends."""
    provider = named_provider() if seed == "named" else drawn_provider(int(seed))
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # as it stands: nobody calls any more


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

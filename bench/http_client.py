"""A client that asks as fast as it can, in a process of its own: on each connection one request after the other.

It is written by hand on asyncio's protocols: a client of a library's would cost more than the server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["LIFE", "Load", "Tally"]

_HEAD = "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LIFE = 8
"""Requests in the life of an entity: five that write, one of them refused, and three that read."""
_EXPECTED = (201, 200, 200, 200, 200, 409, 200, 200)
APPLIED_EACH = 4
REFUSED_EACH = 1


@dataclass
class Tally:
    """What came back."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter[int])
    wrong: list[str] = field(default_factory=list[str])
    """What was answered otherwise than it should have been; the first few."""
    lives: int = 0


def _request(method: str, path: str, body: object = None, key: str | None = None) -> bytes:
    head = _HEAD.format(method=method, path=path)
    if key is not None:
        head += f"Idempotency-Key: {key}\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    data = json.dumps(body, separators=(",", ":"))
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode()


def _life(entity: str) -> tuple[bytes, ...]:
    path = f"/entities/Order/{entity}"
    get = _request("GET", path)
    return (
        _request("POST", "/entities/Order", {"id": entity, "context": {"total": 4200}}, f"c-{entity}"),
        get,
        _request("POST", f"{path}/events", {"event": "Pay", "payload": {"amount": 4200}}, f"p-{entity}"),
        get,
        _request("POST", f"{path}/events", {"event": "Ship"}, f"s-{entity}"),
        _request("POST", f"{path}/events", {"event": "Ship"}),
        _request("POST", f"{path}/events", {"event": "Deliver"}, f"d-{entity}"),
        get,
    )


class _Connection(asyncio.Protocol):
    """One connection, which takes lives from the load until there are none."""

    def __init__(self, load: _Running) -> None:
        self._load = load
        self._transport: asyncio.Transport
        self._life: tuple[bytes, ...] = ()
        self._at = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if self._at == len(self._life):
            entity = self._load.take()
            if entity is None:
                self._transport.close()
                return
            self._life, self._at = _life(entity), 0
        self._transport.write(self._life[self._at])

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = received.find(b"content-length: ", 0, end) + 16
        length = int(received[at : received.find(b"\r\n", at)])
        if len(received) < end + 4 + length:
            return
        self._received = received[end + 4 + length :]
        status = int(received[9:12])
        self._load.answered(status, _EXPECTED[self._at], received)
        self._at += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.left(is_done=self._at == len(self._life))


class _Running:
    """One run of a load."""

    def __init__(self, prefix: str, lives: int, connections: int, is_checked: bool) -> None:
        self._prefix = prefix
        self._is_checked = is_checked
        self._left = lives
        self._open = connections
        self.tally = Tally(lives=lives)
        self.is_over = asyncio.Event()

    def take(self) -> str | None:
        if self._left == 0:
            return None
        self._left -= 1
        return f"{self._prefix}-{self._left}"

    def answered(self, status: int, expected: int, answer: bytes) -> None:
        self.tally.statuses[status] += 1
        if self._is_checked and status != expected and len(self.tally.wrong) < 5:
            self.tally.wrong.append(answer.decode(errors="replace"))

    def left(self, *, is_done: bool) -> None:
        if not is_done:
            self.tally.wrong.append("a connection was closed amid a life")
        self._open -= 1
        if self._open == 0:
            self.is_over.set()


class Load:
    """The client, as a subject of a process of its own."""

    def run(self, port: int, prefix: str, lives: int, connections: int, is_checked: bool = True) -> Tally:
        """Ask for so many lives of entities whose ids begin with a prefix."""
        return asyncio.run(self._run(port, _Running(prefix, lives, connections, is_checked), connections))

    async def _run(self, port: int, running: _Running, connections: int) -> Tally:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        for _ in range(connections):
            await loop.create_connection(lambda: _Connection(running), "127.0.0.1", port)
        await running.is_over.wait()
        running.tally.seconds = time.perf_counter() - began
        return running.tally

    def close(self) -> None:
        """Nothing is kept."""

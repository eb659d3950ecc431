"""Records as they come, as server-sent events: a client that was cut off goes on behind the last one that it saw.

Each event's id is the cursor of its record, so that a browser's EventSource resumes by itself: it sends the last id as
Last-Event-ID, and what follows is neither lost nor there twice. While nothing happens, comments show that the stream
lives. It ends when the client leaves, when the server stops, or with an event `problem` when the ledger is away; the
client comes again then. EventSource does that by itself when a stream has ended, and gives up when it is answered by an
error, 503 while the ledger is still away: a page that is to go on makes a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from stateward.engine.tail import AsyncTail
from stateward.http import views
from stateward.http.answers import Answer, to_json
from stateward.http.face import Face, Operation
from stateward.http.problems import RETRY_AFTER_S, Problem, problem_of
from stateward.http.requests import Request
from stateward.ledger.tailing import Followed

__all__ = ["RecordRoutes", "RecordStream"]

_LAST_MAX = 10_000
_RETRY_MS = 1000
"""What a client is told to wait before it comes again."""
_HEARTBEAT = b": still here\n\n"
_EVENTS = b"text/event-stream; charset=utf-8"
_HEADERS = [
    (b"content-type", _EVENTS),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # a proxy that gathers what it is to pass on would keep it back
]


class RecordRoutes:
    """The route of records, and the streams that are open."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._open: set[RecordStream] = set()
        self._is_stopped = False

    def operations(self) -> Sequence[Operation]:
        """What they answer."""
        return (Operation(name="records", method="GET", path="/records", answer=self.records, is_stream=True),)

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def stop(self) -> None:
        """End all streams, and begin none any more."""
        self._is_stopped = True
        for each in tuple(self._open):
            each.stop()

    async def records(self, request: Request) -> ASGIApp:
        """The records behind a cursor, and those yet to come."""
        query = request.query("after", "last", several=("kind",))
        kinds = [self._face.kinds.get(each).name for each in query.texts("kind")] or None
        last = query.value("last", int)
        if last is not None and not 0 <= last <= _LAST_MAX:
            raise Problem("invalid", f"the parameter last is {last}; it is from 0 to {_LAST_MAX}")
        after = query.text("after")
        resumed = request.headers.get(b"last-event-id")
        if resumed:  # what it has seen since it asked for the first time counts for more than what it asked for
            after = resumed.decode("latin-1")
        if self._is_stopped or len(self._open) >= self._face.limits.streams_max:
            detail = f"{len(self._open)} streams are open, and no more are opened now"
            raise Problem("too-busy", detail, headers={"retry-after": str(RETRY_AFTER_S)})
        tail = self._face.calls.tail(kinds, after=after, last=None if after is not None else last)
        if request.scope["method"] == "HEAD":
            return Answer(200, b"", content_type=_EVENTS)
        stream = RecordStream(tail, self._face.limits.heartbeat_s, self._open.discard)
        self._open.add(stream)
        try:
            async with asyncio.timeout(self._face.limits.call_s):
                await tail.begin()
        except BaseException as error:
            self._open.discard(stream)
            if isinstance(error, TimeoutError):
                raise Problem("call-late", "the ledger did not answer in time") from None
            raise
        return stream


class RecordStream:
    """One stream, as an ASGI application."""

    def __init__(self, tail: AsyncTail, heartbeat_s: float, end: Any) -> None:
        """Take what gives the records, and what is told at the end."""
        self._tail = tail
        self._heartbeat_s = heartbeat_s
        self._end = end
        self._is_over = asyncio.Event()

    def stop(self) -> None:
        """End it: the client is told by the end of the answer. Twice is safe."""
        self._is_over.set()
        self._tail.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it, until the client leaves or it is stopped."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        except BaseException:  # a server may say so that the client has left
            self._end(self)
            raise
        writing = asyncio.ensure_future(self._write(send))
        leaving = asyncio.ensure_future(_wait_until_left(receive))
        stopping = asyncio.ensure_future(self._is_over.wait())
        try:
            await asyncio.wait({writing, leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end(self)
            self._tail.stop()
            for each in (writing, leaving, stopping):
                each.cancel()
            await asyncio.gather(writing, leaving, stopping, return_exceptions=True)
        if not leaving.cancelled():
            return
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, send: Send) -> None:
        await send(_body(b"retry: %d\n\n" % _RETRY_MS))
        try:
            coming: asyncio.Future[Followed] | None = None
            while True:
                coming = coming or asyncio.ensure_future(anext(self._tail))
                try:
                    done, _ = await asyncio.wait({coming}, timeout=self._heartbeat_s)
                except asyncio.CancelledError:
                    coming.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await coming
                    raise
                if not done:
                    await send(_body(_HEARTBEAT))
                    continue
                with suppress(StopAsyncIteration):
                    await send(_body(_event(coming.result())))
                    coming = None
                    continue
                return
        except Exception as error:
            problem = problem_of(error)
            await send(_body(b"event: problem\ndata: %b\n\n" % to_json(problem.document())))


def _body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


def _event(followed: Followed) -> bytes:
    """A record; JSON has no line ends of its own, so it is one line."""
    return b"id: %b\nevent: record\ndata: %b\n\n" % (
        followed.cursor.encode("ascii"),
        to_json(views.record_view(followed.record)),
    )


async def _wait_until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

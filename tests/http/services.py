"""A real server on a port of its own, in a thread of its own, and ways to ask it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import httpx

from stateward import AsyncEngine, Engine
from stateward.http import Api
from stateward.http.serving import ApiServer, listen_on

__all__ = ["Service", "StartService", "ask_raw", "body_of", "read_events", "serving"]

WAIT_S = 30.0
StartService = Callable[..., "Service"]


class Service:
    """An engine that is served."""

    def __init__(self, make: Callable[[], Engine | AsyncEngine], within: Callable[[Api], Any] | None, options: Any):
        """Start it.

        Args:
            make: makes the engine, in the server's thread.
            within: makes the application that the API is mounted in.
            options: those of Api.
        """
        self._make, self._within, self._options = make, within, options
        self._is_up = Event()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, name="service")
        self._thread.start()
        assert self._is_up.wait(WAIT_S)
        if self._failure is not None:
            self._thread.join(WAIT_S)
            raise self._failure
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._is_up.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.engine: Any = self._make()
        if isinstance(self.engine, AsyncEngine):
            await self.engine.open()
        try:
            self.api = Api(self.engine, **self._options)
            listener = listen_on(self.api, "127.0.0.1", 0)
            self.port: int = listener.getsockname()[1]
            app = None if self._within is None else self._within(self.api)
            self.server = ApiServer(self.api, app=app)
            self._is_up.set()
            await self.server.serve(sockets=[listener])
        finally:
            if isinstance(self.engine, AsyncEngine):
                await self.engine.close()
            else:
                self.engine.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, make: Callable[[Any], Any]) -> Any:
        """What a method of the engine gives, called in whichever way it wants to be."""
        if not isinstance(self.engine, AsyncEngine):
            return make(self.engine)

        async def called() -> Any:
            return await make(self.engine)

        return self.in_loop(called())

    def in_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine gives that runs in the server's loop."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(WAIT_S)

    def tell_to_stop(self) -> None:
        """Begin to stop."""
        self.server.stop()

    def wait_stopped(self) -> None:
        """Wait until it has stopped."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """Stop it. Twice is safe."""
        self.client.close()
        if self._thread.is_alive():
            self.tell_to_stop()
        self.wait_stopped()


@contextmanager
def serving(
    make: Callable[[], Engine | AsyncEngine], *, within: Callable[[Api], Any] | None = None, **options: Any
) -> Generator[Service]:
    """A service for as long as the block runs."""
    service = Service(make, within, options)
    try:
        yield service
    finally:
        service.close()


def ask_raw(port: int, request: bytes) -> bytes:
    """What a server answers to these very bytes, until it closes; the request is to ask it to."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def body_of(answer: bytes) -> tuple[int, bytes]:
    """Status and body of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def read_events(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a stream, as the HTML standard reads them; comments as events of the type `:`."""
    event: dict[str, str] = {}
    for line in response.iter_lines():
        if line.startswith(":"):
            yield {":": line[1:].strip()}
        elif line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event
            event = {}

"""Serving an application by uvicorn: who may be served where, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator
from typing import Any

from starlette.types import ASGIApp

from stateward.errors import CallerError, ExtraMissing
from stateward.http.app import Api
from stateward.http.guarding import is_loopback

try:
    import uvicorn
except ModuleNotFoundError as missing:
    raise ExtraMissing(package="uvicorn", extra="http") from missing

__all__ = ["ApiServer", "listen_on", "serve"]

_log = logging.getLogger(__name__)

GRACE_S = 30.0
"""How long requests that go on may take to end when the server is stopped."""
UNREAD_S = 5.0
"""How long a client may read nothing of what it is to be sent, once the server is stopped."""
_HEADER_BYTES_MAX = 65_536


class ApiServer(uvicorn.Server):
    """Uvicorn's server, whose signals are its caller's, and which ends the streams before it waits for their ends."""

    def __init__(self, api: Api, *, grace_s: float = GRACE_S, app: ASGIApp | None = None, access_log: bool = False):
        """Take what is served.

        Args:
            api: the application, or the part of `app` whose streams are to be ended.
            grace_s: how long what goes on may take when it is stopped.
            app: the application that `api` is mounted in, if it is.
            access_log: whether each request is logged.
        """
        super().__init__(
            uvicorn.Config(
                app or api,
                log_config=None,
                access_log=access_log,
                lifespan="off" if app is None else "auto",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=grace_s,  # type: ignore[arg-type]  # it is only compared with a clock
                h11_max_incomplete_event_size=_HEADER_BYTES_MAX,
            )
        )
        self._api = api
        self._silent: dict[Any, tuple[Any, float]] = {}
        """Connections on which no request is dealt with: the last one that was, and since when that has been so."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: who serves says what ends it."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Once a second, end connections that begin a request and do not come to the end of its headers."""
        if counter % 10 == 0:
            self._end_silent(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _end_silent(self, now: float) -> None:
        # Uvicorn ends a connection that is idle between two requests, and waits for ever once a byte has come.
        silent: dict[Any, tuple[Any, float]] = {}
        connections: list[Any] = list(self.server_state.connections)
        for each in connections:
            cycle = each.cycle
            if cycle is not None and not cycle.response_complete:
                continue
            last, since = self._silent.get(each, (cycle, now))
            if last is not cycle:
                since = now
            if now - since > self._api.limits.head_s:
                each.transport.close()
            else:
                silent[each] = cycle, since
        self._silent = silent

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new connections, streams are ended, what was asked is answered within the grace."""
        self._api.stop()
        ending = asyncio.ensure_future(self._end_unread())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()
            self._api.close()

    async def _end_unread(self) -> None:
        """End connections whose clients read nothing: what they were to be sent would be waited for to no avail."""
        unread: dict[Any, tuple[int, float]] = {}
        while True:
            now = asyncio.get_running_loop().time()
            seen, unread = unread, {}
            connections: list[Any] = list(self.server_state.connections)
            for each in connections:
                size: int = each.transport.get_write_buffer_size()
                last, since = seen.get(each, (size, now))
                if not size or size != last:
                    since = now
                if now - since > UNREAD_S:
                    each.transport.abort()
                unread[each] = size, since
            await asyncio.sleep(UNREAD_S / 10)

    def stop(self) -> None:
        """Have it stop; the second time, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def listen_on(api: Api, host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        CallerError: others than this machine could reach it, and nobody has to show who it is; or there is no such
            address, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
    except (OSError, UnicodeError) as error:
        message = f"there is no address {host}: {error}"
        raise CallerError(message) from error
    if not api.is_guarded and not is_loopback(str(address[0])):
        message = f"{host} is reached from other machines: give tokens, or listen on 127.0.0.1"
        raise CallerError(message)
    # The protocol is named, though there is no other: asyncio turns Nagle's algorithm off where it is named alone, and
    # with it on, each answer waits for an acknowledgement, 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        message = f"can't listen on {host}, port {port}: {error}"
        raise CallerError(message) from error
    return listener


async def serve(
    api: Api,
    listener: socket.socket,
    *,
    grace_s: float = GRACE_S,
    access_log: bool = False,
    is_ready: Callable[[], None] = lambda: None,
    is_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve on a socket until SIGTERM or SIGINT, or until this task is cancelled; a second signal ends it at once.

    Args:
        api: what is served.
        listener: where it is served.
        grace_s: how long what goes on may take when it is stopped.
        access_log: whether each request is logged.
        is_ready: is called when it begins.
        is_stopping: is called when a signal tells it to stop, before it waits for what goes on.
    """
    server = ApiServer(api, grace_s=grace_s, access_log=access_log)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not server.should_exit:
            is_stopping()
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        is_ready()
        await server.serve(sockets=[listener])
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        _log.info("stopped")

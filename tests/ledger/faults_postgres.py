"""A PostgreSQL server that a test may kill, a proxy that loses replies, and what waits for conditions."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import psycopg

from tests.ledger.servers import Server, free_port

__all__ = ["OwnServer", "Proxy", "blocked_backends", "wait_until"]

WAIT_S = 20.0


def wait_until(holds: Callable[[], Any], what: str = "") -> None:
    """Wait until a condition holds.

    Raises:
        AssertionError: it did not within the bound.
    """
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s in vain {what}"
        time.sleep(0.002)


class OwnServer(Server):
    """A server on a port of its own, which can be killed and started again."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.tcp_port = free_port()
        super().__init__(folder, binaries, port=self.tcp_port, settings=["deadlock_timeout=50ms"])

    @property
    def dsn(self) -> str:
        return self.uri()

    def wait_ready(self) -> None:
        """Wait until it has recovered, and takes connections."""

        def is_ready() -> bool:
            try:
                psycopg.connect(self.dsn).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_until(is_ready, "for the server")

    @staticmethod
    def kill_backend(pid: int) -> None:
        """Kill one backend: the postmaster takes all others down with it, recovers, and goes on."""
        os.kill(pid, signal.SIGKILL)


class Link:
    """A connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.how = ""
        """What becomes of the request that it lost: see `Proxy`."""
        self.is_done = Event()
        """Whether the server has done what came late, or has gone."""

    def cut(self) -> None:
        shut(self.client)
        shut(self.server)


class Proxy:
    """Stands before a server, and loses what it is told to lose.

    Once it is armed, the first request that holds the needle is lost in one of these ways, and its connection cut:
    `request`: it never reaches the server; `reply`: the server has done it, and the answer is thrown away; `late`: it
    reaches the server only when `release` is called, long after the client has gone.
    """

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = Lock()
        self._needle = b""
        self._how = ""
        self._stays_away = False
        self._links: list[Link] = []
        self._threads: list[Thread] = []
        self._late: tuple[Link, bytes] | None = None
        self.has_cut = Event()
        self.is_away = False
        """Whether connections are refused."""
        self._spawn(self._accept)

    def arm(self, how: str, needle: bytes, *, stays_away: bool = False) -> None:
        """Lose the next request that holds the needle; and be away from then on, if so told."""
        with self._lock:
            self._how, self._needle, self._stays_away = how, needle, stays_away
            self.has_cut.clear()

    def release(self) -> None:
        """Let the late request come through, and wait until the server has done it."""
        assert self._late is not None
        link, request = self._late
        link.is_done.clear()
        link.server.sendall(request)
        assert link.is_done.wait(WAIT_S)

    def close(self) -> None:
        self.is_away = True
        self._listener.close()
        for link in self._links:
            link.cut()
        for thread in self._threads:
            thread.join(WAIT_S)
        for link in self._links:
            link.client.close()
            link.server.close()

    def _spawn(self, act: Callable[..., None], *given: Any) -> None:
        thread = Thread(target=act, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.05)
        while True:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if self.is_away:
                client.close()
                continue
            client.setblocking(True)
            try:
                server = socket.create_connection(self._upstream)
            except OSError:
                client.close()
                continue
            link = Link(client, server)
            self._links.append(link)
            self._spawn(self._forward, link)
            self._spawn(self._answer, link)

    def _forward(self, link: Link) -> None:
        """Bring requests to the server, until one is to be lost."""
        held = b""
        for request in received(link.client):
            with self._lock:
                if self._needle and self._needle in request:
                    link.how, self._needle = self._how, b""
                    if self._stays_away:
                        self.is_away = True
                        for other in self._links:
                            if other is not link:
                                other.cut()
            if link.how == "request":
                self.has_cut.set()
                break
            if link.how != "late":
                link.server.sendall(request)
                continue
            held += request
            if held.endswith((SYNC, SYNC + FLUSH)) or held.startswith(b"Q"):
                self._late = (link, held)
                self.has_cut.set()
                shut(link.client)
                return
        if link.how != "late":
            link.cut()

    def _answer(self, link: Link) -> None:
        """Bring answers to the client, unless they are to be lost."""
        for reply in received(link.server):
            if link.how == "late":
                if reply[-6:-1] == b"Z\0\0\0\5":  # ready for the next query
                    link.is_done.set()
            elif link.how == "reply":
                self.has_cut.set()
                break
            else:
                try:
                    link.client.sendall(reply)
                except OSError:
                    break
        link.cut()
        link.is_done.set()


SYNC = b"S\0\0\0\4"
"""How a request ends in the protocol, unless it is a simple one, which begins with Q."""


FLUSH = b"H\0\0\0\4"
"""What may come behind it, if several statements were sent together."""


def received(each: socket.socket) -> Iterator[bytes]:
    """What comes in, until the other side has gone."""
    while True:
        try:
            part = each.recv(1 << 20)
        except OSError:
            return
        if not part:
            return
        yield part


def shut(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def blocked_backends(admin: psycopg.Connection[Any]) -> list[int]:
    """The backends of the admin's database that wait for a lock."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return [pid for (pid,) in admin.execute(query).fetchall()]

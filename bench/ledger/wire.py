"""What travels between a client and PostgreSQL, counted on its way: by a socket that passes everything on.

Counting there is fair to any driver, ours and pgbench alike, and sees pipelines for what they are: a trip begins when
the client speaks again after the server has spoken, however many statements it then sends at once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

__all__ = ["Wire"]

_SOCKET = ".s.PGSQL.5432"


class Wire:
    """A socket before that of a server; counts are right while no more than one connection is in use."""

    def __init__(self, address: str, folder: Path) -> None:
        self.trips = 0
        self.statements = 0
        """Executions of prepared statements, and simple queries; BEGIN and COMMIT among them."""
        parts = urlsplit(address)
        [self._behind] = parse_qs(parts.query)["host"]
        folder.mkdir()
        self.address = parts._replace(query=f"host={folder}").geturl()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _SOCKET))
        self._listener.listen()
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(Path(self._behind) / _SOCKET))
                _Relay(self, client, server)


class _Relay:
    """One connection."""

    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self._wire = wire
        self._server_spoke = True
        self._unread = b""
        self._has_begun = False
        Thread(target=_pass_on, args=(client, server, self._hear_client), daemon=True).start()
        Thread(target=_pass_on, args=(server, client, self._hear_server), daemon=True).start()

    def _hear_server(self, said: bytes) -> None:
        self._server_spoke = True

    def _hear_client(self, said: bytes) -> None:
        if self._server_spoke:
            self._wire.trips += 1
            self._server_spoke = False
        self._unread += said
        while True:
            head = 1 if self._has_begun else 0  # only the first message has no letter for its type
            if len(self._unread) < head + 4:
                return
            end = head + int.from_bytes(self._unread[head : head + 4], "big")
            if len(self._unread) < end:
                return
            if head and self._unread[:1] in (b"E", b"Q"):
                self._wire.statements += 1
            self._unread = self._unread[end:]
            self._has_begun = True


def _pass_on(source: socket.socket, target: socket.socket, hear: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while said := source.recv(65536):
            hear(said)
            target.sendall(said)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)

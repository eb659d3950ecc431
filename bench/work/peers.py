"""The peers that are installed here, each on a database of its own, since one's tables are not the other's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any

from bench.ledger.databases import Server
from bench.work.job import Jobs

__all__ = ["open_peers"]

_Open = Callable[[Server, ExitStack], dict[str, Any]]


@contextmanager
def open_peers(server: Server) -> Generator[tuple[dict[str, Jobs], list[str]]]:
    """The peers by name, each as it comes and as it does best here; and the packages that are not installed."""
    with ExitStack() as stack:
        found: dict[str, Jobs] = {}
        missing: list[str] = []
        for opening in (_open_dbos, _open_procrastinate):
            try:
                found |= opening(server, stack)
            except ModuleNotFoundError as error:
                missing.append(str(error.name))
        yield found, missing


def _open_dbos(server: Server, stack: ExitStack) -> dict[str, Any]:
    module: Any = import_module("bench.work.dbos_job")
    jobs = module.DbosJobs(server.database("work_dbos"))
    stack.callback(jobs.close)
    name = f"DBOS {version('dbos')}"
    short = module.SHORT_POLLING_S
    return {f"{name}, polled each second": jobs, f"{name}, polled each {short:g} s": jobs.polled(short)}


def _open_procrastinate(server: Server, stack: ExitStack) -> dict[str, Any]:
    module: Any = import_module("bench.work.procrastinate_job")
    found: dict[str, Any] = {}
    for workers in (1, 8):
        jobs = module.ProcrastinateJobs(server.database(f"work_procrastinate_{workers}"), workers=workers)
        stack.callback(jobs.close)
        found[f"procrastinate {version('procrastinate')}, {workers} worker{'s' * (workers > 1)}"] = jobs
    return found

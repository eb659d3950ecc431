"""The end of the show: the HTTP API over its orders, on loopback, and what to try next."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from stateward.engine import Engine
from stateward.errors import CallerError, ExtraMissing

__all__ = ["HOST", "next_commands", "next_requests", "program_of", "serve_demo", "without_password"]

HOST = "127.0.0.1"
GRACE_S = 1.0

_PASSWORD = re.compile(r"(?<=:)[^:/@]+(?=@)|(?<=password=)\S+")


def serve_demo(engine: Engine, port: int, tell: Callable[[int], None]) -> None:
    """Serve the HTTP API over an engine on loopback, until SIGINT or SIGTERM.

    Args:
        engine: the engine.
        port: where; another one, if somebody listens there.
        tell: called with the port when it is served.

    Raises:
        ExtraMissing: what serves it is not installed.
    """
    http: Any = import_module("stateward.http")
    try:
        metrics = http.metrics_of(engine)
    except ExtraMissing:
        metrics = None
    else:
        engine.metrics()  # they count from now on
    api = http.Api(engine, metrics=metrics)
    serving: Any = import_module("stateward.http.serving")
    try:
        listener = serving.listen_on(api, HOST, port)
    except CallerError:
        listener = serving.listen_on(api, HOST, 0)
    found: int = listener.getsockname()[1]
    asyncio.run(serving.serve(api, listener, grace_s=GRACE_S, is_ready=lambda: tell(found)))


def without_password(address: str) -> str:
    """A ledger's address as it may be shown."""
    return _PASSWORD.sub("***", address)


def program_of(called: str) -> str:
    """How the program can be called again from here: by its name, or by its path if its name is not enough."""
    if os.path.basename(called) != "stateward" or shutil.which("stateward") is not None:
        return "stateward"
    return os.path.relpath(called)


def next_commands(ledger: str, program: str = "stateward") -> Iterator[str]:
    """Commands that look at the ledger of the show."""
    address = without_password(ledger).removeprefix("sqlite:///")
    module, option = "stateward.demo.orders", f"--ledger {shlex.quote(address)}"
    yield f"{program} show Order A-5 {option} --lifecycle {module}"
    yield f"{program} why Order A-5 Deliver {option} --lifecycle {module}"
    yield f"{program} tail {option}"
    yield f"{program} doctor {module} {option}"
    yield f"{program} diagram {module}"


def next_requests(port: int) -> Iterator[str]:
    """Requests to the API of the show."""
    api = f"http://{HOST}:{port}"
    yield f"curl {api}/entities/Order/A-5"
    yield f"curl '{api}/entities/Order/A-5/why?event=Deliver'"
    yield f"""curl -H 'Content-Type: application/json' -d '{{"event": "Ship"}}' {api}/entities/Order/A-5/events"""
    yield f"curl {api}/census/Order"
    yield f"curl -N {api}/records"

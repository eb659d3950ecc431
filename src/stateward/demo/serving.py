"""The end of the show: the HTTP API over its orders, on loopback, and what to try next."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from stateward.engine import Engine
from stateward.errors import CallerError

__all__ = ["HOST", "next_commands", "next_requests", "serve_demo", "without_password"]

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
    api: Any = import_module("stateward.http").Api(engine)
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


def next_commands(ledger: str) -> Iterator[str]:
    """Commands that look at the ledger of the show."""
    module, option = "stateward.demo.orders", f"--ledger '{without_password(ledger)}'"
    yield f"stateward show Order A-5 {option} --lifecycle {module}"
    yield f"stateward why Order A-5 Deliver {option} --lifecycle {module}"
    yield f"stateward tail {option}"
    yield f"stateward doctor {module} {option}"
    yield f"stateward diagram {module}"


def next_requests(port: int) -> Iterator[str]:
    """Requests to the API of the show."""
    api = f"http://{HOST}:{port}"
    yield f"curl {api}/entities/Order/A-5"
    yield f"curl '{api}/entities/Order/A-5/why?event=Deliver'"
    yield f"""curl -H 'Content-Type: application/json' -d '{{"event": "Ship"}}' {api}/entities/Order/A-5/events"""
    yield f"curl {api}/census/Order"
    yield f"curl -N {api}/records"

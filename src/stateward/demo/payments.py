"""What the demo's workers do: handlers of an order's effects, which talk to the payment provider over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from threading import local
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from stateward.demo.orders import Charge, Charged, Declined, Notify, Refund, Refunded
from stateward.engine import Engine
from stateward.work import Call, Retry, WorkerSettings

__all__ = ["SETTINGS", "Attempt", "Provider", "register"]

SETTINGS = WorkerSettings(concurrency=16, lease=timedelta(seconds=5), poll=timedelta(milliseconds=50))
"""How the demo's workers work."""
RETRY = Retry(limit=8, base=timedelta(milliseconds=400), maximum=timedelta(seconds=2))
TIMEOUT = timedelta(seconds=30)


class Attempt(NamedTuple):
    """One attempt at an effect, and what came of it."""

    effect: str
    order: str
    attempt: int
    key: str
    result: str
    is_failure: bool = False
    """Whether it is tried again."""


class Provider:
    """The provider's client, for any number of threads; each has a connection of its own."""

    def __init__(self, port: int) -> None:
        """Name the port that it listens on."""
        self.port = port
        self._of_thread = local()

    def post(self, path: str, body: dict[str, Any], key: str = "") -> tuple[int, Any]:
        """Ask for something, under a key."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        return self._ask("POST", path, msgspec.json.encode(body), headers)

    def get(self, path: str, order: str = "") -> Any:
        """Look at its book."""
        return self._ask("GET", f"{path}?order={quote(order)}", None, {})[1]

    def tell(self, **scenario: Any) -> None:
        """Tell it what to do amiss."""
        self.post("/scenario", scenario)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        connection: HTTPConnection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = HTTPConnection(
                "127.0.0.1", self.port, timeout=TIMEOUT.total_seconds()
            )
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, msgspec.json.decode(response.read())
        except (OSError, HTTPException):
            connection.close()  # the next request opens it anew
            raise


def register(engine: Engine, provider: Provider, tell: Callable[[Attempt], None]) -> None:
    """Have an engine's worker charge, refund and notify.

    Args:
        engine: the engine.
        provider: whom to ask.
        tell: called with each attempt that is over, in the thread that made it.
    """

    def ask(call: Call, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Ask the provider; whatever is no answer to the question is a failed attempt."""
        status, answer = provider.post(path, {"order": call.entity, **body}, call.key)
        told = {200: "done", 402: "declined"}.get(status, f"the provider answers {status}")
        is_failure = status not in (200, 402)
        tell(Attempt(call.effect, call.entity, call.attempt, call.key, told, is_failure))
        if is_failure:
            message = f"the provider answered {status}: {answer.get('reason')}"
            raise ConnectionError(message)
        return status, answer

    @engine.handles(Charge, retry=RETRY, timeout=TIMEOUT)
    def charge(effect: Charge, call: Call) -> Charged | Declined:
        status, answer = ask(call, "/charge", {"amount": effect.amount})
        return Charged(payment=answer["payment"]) if status == 200 else Declined(reason=answer["reason"])

    @engine.handles(Refund, retry=RETRY, timeout=TIMEOUT)
    def refund(effect: Refund, call: Call) -> Refunded:
        ask(call, "/refund", {"payment": effect.payment})
        return Refunded()

    @engine.handles(Notify)
    def notify(effect: Notify, call: Call) -> None:
        tell(Attempt(call.effect, call.entity, call.attempt, call.key, f'told "{effect.text}"'))

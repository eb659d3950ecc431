"""Whether it lives, whether it is ready, and what it measures: for those who look after processes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.types import ASGIApp

from stateward.http import views
from stateward.http.answers import Answer, answer_with
from stateward.http.face import Face, Operation
from stateward.http.problems import RETRY_AFTER_S, Problem
from stateward.http.requests import Request

__all__ = ["HealthRoutes", "Metrics"]

Metrics = Callable[[], "tuple[str, bytes] | Awaitable[tuple[str, bytes]]"]
"""Gives a content type and a text; a function is called in a thread, since it may read the ledger."""

_OK = answer_with(views.Health())


class HealthRoutes:
    """The routes that are asked by machines."""

    def __init__(self, face: Face, metrics: Metrics | None) -> None:
        self._face = face
        self._metrics = metrics
        self._is_stopped = False

    def operations(self) -> Sequence[Operation]:
        """What they answer; what is measured, if anything is."""
        always = (
            Operation(name="health", method="GET", path="/health", answer=self.health, is_open=True, is_always=True),
            Operation(name="ready", method="GET", path="/ready", answer=self.ready, is_open=True),
        )
        if self._metrics is None:
            return always
        return (*always, Operation(name="metrics", method="GET", path="/metrics", answer=self.metrics))

    def stop(self) -> None:
        """Be ready no more."""
        self._is_stopped = True

    async def health(self, request: Request) -> ASGIApp:
        """That it lives: it answers."""
        request.query()
        return _OK

    async def ready(self, request: Request) -> ASGIApp:
        """Whether it can do what it is there for: the ledger answers a read."""
        request.query()
        if self._is_stopped:
            raise Problem("too-busy", "the server is stopping", headers={"retry-after": str(RETRY_AFTER_S)})
        await self._face.ask(lambda engine: engine.pauses())
        return _OK

    async def metrics(self, request: Request) -> ASGIApp:
        """What is measured."""
        request.query()
        metrics: Any = self._metrics
        limit = asyncio.timeout(self._face.limits.call_s)
        try:
            async with limit:
                given = metrics() if inspect.iscoroutinefunction(metrics) else await asyncio.to_thread(metrics)
                content_type, body = await given if inspect.isawaitable(given) else given
        except TimeoutError:
            if not limit.expired():  # their own
                raise
            detail = f"they were not read after {self._face.limits.call_s:g} seconds"
            raise Problem("call-late", detail, facts={"is_outcome_unknown": False}) from None
        return Answer(200, body, content_type=content_type.encode("latin-1"))

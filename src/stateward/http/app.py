"""The application: it lets requests in, finds what they are for, and tells whatever goes wrong as a problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from stateward.engine import AsyncEngine, Engine
from stateward.http.answers import Answer
from stateward.http.calling import EngineCalls
from stateward.http.entities import EntityRoutes
from stateward.http.face import Face, Operation
from stateward.http.guarding import Authenticate, Guard, Token
from stateward.http.health import HealthRoutes, Metrics
from stateward.http.kinds import Kinds
from stateward.http.limits import Limits
from stateward.http.openapi import openapi_of
from stateward.http.operators import OperatorRoutes
from stateward.http.problems import RETRY_AFTER_S, Problem, problem_of
from stateward.http.records import RecordRoutes
from stateward.http.requests import Headers, Request, read_headers
from stateward.ledger import Actor

__all__ = ["Api"]

_NO_LIMITS = Limits()


class Api:
    """The HTTP face of an engine, an ASGI application: served by itself, or mounted in another one.

    The engine stays its maker's, who opens and closes it. Mounted, it takes what is below its prefix.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        *,
        tokens: Sequence[Token] | Mapping[str, Actor | str] = (),
        authenticate: Authenticate | None = None,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        limits: Limits = _NO_LIMITS,
        metrics: Metrics | None = None,
    ) -> None:
        """Take an engine.

        Args:
            engine: of threads, whose calls are made in threads, or of tasks.
            tokens: who may ask, as tokens, or as actors by secret; without any, this machine alone is served.
            authenticate: instead of tokens, says who asks, for an application around this one that knows.
            hosts: names that the server is called by, beside those of this machine itself: `api.example.com`; `*` is
                any name, and needs tokens.
            origins: origins of pages that may ask, beside the server's own: `https://desk.example.com`.
            limits: how much may be asked for, and how long it may take.
            metrics: gives the content type and the text of `/metrics`; without it there is no such route.

        Raises:
            CallerError: the settings contradict each other.
        """
        self._guard = Guard(tokens=tokens, authenticate=authenticate, hosts=hosts, origins=origins)
        self._limits = limits
        self._calls = EngineCalls(engine, limits)
        self._kinds = Kinds(engine.charts)
        face = Face(calls=self._calls, kinds=self._kinds, limits=limits, is_guarded=self._guard.is_guarded)
        self._records = RecordRoutes(face)
        self._health = HealthRoutes(face, metrics)
        document = Operation(name="openapi", method="GET", path="/openapi.json", answer=self._openapi)
        operations = (
            *EntityRoutes(face).operations(), *self._records.operations(), *OperatorRoutes(face).operations(),
            *self._health.operations(), document,
        )  # fmt: skip
        self.operations: Sequence[Operation] = operations
        """What it answers."""
        self._document: Answer | None = None
        self._busy = 0
        self._router = Router(
            [Route(path, _Resource(self, each)) for path, each in _by_path(operations).items()],
            redirect_slashes=False,
            default=_nothing_there,
        )

    @property
    def is_guarded(self) -> bool:
        """Whether who asks has to show who it is: without that, nothing but this machine may be served."""
        return self._guard.is_guarded

    @property
    def limits(self) -> Limits:
        """Its limits."""
        return self._limits

    @property
    def has_metrics(self) -> bool:
        """Whether there is `/metrics`."""
        return any(each.name == "metrics" for each in self.operations)

    @property
    def streams(self) -> int:
        """How many streams of records are open."""
        return self._records.open

    def stop(self) -> None:
        """End the streams of records, and be ready no more; what was asked is answered. Twice is safe.

        It is called in the loop that serves.

        A server that waits for its connections to end, as uvicorn does, is to call it first: streams end by nothing
        else. `stateward.http.serving` does.
        """
        self._health.stop()
        self._records.stop()

    def close(self) -> None:
        """Stop, and let the threads end in which calls were made: nothing can be asked any more. Twice is safe."""
        self.stop()
        self._calls.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1000})
            return
        is_begun = False

        async def watched(message: Mapping[str, object]) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)  # type: ignore[arg-type]

        try:
            await self._route(scope, receive, watched)
        except Exception as error:
            if is_begun:
                raise
            await problem_of(error).answer()(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = read_headers(scope)
        self._guard.let_in(scope, headers)
        path, prefix = _split(scope)
        inner = {**scope, "path": path, "root_path": "", _HEADERS: headers, _PREFIX: prefix}
        await self._router.app(inner, receive, send)

    async def answer(self, operation: Operation, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an operation."""
        headers: Headers = scope[_HEADERS]
        actor = _NOBODY if operation.is_open else self._guard.actor(scope, headers)
        request = Request(
            scope, receive, headers=headers, actor=actor, prefix=scope[_PREFIX], limits=self._limits
        )  # fmt: skip
        if self._busy >= self._limits.calls_max and not operation.is_always:
            detail = f"{self._busy} requests are being dealt with, which is all that is taken on"
            raise Problem("too-busy", detail, headers={"retry-after": str(RETRY_AFTER_S)})
        self._busy += 1
        try:
            answer = await operation.answer(request)
        finally:
            self._busy -= 1
        await answer(scope, receive, send)

    async def _openapi(self, request: Request) -> Answer:
        request.query()
        if self._document is None:
            self._document = Answer(200, self.openapi())
        return self._document

    def openapi(self) -> bytes:
        """The OpenAPI document of what it answers."""
        return openapi_of(self._kinds, self.operations, is_guarded=self.is_guarded, limits=self._limits)


_HEADERS, _PREFIX = "stateward.headers", "stateward.prefix"
"""What is kept in a scope of what was read once."""
_NOBODY = Actor("http", "nobody")


class _Resource:
    """What is at one path, as an ASGI application."""

    def __init__(self, api: Api, operations: Mapping[str, Operation]) -> None:
        self._api = api
        self._operations = operations
        if "GET" in operations:
            self._operations = {**operations, "HEAD": operations["GET"]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(scope["method"])
        if operation is None:
            allowed = ", ".join(sorted(self._operations))
            detail = f"{scope['method']:.20} means nothing here; {allowed} does"
            raise Problem("method-not-allowed", detail, headers={"allow": allowed})
        await self._api.answer(operation, scope, receive, send)


def _by_path(operations: Sequence[Operation]) -> dict[str, dict[str, Operation]]:
    found: dict[str, dict[str, Operation]] = {}
    for each in operations:
        found.setdefault(each.path, {})[each.method] = each
    return found


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
    raise Problem("not-found", f"there is nothing at {scope['path']:.200}; /openapi.json says what there is")


def _split(scope: Scope) -> tuple[str, str]:
    """The path below the application's prefix, and the prefix; both as they were written: an id may hold `/`."""
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"]) if raw is None else raw.decode("latin-1")
    root: str = scope.get("root_path", "")
    if not root:
        return path, ""
    # A byte is written in three characters at most: what is further on, and may be long, is not looked at.
    at, end = 0, 3 * len(root.encode()) + 1
    while (at := path.find("/", at + 1, end)) != -1:
        if unquote(path[:at]) == root:
            return path[at:], path[:at]
    return ("/", path) if unquote(path) == root else (path, "")

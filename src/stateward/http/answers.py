"""What goes back to a client: a status, headers, and a body that is JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from starlette.types import Receive, Scope, Send

from stateward.chart import FrozenMap

__all__ = ["Answer", "answer_with", "as_plain", "to_json"]

_JSON = b"application/json"
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class Answer:
    """One answer, as an ASGI application."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        *,
        content_type: bytes = _JSON,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers: list[tuple[bytes, bytes]] = [(b"content-length", b"%d" % len(body)), _NO_SNIFFING]
        if body or status not in (204, 304):
            self.headers.append((b"content-type", content_type))
        if not headers:
            self.headers.append(_NO_STORE)
            return
        self.headers += [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        if "cache-control" not in headers:
            self.headers.append(_NO_STORE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it."""
        headers, body = self.headers, self.body
        if self.status == 304:  # it has no body, and its length would be that of the one it stands for
            headers = headers[1:]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def as_plain(value: Any) -> Any:
    """What msgspec does not know as what it does: a model or a frozen map by its fields, anything else as its text."""
    if isinstance(value, FrozenMap):
        return dict(cast("Any", value))
    dump: Any = getattr(value, "model_dump", None)
    return dump(mode="json") if dump is not None else repr(value)


to_json = msgspec.json.Encoder(enc_hook=as_plain).encode


def answer_with(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A value as JSON."""
    return Answer(status, to_json(value), headers=headers)

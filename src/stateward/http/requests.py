"""What a client asks, read strictly: whatever could mean two things, or nothing, is told instead of guessed at."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from starlette.types import Receive, Scope

from stateward.http.limits import Limits
from stateward.http.problems import Problem
from stateward.ledger import Actor
from stateward.ledger.tracing import is_traceparent

__all__ = ["NO_REVISION", "Headers", "Query", "Request", "read_headers"]

T = TypeVar("T")
Headers = dict[bytes, bytes]

_ONCE = frozenset(
    {
        b"authorization", b"content-encoding", b"content-type", b"host", b"idempotency-key", b"if-match",
        b"if-none-match", b"last-event-id", b"origin", b"stateward-actor", b"transfer-encoding",
    }
)  # fmt: skip
"""Headers of which two contradict each other."""
_VISIBLE = re.compile(rb"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_QUOTED = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ETAG = re.compile(rb'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ETAGS = re.compile(rb'\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*(?:,\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*)*')
_REVISION = re.compile(r"0|[1-9][0-9]{0,17}")
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_MEMBERS_MAX = 32
_TRACESTATE_MAX = 500
"""What a ledger keeps; W3C Trace Context lets go of one that is longer."""
_QUERY_MAX = 8000
NO_REVISION = -1
"""What no entity is ever at: expected by a tag that none has, so that it is refused as stale."""


def read_headers(scope: Scope) -> Headers:
    """The headers of a request, each once.

    Raises:
        Problem: one that can be there once is there twice, or two say in two ways where the body ends.
    """
    found: Headers = {}
    for name, value in scope["headers"]:
        if name in found:
            if name in _ONCE:
                raise Problem("malformed", f"the header {name.decode('latin-1')} is there twice")
            value = found[name] + b", " + value  # noqa: PLW2901 - what HTTP says of a list in several lines
        found[name] = value
    if b"content-length" in found and b"transfer-encoding" in found:
        # Something in between may have taken it for another body, and what comes behind it for another request.
        raise Problem("malformed", "the headers say in two ways how long the body is", headers=_CLOSE)
    return found


class Query:
    """The query of a request: each parameter is known, and there once."""

    def __init__(self, raw: bytes, known: frozenset[str], several: frozenset[str] = frozenset()) -> None:
        """Read it.

        Raises:
            Problem: a parameter is unknown, or there twice, or the query can't be read.
        """
        self._values: dict[str, list[str]] = {}
        if not raw:
            return
        for name, value in _pairs(raw):
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                raise Problem("invalid", f"the parameter {name!r:.100} is not known here; these are: {names}")
            if name in self._values and name not in several:
                raise Problem("invalid", f"the parameter {name} is there twice")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        """A parameter, if it is there."""
        return self._values[name][0] if name in self._values else None

    def texts(self, name: str) -> list[str]:
        """One that may be there several times."""
        return self._values.get(name, [])

    def value(self, name: str, kind: type[T]) -> T | None:
        """A parameter as a value: a number or a time.

        Raises:
            Problem: it is none.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            # A text that is a number is one here; of a number msgspec would make a time, too.
            return msgspec.convert(text, kind, strict=kind is datetime)
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            raise Problem("invalid", f"the parameter {name} is {text!r:.100}: {error}") from None


class Request:
    """A request that may be answered: who asks, for what."""

    __slots__ = ("_receive", "actor", "headers", "limits", "prefix", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, *, headers: Headers, actor: Actor, prefix: str, limits: Limits
    ) -> None:
        self.scope = scope
        self.headers = headers
        self.actor = actor
        self.prefix = prefix
        """The path that the application is mounted under, as it is written in addresses."""
        self.limits = limits
        self._receive = receive

    def part(self, name: str) -> str:
        """A part of the path by its name in the route, decoded.

        Raises:
            Problem: it is no text.
        """
        raw: str = self.scope["path_params"][name]
        if "%" not in raw and raw.isascii():
            return raw
        try:
            return unquote_to_bytes(raw.encode("latin-1")).decode()
        except UnicodeDecodeError:
            raise Problem("malformed", f"the path holds {raw:.100}, which is no UTF-8") from None

    def query(self, *known: str, several: tuple[str, ...] = ()) -> Query:
        """Its query, in which these parameters may be.

        Raises:
            Problem: something else is there.
        """
        return Query(self.scope["query_string"], frozenset((*known, *several)), frozenset(several))

    # Headers.

    def key(self) -> str | None:
        """The idempotency key, bare or as a quoted string.

        Raises:
            Problem: it is neither.
        """
        value = self.headers.get(b"idempotency-key")
        if value is None:
            return None
        if value.startswith(b'"') and (match := _QUOTED.fullmatch(value)) is not None and match[1]:
            return re.sub(r"\\(.)", r"\1", match[1].decode())
        if not value.startswith(b'"') and _VISIBLE.fullmatch(value):
            return value.decode()
        raise Problem("malformed", "the header Idempotency-Key is no text of visible ASCII, bare or quoted")

    def expected_revision(self) -> int | None:
        """The revision that If-Match expects; None: any.

        Raises:
            Problem: it is no tag, or several.
        """
        value = self.headers.get(b"if-match")
        if value is None or value == b"*":
            return None
        match = _ETAG.fullmatch(value)
        if match is None:
            raise Problem("malformed", 'the header If-Match is one entity tag, a revision in quotes: If-Match: "3"')
        text = match[2].decode("latin-1")
        return NO_REVISION if match[1] or not _REVISION.fullmatch(text) else int(text)

    def has_tag(self, tag: str) -> bool:
        """Whether the client has the representation of that tag, by If-None-Match.

        Raises:
            Problem: the header is no list of tags.
        """
        value = self.headers.get(b"if-none-match")
        if value is None:
            return False
        if value == b"*":
            return True
        if not _ETAGS.fullmatch(value):
            raise Problem("malformed", "the header If-None-Match is no list of entity tags")
        return any(f'"{each[2].decode("latin-1")}"' == tag for each in _ETAG.finditer(value))

    def trace(self) -> tuple[str | None, str | None]:
        """The place in a trace that the request carries on; one that is not valid is ignored, as W3C asks."""
        value = self.headers.get(b"traceparent")
        if value is None:
            return None, None
        parent = value.decode("latin-1").strip()
        if not is_traceparent(parent) or parent.startswith("ff-") or (parent.startswith("00-") and len(parent) != 55):
            return None, None
        _, trace, span, *_ = parent.split("-")
        if not trace.strip("0") or not span.strip("0"):
            return None, None
        return parent, _tracestate(self.headers.get(b"tracestate"))

    # The body.

    async def body(self) -> bytes:
        """The whole body, if it is JSON, not too large, and there in time.

        Raises:
            Problem: it is not.
        """
        self._check_type()
        self._check_length(self.headers.get(b"content-length"))
        try:
            async with asyncio.timeout(self.limits.body_s):
                return await self._read_all()
        except TimeoutError:
            detail = f"the body was not there after {self.limits.body_s:g} seconds"
            raise Problem("body-late", detail, headers=_CLOSE) from None

    async def _read_all(self) -> bytes:
        pieces: list[bytes] = []
        size, is_more = 0, True
        while is_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Problem("malformed", "the client left amid the body")
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > self.limits.body_bytes_max:
                raise self._too_large()
            pieces.append(piece)
            is_more = message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _check_type(self) -> None:
        if self.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem("not-json", "the body is encoded; it is taken as it is only", headers=_CLOSE)
        given = self.headers.get(b"content-type", b"")
        if given == b"application/json":
            return
        kind, *parameters = given.decode("latin-1").lower().replace(" ", "").replace('"', "").split(";")
        if kind != "application/json" or any(each not in ("", "charset=utf-8") for each in parameters):
            what = f"{given.decode('latin-1')!r:.100}" if given else "not given"
            raise Problem("not-json", f"the Content-Type is {what}; it is application/json", headers=_CLOSE)

    def _check_length(self, given: bytes | None) -> None:
        if given is None:
            return
        if not given.isdigit():
            raise Problem("malformed", "the Content-Length is no number", headers=_CLOSE)
        if len(given) > 18 or int(given) > self.limits.body_bytes_max:
            raise self._too_large()

    def _too_large(self) -> Problem:
        detail = f"the body is larger than {self.limits.body_bytes_max} bytes"
        return Problem("body-too-large", detail, headers=_CLOSE)

    async def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as a value.

        Raises:
            Problem: it is none.
        """
        value: T = decoded(decoder.decode, await self.body(), "the body")
        return value


_CLOSE = {"connection": "close"}
"""With the rest of a body still to come, the connection is good for nothing else."""


def decoded(decode: Any, data: bytes | msgspec.Raw, what: str) -> Any:
    """JSON as a value.

    Raises:
        Problem: it is no JSON, or no such value.
    """
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        raise Problem("invalid", f"{what}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("malformed", f"{what} is no JSON: {error}") from None
    except (ValueError, OverflowError) as error:  # pydantic's are such
        raise Problem("invalid", f"{what}: {error}") from None


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    if len(raw) > _QUERY_MAX:
        raise Problem("malformed", f"the query is longer than {_QUERY_MAX} bytes")
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=100
        )
    except ValueError as error:
        raise Problem("malformed", f"the query can't be read: {error}") from None


def _tracestate(value: bytes | None) -> str | None:
    if not value:
        return None
    members = [each.strip(" \t") for each in value.decode("latin-1").split(",")]
    members = [each for each in members if each]
    text = ",".join(members)
    if not members or len(members) > _MEMBERS_MAX or len(text) > _TRACESTATE_MAX:
        return None
    return text if all(_MEMBER.fullmatch(each) for each in members) else None

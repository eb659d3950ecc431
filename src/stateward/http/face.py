"""What the routes of an application share: the engine, the kinds, the limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any

import msgspec
from starlette.types import ASGIApp

from stateward.errors import UnknownEntity
from stateward.http.calling import EngineCalls
from stateward.http.kinds import Kind, Kinds
from stateward.http.limits import Limits
from stateward.http.problems import Problem
from stateward.http.requests import Query, Request
from stateward.ledger.codec import TEXT_BYTES_MAX, is_keepable

__all__ = ["PAGE", "Face", "Operation", "checked_time", "page_of"]

PAGE = 100
"""Items of a page, if the client does not say how many."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A method at a path."""

    name: str
    """By which the OpenAPI document knows it."""
    method: str
    path: str
    answer: Callable[[Request], Awaitable[ASGIApp]]
    is_open: bool = False
    """Whether it is answered without a token."""
    is_always: bool = False
    """Whether it is answered however much there is to do."""
    is_stream: bool = False
    """Whether its answer goes on for as long as the client likes."""


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes share."""

    calls: EngineCalls
    kinds: Kinds
    limits: Limits
    is_guarded: bool

    async def ask(self, make: Callable[[Any], Any], *, writes: bool = False, goes_on: bool = False) -> Any:
        """What a call of the engine gives; see `EngineCalls.ask`."""
        return await self.calls.ask(make, writes=writes, goes_on=goes_on)

    def kind(self, request: Request) -> Kind:
        """The kind in the path.

        Raises:
            Problem: there is none.
        """
        return self.kinds.get(request.part("kind"))

    def entity(self, request: Request) -> tuple[Kind, str]:
        """Kind and id in the path.

        Raises:
            Problem: there is no such kind.
            UnknownEntity: there can be no such id.
        """
        kind, entity = self.kind(request), request.part("id")
        if len(entity) > TEXT_BYTES_MAX or len(entity.encode()) > TEXT_BYTES_MAX or not is_keepable(entity):
            raise UnknownEntity(lifecycle=kind.name, entity=f"{entity:.100}")
        return kind, entity


def page_of(query: Query, limits: Limits) -> tuple[str | None, int]:
    """The cursor and the size of the page that is asked for.

    Raises:
        Problem: it can't be that large, or small.
    """
    limit = query.value("limit", int)
    if limit is None:
        limit = min(PAGE, limits.page_max)
    if not 1 <= limit <= limits.page_max:
        raise Problem("invalid", f"the parameter limit is {limit}; it is from 1 to {limits.page_max}")
    return query.text("after"), limit


def checked_time(name: str, moment: datetime | None) -> datetime | None:
    """A time that can be told in any zone, and says its own.

    Raises:
        Problem: it is not, or does not.
    """
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise Problem("invalid", f"{name} is {moment.isoformat()}, without a time zone: {moment.isoformat()}Z, say")
    if not MINYEAR < moment.year < MAXYEAR:  # as the document has it: what is at the edges can't be told in other zones
        raise Problem("invalid", f"{name} is {moment.isoformat()}; it is from the year 2 to the year 9998")
    return moment.astimezone(UTC)

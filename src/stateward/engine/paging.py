"""Pages: what a face shows at a time, and the cursor of what comes next, which a client keeps as a text."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from stateward.chart import Chart, ContextMarker, Lifecycle
from stateward.engine.core import EngineCore
from stateward.errors import CursorInvalid
from stateward.kernel import LegalEvent, legal_events
from stateward.ledger import Entity, Record
from stateward.ledger.after_commit import ListDeadLetters
from stateward.ledger.codec import is_keepable
from stateward.ledger.contract import FetchHistory, ListEntities, Trips
from stateward.ledger.reading import fetch_entity
from stateward.work.operating import DeadLetter, list_dead_letters

__all__ = ["AsyncPaging", "Page", "Paging"]

C = TypeVar("C", bound=ContextMarker)
P = TypeVar("P")
T = TypeVar("T")

_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,4000}")
_INTEGER_MAX = 2**63 - 1
"""What a database takes for a number."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a list."""

    items: tuple[T, ...]
    after: str | None
    """The cursor behind which the next page begins; None: there is none."""


class Paging:
    """Pages for threads; how they are read is said by each subclass."""

    _core: EngineCore

    def _read(self, make: Callable[[], Trips[T]]) -> T:
        """Read, and again for as long as connections turn out to have died."""
        raise NotImplementedError

    def list_page(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        *,
        version: int | None = None,
        state: str | None = None,
        unmoved_since: datetime | None = None,
        due_by: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Entity[C]]:
        """A page of what `Engine.list` gives.

        Args:
            lifecycle: the lifecycle.
            version: as for `list`.
            state: as for `list`.
            unmoved_since: as for `list`.
            due_by: as for `list`.
            after: `after` of the page before; the first page, if it is not given. It belongs to a list of the same
                choice.
            limit: how many at most, 1 or more.

        Raises:
            CursorInvalid: `after` is no cursor of such a list.
        """
        operation = self._core.listing(
            lifecycle, version=version, state=state, unmoved_since=unmoved_since, due_by=due_by
        )
        return self._read(partial(_entities, self._core, operation, after, limit))

    def stuck_page(
        self, lifecycle: type[Lifecycle[C]] | Chart[C], *, after: str | None = None, limit: int = 100
    ) -> Page[Entity[C]]:
        """A page of what `Engine.stuck` gives.

        Raises:
            CursorInvalid: `after` is no cursor of such a list.
        """
        return self._read(partial(_entities, self._core, self._core.overdue(lifecycle), after, limit))

    def history_page(
        self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str, *, after: str | None = None, limit: int = 100
    ) -> Page[Record]:
        """A page of what `Engine.history` gives; none of an entity that does not exist.

        Raises:
            CursorInvalid: `after` is no cursor of a history.
        """
        operation = self._core.recording(lifecycle, entity)
        return self._read(partial(_records, self._core, operation, after, limit))

    def dead_page(
        self,
        *,
        kind: str | None = None,
        entity: str | None = None,
        effect: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[DeadLetter]:
        """A page of what `Engine.dead` gives.

        Raises:
            CursorInvalid: `after` is no cursor of such a list.
        """
        operation = ListDeadLetters(kind=kind, entity=entity, effect=effect, limit=limit)
        return self._read(partial(_dead_letters, operation, after, limit))

    def legal_events(self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str) -> tuple[LegalEvent, ...]:
        """The events that an entity could take now, in the order in which its lifecycle names them.

        Raises:
            UnknownEntity: there is no such entity.
        """
        found = self._read(lambda: fetch_entity(self._core.kind(lifecycle), entity, self._core.charts))
        return legal_events(found.snapshot)


class AsyncPaging:
    """The same for tasks."""

    _core: EngineCore

    def _read(self, make: Callable[[], Trips[T]]) -> Awaitable[T]:
        """As `Paging._read`."""
        raise NotImplementedError

    async def list_page(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        *,
        version: int | None = None,
        state: str | None = None,
        unmoved_since: datetime | None = None,
        due_by: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Entity[C]]:
        """As `Engine.list_page`."""
        operation = self._core.listing(
            lifecycle, version=version, state=state, unmoved_since=unmoved_since, due_by=due_by
        )
        return await self._read(partial(_entities, self._core, operation, after, limit))

    async def stuck_page(
        self, lifecycle: type[Lifecycle[C]] | Chart[C], *, after: str | None = None, limit: int = 100
    ) -> Page[Entity[C]]:
        """As `Engine.stuck_page`."""
        return await self._read(partial(_entities, self._core, self._core.overdue(lifecycle), after, limit))

    async def history_page(
        self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str, *, after: str | None = None, limit: int = 100
    ) -> Page[Record]:
        """As `Engine.history_page`."""
        operation = self._core.recording(lifecycle, entity)
        return await self._read(partial(_records, self._core, operation, after, limit))

    async def dead_page(
        self,
        *,
        kind: str | None = None,
        entity: str | None = None,
        effect: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[DeadLetter]:
        """As `Engine.dead_page`."""
        operation = ListDeadLetters(kind=kind, entity=entity, effect=effect, limit=limit)
        return await self._read(partial(_dead_letters, operation, after, limit))

    async def legal_events(self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str) -> tuple[LegalEvent, ...]:
        """As `Engine.legal_events`."""
        found = await self._read(lambda: fetch_entity(self._core.kind(lifecycle), entity, self._core.charts))
        return legal_events(found.snapshot)


# One row more than is shown is read, so that a page that is full knows whether it is the last.


def _entities(core: EngineCore, first: ListEntities, after: str | None, limit: int) -> Trips[Page[Entity[Any]]]:
    operation = msgspec.structs.replace(first, after=_place_of(after, tuple[int, str]), limit=_checked(limit) + 1)
    found, _ = yield from core.list_page(operation)
    if len(found) <= limit:
        return Page(items=tuple(found), after=None)
    last = found[limit - 1]
    return Page(items=tuple(found[:limit]), after=_cursor_of(core.place_of(operation, last)))


def _records(core: EngineCore, first: FetchHistory, after: str | None, limit: int) -> Trips[Page[Record]]:
    operation = msgspec.structs.replace(first, after=_place_of(after, tuple[int, bool, str]), limit=_checked(limit) + 1)
    found, _ = yield from core.history_page(operation)
    if len(found) <= limit:
        return Page(items=tuple(found), after=None)
    return Page(items=tuple(found[:limit]), after=_cursor_of(core.place_in_history(found[limit - 1])))


def _dead_letters(first: ListDeadLetters, after: str | None, limit: int) -> Trips[Page[DeadLetter]]:
    place = _place_of(after, tuple[int, str, str, int, int])
    operation = msgspec.structs.replace(first, after=place, limit=_checked(limit))
    found, following = yield from list_dead_letters(operation)
    if following is None or following.after is None:
        return Page(items=tuple(found), after=None)
    return Page(items=tuple(found), after=_cursor_of(following.after))


def _checked(limit: int) -> int:
    if limit < 1:
        message = f"limit={limit}: a page has 1 or more"
        raise ValueError(message)
    return limit


def _cursor_of(place: tuple[Any, ...]) -> str:
    """A place in a list as a text that is safe in addresses; as long as its ids are, whatever they hold."""
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def _place_of(cursor: str | None, kind: type[P]) -> P | None:
    """The place that a cursor stands for; None: the beginning."""
    if cursor is None:
        return None
    try:
        if not _CURSOR.fullmatch(cursor):
            raise ValueError(cursor)
        place: Any = msgspec.msgpack.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
        if not all(_is_askable(each) for each in place):
            raise ValueError(cursor)
    except ValueError as error:  # what msgspec and base64 raise is one, too
        problem = "it is no cursor of this list; `after` of the page before is one"
        raise CursorInvalid(cursor, problem) from error
    given: P = place
    return given


def _is_askable(part: str | int) -> bool:
    """Whether a database can be asked for it."""
    return abs(part) <= _INTEGER_MAX if isinstance(part, int) else not part or is_keepable(part)

"""Entities: started, sent events, looked at, explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from stateward.chart import EventMarker
from stateward.errors import Refusal, StatewardError
from stateward.http import views
from stateward.http.answers import Answer, answer_with
from stateward.http.face import Face, Operation, checked_time, page_of
from stateward.http.kinds import Kind
from stateward.http.problems import Problem, problem_of_refusal
from stateward.http.requests import Request, decoded
from stateward.kernel import LegalEvent
from stateward.ledger import Applied, Entity, Record

__all__ = ["EntityRoutes"]

_CREATE = msgspec.json.Decoder(views.Create)
_SEND = msgspec.json.Decoder(views.Send)
_WHY = msgspec.json.Decoder(views.Why)
_OF_THE_CHART = frozenset({"unknown", "finished", "guarded", "illegal"})
"""The kinds of refusals that a chart explains."""


class EntityRoutes:
    """The routes below `/entities`."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def operations(self) -> Sequence[Operation]:
        """What they answer; those that are asked for most come first."""
        entity = "/entities/{kind}/{id}"
        return (
            Operation(name="send", method="POST", path=f"{entity}/events", answer=self.send),
            Operation(name="legal_events", method="GET", path=f"{entity}/events", answer=self.legal_events),
            Operation(name="get", method="GET", path=entity, answer=self.get),
            Operation(name="create", method="POST", path="/entities/{kind}", answer=self.create),
            Operation(name="list", method="GET", path="/entities/{kind}", answer=self.list),
            Operation(name="attempt", method="POST", path=f"{entity}/attempts", answer=self.attempt),
            Operation(name="history", method="GET", path=f"{entity}/history", answer=self.history),
            Operation(name="why", method="GET", path=f"{entity}/why", answer=self.why),
            Operation(name="explain", method="POST", path=f"{entity}/why", answer=self.explain),
        )

    # Moving them.

    async def create(self, request: Request) -> Answer:
        """Start an entity."""
        kind = self._face.kind(request)
        key, (parent, state) = request.key(), request.trace()
        request.query()
        asked = await request.read(_CREATE)
        chart = kind.of_version(asked.version)
        context = kind.contexts[chart.version].read(asked.context)
        occurred_at = checked_time("occurred_at", asked.occurred_at)
        applied: Applied[Any] = await self._face.ask(
            lambda engine: engine.create(
                chart, asked.id, context, actor=request.actor, key=key, occurred_at=occurred_at,
                traceparent=parent, tracestate=state,
            ),
            writes=True,
        )  # fmt: skip
        where = f"{request.prefix}/entities/{quote(kind.name, safe='')}/{quote(asked.id, safe='')}"
        return answer_with(
            views.applied_view(applied), 201, {"location": where, "etag": f'"{applied.revision}"'}
        )  # fmt: skip

    async def send(self, request: Request) -> Answer:
        """Send an event; a refusal is a problem."""
        kind, entity, event, answer = await self._attempt(request)
        if isinstance(answer, Refusal):
            raise problem_of_refusal(answer, await self._explained(kind, entity, event, answer))
        return answer_with(views.applied_view(answer))

    async def attempt(self, request: Request) -> Answer:
        """Send an event; a refusal is a value."""
        *_, answer = await self._attempt(request)
        if isinstance(answer, Refusal):
            return answer_with(views.Refused(refusal=views.refusal_view(answer)))
        return answer_with(views.applied_view(answer))

    async def _attempt(self, request: Request) -> tuple[Kind, str, EventMarker, Applied[Any] | Refusal]:
        kind, entity = self._face.entity(request)
        key, expected, (parent, state) = request.key(), request.expected_revision(), request.trace()
        request.query()
        asked = await request.read(_SEND)
        event = await self._event(kind, entity, asked.event, asked.payload)
        occurred_at = checked_time("occurred_at", asked.occurred_at)
        answer: Applied[Any] | Refusal = await self._face.ask(
            lambda engine: engine.attempt(
                kind.newest, entity, event, actor=request.actor, key=key, expected_revision=expected,
                occurred_at=occurred_at, traceparent=parent, tracestate=state,
            ),
            writes=True,
        )  # fmt: skip
        return kind, entity, event, answer

    async def _event(self, kind: Kind, entity: str, name: str, payload: msgspec.Raw) -> EventMarker:
        """The event, as the version that the entity is on has it."""
        form = kind.form_of(name)
        if form is None:
            found: Entity[Any] = await self._face.ask(lambda engine: engine.get(kind.newest, entity))
            form = kind.form_on(name, found.version)
        event: EventMarker = form.read(payload)
        return event

    async def _explained(
        self, kind: Kind, entity: str, event: EventMarker, refusal: Refusal
    ) -> views.Explanation | None:
        """Why an event was refused; None where nothing but the refusal can be told of that moment any more."""
        if refusal.kind not in _OF_THE_CHART:
            return None
        try:
            found = await self._face.ask(lambda engine: engine.why(kind.newest, entity, event))
        except (StatewardError, Problem):  # it is refused, and that is kept, whatever became of the ledger since
            return None
        is_of_then = (found.state, found.outcome) == (refusal.state, refusal.kind)
        return views.explanation_view(found) if is_of_then else None

    # Looking at them.

    async def get(self, request: Request) -> Answer:
        """An entity, unless the client has it."""
        kind, entity = self._face.entity(request)
        request.query()
        found: Entity[Any] = await self._face.ask(lambda engine: engine.get(kind.newest, entity))
        headers = {"etag": f'"{found.revision}"', "cache-control": "no-cache"}
        if request.has_tag(headers["etag"]):
            return Answer(304, b"", headers=headers)
        return answer_with(views.entity_view(found), headers=headers)

    async def list(self, request: Request) -> Answer:
        """A page of entities."""
        kind = self._face.kind(request)
        query = request.query("version", "state", "unmoved_since", "due_by", "after", "limit")
        after, limit = page_of(query, self._face.limits)
        version, state = query.value("version", int), query.text("state")
        unmoved_since = checked_time("unmoved_since", query.value("unmoved_since", datetime))
        due_by = checked_time("due_by", query.value("due_by", datetime))
        if version is not None and not 1 <= version <= _VERSION_MAX:
            raise Problem("invalid", f"the parameter version is {version}, which no version is")
        found = await self._face.ask(
            lambda engine: engine.list_page(
                kind.newest, version=version, state=state, unmoved_since=unmoved_since, due_by=due_by,
                after=after, limit=limit,
            )
        )  # fmt: skip
        return answer_with(views.Entities(items=tuple(map(views.entity_view, found.items)), after=found.after))

    async def history(self, request: Request) -> Answer:
        """A page of an entity's records."""
        kind, entity = self._face.entity(request)
        after, limit = page_of(request.query("after", "limit"), self._face.limits)
        found = await self._face.ask(
            lambda engine: engine.history_page(kind.newest, entity, after=after, limit=limit)
        )  # fmt: skip
        records: tuple[Record, ...] = found.items
        if not records and after is None:  # an entity has some, unless they were archived; none has none
            await self._face.ask(lambda engine: engine.get(kind.newest, entity))
        return answer_with(views.History(items=tuple(map(views.record_view, records)), after=found.after))

    async def legal_events(self, request: Request) -> Answer:
        """The events that an entity could take, with the schemas of their payloads."""
        kind, entity = self._face.entity(request)
        request.query()
        found: tuple[LegalEvent, ...] = await self._face.ask(
            lambda engine: engine.legal_events(kind.newest, entity)
        )  # fmt: skip
        events = tuple(
            views.LegalEvent(
                event=each.name, is_guarded=each.is_guarded, is_already=each.is_already,
                payload=kind.schema_of(each.name, each.event),
            )
            for each in found
        )  # fmt: skip
        return answer_with(views.LegalEvents(events=events))

    async def why(self, request: Request) -> Answer:
        """What an event that the query names would do."""
        query = request.query("event", "payload")
        event, payload = query.text("event"), query.text("payload")
        if event is None:
            raise Problem("invalid", "the parameter event names the event that is to be explained")
        given = msgspec.Raw(b"{}")
        if payload is not None:
            given = decoded(_RAW.decode, payload.encode(), "the parameter payload")
        return await self._why(request, event, given)

    async def explain(self, request: Request) -> Answer:
        """What an event in the body would do."""
        request.query()
        asked = await request.read(_WHY)
        return await self._why(request, asked.event, asked.payload)

    async def _why(self, request: Request, name: str, payload: msgspec.Raw) -> Answer:
        kind, entity = self._face.entity(request)
        event = await self._event(kind, entity, name, payload)
        found = await self._face.ask(lambda engine: engine.why(kind.newest, entity, event))
        return answer_with(views.explanation_view(found))


_RAW = msgspec.json.Decoder(msgspec.Raw)
_VERSION_MAX = 2**31 - 1

"""What the OpenAPI document says of each operation, parameter and header."""

from __future__ import annotations

from typing import Any

import msgspec

from stateward.http.limits import Limits

__all__ = ["DESCRIPTIONS", "TIME", "Described", "header_of", "parameter_of"]


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of an operation."""

    tag: str
    summary: str
    text: str = ""
    parameters: tuple[str, ...] = ()
    """Those of its query and headers, by what `parameter_of` knows them as."""
    body: str | None = None
    """The schema of its body, as `openapi` names it."""
    status: int = 200
    good: str
    answer: str | None
    """The schema of its answer."""
    content_type: str = "application/json"
    headers: tuple[str, ...] = ()
    problems: tuple[int, ...] = ()
    """Statuses of problems beside those that all have."""
    not_modified: bool = False
    links: tuple[str, ...] = ()
    """Operations of the same kind that go on with the id in the body."""


_KEY = "Under one Idempotency-Key the same applies once, and gives the first answer again, with `is_repetition`. "
_PAGE = ("after", "limit")
_WRITE = ("Idempotency-Key", "traceparent", "tracestate")

DESCRIPTIONS: dict[str, Described] = {
    "create": Described(
        tag="entities", summary="Start an entity", text=_KEY + "Its start is its first record.",
        parameters=(*_WRITE, "Stateward-Actor"), body="create", status=201, good="It was started.", answer="Applied",
        headers=("Location", "ETag"), problems=(409,), links=("get", "send", "history", "legal_events"),
    ),
    "send": Described(
        tag="entities", summary="Send an event",
        text=_KEY + "A refusal is a problem, and is recorded; nothing else has changed.",
        parameters=(*_WRITE, "If-Match", "Stateward-Actor"), body="send",
        good="It was applied, or had nothing left to do.", answer="Applied", problems=(409, 410, 412),
    ),
    "attempt": Described(
        tag="entities", summary="Send an event that may be refused", text=_KEY + "A refusal is a value.",
        parameters=(*_WRITE, "If-Match", "Stateward-Actor"), body="send",
        good="It was applied, had nothing left to do, or was refused.", answer="Applied|Refused", problems=(409, 412),
    ),
    "get": Described(
        tag="entities", summary="Look at an entity", parameters=("If-None-Match",), good="As it stands.",
        answer="entity", headers=("ETag",), not_modified=True,
    ),
    "list": Described(
        tag="entities", summary="List entities",
        text="By id; with a state, those that have not moved for longest first; with `due_by`, the first due first.",
        parameters=("version", "state", "unmoved_since", "due_by", *_PAGE), good="A page.", answer="entities",
    ),
    "history": Described(
        tag="entities", summary="What happened to an entity", text="Refused attempts included, in order.",
        parameters=_PAGE, good="A page.", answer="History",
    ),
    "legal_events": Described(
        tag="entities", summary="The events that an entity could take now",
        text="With the JSON Schemas of their payloads. Guards are not asked.", good="In the lifecycle's order.",
        answer="LegalEvents",
    ),
    "why": Described(
        tag="entities", summary="What an event would do, and why", text="Nothing happens to the entity.",
        parameters=("event", "payload"), good="The explanation.", answer="Explanation",
    ),
    "explain": Described(
        tag="entities", summary="What an event would do, and why", text="Nothing happens to the entity.",
        body="why", good="The explanation.", answer="Explanation",
    ),
    "records": Described(
        tag="records", summary="Follow the records",
        text="Server-sent events, one for each record, whose ids are cursors: whoever was cut off goes on behind the "
        "last one by Last-Event-ID, and misses none. It ends when the client leaves or the server stops.",
        parameters=("kind", "after_record", "last", "Last-Event-ID"), good="The records, as they come.", answer="text",
        content_type="text/event-stream", problems=(404,),
    ),
    "census": Described(
        tag="operators", summary="How many entities are in each configuration", good="All versions together.",
        answer="Census",
    ),
    "stuck": Described(
        tag="operators", summary="Entities past their time", text="The longest overdue first.", parameters=_PAGE,
        good="A page.", answer="entities",
    ),
    "dead": Described(
        tag="operators", summary="Effects that were given up", text="The oldest first.",
        parameters=("dead_kind", "entity", "effect", *_PAGE), good="A page.", answer="DeadLetters",
    ),
    "retry": Described(
        tag="operators", summary="Put dead letters back",
        text="Their attempts begin anew. Where there are tokens, it needs the role `operator`.", body="Retry",
        good="How many were put back.", answer="Retried",
    ),
    "lifecycles": Described(tag="operators", summary="What is served", good="All kinds.", answer="Lifecycles"),
    "health": Described(tag="machines", summary="Whether it lives", good="It does.", answer="Health"),
    "ready": Described(
        tag="machines", summary="Whether the ledger answers", good="It does.", answer="Health"
    ),
    "metrics": Described(
        tag="machines", summary="What is measured", good="As the content type says.", answer="text",
        content_type="text/plain",
    ),
    "openapi": Described(tag="machines", summary="This document", good="It.", answer="any"),
}  # fmt: skip

TIME = {"type": "string", "format": "date-time", "pattern": "^(?!0001-|9999-)"}
_NAME = {"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"}
_CURSOR = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,4000}$"}
_RECORD_CURSOR = {"type": "string", "pattern": "^[0-9]{1,18}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_TAG = '(?:W/)?"[!#-~]*"'

_PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {"in": "path", "required": True, "schema": {"type": "string", "minLength": 1}, "description": "The entity."},
    "version": {"schema": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, "description": "Only those on it."},
    "state": {"schema": {"type": "string"}, "description": "Only those in this configuration."},
    "unmoved_since": {"schema": TIME, "description": "Only those that have not moved since then."},
    "due_by": {"schema": TIME, "description": "Only those with an SLA that ends then, or has ended before."},
    "after": {"schema": _CURSOR, "description": "`after` of the page before, of the same choice."},
    "event": {"required": True, "schema": {"type": "string"}, "description": "The event's wire name."},
    "payload": {
        "content": {"application/json": {"schema": {"type": "object"}}},
        "description": "The event's payload, as JSON.",
    },
    "kind": {
        "schema": {"type": "array", "items": {"type": "string"}}, "style": "form", "explode": True,
        "description": "Only those of this kind; may be there several times.",
    },
    "dead_kind": {"name": "kind", "schema": _NAME, "description": "Only those of this kind."},
    "entity": {"schema": _NAME, "description": "Only those of entities of this id."},
    "effect": {"schema": _NAME, "description": "Only those of this type."},
    "after_record": {"name": "after", "schema": _RECORD_CURSOR, "description": "The id of the last event seen."},
    "last": {
        "schema": {"type": "integer", "minimum": 0, "maximum": 10_000},
        "description": "Begin with the last so many; for people.",
    },
    "Idempotency-Key": {
        "in": "header", "schema": {
            "type": "string", "minLength": 1, "maxLength": 500,
            "pattern": '^(?:[!#-~][!-~]*(?: [!-~]+)*|"(?:[ !#-\\[\\]-~]|\\\\["\\\\])+")$',
        },
        "description": "Bare or as a quoted string; not beginning with effect:, timer: or reconcile:.",
    },
    "If-Match": {
        "in": "header", "schema": {"type": "string", "pattern": f"^(?:\\*|{_TAG})$"},
        "description": "The revision that the entity is expected at, in quotes.",
    },
    "If-None-Match": {
        "in": "header", "schema": {"type": "string", "pattern": f"^(?:\\*|{_TAG}(?: *, *{_TAG})*)$"},
        "description": "Entity tags that the client has.",
    },
    "Last-Event-ID": {"in": "header", "schema": _RECORD_CURSOR, "description": "As `after`, and before it."},
    "Stateward-Actor": {
        "in": "header", "schema": {
            "type": "string", "minLength": 1, "maxLength": 500, "pattern": "^[!-9;-~][!-~]*(?: +[!-~]+)*$",
        },
        "description": "Who does it, kind:id. With tokens, only one that acts for others may say so.",
    },
    "traceparent": {
        "in": "header", "schema": {"type": "string"},
        "description": "As W3C Trace Context has it; carried on. One that is not valid is ignored.",
    },
    "tracestate": {"in": "header", "schema": {"type": "string"}, "description": "What goes along with it."},
}  # fmt: skip

_HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {"description": "The revision in quotes.", "schema": {"type": "string"}},
    "Location": {"description": "Where the entity is.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "That a token is wanted.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods that mean something.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}},
}


def parameter_of(name: str, limits: Limits) -> dict[str, Any]:
    """A parameter of an operation."""
    if name == "limit":
        schema = {"type": "integer", "minimum": 1, "maximum": limits.page_max, "default": min(100, limits.page_max)}
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": "Items at most."}
    return {"name": name, "in": "query", "required": False, **_PARAMETERS[name]}


def header_of(name: str) -> dict[str, Any]:
    """A header of a response."""
    return _HEADERS[name]

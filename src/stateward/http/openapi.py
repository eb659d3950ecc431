"""The OpenAPI 3.1 document of what an application answers, made from the lifecycles that it serves.

Each kind has paths of its own, so that what can be sent to an order is what an order takes: the schemas of contexts and
payloads are those of the classes, as they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import quote

import msgspec

from stateward.http import views
from stateward.http.describing import DESCRIPTIONS, TIME, Described, header_of, parameter_of
from stateward.http.face import Operation
from stateward.http.kinds import Form, Kind, Kinds
from stateward.http.limits import Limits
from stateward.http.problems import PROBLEMS
from stateward.http.schemas import Schema, schemas_of

__all__ = ["openapi_of"]

_VIEWS: tuple[Any, ...] = (
    views.Applied, views.Census, views.DeadLetters, views.Entities, views.Entity, views.Explanation, views.Health,
    views.History, views.LegalEvents, views.Lifecycles, views.Refused, views.Retried, views.Retry,
)  # fmt: skip
_PROBLEM: Schema = {
    "title": "Problem",
    "description": "What is wrong, as RFC 9457 has it.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [f"urn:stateward:problem:{name}" for name in PROBLEMS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong with this very request."},
        "refusal": {"$ref": "#/components/schemas/Refusal"},
        "why": {"$ref": "#/components/schemas/Explanation"},
        "is_outcome_unknown": {
            "type": "boolean",
            "description": "Whether it may have been kept, or may be yet; the same again under its key settles it.",
        },
        "record": {"type": ["string", "null"], "description": "The id of the record that was to be written."},
        "reference": {"type": "string", "description": "By which the server's log tells more."},
        "kinds": {"type": "array", "items": {"type": "string"}, "description": "Those that are served."},
        "events": {"type": "array", "items": {"type": "string"}, "description": "Those that the lifecycle has."},
    },
}
_TAGS = (
    ("entities", "Entities: started, sent events, looked at, explained."),
    ("records", "What happens, as it happens."),
    ("operators", "For whoever looks after it."),
    ("machines", "For whatever looks after processes."),
)


def openapi_of(kinds: Kinds, operations: Sequence[Operation], *, is_guarded: bool, limits: Limits) -> bytes:
    """The document, indented."""
    return msgspec.json.format(msgspec.json.encode(_document(kinds, operations, is_guarded, limits)), indent=2) + b"\n"


def _document(kinds: Kinds, operations: Sequence[Operation], is_guarded: bool, limits: Limits) -> Schema:
    _, schemas = schemas_of(_VIEWS)
    schemas["Problem"] = _PROBLEM
    schemas["Retry"] = _retry(schemas["Retry"])
    paths: dict[str, Schema] = {}
    described: dict[str, _KindSchemas] = {}
    for kind in kinds:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", kind.name)
        while name in described:  # two kinds that differ in what a name can't hold
            name += "_"
        described[name] = _KindSchemas(kind, name)
    for each in described.values():
        schemas |= each.schemas
    for operation in operations:
        for_kinds: Iterable[_KindSchemas | None] = described.values() if "{kind}" in operation.path else (None,)
        for of_kind in for_kinds:
            path = operation.path if of_kind is None else operation.path.replace("{kind}", quote(of_kind.name, safe=""))
            paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, of_kind, is_guarded, limits)
    components: Schema = {"schemas": dict(sorted(schemas.items())), "responses": _problems()}
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "stateward",
            "version": "1",
            "description": "Entities with legal lives. " + " ".join(each.newest.description for each in kinds),
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }
    if is_guarded:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


class _KindSchemas:
    """What the document says of one kind."""

    def __init__(self, kind: Kind, name: str) -> None:
        self.name = kind.name
        self.id = name
        """What its schemas and operations are called by."""
        self.schemas: dict[str, Schema] = {}
        self.events = list(kind.events)
        self._kind = kind
        self._references = self._class_schemas()
        self.send = self._add("send-body", {"oneOf": [self._send(name, extra=_OCCURRED) for name in kind.events]})
        self.why = self._add("why-body", {"oneOf": [self._send(name, extra={}) for name in kind.events]})
        self.create = self._add("create-body", self._create())
        self.entity = self._add("entity-view", self._entity())
        self.entities = self._add("entities-view", self._entities())

    def _class_schemas(self) -> dict[type[Any], Schema]:
        """References to the schemas of all contexts and payloads, by class."""
        forms = [
            *self._kind.contexts.values(),
            *(each for forms in self._kind.events.values() for each in forms.values()),
        ]
        references: dict[type[Any], Schema] = {}
        for form in forms:
            if form.kind not in references:
                name, count = form.kind.__name__, 2
                while f"{self.id}.{name}" in self.schemas:
                    name, count = f"{form.kind.__name__}.{count}", count + 1
                references[form.kind] = self._add(name, _moved(msgspec.json.decode(form.schema), f"{self.id}.{name}"))
        return references

    def _add(self, name: str, schema: Schema) -> Schema:
        self.schemas[f"{self.id}.{name}"] = schema
        return {"$ref": f"#/components/schemas/{self.id}.{name}"}

    def _any(self, forms: Iterable[Form]) -> Schema:
        """Any of the schemas of these; several versions have several."""
        found = list({form.kind: self._references[form.kind] for form in forms}.values())
        return found[0] if len(found) == 1 else {"anyOf": found}

    def _send(self, name: str, *, extra: Schema) -> Schema:
        forms = self._kind.events[name].values()
        is_needed = all(_needs_fields(form) for form in forms)
        properties = {"event": {"const": name}, "payload": self._any(forms), **extra}
        required = ["event", "payload"] if is_needed else ["event"]
        return {
            "title": name, "type": "object", "properties": properties, "required": required,
            "additionalProperties": False,
        }  # fmt: skip

    def _create(self) -> Schema:
        forms = self._kind.contexts
        properties: Schema = {
            "id": {
                "type": "string", "minLength": 1, "maxLength": 500, "pattern": views.TEXT,
                "description": "500 bytes of UTF-8 at most.",
            },
            "context": self._any(forms.values()),
            "version": {"enum": [*forms, None], "description": "null: the newest."},
            **_OCCURRED,
        }  # fmt: skip
        required = ["id", "context"] if all(_needs_fields(form) for form in forms.values()) else ["id"]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def _entity(self) -> Schema:
        narrowed = {"properties": {"kind": {"const": self.name}, "context": self._any(self._kind.contexts.values())}}
        return {"allOf": [{"$ref": "#/components/schemas/Entity"}, narrowed]}

    def _entities(self) -> Schema:
        narrowed = {"properties": {"items": {"type": "array", "items": self.entity}}}
        return {"allOf": [{"$ref": "#/components/schemas/Entities"}, narrowed]}

    def schema(self, name: str) -> Schema:
        """One of its schemas, by what `describing` calls it."""
        found: Schema = getattr(self, name)
        return found


_OCCURRED: Schema = {
    "occurred_at": {
        "anyOf": [TIME, {"type": "null"}],
        "description": "When it happened, with a time zone; null: now.",
    }
}


def _operation(operation: Operation, of_kind: _KindSchemas | None, is_guarded: bool, limits: Limits) -> Schema:
    described = DESCRIPTIONS[operation.name]
    found: Schema = {
        "operationId": operation.name + (of_kind.id if of_kind is not None else ""),
        "tags": [described.tag],
        "summary": described.summary,
        "description": described.text,
        "parameters": [_parameter(each, of_kind, limits) for each in _parameters(operation, described)],
        "responses": _responses(operation, described, of_kind, is_guarded),
    }
    if described.body is not None:
        schema = _schema(described.body, of_kind)
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.is_open:
        found["security"] = []
    return found


def _parameters(operation: Operation, described: Described) -> Iterable[str]:
    return (*(("id",) if "{id}" in operation.path else ()), *described.parameters)


def _parameter(name: str, of_kind: _KindSchemas | None, limits: Limits) -> Schema:
    parameter = parameter_of(name, limits)
    if name != "event" or of_kind is None:
        return parameter
    return {**parameter, "schema": {"enum": of_kind.events}}


def _retry(schema: Schema) -> Schema:
    """What `OperatorRoutes.retry` asks for beyond what a class can say: some choice, or all, and not both."""
    choices = ("kind", "entity", "effect", "keys")
    properties: Schema = schema["properties"]
    chosen = {**properties, "all": {"const": False}}
    whole = {"all": {"const": True}, "rate": properties["rate"]}
    closed = {"type": "object", "additionalProperties": False}
    by_choice = {**closed, "properties": chosen, "anyOf": [{"required": [each]} for each in choices]}
    return {
        "title": schema["title"], "description": schema["description"],
        "oneOf": [by_choice, {**closed, "properties": whole, "required": ["all"]}],
    }  # fmt: skip


def _responses(
    operation: Operation, described: Described, of_kind: _KindSchemas | None, is_guarded: bool
) -> Schema:  # fmt: skip
    good: Schema = {"description": described.good}
    if described.answer is not None:
        good["content"] = {described.content_type: {"schema": _schema(described.answer, of_kind)}}
    if described.headers:
        good["headers"] = {name: header_of(name) for name in described.headers}
    if described.links and of_kind is not None:
        good["links"] = {
            name: {"operationId": name + of_kind.id, "parameters": {"id": "$request.body#/id"}}
            for name in described.links
        }
    responses: Schema = {str(described.status): good}
    if described.not_modified:
        responses["304"] = {"description": "The client has it.", "headers": {"ETag": header_of("ETag")}}
    statuses = {400, 403, 421, 422, 500, 503, 504, *described.problems}
    statuses |= {404} if of_kind is not None else set()
    statuses |= {408, 413, 415} if described.body is not None else set()
    statuses |= {401} if is_guarded and not operation.is_open else set()
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _schema(name: str, of_kind: _KindSchemas | None) -> Schema:
    """A schema by its name: of the kind in lower case, of this face by the name of the class; `|` between several."""
    if "|" in name:
        return {"anyOf": [_schema(each, of_kind) for each in name.split("|")]}
    if name == "text":
        return {"type": "string"}
    if name == "any":
        return {}
    if name[0].islower():
        assert of_kind is not None
        return of_kind.schema(name)
    return {"$ref": f"#/components/schemas/{name}"}


def _problems() -> Schema:
    found: dict[str, Schema] = {}
    for name, (status, title) in PROBLEMS.items():
        response = found.setdefault(str(status), {"description": ""})
        response["description"] += f"{title} (`{name}`). "
        response["content"] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
        needed = {401: ("WWW-Authenticate",), 405: ("Allow",), 503: ("Retry-After",)}.get(status, ())
        if needed:
            response["headers"] = {each: header_of(each) for each in needed}
    for each in found.values():
        each["description"] = each["description"].strip()
    return found


def _needs_fields(form: Form) -> bool:
    schema = msgspec.json.decode(form.schema)
    return bool(schema.get("required")) or "$ref" in schema


def _moved(schema: Schema, name: str) -> Schema:
    """A schema that stands by itself, put into the document's components: its references lead to it there."""
    moved: Schema = _with_references(schema, f"#/components/schemas/{name}")
    return moved


def _with_references(value: Any, base: str) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {
            key: base + each[1:] if key == "$ref" and isinstance(each, str) else _with_references(each, base)
            for key, each in members.items()
        }
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_with_references(each, base) for each in items]
    return value

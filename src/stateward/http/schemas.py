"""JSON Schemas of the classes of lifecycles, and of what this face answers with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any, cast

import msgspec

__all__ = ["REFERENCE", "Schema", "close", "schema_of", "schemas_of"]

Schema = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"


def schema_of(kind: type[Any]) -> Schema:
    """The schema of a context or an event, by itself, closed as it is read."""
    model_schema: Any = getattr(kind, "model_json_schema", None)
    if model_schema is not None:
        return cast("Schema", model_schema())
    try:
        found = msgspec.json.schema(kind, schema_hook=_unknown)
    except (TypeError, ValueError):  # of what msgspec describes none of: it says no more than it knows
        return {"type": "object", "title": kind.__name__}
    definitions: Schema = found.get("$defs", {})
    name = str(found.get("$ref", "")).rpartition("/")[2]
    if name not in definitions:
        return found
    own = close(kind, definitions.pop(name))
    if not _refers_to(name, [own, *definitions.values()]):
        return {**own, "$defs": definitions} if definitions else own
    return {"$ref": found["$ref"], "$defs": {name: own, **definitions}}


def schemas_of(kinds: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """References to the schemas of classes, and the schemas by name: of a document that keeps them in one place."""
    found, components = msgspec.json.schema_components(tuple(kinds), ref_template=REFERENCE, schema_hook=_unknown)
    return list(found), dict(components)


def close(kind: type[Any], schema: Schema) -> Schema:
    """The schema of a class whose unknown fields are told, as `Form` tells them."""
    is_open = schema.get("type") == "object" and "properties" in schema and "additionalProperties" not in schema
    is_read_strictly = issubclass(kind, msgspec.Struct) or is_dataclass(kind)
    return {**schema, "additionalProperties": False} if is_read_strictly and is_open else schema


def _unknown(_: type[Any]) -> Schema:
    """What is said of a class that msgspec knows nothing of."""
    return {}


def _refers_to(name: str, schemas: Iterable[Any]) -> bool:
    """Whether any of these names a schema, at any depth."""
    todo: list[Any] = list(schemas)
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            if members.get("$ref") == f"#/$defs/{name}":
                return True
            todo += members.values()
        elif isinstance(each, list):
            todo += each
    return False

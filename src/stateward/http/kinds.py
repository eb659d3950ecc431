"""The kinds that are served: how their contexts and events are read, worked out once and not for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import msgspec

from stateward.chart import Chart, Done, Elapsed, EventMarker, Started
from stateward.http.problems import Problem
from stateward.http.requests import decoded
from stateward.http.schemas import schema_of
from stateward.ledger.codec import read_frozen

__all__ = ["Form", "Kind", "Kinds"]

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Form:
    """How a class is read from JSON: strictly, for a misspelt field that has a default would be lost in silence."""

    def __init__(self, what: str, kind: type[Any]) -> None:
        self.what = what
        """What problems call it."""
        self.kind = kind
        validate: Any = getattr(kind, "model_validate_json", None)
        self._decode: Callable[[Any], Any] = validate or msgspec.json.Decoder(kind, dec_hook=read_frozen).decode
        self._names = _names_of(kind)

    def read(self, data: msgspec.Raw) -> Any:
        """A value of the class.

        Raises:
            Problem: it is none, or has fields that the class has not.
        """
        raw = bytes(data)
        value = decoded(self._decode, raw, self.what)
        if self._names is not None and raw != b"{}":
            for name in _FIELDS.decode(raw):
                if name not in self._names:
                    known = ", ".join(sorted(self._names)) or "none"
                    raise Problem("invalid", f"{self.what} has no field {name!r:.100}; its fields are: {known}")
        return value

    @cached_property
    def schema(self) -> msgspec.Raw:
        """Its JSON Schema, written."""
        return msgspec.Raw(msgspec.json.encode(schema_of(self.kind)))


class Kind:
    """A lifecycle in all versions that are served."""

    def __init__(self, charts: Iterable[Chart[Any]]) -> None:
        self.charts = {chart.version: chart for chart in charts}
        self.newest = self.charts[max(self.charts)]
        self.name = self.newest.kind
        self.contexts = {
            version: Form("the context", chart.context_type) for version, chart in sorted(self.charts.items())
        }
        self.events: dict[str, dict[int, Form]] = {}
        """By wire name, and by the version whose charts name it."""
        for version, chart in sorted(self.charts.items()):
            for name, event in sent_events(chart).items():
                self.events.setdefault(name, {})[version] = Form(f"the payload of {name}", event)

    def of_version(self, version: int | None) -> Chart[Any]:
        """The chart that an entity is started under.

        Raises:
            Problem: there is no such version.
        """
        if version is None:
            return self.newest
        if version not in self.charts:
            known = ", ".join(map(str, sorted(self.charts)))
            raise Problem("invalid", f"{self.name} has no version {version}; these are served: {known}")
        return self.charts[version]

    def forms_of(self, event: str) -> dict[int, Form]:
        """How an event is read, by version.

        Raises:
            Problem: no version has such an event.
        """
        forms = self.events.get(event)
        if forms is None:
            known = sorted(self.events)
            detail = f"{self.name} has no event {event!r:.100}; its events are: {', '.join(known) or 'none'}"
            raise Problem("unknown-event", detail, facts={"events": known})
        return forms

    def form_of(self, event: str) -> Form | None:
        """How an event is read whatever version an entity is on; None: that depends on it."""
        forms = iter(self.forms_of(event).values())
        first = next(forms)
        return first if all(each.kind is first.kind for each in forms) else None

    def form_on(self, event: str, version: int) -> Form:
        """How an event is read for an entity on a version; the newest that has it refuses it where that has not."""
        forms = self.forms_of(event)
        return forms.get(version) or forms[max(forms)]

    def schema_of(self, event: str, kind: type[EventMarker]) -> msgspec.Raw:
        """The schema of an event's payload, as the version that has this class for it reads it."""
        return next(each.schema for each in self.events[event].values() if each.kind is kind)


class Kinds:
    """All kinds of an engine."""

    def __init__(self, charts: Iterable[Chart[Any]]) -> None:
        found: dict[str, list[Chart[Any]]] = {}
        for chart in charts:
            found.setdefault(chart.kind, []).append(chart)
        self._kinds = {name: Kind(each) for name, each in sorted(found.items())}

    def __iter__(self) -> Any:
        return iter(self._kinds.values())

    def get(self, name: str) -> Kind:
        """A kind by its name.

        Raises:
            Problem: there is none.
        """
        kind = self._kinds.get(name)
        if kind is None:
            known = list(self._kinds)
            detail = f"no lifecycle of the kind {name!r:.100} is served; these are: {', '.join(known) or 'none'}"
            raise Problem("unknown-kind", detail, facts={"kinds": known})
        return kind


def sent_events(chart: Chart[Any]) -> dict[str, type[EventMarker]]:
    """The events of a chart that callers send, by wire name."""
    return {name: event for name, event in chart.events.items() if not issubclass(event, (Started, Elapsed, Done))}


def _names_of(kind: type[Any]) -> frozenset[str] | None:
    """The names that the fields of a class have in JSON; None: it sees to them itself, or can't be asked."""
    if is_dataclass(kind):
        return frozenset(each.name for each in fields(kind))
    if not issubclass(kind, msgspec.Struct):
        return None
    config = kind.__struct_config__
    if config.array_like or config.forbid_unknown_fields:
        return None
    tag = {config.tag_field} if config.tag_field is not None else set[str]()
    return frozenset({*kind.__struct_encode_fields__, *tag})

"""What travels in a session: its events, the triggers that wait for them, and what its actions ask of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, cast

import msgspec

from stateward.chart import Done, Effect, Event, EventMarker
from stateward.chart.nodes import Trigger
from stateward.scxml.ids import id_of
from stateward.scxml.keeping import event_from_json, event_to_json
from stateward.scxml.values import MapValue, RecordValue, Value

__all__ = [
    "HTTP_TYPE",
    "ORIGIN_TYPE",
    "Cancel",
    "Descriptors",
    "Forward",
    "Invoke",
    "Log",
    "ScxmlEvent",
    "Send",
    "Uninvoke",
    "error_event",
    "event_record",
    "name_of",
    "problem_of_name",
]

ORIGIN_TYPE = "http://www.w3.org/TR/scxml/#SCXMLEventProcessor"
"""The type of the SCXML event processor (C.1)."""

HTTP_TYPE = "http://www.w3.org/TR/scxml/#BasicHTTPEventProcessor"
"""The type of the Basic HTTP event processor (C.2)."""

NAME_LIMIT = 256
"""Characters of the longest name of an event."""


class ScxmlEvent(Event, frozen=True):
    """An event of a document, known by its dotted name."""

    name: str
    data: Value = None
    kind: Literal["external", "internal", "platform"] = "external"
    """Where it came from: outside of the session, its own actions, or the processor itself."""
    sendid: str | None = None
    origin: str | None = None
    """Where an answer would be sent to."""
    origintype: str | None = None
    invokeid: str | None = None
    """Which invocation it comes from, if it comes from a child."""
    raw: str | None = None
    """The request that brought it, if it came over HTTP."""

    def model_dump(self, mode: str = "json") -> dict[str, Any]:  # noqa: ARG002 - it is plain either way
        """The event as a ledger keeps it."""
        return event_to_json(self)

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> ScxmlEvent:
        """The event that a ledger has kept.

        Raises:
            ValueError: it is none.
        """
        return event_from_json(cls, msgspec.json.decode(text, type=dict[str, Any]))

    def trigger_key(self) -> Any:
        """Transitions wait for names."""
        return ScxmlEvent, self.name

    def trigger_label(self) -> str:
        """Its name."""
        return self.name


class Descriptors(Trigger, msgspec.Struct, frozen=True):
    """What a transition's `event` says (3.12.1): dotted prefixes, any of which may match, or `*`."""

    texts: tuple[str, ...]

    def matches(self, key: Any) -> bool:
        """A document's event, or a completion by its name `done.state.id`."""
        kind, name = cast("tuple[type, str]", key) if isinstance(key, tuple) else (None, "")
        if kind is Done:
            name = f"done.state.{id_of(name)}"
        elif kind is not ScxmlEvent:
            return False
        return any(_is_match(text, name) for text in self.texts)

    @property
    def label(self) -> str:
        """The descriptors as written."""
        return " ".join(self.texts)

    @property
    def event_class(self) -> type[EventMarker]:
        """Any event: a completion may match too."""
        return Event


def _is_match(descriptor: str, name: str) -> bool:
    """Whether the descriptor's tokens are the first of the name's: `foo` takes `foo.bar`, and not `foobar`."""
    if descriptor == "*":
        return True
    prefix = descriptor.removesuffix("*").removesuffix(".")
    return name == prefix or name.startswith(f"{prefix}.")


def problem_of_name(name: str) -> str | None:
    """Why an event can't have that name; None if it can. What has been waited for under a name is remembered."""
    if not name.strip():
        return "it names no event"
    if len(name) <= NAME_LIMIT:
        return None
    return f"an event's name of {len(name)} characters is too long; it can have {NAME_LIMIT}"


def name_of(event: EventMarker) -> str:
    """The name under which a document knows an event; empty before the first."""
    if isinstance(event, ScxmlEvent):
        return event.name
    return f"done.state.{id_of(event.state)}" if isinstance(event, Done) else ""


def event_record(event: EventMarker) -> Value:
    """An event as `_event` (5.10.1); None before the first."""
    if isinstance(event, ScxmlEvent):
        fields: list[tuple[Value, Value]] = [
            ("name", event.name),
            ("type", event.kind),
            ("sendid", event.sendid),
            ("origin", event.origin),
            ("origintype", event.origintype),
            ("invokeid", event.invokeid),
            ("data", event.data),
        ]
        if event.raw is not None:
            fields.append(("raw", event.raw))
    elif isinstance(event, Done):
        blank: list[tuple[Value, Value]] = [(name, None) for name in ("sendid", "origin", "origintype", "invokeid")]
        fields = [("name", name_of(event)), ("type", "platform"), *blank, ("data", event.data)]
    else:
        return None
    return RecordValue("Event", MapValue(fields))


def error_event(
    name: str,
    reason: str,
    *,
    element: str = "",
    line: int = 0,
    sendid: str | None = None,
    invokeid: str | None = None,
) -> ScxmlEvent:
    """The event of an error; its data say which element failed, on which line, and why."""
    data = MapValue([("reason", reason), ("tagname", element), ("line", line)])
    return ScxmlEvent(name, data, kind="platform", sendid=sendid, invokeid=invokeid)


class Send(Effect, frozen=True):
    """An event to be put into the external queue of a session, this one or another, after a delay."""

    event: ScxmlEvent
    sendid: str
    """What `<cancel>` knows it by, given by the document or made up for it."""
    delay: timedelta = timedelta(0)
    target: str = ""
    """Whom it is for: empty for the session itself, `#_parent`, `#_child` or `#_scxml_session`, or a URL."""
    via: Literal["scxml", "basichttp"] = "scxml"
    """The event processor that delivers it."""
    is_content: bool = False
    """Whether its data are a `<content>`, and no parameters by name."""
    line: int = 0
    """Where the document says so, for the error if nobody can be reached."""


class Cancel(Effect, frozen=True):
    """Delayed events of this id are not to be delivered any more."""

    sendid: str


class Invoke(Effect, frozen=True):
    """A child session is to be started."""

    place: str
    """Which `<invoke>` asks for it: `path#n`, the n-th of the state of that path."""
    invokeid: str
    data: MapValue
    """Values for the child's top-level data."""
    text: str | None = None
    """The child's document, if it was worked out; of one that stands in the document, and of a file, None."""
    src: str | None = None
    """The child's document as a file to be read."""


class Uninvoke(Effect, frozen=True):
    """The child that was started for the `<invoke>` at that place is to be cancelled, if it still runs."""

    place: str


class Forward(Effect, frozen=True):
    """An event is to be given to a child as it is (`autoforward`)."""

    place: str
    event: ScxmlEvent


class Log(Effect, frozen=True):
    """What a `<log>` says."""

    label: str
    value: Value

"""A session's data: what its documents' expressions read and its actions replace."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from stateward.chart import Context, Event, EventMarker, Meta
from stateward.scxml.ids import id_of
from stateward.scxml.keeping import event_from_json, event_to_json, from_json, to_json
from stateward.scxml.messages import HTTP_TYPE, ORIGIN_TYPE, ScxmlEvent, event_record
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, Value

__all__ = ["Data", "location_of", "new_data", "run_of"]


class Waiting(Struct, frozen=True):
    """A delayed message."""

    timer: str
    """The timer that it waits for."""
    sendid: str
    event: ScxmlEvent


class Data(Context, frozen=True):
    """The context of every chart that was read from SCXML."""

    variables: MapValue = MapValue()
    """The document's data by id."""
    system: MapValue = MapValue()
    """The system variables but for `_event`, which each handler is given."""
    bound: frozenset[str] = frozenset()
    """With late binding, the states whose data have been assigned."""
    invoked: MapValue = MapValue()
    """The ids of what the `<invoke>` of active states have started, by the place of each."""
    reachable: frozenset[str] = frozenset()
    """The ids of the sessions that are there to be sent to, as of the event that is being handled."""
    is_invoked: bool = False
    """Whether a parent has invoked the session."""
    started: int = 0
    """How many ids have been made up for `<invoke>`."""
    waiting: tuple[Waiting, ...] = ()
    """Of a session that a ledger keeps, the messages to itself whose time has not come; in order of sending."""
    delayed: int = 0
    """How many of them there have been."""
    sent: int = 0
    """How many ids have been made up for `<send>`."""
    result: Value = None
    """What the last `<donedata>` came to."""
    last: Event | None = None
    """At the end, the event that led there."""

    @property
    def processors(self) -> MapValue:
        """The event processors that the session takes part in, `_ioprocessors`."""
        found = self.system.items.get("_ioprocessors")
        return found if isinstance(found, MapValue) else MapValue()

    def model_dump(self, mode: str = "json") -> dict[str, Any]:  # noqa: ARG002 - it is plain either way
        """The data as a ledger keeps them, without what is as it usually is, or of use within a step only."""
        kept: dict[str, Any] = {
            "variables": to_json(self.variables),
            "system": to_json(self.system),
            "bound": sorted(self.bound),
            "waiting": [[each.timer, each.sendid, event_to_json(each.event)] for each in self.waiting],
            "delayed": self.delayed,
            "sent": self.sent,
            "result": to_json(self.result),
        }
        return {name: value for name, value in kept.items() if value not in (None, [], 0, {"map": []})}

    @classmethod
    def model_validate_json(cls, text: str | bytes) -> Data:
        """The data that a ledger has kept.

        Raises:
            ValueError: they are none.
        """
        kept = msgspec.json.decode(text, type=_Kept)
        waiting = (Waiting(timer, sendid, event_from_json(ScxmlEvent, event)) for timer, sendid, event in kept.waiting)
        variables, system = (from_json({"map": []} if each is None else each) for each in (kept.variables, kept.system))
        if not isinstance(variables, MapValue) or not isinstance(system, MapValue):
            message = "the variables are no map"
            raise ValueError(message)
        return cls(
            variables=variables,
            system=system,
            bound=kept.bound,
            waiting=tuple(waiting),
            delayed=kept.delayed,
            sent=kept.sent,
            result=from_json(kept.result),
        )


class _Kept(Struct, forbid_unknown_fields=True):
    """What `Data.model_dump` writes."""

    variables: Any = None
    system: Any = None
    bound: frozenset[str] = frozenset()
    waiting: list[tuple[str, str, dict[str, Any]]] = []
    delayed: int = 0
    sent: int = 0
    result: Any = None


def location_of(session: str) -> str:
    """Where events for a session are sent to."""
    return f"#_scxml_{session}"


def new_data(session: str, name: str, given: MapValue, *, is_invoked: bool = False, http: str | None = None) -> Data:
    """The data of a session before its document has run.

    Args:
        session: its id, `_sessionid`.
        name: its document's name, `_name`.
        given: values for top-level data, which take the place of those in the document.
        is_invoked: whether it has a parent.
        http: where messages over HTTP reach it; None: nowhere.
    """
    processor = MapValue([("location", location_of(session))])
    processors: list[tuple[Value, Value]] = [("scxml", processor), (ORIGIN_TYPE, processor)]
    if http is not None:
        posting = MapValue([("location", http)])
        processors += [("basichttp", posting), (HTTP_TYPE, posting)]
    system = MapValue(
        [
            ("_sessionid", session),
            ("_name", name),
            ("_ioprocessors", MapValue(processors)),
        ]
    )
    return Data(variables=given, system=system, is_invoked=is_invoked)


def run_of(data: Data, event: EventMarker, meta: Meta) -> Run:
    """The evaluation of one handler: the data, `_event`, and which states are active at this moment."""
    active: frozenset[str] | None = None

    def is_in(state: str) -> bool:
        nonlocal active
        if active is None:
            run.spend(len(meta.active))
            active = frozenset(map(id_of, meta.active))
        return state in active

    run = Run(data.variables, data.system, is_in, lambda: event_record(event))
    return run

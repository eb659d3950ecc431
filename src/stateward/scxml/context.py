"""A session's data: what its documents' expressions read and its actions replace."""

from __future__ import annotations

from stateward.chart import Context, Event, EventMarker, Meta
from stateward.scxml.ids import id_of
from stateward.scxml.messages import ORIGIN_TYPE, event_record
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, Value

__all__ = ["Data", "location_of", "new_data", "run_of"]


class Data(Context, frozen=True):
    """The context of every chart that was read from SCXML."""

    variables: MapValue = MapValue()
    """The document's data by id."""
    system: MapValue = MapValue()
    """The system variables but for `_event`, which each handler is given."""
    bound: frozenset[str] = frozenset()
    """With late binding, the states whose data have been assigned."""
    sent: int = 0
    """How many ids have been made up for `<send>`."""
    result: Value = None
    """What the last `<donedata>` came to."""
    last: Event | None = None
    """At the end, the event that led there."""


def location_of(session: str) -> str:
    """Where events for a session are sent to."""
    return f"#_scxml_{session}"


def new_data(session: str, name: str, given: MapValue) -> Data:
    """The data of a session before its document has run.

    Args:
        session: its id, `_sessionid`.
        name: its document's name, `_name`.
        given: values for top-level data, which take the place of those in the document.
    """
    processor = MapValue([("location", location_of(session))])
    system = MapValue(
        [
            ("_sessionid", session),
            ("_name", name),
            ("_ioprocessors", MapValue([("scxml", processor), (ORIGIN_TYPE, processor)])),
        ]
    )
    return Data(variables=given, system=system)


def run_of(data: Data, event: EventMarker, meta: Meta) -> Run:
    """The evaluation of one handler: the data, `_event`, and which states are active at this moment."""
    active: frozenset[str] | None = None

    def is_in(state: str) -> bool:
        nonlocal active
        if active is None:
            active = frozenset(map(id_of, meta.active))
        return state in active

    return Run(data.variables, data.system, is_in, lambda: event_record(event))

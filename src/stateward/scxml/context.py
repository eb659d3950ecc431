"""A session's data: what its documents' expressions read and its actions replace."""

from __future__ import annotations

from stateward.chart import Context, Event, EventMarker, Meta
from stateward.scxml.ids import id_of
from stateward.scxml.messages import HTTP_TYPE, ORIGIN_TYPE, event_record
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
    invoked: MapValue = MapValue()
    """The ids of what the `<invoke>` of active states have started, by the place of each."""
    reachable: frozenset[str] = frozenset()
    """The ids of the sessions that are there to be sent to, as of the event that is being handled."""
    is_invoked: bool = False
    """Whether a parent has invoked the session."""
    started: int = 0
    """How many ids have been made up for `<invoke>`."""
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

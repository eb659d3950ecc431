"""`<send>` and `<cancel>` (6.2 and 6.3 of SCXML 1.0): what is to be delivered, worked out when it is said.

When it is delivered, and whether somebody is there to take it, is the session's business; what can be known from
the data alone, that this session has no parent say, is told at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from msgspec.structs import replace

from stateward.chart import Raise
from stateward.errors import EvaluationError
from stateward.scxml.attributes import compile_data, compile_text, parse_delay
from stateward.scxml.context import location_of
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.executing import Executable, Failure, Scope, Sources, Yielded, failure_event
from stateward.scxml.messages import HTTP_TYPE, ORIGIN_TYPE, Cancel, ScxmlEvent, Send, error_event, problem_of_name
from stateward.scxml.values import (
    ListValue,
    MapValue,
    Opaque,
    RecordValue,
    SetValue,
    TupleValue,
    Value,
    brief,
    size_of,
)
from stateward.scxml.xml import Element

__all__ = ["CancelElement", "SendElement", "check_sendable"]

_VIA: dict[str, Literal["scxml", "basichttp"]] = {
    "scxml": "scxml",
    ORIGIN_TYPE: "scxml",
    "basichttp": "basichttp",
    HTTP_TYPE: "basichttp",
}
"""The processors that a message may go through, by the types that name them."""


class SendElement(Executable):
    """`<send>`. What it says is worked out at once; when it is delivered is the session's business."""

    __slots__ = ("_assign_id", "_data", "_delay", "_event", "_is_content", "_target", "_type")

    def __init__(self, element: Element, datamodel: Datamodel, _: Sources) -> None:
        super().__init__(element)
        self._event = compile_text(element, "event", "eventexpr", datamodel)
        self._target = compile_text(element, "target", "targetexpr", datamodel)
        self._type = compile_text(element, "type", "typeexpr", datamodel)
        self._delay = compile_text(element, "delay", "delayexpr", datamodel)
        idlocation = element.get("idlocation")
        self._assign_id = None if idlocation is None else datamodel.location(idlocation)
        self._data = compile_data(element, datamodel)
        self._is_content = element.first("content") is not None

    def execute(self, scope: Scope) -> Yielded:
        """Work out the message, and yield it."""
        run = scope.run
        given = self.element.get("id")
        sendid = given or scope.new_send_id()
        try:
            if self._assign_id is not None:
                self._assign_id(run, sendid)
                given = sendid
            kind = self._type(run) or "scxml"
            via = _VIA.get(kind)
            event, delay = self._message(scope, given, is_named=via != "basichttp")
            target = self._target(run) or ""
        except EvaluationError as error:
            raise Failure(failure_event(self.element, str(error), sendid=sendid)) from None
        if via is None or (via == "basichttp" and not scope.has_http):
            raise Failure(failure_event(self.element, f"the type {brief(kind)} is not supported", sendid=sendid))
        if via == "basichttp":
            if not target:
                raise Failure(self._unreachable("a message over HTTP needs a target", sendid))
            yield Send(event, sendid, delay, target, via, self._is_content, self.element.line)
        elif target == "#_internal":
            if delay:
                raise Failure(failure_event(self.element, "an internal event can't be delayed", sendid=sendid))
            yield Raise(replace(event, kind="internal", origin=None, origintype=None))
        else:
            self._check_target(scope, target, sendid)
            address = "" if target == location_of(scope.session) else target
            yield Send(event, sendid, delay, address, line=self.element.line)

    def _message(self, scope: Scope, sendid: str | None, *, is_named: bool) -> tuple[ScxmlEvent, timedelta]:
        name = self._event(scope.run) or ""
        problem = problem_of_name(name) if name or is_named else None
        if problem is not None:
            raise EvaluationError(problem)
        data = self._data(scope.run)
        check_sendable(data)
        scope.run.spend(size_of(data))  # it is held for as long as the message is on its way
        delay = parse_delay(self._delay(scope.run) or "0s")
        origin = location_of(scope.session)
        return ScxmlEvent(name, data, sendid=sendid, origin=origin, origintype=ORIGIN_TYPE), delay

    def _check_target(self, scope: Scope, target: str, sendid: str) -> None:
        """Refuse a target that is no address, and one of which the data say that nobody is there.

        Raises:
            Failure: it is one.
        """
        if not target:
            return
        if target.startswith(location_of("")):
            is_there = scope.can_reach(target.removeprefix(location_of("")))
        elif target == "#_parent":
            is_there = scope.is_invoked
        elif target.startswith("#_"):
            is_there = scope.has_invoked(target.removeprefix("#_"))
        else:
            raise Failure(failure_event(self.element, f"{brief(target)} is no address", sendid=sendid))
        if not is_there:
            raise Failure(self._unreachable(f"there is no session {brief(target)}", sendid))

    def _unreachable(self, reason: str, sendid: str) -> ScxmlEvent:
        return error_event("error.communication", reason, element="send", line=self.element.line, sendid=sendid)


def check_sendable(value: Value) -> None:
    """Refuse to send what is no plain data.

    Raises:
        EvaluationError: it is a function or a class, or holds one.
    """
    if isinstance(value, Opaque):
        message = f"{value!r} can't be sent: it is no plain data"
        raise EvaluationError(message)
    parts: tuple[Value, ...] = ()
    if isinstance(value, MapValue):
        parts = (*value.items.keys(), *value.items.values())
    elif isinstance(value, RecordValue):
        parts = (value.kind, value.fields)
    elif isinstance(value, (ListValue, TupleValue, SetValue)):
        parts = tuple(value.items)
    for each in parts:
        check_sendable(each)


class CancelElement(Executable):
    """`<cancel>`."""

    __slots__ = ("_sendid",)

    def __init__(self, element: Element, datamodel: Datamodel, _: Sources) -> None:
        super().__init__(element)
        self._sendid = compile_text(element, "sendid", "sendidexpr", datamodel)

    def execute(self, scope: Scope) -> Yielded:
        """Yield the cancellation."""
        yield Cancel(self._sendid(scope.run) or "")

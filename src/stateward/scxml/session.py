"""A document being run: its snapshot, its children, and what its actions ask for being done.

A session gives events to its chart, one at a time and each to its end, and does what the chart's actions asked for:
events go to whom they are for, at once or when their time has come, and children are started and cancelled. Where an
event leads is the kernel's business alone; when it comes is its processor's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from stateward.chart import Chart, EffectMarker, Event, Meta, Started
from stateward.errors import EvaluationError, Refusal, StatewardError
from stateward.kernel import Snapshot, Step, start, step
from stateward.kernel.step import leave
from stateward.scxml.context import Data, location_of, new_data
from stateward.scxml.document import prologue_of
from stateward.scxml.ids import id_of
from stateward.scxml.messages import (
    Cancel,
    Forward,
    Invoke,
    Log,
    ScxmlEvent,
    Send,
    Uninvoke,
    error_event,
    problem_of_name,
)
from stateward.scxml.processor import DEPTH_LIMIT, SESSION_LIMIT, Clock, Processor
from stateward.scxml.sending import check_sendable
from stateward.scxml.values import MapValue, Value, brief, freeze, thaw

__all__ = ["Session"]

COST_OF_A_STATE = 4
"""Steps that a microstep counts for each state of the chart."""
COST_OF_STARTING = 1_000
"""Steps that starting a child counts, beside those of its expressions."""
COST_OF_POSTING = 10_000
"""Steps that a message over HTTP counts."""
OnLog = Callable[[str, object], None]


class Session:
    """One run of a chart that was read from SCXML.

    Args:
        chart: the chart, from `read` or `read_file`.
        clock: the time that delayed events wait for.
        session: its id, `_sessionid`; it must be unlike that of any other session that it talks with.
        data: values for the document's top-level data, instead of those that it says.
        on_log: called with label and value of each `<log>` once its step holds; its children's too.
        processor: what it shares a queue and a clock with; without one it has its own, for it and its children.

    Raises:
        EvaluationError: `data` holds what is no plain data.
        EndlessLoop: its start did not come to rest.
        ValueError: both a clock and a processor are given, or the processor has a session of that id.
    """

    def __init__(
        self,
        chart: Chart[Data],
        *,
        clock: Clock | None = None,
        session: str = "session",
        data: dict[str, object] | None = None,
        on_log: OnLog | None = None,
        processor: Processor | None = None,
    ) -> None:
        if processor is not None and clock is not None:
            message = "a processor has a clock already: give one of the two"
            raise ValueError(message)
        given = MapValue([(name, freeze(value)) for name, value in (data or {}).items()])
        self.processor = processor if processor is not None else Processor(clock)
        self._start(chart, session, given, on_log)
        self.processor.drain()

    @classmethod
    def _invoked(cls, parent: Session, chart: Chart[Data], asked: Invoke) -> Session:
        """A child."""
        child = cls.__new__(cls)
        child.processor = parent.processor
        name = parent.processor.new_session_id(parent.session)
        child._start(chart, name, asked.data, parent._on_log, parent=parent, asked=asked)
        return child

    def _start(
        self,
        chart: Chart[Data],
        session: str,
        given: MapValue,
        on_log: OnLog | None,
        *,
        parent: Session | None = None,
        asked: Invoke | None = None,
    ) -> None:
        self.chart = chart
        self.session = session
        self.parent = parent
        """The session that has invoked it; None if nobody has."""
        self.invokeid = None if asked is None else asked.invokeid
        """What its parent knows it by."""
        self.result: object = None
        """What the top-level final state's `<donedata>` came to, once it is finished."""
        self._place = "" if asked is None else asked.place
        self._depth: int = 0 if parent is None else parent._depth + 1
        self._on_log = on_log
        self._children: dict[str, Session] = {}
        """Those that run, by the place of their `<invoke>`."""
        self._errors: list[ScxmlEvent] = []
        """What went wrong with what the step that is being taken has asked for."""
        self._last: Event = Started()
        self._finished = self._is_cancelled = False
        self._prologue = prologue_of(chart)
        name = (self._prologue.name if self._prologue is not None else None) or ""
        self.processor.add(self)
        http = self.processor.http
        location = None if http is None else http.location_of(session)
        try:
            with self.processor.at_work():
                data = new_data(session, name, given, is_invoked=parent is not None, http=location)
                first = start(chart, data.replace(reachable=self.processor.names))
                self._snapshot = first.snapshot
                self._take(first)
        except BaseException:
            self.processor.remove(self)
            raise

    # What it is.

    @property
    def clock(self) -> Clock:
        """The time that delayed events wait for."""
        return self.processor.clock

    @property
    def children(self) -> tuple[Session, ...]:
        """The sessions that it has invoked and that run, in the order of their start."""
        return tuple(self._children.values())

    @property
    def snapshot(self) -> Snapshot[Data]:
        """Its position and data: all that there is to it beside its queues."""
        return self._snapshot

    @property
    def configuration(self) -> tuple[str, ...]:
        """The ids of the active atomic states, in document order."""
        return tuple(id_of(path) for path in self._snapshot.position.atoms)

    @property
    def is_finished(self) -> bool:
        """Whether it has reached a top-level final state or was cancelled; it takes no more events then."""
        return self._finished

    @property
    def data(self) -> dict[str, object]:
        """The document's data by id, as plain data of the caller's own."""
        return {str(name): thaw(value) for name, value in self._snapshot.context.variables.items.items()}

    @property
    def next_due(self) -> timedelta | None:
        """When the next delayed event is due, its own or that of a session beside it; None if there is none."""
        return None if self._finished else self.processor.next_due

    # What happens to it.

    def send(self, name: str, data: object = None) -> None:
        """Handle an event from outside, and all that comes of it by now; once it is finished, nothing happens.

        Args:
            name: its name, `order.paid`.
            data: plain data for `_event.data`.

        Raises:
            EvaluationError: `data` holds what is no plain data, or the name is none.
            EndlessLoop: handling it did not come to rest.
        """
        problem = problem_of_name(name)
        if problem is not None:
            raise EvaluationError(problem)
        event = ScxmlEvent(name, freeze(data))
        self.processor.run_due()
        if self._finished:
            return
        self.processor.post(self, event)
        self.processor.drain()

    def run_due(self) -> None:
        """Handle what is in the queue, and the delayed events whose time has come.

        Raises:
            EndlessLoop: handling it did not come to rest.
        """
        self.processor.run_due()

    def handle(self, event: ScxmlEvent) -> None:
        """Give an event to the chart, and do what comes of it; its processor calls this when it is its turn."""
        if self._finished:
            return
        self._last = event
        self._look_around()
        outcome = step(self.chart, self._snapshot, event)
        if not isinstance(outcome, Refusal):
            self._take(outcome)
        elif self.chart.before is not None:
            self._receive(event)

    def _look_around(self) -> None:
        """Note who is there to be sent to: a step knows nothing but what it is given."""
        snapshot, names = self._snapshot, self.processor.names
        if snapshot.context.reachable is not names:
            self._snapshot = Snapshot(snapshot.position, snapshot.context.replace(reachable=names))

    def fail(self, error: StatewardError) -> None:
        """End without more ado, since it did not come to rest, and tell the parent."""
        parent = self.parent
        assert parent is not None
        self._end()
        parent._children.pop(self._place, None)
        told = error_event("error.execution", str(error), element="invoke", invokeid=self.invokeid)
        self.processor.post(parent, told, self)

    def _receive(self, event: ScxmlEvent) -> None:
        """What is done with an event before transitions are looked for, if none has taken it."""
        receiving = self._prologue.receiving if self._prologue is not None else None
        if receiving is None:
            return
        meta = Meta(active=self._snapshot.position.active)
        data, asked = receiving.receive(self._snapshot.context, event, meta)
        self._snapshot = Snapshot(self._snapshot.position, data)
        self._do_all(tuple(asked))

    def _take(self, outcome: Step[Data]) -> None:
        """What a step says holds from now on; what it asks for is done in its order."""
        self._snapshot = outcome.snapshot
        self.processor.spend(len(outcome.microsteps) * len(self.chart.states) * COST_OF_A_STATE)
        self._do_all(outcome.effects)
        if self._snapshot.position.finished and not self._finished:
            self._finish()

    def _do_all(self, effects: tuple[EffectMarker, ...]) -> None:
        for effect in effects:
            self._do(effect)
        if not self._finished:
            self.processor.post_first(self, self._errors)
        self._errors.clear()

    def _finish(self) -> None:
        """The end of a session (`exitInterpreter`): exit handlers run, and nothing that waits is delivered any more."""
        self._finished = True
        self._take(leave(self._snapshot, self._snapshot.context.last or Started()))
        result = self._snapshot.context.result
        self.result = thaw(result)
        self._end()
        if self.parent is not None and not self._is_cancelled:
            self.parent._children.pop(self._place, None)
            done = ScxmlEvent(f"done.invoke.{self.invokeid}", self._plain(result), invokeid=self.invokeid)
            self.processor.post(self.parent, done, self)

    def _plain(self, result: Value) -> Value:
        """A result as it can be sent: a function is told by its text."""
        try:
            check_sendable(result)
        except EvaluationError:
            return freeze(thaw(result))
        return result

    def _cancel(self) -> None:
        """The end of a child whose invoking state was left: exit handlers run, and nothing reaches the parent."""
        if self._finished:
            return
        self._finished = self._is_cancelled = True
        try:
            self._take(leave(self._snapshot, self._last))
        finally:
            self._end()

    def _end(self) -> None:
        self._finished = True
        for child in self.children:  # of one that ended without running its exit handlers
            child._cancel()
        self._children.clear()
        self.processor.remove(self)

    # What its actions ask for.

    def _do(self, effect: EffectMarker) -> None:
        match effect:
            case Send() if effect.delay:
                if self._has_room(effect):
                    self.processor.delay(self, effect)
            case Send():
                self.dispatch(effect)
            case Cancel():
                self.processor.cancel(self, effect.sendid)
            case Log():
                if self._on_log is not None:
                    self._on_log(effect.label, thaw(effect.value))
            case Invoke():
                self._invoke(effect)
            case Uninvoke():
                child = self._children.pop(effect.place, None)
                if child is not None:
                    child._cancel()
                    self.processor.drop_between(child, self)
            case Forward():
                child = self._children.get(effect.place)
                if child is not None:
                    self.processor.post(child, effect.event, self)
            case _:
                message = f"a session does not know what to do with {effect!r}"
                raise TypeError(message)

    def dispatch(self, message: Send) -> None:
        """Deliver a message whose time has come; what is wrong with that is an event for this session."""
        before = len(self._errors)
        if message.via == "basichttp":
            self._post(message)
        elif self._has_room(message):
            to = self._addressee(message.target)
            if to is None:
                self._complain(message, f"there is no session {brief(message.target)}")
            elif to is self.parent and self._is_cancelled:
                pass  # it does not listen to what it has cancelled
            else:
                event = message.event
                event = replace(event, invokeid=self.invokeid) if to is self.parent else event
                self.processor.post(to, event, self)
        if message.delay and len(self._errors) > before and not self._finished:
            self.processor.post_first(self, self._errors)
            self._errors.clear()

    def _addressee(self, target: str) -> Session | None:
        if not target:
            return self
        if target == "#_parent":
            return self.parent
        if target.startswith(location_of("")):
            return self.processor.sessions.get(target.removeprefix(location_of("")))
        invokeid = target.removeprefix("#_")
        return next((each for each in self.children if each.invokeid == invokeid), None)

    def _has_room(self, message: Send) -> bool:
        if self.processor.has_room(message.event):
            return True
        self._complain(message, "too much waits to be delivered already")
        return False

    def _post(self, message: Send) -> None:
        http = self.processor.http
        assert http is not None, "a message is sent over HTTP only if there is HTTP"
        self.processor.spend(COST_OF_POSTING)
        try:
            http.post(message.target, message.event, is_content=message.is_content)
        except (OSError, ValueError) as error:
            self._complain(message, str(error))
        self.processor.take_in()

    def _complain(self, message: Send, reason: str) -> None:
        self._errors.append(
            error_event("error.communication", reason, element="send", line=message.line, sendid=message.sendid)
        )

    def _invoke(self, asked: Invoke) -> None:
        """Start a child, or tell why not: an error of communication if its file can't be read, else of execution."""
        self.processor.spend(COST_OF_STARTING)
        kind = "error.execution"
        try:
            if self._depth >= DEPTH_LIMIT:
                reason = f"children of children go {DEPTH_LIMIT} deep at most"
            elif len(self.processor.sessions) >= SESSION_LIMIT:
                reason = f"there are {SESSION_LIMIT} sessions already"
            elif any(each.invokeid == asked.invokeid for each in self.children):
                reason = f"a child {brief(asked.invokeid)} runs already"
            else:
                self.processor.drop_of_child(self, asked.invokeid)
                child = Session._invoked(self, self._chart_of(asked), asked)
                if not child.is_finished:
                    self._children[asked.place] = child
                return
        except (LookupError, OSError, UnicodeError, ValueError) as error:
            kind, reason = "error.communication", f"{brief(asked.src)} can't be read: {type(error).__name__}"
        except StatewardError as error:
            reason = str(error)
        self._errors.append(error_event(kind, reason, element="invoke", invokeid=asked.invokeid))

    def _chart_of(self, asked: Invoke) -> Chart[Data]:
        assert self._prologue is not None, "only what was read from SCXML invokes"
        inline = self._prologue.invocations[asked.place].inline
        if inline is not None and asked.src is None and asked.text is None:
            return inline
        return self.processor.read_child(asked.text, asked.src, self._prologue.load)

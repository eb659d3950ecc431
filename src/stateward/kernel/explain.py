"""Why an event would lead where it does, or nowhere: each candidate, its guard, what the guard read.

The verdict comes from the real objects. What was read comes from a second run, for display only, over
proxies that record attribute access. A guard that looks at an object in a way that a proxy can't see (passes
it on to C code, compares it, iterates over it) or that behaves differently there is labelled opaque: the
reads listed are then not all there were.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any, NoReturn, TypeVar

import msgspec

from stateward.chart.handlers import Handler
from stateward.chart.nodes import TransitionNode
from stateward.chart.values import ContextMarker, Done, Elapsed, EventMarker, Meta, SeededRandom, Started
from stateward.errors import Refusal
from stateward.kernel.step import NO_META, advance
from stateward.kernel.values import Snapshot, Step

__all__ = ["Candidate", "Explanation", "LegalEvent", "Read", "explain", "legal_events"]

C = TypeVar("C", bound=ContextMarker)


class Read(msgspec.Struct, frozen=True):
    """One value that a guard read."""

    name: str
    """`context.total`, `event.amount`, `meta.now`."""
    value: Any


class Candidate(msgspec.Struct, frozen=True):
    """One transition that the event could have taken from an active state."""

    transition: str
    """Its id, `pay:pending`."""
    source: str
    targets: tuple[str, ...]
    """Paths; none for a targetless transition."""
    guard: str | None
    """The guard's name; None: unguarded."""
    verdict: bool | None
    """What the guard said; None: it raised, and `error` says what."""
    reads: tuple[Read, ...] = ()
    is_opaque: bool = False
    """Whether the guard looked at something in a way that can't be listed."""
    error: str | None = None

    def __str__(self) -> str:
        where = f"{self.source} -> {', '.join(self.targets) or 'stays'}"
        if self.guard is None:
            return f"{where}: no guard"
        verdict = {True: "yes", False: "no", None: f"raised {self.error}"}[self.verdict]
        reads = ", ".join(f"{read.name} = {read.value!r}" for read in self.reads)
        opaque = "and more that can't be seen" if self.is_opaque and reads else "opaque" if self.is_opaque else ""
        seen = ", ".join(part for part in (reads, opaque) if part)
        return f"{where}: {self.guard} said {verdict}" + (f" ({seen})" if seen else "")


class Explanation(msgspec.Struct, frozen=True):
    """What an event would do to a snapshot, and why."""

    lifecycle: str
    state: str
    event: str
    outcome: str
    """`applied`, `already_done`, or the kind of the refusal; `failed` if a handler raises."""
    reason: str
    """The outcome in words."""
    candidates: tuple[Candidate, ...]
    """In the order in which they are considered: by region, the nearest source first."""
    elsewhere: tuple[str, ...] = ()
    """Where the event would be accepted: the sources of its other transitions."""

    @property
    def is_accepted(self) -> bool:
        """Whether the event would not be refused."""
        return self.outcome in ("applied", "already_done")

    def __str__(self) -> str:
        lines = [f"{self.event} on {self.lifecycle} in {self.state}: {self.outcome}, {self.reason}"]
        lines += [f"  {candidate}" for candidate in self.candidates]
        if self.outcome == "illegal" and self.elsewhere:
            lines.append(f"  it is accepted in {', '.join(self.elsewhere)}")
        return "\n".join(lines)


def explain(snapshot: Snapshot[C], event: EventMarker, meta: Meta = NO_META) -> Explanation:
    """Why an event would be accepted or refused. Actions run as in a step, which is thrown away.

    Raises:
        TypeError: the event is no event.
    """
    if not isinstance(event, EventMarker):
        message = f"{event!r} is no event: send an instance of an Event class"
        raise TypeError(message)
    position = snapshot.position
    chart, tables = position.chart, position.tables
    key = event.trigger_key()
    candidates: dict[int, Candidate] = {}
    for each in _unique(tables.candidates(position, key)):
        candidates[each.index] = _candidate(snapshot, each, event, meta)
    elsewhere = dict.fromkeys(
        chart.states[each.source].path
        for each in chart.transitions
        if each.trigger is not None and each.trigger.matches(key) and each.index not in candidates
    )
    outcome, reason = _outcome(snapshot, event, meta)
    return Explanation(
        lifecycle=chart.kind,
        state=position.state,
        event=event.trigger_label(),
        outcome=outcome,
        reason=reason,
        candidates=tuple(candidates.values()),
        elsewhere=tuple(elsewhere),
    )


class LegalEvent(msgspec.Struct, frozen=True):
    """An event that a state could take, before it is known what the event says."""

    name: str
    """Its wire name."""
    event: type[EventMarker]
    is_guarded: bool
    """Whether a guard has to agree: no transition would take it without."""
    is_already: bool
    """Whether it has nothing left to do where no transition takes it."""


def legal_events(snapshot: Snapshot[Any]) -> tuple[LegalEvent, ...]:
    """The events that a snapshot could take, in the order in which its chart names them; no guard is asked."""
    position = snapshot.position
    tables = position.tables
    found: list[LegalEvent] = []
    for name, event in position.chart.events.items():
        if issubclass(event, (Started, Elapsed, Done)):  # nobody sends these
            continue
        candidates = list(_unique(tables.candidates(position, event)))
        is_already = tables.is_already(position, event)
        if candidates or is_already:
            is_guarded = bool(candidates) and all(each.guard is not None for each in candidates)
            found.append(LegalEvent(name, event, is_guarded, is_already))
    return tuple(found)


def _outcome(snapshot: Snapshot[Any], event: EventMarker, meta: Meta) -> tuple[str, str]:
    try:
        answer = advance(snapshot, event, meta)
    except Exception as error:
        return "failed", str(error)
    if isinstance(answer, Refusal):
        return answer.kind, answer.reason
    return answer.outcome, _leads(answer)


def _leads(step: Step[Any]) -> str:
    return "nothing is left to do" if step.outcome == "already_done" else f"leads to {step.state}"


def _unique(lists: list[tuple[TransitionNode, ...]]) -> Iterator[TransitionNode]:
    """Each candidate once, though several regions share an ancestor's."""
    yield from {each.index: each for candidates in lists for each in candidates}.values()


def _candidate(snapshot: Snapshot[Any], transition: TransitionNode, event: EventMarker, meta: Meta) -> Candidate:
    states = snapshot.position.chart.states
    source = states[transition.source].path
    targets = tuple(states[target].path for target in transition.targets)
    if transition.guard is None:
        return Candidate(transition.id, source, targets, None, True)
    tables = snapshot.position.tables
    told = Meta(
        meta.now,
        meta.entity,
        meta.record_id,
        meta.actor,
        tables.active(snapshot.position.configuration),
        None if meta.record_id is None else SeededRandom(meta.record_id),
    )
    verdict, error = _ask(transition.guard, snapshot.context, event, told)
    reads, is_opaque = _watch(transition.guard, snapshot.context, event, told, verdict)
    return Candidate(transition.id, source, targets, transition.guard.name, verdict, reads, is_opaque, error)


def _ask(guard: Handler, context: Any, event: Any, meta: Meta) -> tuple[bool | None, str | None]:
    try:
        verdict = guard.call(context, event, meta) if guard.wants_meta else guard.call(context, event)
    except Exception as error:
        return None, repr(error)
    return (verdict, None) if verdict is True or verdict is False else (None, f"returned {verdict!r}")


def _watch(guard: Handler, context: Any, event: Any, meta: Meta, verdict: bool | None) -> tuple[tuple[Read, ...], bool]:
    """Run a guard over recording proxies; what it read, and whether that may not be all."""
    seen = _Seen()
    proxies = [_Proxy(context, "context", seen), _Proxy(event, "event", seen)]
    if guard.wants_meta:
        proxies.append(_Proxy(meta, "meta", seen))
    try:
        again = guard.call(*proxies)
    except Exception:
        # Where the real run raised too, the reads before it are the ones that matter.
        return seen.reads(), seen.is_opaque or verdict is not None
    return seen.reads(), seen.is_opaque or again is not verdict


class _Seen:
    """What the proxies of one run have recorded."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.is_opaque = False

    def reads(self) -> tuple[Read, ...]:
        """The leaves only: `context.address` is not listed beside `context.address.city`."""
        names = list(self.values)
        return tuple(
            Read(name, value)
            for name, value in self.values.items()
            if not any(other.startswith(name + ".") for other in names)
        )


def _opaque(name: str) -> Any:
    """A special method that hands the real object on, and says so."""

    def method(self: _Proxy, *arguments: Any) -> Any:
        real = object.__getattribute__(self, "_real")
        object.__getattribute__(self, "_seen").is_opaque = True
        bare = [object.__getattribute__(a, "_real") if type(a) is _Proxy else a for a in arguments]
        return getattr(real, name)(*bare)

    return method


class _Proxy:
    """Stands for a context, an event or a struct inside one, and records which fields are read."""

    __slots__ = ("_name", "_real", "_seen")

    def __init__(self, real: Any, name: str, seen: _Seen) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_seen", seen)

    def __getattribute__(self, name: str) -> Any:
        real: Any = object.__getattribute__(self, "_real")
        if name == "__class__":
            return real.__class__
        seen: _Seen = object.__getattribute__(self, "_seen")
        declared: object = getattr(real.__class__, name, None)
        # Methods and properties run over the proxy, so that what they read is seen too.
        if isinstance(declared, FunctionType):
            return declared.__get__(self)
        if isinstance(declared, property) and declared.fget is not None:
            return declared.fget(self)
        value = getattr(real, name)
        full = f"{object.__getattribute__(self, '_name')}.{name}"
        seen.values[full] = value
        return _Proxy(value, full, seen) if isinstance(value, msgspec.Struct) else value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        message = f"{type(self).__name__} is immutable"
        raise AttributeError(message)


for _special in (
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__bool__", "__len__", "__iter__",
    "__contains__", "__getitem__", "__str__", "__repr__", "__format__", "__call__",
):  # fmt: skip
    setattr(_Proxy, _special, _opaque(_special))

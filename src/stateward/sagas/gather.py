"""Gatherings: a body of facts becomes a lifecycle that waits for all of them, in whichever order they come.

Each fact is a region of its own, `missing` until it has `arrived`, and one region more keeps the time:

    gathering ┬ facts ┬ payment    missing → arrived
              │       ├ account    missing → arrived          all arrived: complete
              │       └ …
              └ patience           in_time → overdue          people step in; facts still arrive

So which facts are missing stands in the configuration: an operator reads it off an entity, and the census counts it
over all; a fact that comes twice is already done in its own region; and the time is up without anything being
forgotten. Flags in the context would need a guard that counts them, and would show none of it. n facts have 2^n
configurations: the kernel works out pieces only, and the census has a row for each that occurs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

from stateward.chart.body import StateMark, origin
from stateward.chart.declaration import (
    Composite,
    Final,
    Lifecycle,
    Nested,
    Parallel,
    State,
    StateHandlers,
    Transition,
    after,
    chart_of,
    done,
    on,
)
from stateward.chart.values import Action, ContextMarker, Delay, EventMarker, Guard
from stateward.sagas.operators import StopWaiting, WaitLonger
from stateward.sagas.placing import Placer, has_initial
from stateward.sagas.replies import Reply, is_told_from

__all__ = ["Fact", "Gather", "Patience", "StopOn", "missing_facts", "stop_on"]

__declares__ = True

C = TypeVar("C", bound=ContextMarker)
E = TypeVar("E", bound=EventMarker)


class Fact(StateMark):
    """Something that a service will tell; it arrives once, and again is already done.

    Args:
        event: the event that tells it.
        do: an action that keeps what it says.
        ask: an action, or a tuple of them, that yields the effect which asks the service for it.
        missing: the state in which it is waited for, if it is to have another name, an SLA, or a further entry action.
    """

    def __init__(
        self,
        event: type[E],
        *,
        do: Action[C, E] | None = None,
        ask: StateHandlers = (),
        missing: State | None = None,
    ) -> None:
        self.event = event
        self.do = do
        self.ask = ask
        self.given = missing
        self.missing = missing if isinstance(missing, State) else State()
        """It is waited for."""
        self.arrived = Final()
        """It is here."""
        self.attribute = ""
        """Its name in the gathering, once that is complete."""
        self.owner: type | None = None
        """The gathering that it stands in, likewise."""
        self.origin = origin()

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __repr__(self) -> str:
        return self.attribute or "a Fact that no body names"


class Patience(StateMark):
    """How long a gathering waits until people step in; they may send a missing fact, WaitLonger or StopWaiting.

    Args:
        delay: from the moment that the gathering begins.
        in_time: the state before that, if it is to have another name, an SLA, or an entry action.
        overdue: the state in which people step in, likewise.
    """

    def __init__(self, delay: Delay[Any], *, in_time: State | None = None, overdue: State | None = None) -> None:
        self.delay = delay
        self.given = (in_time, overdue)
        self.in_time = in_time if isinstance(in_time, State) else State()
        """The time is not up."""
        self.overdue = overdue if isinstance(overdue, State) else State()
        """The time is up, and facts are missing."""
        self.attribute = ""
        """Its name in the gathering, once that is complete."""
        self.owner: type | None = None
        """The gathering that it stands in, likewise."""
        self.origin = origin()

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    def __repr__(self) -> str:
        return self.attribute or "a Patience that no body names"


class StopOn(Transition):
    """What `stop_on` writes down; its arc is known when the gathering is complete."""

    __slots__ = ()


def stop_on(event: type[E], *, when: Guard[C, E] | None = None, do: Action[C, E] | None = None) -> StopOn:
    """An event that gives the gathering up, overdue or not.

    Args:
        event: the event class.
        when: a guard.
        do: an action; it keeps the reason, say.
    """
    return StopOn("event", (), event=event, when=when, do=do)


class Gather(Lifecycle[C]):
    """Facts from several services, in any order, and a Patience; subclass it and declare them in the body.

    It becomes a lifecycle like any other, which may have states and transitions of its own beside them. It starts
    `gathering`, unless a state of its own is initial, and ends `complete` or `given_up`, which its body may declare as
    other than plain final states. A `class gathering(Parallel)` in it gives that state entry actions, or regions more.
    """

    complete: ClassVar[State]
    given_up: ClassVar[State]

    def __init_subclass__(cls, **options: Any) -> None:
        """Make states and transitions of the facts, before the chart is built of them."""
        super().__init_subclass__(**options)
        _weave(cls)


def missing_facts(gathering: type[Gather[Any]], state: str) -> tuple[str, ...]:
    """Which facts a configuration still waits for, in the order of their declaration; none if it does not gather.

    Args:
        gathering: the lifecycle.
        state: the configuration in writing, an entity's or a machine's `state`.
    """
    chart = chart_of(gathering)
    atoms = frozenset(state.split("|"))
    return tuple(each.attribute for each in _facts_of(gathering) if chart.path_of(each.missing) in atoms)


def _facts_of(gathering: type) -> Iterator[Fact]:
    """The facts of a gathering, whichever of its bases declares them."""
    return (each for base in gathering.__mro__ for each in vars(base).values() if isinstance(each, Fact))


def _weave(gather: type) -> None:
    """Put the states and transitions of a gathering's facts into its body."""
    body = vars(gather)
    placer = Placer(gather)
    facts = [each for each in body.values() if isinstance(each, Fact)]
    patiences = [each for each in body.values() if isinstance(each, Patience)]
    stops = {name: each for name, each in body.items() if isinstance(each, StopOn)}
    inherited = [each for each in _facts_of(gather) if each not in facts]
    if inherited and (facts or patiences or stops):
        name, part = next(item for item in body.items() if isinstance(item[1], (Fact, Patience, StopOn)))
        problem = f"extends a gathering that is complete, with {inherited[0]} the first: declare all in one body"
        raise placer.error(problem, name, part.origin)
    if inherited or not any(isinstance(each, (State, Nested, Transition, Fact, Patience)) for each in body.values()):
        return
    if not facts:
        raise placer.error("has no facts: declare them as Fact(...), or the whole as a Lifecycle", "gathering")
    if len(patiences) != 1:
        said = "waits for ever" if not patiences else f"has {len(patiences)} of them"
        raise placer.error(f"{said}: say once how long it waits, patience = Patience(timedelta(days=2))", "patience")
    _Weaver(placer, facts, patiences[0], stops).weave()


class _Weaver:
    """One gathering on its way to states and transitions."""

    def __init__(self, placer: Placer, facts: list[Fact], patience: Patience, stops: dict[str, StopOn]) -> None:
        self._placer = placer
        self._facts = facts
        self._patience = patience
        self._stops = stops

    def weave(self) -> None:
        """Check what is given, then put the regions together, then what leads out of them."""
        self._check()
        facts = self._region("facts", Parallel, [(str(each), self._fact_region(each)) for each in self._facts])
        facts.options = {**facts.options, "description": "what is waited for"}
        gathering = self._gathering()
        for name, region in (("facts", facts), (str(self._patience), self._patience_region())):
            if name in vars(gathering):
                problem = f"makes a region {name}, and the body of gathering has that name: give one of them another"
                raise self._placer.error(problem, name, self._patience.origin)
            setattr(gathering, name, region)
        complete = self._placer.end("complete", description="every fact has arrived")
        given_up = self._placer.end("given_up", description="facts are missing, and are not waited for any more")
        self._place("completion", done(facts.to(complete)))
        for each in self._facts:
            self._place(f"{each}_repeated", on(each.event, already=complete), each.origin)
        self._place("stop_waiting", on(StopWaiting, self._patience.overdue.to(given_up), already=given_up))
        for stop in self._stops.values():
            arc = gathering.to(given_up)
            arc.origin = stop.origin
            stop.arcs, stop.already = (arc,), given_up

    def _check(self) -> None:
        known: list[Fact] = []
        parts: list[Fact | Patience] = [*self._facts, self._patience]
        for each in parts:
            if each.owner is not None:
                problem = f"stands in {each.owner.__name__} already: it belongs to one gathering"
                raise self._placer.error(problem, str(each), each.origin)
            each.owner = self._placer.lifecycle
            for state in each.given if isinstance(each, Patience) else (each.given,):
                self._check_state(each, state)
            if isinstance(each, Fact):
                self._check_fact(each, known)
                known.append(each)

    def _check_state(self, of: Fact | Patience, state: object) -> None:
        if state is None:
            return
        if not isinstance(state, State) or isinstance(state, Final):
            raise self._placer.error(f"gives {state!r} for a state from which it goes on: State()", str(of), of.origin)
        if state.attribute:
            problem = f"gives {state!r}, which the body has as a state of its own: name it within, State(name=...)"
            raise self._placer.error(problem, str(of), of.origin)

    def _check_fact(self, fact: Fact, known: list[Fact]) -> None:
        for other in known:
            if not is_told_from(Reply(fact.event), Reply(other.event)):
                problem = f"is told by {fact.event.__name__}, as {other} is: give each an event class of its own"
                raise self._placer.error(problem, str(fact), fact.origin)

    def _gathering(self) -> Nested:
        """The state that holds it all: the body's own, or one that is made now."""
        own: object = vars(self._placer.lifecycle).get("gathering")
        if own is not None and not (isinstance(own, Nested) and issubclass(own, Parallel)):
            raise self._placer.error(
                f"is {own!r}; the name stands for the state of it all: class gathering(Parallel)", "gathering"
            )
        gathering = own or self._region("gathering", Parallel, [])
        if not has_initial(self._placer.lifecycle):
            gathering.options = {**gathering.options, "initial": True}
        if own is None:
            self._placer.place("gathering", gathering, of="gathering", line=gathering.origin)
        return gathering

    def _fact_region(self, fact: Fact) -> Nested:
        """A region in which one fact is missing, then arrived."""
        missing = fact.missing
        missing.initial = True
        own: Any = missing.entry if isinstance(missing.entry, tuple) else (missing.entry,)
        asked: Any = fact.ask if isinstance(fact.ask, tuple) else (fact.ask,)
        missing.entry = (*asked, *own)
        arrive = on(fact.event, missing.to(fact.arrived), do=fact.do, already=fact.arrived)
        body = [(missing.name or "missing", missing), ("arrived", fact.arrived), ("arrive", arrive)]
        return self._region(str(fact), Composite, body, fact.origin)

    def _patience_region(self) -> Nested:
        """A region in which it is time, then overdue, and time again if people say so."""
        patience = self._patience
        in_time, overdue = patience.in_time, patience.overdue
        in_time.initial = True
        overdue.description = overdue.description or "facts are missing: people see to it"
        body = [
            (in_time.name or "in_time", in_time),
            (overdue.name or "overdue", overdue),
            ("expire", after(patience.delay, in_time.to(overdue))),
            ("wait_longer", on(WaitLonger, overdue.to(in_time), already=in_time)),
        ]
        return self._region(str(patience), Composite, body, patience.origin)

    def _region(self, name: str, base: type, body: list[tuple[str, Any]], place: str = "") -> Nested:
        """A nested class, as the body of one would make it."""
        place = place or self._patience.origin
        names = [key for key, _ in body]
        twice = next((key for key in names if names.count(key) > 1), None)
        if twice:
            raise self._placer.error(f"has the name {twice} twice: give one of them another", name, place)
        for _, value in body:
            if isinstance(value, Transition):
                value.origin = place
                for arc in value.arcs:
                    arc.origin = place
        made = Nested(name, (base,), {"__module__": self._placer.lifecycle.__module__, **dict(body)})
        made.origin = place
        return made

    def _place(self, name: str, transition: Transition, place: str = "") -> None:
        self._placer.place(name, transition, of=name, line=place or self._patience.origin)

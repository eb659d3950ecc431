"""How what a builder makes comes into the body of its lifecycle, beside what the author wrote there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stateward.chart.body import origin
from stateward.chart.declaration import Final, Nested, State, States, Transition, on
from stateward.chart.values import EventMarker
from stateward.errors import DefinitionError

__all__ = ["Placer", "group", "has_initial", "on_each"]

__declares__ = True


class Placer:
    """Puts states and transitions into a class that is being completed, and refuses what collides.

    The class's own metaclass then reads them as it reads those that the author wrote.
    """

    def __init__(self, lifecycle: type) -> None:
        self.lifecycle = lifecycle
        self.kind: str = lifecycle.__kind__  # type: ignore[attr-defined]
        self._origin = origin()
        """The line of the class statement."""
        self._places: set[int] = set()
        """The identities of the states that stand for something."""

    def error(self, problem: str, subject: str, line: str = "") -> DefinitionError:
        """The error of something in this lifecycle; it is the class's own if it has no line."""
        return DefinitionError(problem, lifecycle=self.kind, subject=subject, origin=line or self._origin)

    def place(self, name: str, value: State | Nested | Transition, *, of: str, line: str) -> None:
        """Make something an attribute of the lifecycle.

        Raises:
            DefinitionError: the body has something of that name.
        """
        if isinstance(value, Transition):
            value.origin = line
            for arc in value.arcs:
                arc.origin = line
        if name in vars(self.lifecycle):
            what = "transition" if isinstance(value, Transition) else "state"
            raise self.error(f"makes a {what} {name}, and the body has that name: give one of them another", of, line)
        setattr(self.lifecycle, name, value)
        if isinstance(value, State):
            value.__set_name__(self.lifecycle, name)

    def place_state(self, state: State, *, description: str, of: str, line: str) -> None:
        """Make a state, which has a name, an attribute; nothing is to do if the author has made it one.

        Raises:
            DefinitionError: it stands for something else already, is final, or the body has something of its name.
        """
        if id(state) in self._places:
            problem = f"gives {state!r} in two places: each is a state of its own"
            raise self.error(problem, of, line)
        if isinstance(state, Final):
            raise self.error(f"gives {state!r}, which is final, for a state from which it goes on: State()", of, line)
        self._places.add(id(state))
        state.description = state.description or description
        if vars(self.lifecycle).get(state.attribute) is not state:
            self.place(state.name or "", state, of=of, line=line)

    def end(self, name: str, *, description: str) -> State:
        """The end of that name: the author's own state, or a final one that is made now."""
        own: object = vars(self.lifecycle).get(name)
        if own is None:
            made = Final(description=description)
            self.place(name, made, of=name, line=made.origin)
            return made
        if not isinstance(own, State):
            raise self.error(f"is {own!r}; the name stands for the end: {name} = Final() or State()", name)
        return own


def has_initial(lifecycle: type) -> bool:
    """Whether the author has marked a state, here or in a base, as the one that the lifecycle starts in."""
    for base in lifecycle.__mro__:
        for each in vars(base).values():
            if isinstance(each, State) and each.initial:
                return True
            if isinstance(each, Nested) and each.options.get("initial"):
                return True
    return False


def group(states: Iterable[State]) -> States | None:
    """Several states as `already=` takes them; None if there are none."""
    members = tuple(states)
    return States(members) if members else None


def on_each(
    event: type[EventMarker],
    arcs: Iterable[tuple[State, State | None]],
    *,
    when: Callable[..., Any] | None = None,
    do: Callable[..., Any] | None = None,
    already: States | None = None,
) -> Transition:
    """`on(...)` with arcs as pairs of source and target; a target None stays, if there is something to do."""
    made: list[Any] = [source.stay() if target is None else source.to(target) for source, target in arcs]
    return on(event, *made, when=when, do=do, already=already)

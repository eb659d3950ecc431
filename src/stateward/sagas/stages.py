"""What the body of a saga is written in: stages, their undos, and the event that has it all undone.

Each makes its states at once, so that the lines below it, and a type checker, know them: `payment.awaiting` is a state
that other arcs may leave, and that `reconcile` may ask about.
"""

from __future__ import annotations

from typing import Any, TypeVar

from stateward.chart.body import StateMark, origin
from stateward.chart.declaration import State, StateHandlers, Transition
from stateward.chart.values import Action, ContextMarker, Delay, EventMarker, Guard
from stateward.sagas.replies import Replies, replies_of

__all__ = ["Stage", "Undo", "UndoOn", "undo_on"]

__declares__ = True

C = TypeVar("C", bound=ContextMarker)
E = TypeVar("E", bound=EventMarker)


class Undo:
    """How a stage is undone, if a later one fails, or if it was given up and may have been done.

    It is asked for in the entry of the state `undoing`, and must hold whatever came of the stage: done, not done, or
    still under way. Effects of an entity go out in order, so the stage's own has been handled by then.

    Args:
        ask: the action, or a tuple of them, that yields the effect to ask for.
        done: the reply that it is undone.
        failed: the replies that it can't be, the event after a dead letter among them; people step in.
        timeout: how long to wait for a reply, until people step in.
        undoing: the state while it is under way, if it is to have another name, an SLA, or a further entry action.
        not_undone: the state in which people step in, likewise.
    """

    def __init__(
        self,
        ask: StateHandlers,
        *,
        done: Replies,
        failed: Replies = (),
        timeout: Delay[Any] | None = None,
        undoing: State | None = None,
        not_undone: State | None = None,
    ) -> None:
        self.ask = ask
        self.done = replies_of(done)
        self.failed = replies_of(failed)
        self.timeout = timeout
        self.undoing = undoing
        self.not_undone = not_undone
        self.origin = origin()


class Stage(StateMark):
    """One step of a saga: what it asks for, what it may be answered, and how it is undone.

    Its name is that of its attribute, a noun best: `payment` has the states `awaiting_payment`, `undoing_payment` and
    `payment_not_undone`. A stage without an undo is one that leaves nothing to undo, or the pivot, or behind it.

    Args:
        ask: the action, or a tuple of them, that yields the effect to ask for.
        done: the reply that it is done.
        failed: the replies that it was not done and will not be.
        abandoned: the events that leave open what came of it, the one after a dead letter say; as its timeout.
        timeout: how long to wait for a reply before it is given up. It may have been done, so its undo is asked for.
        undo: how it is undone.
        pivot: the point of no return. Once it is asked for, nobody can cancel; once it is done, nothing is undone, and
            the stages behind it are asked for until they are done.
        awaiting: the state in which its reply is awaited, if it is to have another name, an SLA, or a further entry
            action.
        in_doubt: the state of a pivot without an undo that was given up, likewise.
        not_done: the state of a stage behind the pivot that failed or was given up, likewise.
    """

    def __init__(
        self,
        ask: StateHandlers,
        *,
        done: Replies,
        failed: Replies = (),
        abandoned: Replies = (),
        timeout: Delay[Any] | None = None,
        undo: Undo | None = None,
        pivot: bool = False,
        awaiting: State | None = None,
        in_doubt: State | None = None,
        not_done: State | None = None,
    ) -> None:
        self.ask = ask
        self.done = replies_of(done)
        self.failed = replies_of(failed)
        self.abandoned = replies_of(abandoned)
        self.timeout = timeout
        self.undo = undo
        self.pivot = pivot
        self.given = {
            "awaiting": awaiting,
            "undoing": undo.undoing if isinstance(undo, Undo) else None,
            "not_undone": undo.not_undone if isinstance(undo, Undo) else None,
            "in_doubt": in_doubt,
            "not_done": not_done,
        }
        """The states that the author gave, by the names of the attributes below."""
        self.awaiting = _given_or_new(awaiting)
        """Its effect is asked for on entry."""
        self.undoing = _given_or_new(self.given["undoing"])
        """Its undo is asked for on entry."""
        self.not_undone = _given_or_new(self.given["not_undone"])
        """Its undo failed, or did not answer in time: people step in."""
        self.in_doubt = _given_or_new(in_doubt)
        """It is the pivot, was given up, and may have been done: its truth is to be found out."""
        self.not_done = _given_or_new(not_done)
        """It stands behind the pivot and failed, or did not answer in time: people step in."""
        self.attribute = ""
        """Its name in the saga, once that is complete."""
        self.owner: type | None = None
        """The saga that it stands in, likewise."""
        self.origin = origin()

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name
        for state, default in (
            (self.awaiting, f"awaiting_{name}"),
            (self.undoing, f"undoing_{name}"),
            (self.not_undone, f"{name}_not_undone"),
            (self.in_doubt, f"{name}_in_doubt"),
            (self.not_done, f"{name}_not_done"),
        ):
            state.name = state.name or default

    def __repr__(self) -> str:
        return self.attribute or "a Stage that no body names"

    @property
    def may_be_given_up(self) -> bool:
        """Whether it may end with an open outcome, cancellation aside."""
        return self.timeout is not None or bool(self.abandoned)


class UndoOn(Transition):
    """What `undo_on` writes down; its arcs are known when the saga is complete."""

    __slots__ = ()


def undo_on(
    event: type[E],
    *,
    when: Guard[C, E] | None = None,
    do: Action[C, E] | None = None,
) -> UndoOn:
    """An event that has the saga undone, from wherever it is until its pivot is asked for.

    The stage that is under way is given up: it may have been done, so its undo is asked for as well.

    Args:
        event: the event class.
        when: a guard.
        do: an action; it keeps the reason, say.
    """
    return UndoOn("event", (), event=event, when=when, do=do)


def _given_or_new(given: State | None) -> State:
    return given if isinstance(given, State) else State()

"""Replies: the events that answer what a stage asked for, each with an action of its own if it takes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from stateward.chart.values import Action, ContextMarker, EventMarker

__all__ = ["Replies", "Reply", "is_told_from", "replies_of", "reply"]

C = TypeVar("C", bound=ContextMarker)
E = TypeVar("E", bound=EventMarker)


class Reply:
    """An event that answers, and what is made of it; made by `reply(...)`."""

    __slots__ = ("do", "event")

    def __init__(self, event: type[EventMarker], do: Callable[..., Any] | None = None) -> None:
        self.event = event
        self.do = do


Replies = type[EventMarker] | Reply | tuple[type[EventMarker] | Reply, ...]
"""One reply or several: an event class where nothing is to be done with it, or `reply(Paid, do=keep_payment)`."""


def reply(event: type[E], *, do: Action[C, E]) -> Reply:
    """A reply with an action, which keeps in the context what later stages or an undo need of it.

    Args:
        event: the event class.
        do: the action. It sets what it keeps and adds nothing up: of a stage that was given up a success may come late,
            and then more than once.
    """
    return Reply(event, do)


def replies_of(given: object) -> tuple[Reply, ...]:
    """Several replies of what may stand for one; what is none of it is left for the chart's own rules to tell."""
    members = cast("tuple[object, ...]", given) if isinstance(given, tuple) else (given,)
    return tuple(_reply_of(each) for each in members if each is not None)


def _reply_of(given: Any) -> Reply:
    return given if isinstance(given, Reply) else Reply(given)


def is_told_from(one: Reply, other: Reply) -> bool:
    """Whether no event can be taken for both; an event's subclasses trigger too."""
    classes = (one.event, other.event)
    if not all(isinstance(each, type) for each in classes):
        return True
    return not (issubclass(one.event, other.event) or issubclass(other.event, one.event))

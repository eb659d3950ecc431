"""What a handler is told and may answer, and how often it is asked.

A handler is a function of an effect and its `Call`, sync or async. It returns nothing, one event or several, which go
back to the entity; `Snooze` and `GiveUp` are raised. Whatever else it raises is a failed attempt.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar, cast

import msgspec

from stateward.chart import EffectMarker, EventMarker, wire_name
from stateward.errors import DefinitionError, EffectFailed
from stateward.ledger.codec import decode_value

__all__ = [
    "Call",
    "GiveUp",
    "Handlers",
    "Handling",
    "Replies",
    "Retry",
    "Rule",
    "Snooze",
    "answers_of",
    "is_async",
]

F = TypeVar("F", bound=Callable[..., Any])

Replies: TypeAlias = EventMarker | Sequence[EventMarker] | None
"""What a handler may return."""
Rule: TypeAlias = Literal["retry", "give_up"] | timedelta
"""What follows an error: another attempt, none, or one after this time that counts as none."""

OnDead: TypeAlias = Callable[[Any, str], EventMarker]
"""Makes the event by which a lifecycle is told that an effect was given up, of the effect and the error."""


class Snooze(Exception):
    """Raised by a handler: not now, again after this time; it counts as no attempt."""

    def __init__(self, delay: timedelta, reason: str = "snoozed") -> None:
        """Say how long, and why."""
        self.delay = delay
        super().__init__(reason)


class GiveUp(Exception):
    """Raised by a handler: another attempt would not help; the effect is a dead letter from then on."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at an effect, as its handler is told of it."""

    key: str
    """Stable over all attempts, so that it can be the idempotency key downstream: `record id:n`."""
    kind: str
    entity: str
    effect: str
    """The effect's wire name."""
    revision: int
    """The revision of the entity that asked for it."""
    record: str
    """The id of the record that asked for it."""
    attempt: int
    """From 1."""
    deadline: datetime
    """When this attempt counts as failed. A coroutine is cancelled then; a function should see to it by itself, by
    giving what is left to whatever it waits for: it goes on, and what it returns by then comes too late."""
    asked_at: datetime
    """When the event that asked for it was accepted."""
    traceparent: str | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How often an effect is attempted, and what is waited in between: exponential backoff with full jitter.

    Before attempt n + 1 it is a random time up to `base * 2 ** (n - 1)`, and never more than `maximum`.
    """

    limit: int = 8
    """Attempts, the first included; then it is a dead letter."""
    base: timedelta = timedelta(seconds=1)
    maximum: timedelta = timedelta(hours=1)
    rules: Mapping[type[BaseException], Rule] = {}
    """What follows errors of these classes; the most derived class counts. All others: "retry"."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        if self.limit < 1 or self.base <= timedelta(0) or self.maximum < self.base:
            problem = f"{self!r}: a limit is 1 or more, and base a positive time up to maximum"
            raise DefinitionError(problem)
        for rule in self.rules.values():
            if rule not in ("retry", "give_up") and not (isinstance(rule, timedelta) and rule > timedelta(0)):
                problem = f'the rule {rule!r} is none: "retry", "give_up" and a positive timedelta, to snooze, are'
                raise DefinitionError(problem)

    def rule_of(self, error: BaseException) -> Rule:
        """What follows an error."""
        for kind in type(error).__mro__:
            if kind in self.rules:
                return self.rules[kind]
        return "retry"

    def delay(self, attempt: int, chance: random.Random) -> timedelta:
        """What is waited behind an attempt that failed."""
        growth = 2 ** min(attempt - 1, 80)  # beyond it, any maximum is reached
        longest = self.base * growth if growth <= self.maximum / self.base else self.maximum
        return longest * chance.random()


class Handling(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A handler as registered."""

    effect: type[EffectMarker]
    function: Callable[[Any, Call], Any]
    retry: Retry
    timeout: timedelta
    concurrency: int | None
    is_ordered: bool
    on_dead: OnDead | None
    is_async: bool

    @property
    def name(self) -> str:
        """The effect's wire name."""
        return wire_name(self.effect)

    def decode(self, payload: str) -> Any:
        """The effect as it was yielded.

        Raises:
            GiveUp: it does not fit the class any more, and no attempt will change that.
        """
        try:
            return decode_value(self.effect, payload)
        except ValueError as error:  # msgspec's and pydantic's are such
            message = f"its payload does not fit {self.effect.__name__}: {error}"
            raise GiveUp(message) from error


class Handlers:
    """The handlers of an engine, by the wire names of their effects."""

    def __init__(self) -> None:
        self._handlings: dict[str, Handling] = {}

    def register(
        self,
        effect: type[EffectMarker],
        function: Callable[..., Any],
        *,
        retry: Retry,
        timeout: timedelta,
        concurrency: int | None,
        ordered: bool,
        on_dead: type[EventMarker] | EventMarker | Callable[[Any, str], EventMarker] | None,
    ) -> None:
        """Note who handles an effect.

        Raises:
            DefinitionError: it is no effect, has a handler already, or something is given that can't be meant.
        """
        if not (isinstance(effect, type) and issubclass(effect, EffectMarker)):
            problem = f"{effect!r} is no effect: name an Effect class, engine.handles(Charge)"
            raise DefinitionError(problem)
        name = wire_name(effect)
        if name in self._handlings:
            problem = f"the effect {name} has a handler already, {_place(self._handlings[name].function)}"
            raise DefinitionError(problem)
        if timeout <= timedelta(0) or (concurrency is not None and concurrency < 1):
            problem = f"the handler of {name}: its timeout is positive, and its concurrency 1 or more"
            raise DefinitionError(problem)
        _check_parameters(name, function)
        self._handlings[name] = Handling(
            effect=effect,
            function=function,
            retry=retry,
            timeout=timeout,
            concurrency=concurrency,
            is_ordered=ordered,
            on_dead=_on_dead(name, on_dead),
            is_async=is_async(function),
        )

    def __iter__(self) -> Any:
        return iter(list(self._handlings.values()))

    def __len__(self) -> int:
        return len(self._handlings)

    def get(self, name: str) -> Handling | None:
        """The handler of an effect, by its wire name."""
        return self._handlings.get(name)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    call: Any = getattr(function, "__call__", None)  # noqa: B004 - of an object with one, that is what counts
    return inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(call)


def answers_of(name: str, key: str, returned: object) -> tuple[EventMarker, ...]:
    """The events that a handler has returned.

    Raises:
        EffectFailed: it is something else.
    """
    if returned is None:
        return ()
    if isinstance(returned, EventMarker):
        return (returned,)
    if isinstance(returned, (tuple, list)):
        events = cast("Sequence[object]", returned)
        if all(isinstance(each, EventMarker) for each in events):
            return tuple(cast("Sequence[EventMarker]", events))
    problem = f"its handler returned {returned!r:.200}; it returns None, an event, or a list or tuple of events"
    raise EffectFailed(problem, effect=name, key=key)


def _check_parameters(name: str, function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(None, None)
    except ValueError:  # of something built in, which tells nothing
        return
    except TypeError as error:
        problem = f"the handler of {name}, {_place(function)}, takes an effect and its Call: {error}"
        raise DefinitionError(problem) from None


def _on_dead(name: str, given: Any) -> OnDead | None:
    if given is None:
        return None
    if isinstance(given, EventMarker):
        return _always(given)
    if not callable(given):
        problem = f"on_dead of {name} is {given!r}; it is an event, its class, or a function of effect and error"
        raise DefinitionError(problem)
    make = cast("Any", given)
    if not (isinstance(make, type) and issubclass(make, EventMarker)):
        return cast("OnDead", make)
    kind: Any = make
    try:
        return _always(kind())
    except TypeError as error:
        problem = f"on_dead of {name}: {kind.__name__} can't be made without fields ({error}); give a function"
        raise DefinitionError(problem) from None


def _always(event: EventMarker) -> OnDead:
    def make(_effect: Any, _why: str) -> EventMarker:
        return event

    return make


def _place(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"

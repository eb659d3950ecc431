"""Effect handlers that answer as a test has written down, and remember what they were asked.

A handler that is asked for more than was written down raises `Unscripted`. It is no `Exception`, so that `drain` does
not take it for a failed attempt, which would be tried again: it comes out of `drain`, into the test. In a worker of the
background nothing can come out, so it is kept until `check`, or until the block ends.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias, cast

from stateward.chart import EffectMarker, EventMarker, wire_name
from stateward.engine import AsyncEngine, Engine
from stateward.work import Call

__all__ = ["Answer", "Asked", "ScriptedHandlers", "Unscripted"]

Answer: TypeAlias = (
    EventMarker | Sequence[EventMarker] | Exception | type[Exception] | Callable[[Any, Call], Any] | None
)
"""What a handler is to do: reply, raise, run a function of the effect and its `Call`, or end without a reply."""


class Unscripted(BaseException):
    """A scripted handler was asked for more than was written down for it, or a function there gave no answer."""


class Asked(NamedTuple):
    """One attempt, as a scripted handler was asked for it."""

    effect: Any
    call: Call

    @property
    def key(self) -> str:
        """The effect's stable key."""
        return self.call.key

    @property
    def attempt(self) -> int:
        """Which attempt it is, from 1."""
        return self.call.attempt


class _Script:
    """What is written down for the effects of a type."""

    def __init__(self, name: str, answers: Sequence[Answer], always: Sequence[Answer]) -> None:
        self.name = name
        self.left = deque(answers)
        self.count = len(answers)
        self.always = always


class ScriptedHandlers:
    """Handlers for an engine, of threads or of tasks: one for each type of effects that a script is given for.

    As a context manager it checks at its end that all that was written down was asked for.
    """

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        """Take the engine in which the handlers are registered."""
        self._engine = engine
        self._scripts: dict[str, _Script] = {}
        self._asked: list[Asked] = []
        self._excess: list[str] = []
        self._lock = Lock()

    def script(self, effect: type[EffectMarker], *answers: Answer, **options: Any) -> None:
        """Write down what is answered to effects of a type, in the order in which they are asked for.

        An answer is an event or several, which are the reply; None, for the end without one; an exception, which is
        raised, `Snooze` and `GiveUp` among them; or a function of the effect and its `Call`, whose result is one.

        Args:
            effect: the class of the effect.
            answers: one for each attempt; more can be added by calling this again.
            options: `retry`, `timeout`, `on_dead` and the others of `engine.handles`, when it is first called for a
                type.

        Raises:
            TypeError: an answer is none, or options are given for a type that has its handler already.
        """
        self._write(effect, answers, (), options)

    def always(self, effect: type[EffectMarker], answer: Answer, **options: Any) -> None:
        """Answer effects of a type like this whenever nothing else is written down for them, however often."""
        self._write(effect, (), (answer,), options)

    def _write(
        self, effect: type[EffectMarker], answers: Sequence[Answer], always: Sequence[Answer], options: dict[str, Any]
    ) -> None:
        given: object = effect
        if not isinstance(given, type):
            message = f"{given!r} is no class of effects: name the class, script({type(given).__name__}, ...)"
            raise TypeError(message)
        name = wire_name(effect)
        for each in (*answers, *always):
            _check(name, each)
        with self._lock:
            known = self._scripts.get(name)
            if known is not None:
                if options:
                    message = f"{name} has its handler already: {', '.join(options)} can't be changed"
                    raise TypeError(message)
                known.left.extend(answers)
                known.count += len(answers)
                known.always = always or known.always
                return
        script = _Script(name, answers, always)

        def handler(effect: Any, call: Call) -> Any:
            return self._answer(script, effect, call)

        self._engine.handles(effect, **options)(handler)
        self._scripts[name] = script

    def _answer(self, script: _Script, effect: Any, call: Call) -> Any:
        with self._lock:
            self._asked.append(Asked(effect, call))
            if script.left:
                answer = script.left.popleft()
            elif script.always:
                [answer] = script.always
            else:
                raise self._unscripted(_excess(script, effect, call))
        if callable(answer) and not isinstance(answer, type):
            answer = answer(effect, call)
            if not _is_plain(answer):
                problem = f"the function for {script.name} of {call.kind} {call.entity} gave {answer!r}: no answer"
                with self._lock:
                    raise self._unscripted(problem)
        if isinstance(answer, (type, Exception)):
            raise cast("Exception", answer)
        return answer

    def _unscripted(self, problem: str) -> Unscripted:
        """What a test is told of, for it would be tried again as a failed attempt; the lock is held."""
        self._excess.append(problem)
        return Unscripted(problem)

    def asked(self, effect: type[EffectMarker] | None = None, *, entity: str | None = None) -> list[Asked]:
        """What was asked for, in order: all of it, or that of a type, or of an entity."""
        return [
            each
            for each in self._asked
            if (effect is None or isinstance(each.effect, effect)) and entity in (None, each.call.entity)
        ]

    def check(self) -> None:
        """See whether no more was asked for than was written down, and all of it was.

        Raises:
            AssertionError: it was not.
        """
        unasked = [_unasked(script) for script in self._scripts.values() if script.left]
        if self._excess or unasked:
            raise AssertionError("\n".join([*self._excess, *unasked]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.check()
        elif not isinstance(error, Unscripted):
            for excess in self._excess:  # what the test fails of may be a consequence
                error.add_note(excess)


def _check(name: str, answer: Any) -> None:
    """Refuse what would be no answer, where it is written down."""
    if _is_plain(answer):
        return
    is_function = callable(answer) and not isinstance(answer, type)
    if is_function and not inspect.iscoroutinefunction(answer):
        try:
            inspect.signature(answer).bind(None, None)
        except TypeError as error:
            message = f"{name} can't be answered by {answer!r}, which does not take an effect and its Call: {error}"
            raise TypeError(message) from None
        except ValueError:  # of a function that is not written in Python
            pass
        return
    what = "the coroutine function " if is_function else ""
    message = (
        f"{name} can't be answered by {what}{answer!r}: events, exceptions, functions of effect and Call, and None can "
        "be"
    )
    raise TypeError(message)


def _is_plain(answer: Any) -> bool:
    """Whether it is an answer as it stands, and no function that has to be asked for one."""
    if isinstance(answer, type):
        return issubclass(cast("type[object]", answer), Exception)
    if isinstance(answer, (tuple, list)):
        return all(isinstance(each, EventMarker) for each in cast("Sequence[object]", answer))
    return answer is None or isinstance(answer, (EventMarker, Exception))


def _excess(script: _Script, effect: Any, call: Call) -> str:
    written = f"{script.count} answer{'' if script.count == 1 else 's'}"
    return (
        f"{script.name} of {call.kind} {call.entity} was asked for once more than the script has answers ({written}): "
        f"{effect!r}, attempt {call.attempt}, key {call.key}"
    )


def _unasked(script: _Script) -> str:
    left = ", ".join(getattr(each, "__name__", repr(each)) for each in script.left)
    return f"{script.name} was asked for {script.count - len(script.left)} times, and never for: {left}"

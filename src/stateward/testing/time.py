"""Time that goes by for an engine: the clock is moved from one moment at which something is due to the next.

What fails is due again after its delay, what a transition sets runs out at its time, and each happens at its own
moment, as it would with a worker beside it and nobody in a hurry.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import NamedTuple

from stateward.engine import AsyncEngine, Engine
from stateward.testing.clock import Clock
from stateward.work.operating import PendingEffect, RunningTimer

__all__ = ["pass_time", "pass_time_async", "run_to_rest", "run_to_rest_async"]

STOPS_MAX = 1000
"""Moments at which the clock stops, after which an engine counts as one that never comes to rest."""
WITHIN = timedelta(days=366)


class _Waiting(NamedTuple):
    """What is there to be done when all that was due has been."""

    effects: list[PendingEffect]
    timers: list[RunningTimer]
    handled: tuple[str, ...]

    def next_after(self, now: datetime) -> datetime | None:
        """The next moment at which something is due."""
        moments = [each.next_attempt for each in self.effects if each.next_attempt is not None]
        moments += [each.due_at for each in self.timers]
        return min((each for each in moments if each > now), default=None)

    def __str__(self) -> str:
        return "\n".join(
            [
                *(
                    f"  {each.effect} of {each.kind} {each.entity}, {each.attempts} attempts"
                    + (f", the last failed of {each.last_error}" if each.last_error else "")
                    + ("" if each.effect in self.handled else ": nobody handles it")
                    for each in self.effects
                ),
                *(f"  {each.name} of {each.kind} {each.entity}, due at {each.due_at}" for each in self.timers),
            ]
        )


_Course = Generator[None, _Waiting, None]
"""Moves a clock; at each yield what is due is to be done, and what waits then is to be sent in."""


def pass_time(engine: Engine, clock: Clock, by: timedelta) -> None:
    """Do what is due, let time go by, and do on the way whatever becomes due, each thing at its own moment.

    Args:
        engine: the engine; its clock is `clock`.
        clock: the time.
        by: how much of it.

    Raises:
        AssertionError: more becomes due on the way than a thousand times can be done.
        ValueError: the engine has another clock, or `by` is negative.
    """
    _check_engine(engine, clock, Engine)
    _follow(engine, _passing(clock, by))


async def pass_time_async(engine: AsyncEngine, clock: Clock, by: timedelta) -> None:
    """As `pass_time`, for an engine of tasks."""
    _check_engine(engine, clock, AsyncEngine)
    await _follow_async(engine, _passing(clock, by))


def run_to_rest(engine: Engine, clock: Clock, *, within: timedelta = WITHIN) -> None:
    """Do what is due, and move the clock to what is due next, until nothing is left to be done and no timer runs.

    Reconciliations ask at each moment at which the clock stops, and are not waited for.

    Args:
        engine: the engine; its clock is `clock`.
        clock: the time.
        within: how much time may go by.

    Raises:
        AssertionError: something is left that is never done, since nobody handles it or it is paused, or since the
            engine does not come to rest; the text says what.
        ValueError: the engine has another clock.
    """
    _check_engine(engine, clock, Engine)
    _follow(engine, _resting(clock, within))


async def run_to_rest_async(engine: AsyncEngine, clock: Clock, *, within: timedelta = WITHIN) -> None:
    """As `run_to_rest`, for an engine of tasks."""
    _check_engine(engine, clock, AsyncEngine)
    await _follow_async(engine, _resting(clock, within))


def _check_engine(engine: Engine | AsyncEngine, clock: Clock, kind: type[Engine] | type[AsyncEngine]) -> None:
    """See whether time can go by for an engine: another clock would be moved for nothing, and the test see nothing.

    Raises:
        TypeError: it is the other kind of engine.
        ValueError: it has another clock.
    """
    if not isinstance(engine, kind):
        ending = "the functions whose names end in _async are for that" if kind is Engine else "no _async is for that"
        message = f"this is for {kind.__name__}, and it was given {type(engine).__name__}: {ending}"
        raise TypeError(message)
    if engine.clock is not clock:
        message = f"the engine has another clock than {clock!r}: make it with clock=clock"
        raise ValueError(message)


def _passing(clock: Clock, by: timedelta) -> _Course:
    if by < timedelta(0):
        message = f"time does not go back, by {by}"
        raise ValueError(message)
    end = clock.now + by
    waiting = yield
    for _ in range(STOPS_MAX):
        following = waiting.next_after(clock.now)
        if following is None or following > end:
            break
        clock.move(following - clock.now)
        waiting = yield
    else:
        message = f"{by} are not over after {STOPS_MAX} moments at which something was due; at {clock.now} there waits:"
        raise AssertionError(f"{message}\n{waiting}")
    if clock.now < end:
        clock.move(end - clock.now)
        yield


def _resting(clock: Clock, within: timedelta) -> _Course:
    end = clock.now + within
    waiting = yield
    for _ in range(STOPS_MAX):
        following = waiting.next_after(clock.now)
        if following is None:
            if waiting.effects or waiting.timers:
                message = f"what is left at {clock.now} is not done, however long one waits:"
                raise AssertionError(f"{message}\n{waiting}")
            return
        if following > end:
            message = f"there is no rest within {within}; at {clock.now} there waits:"
            raise AssertionError(f"{message}\n{waiting}")
        clock.move(following - clock.now)
        waiting = yield
    message = f"there is no rest after {STOPS_MAX} moments at which something was due; at {clock.now} there waits:"
    raise AssertionError(f"{message}\n{waiting}")


def _follow(engine: Engine, course: _Course) -> None:
    next(course)
    while True:
        engine.drain()
        try:
            course.send(_look(engine))
        except StopIteration:
            return


async def _follow_async(engine: AsyncEngine, course: _Course) -> None:
    next(course)
    while True:
        await engine.drain()
        try:
            course.send(await _look_async(engine))
        except StopIteration:
            return


def _look(engine: Engine) -> _Waiting:
    waiting = _Waiting([], [], engine.handled)
    for chart in {each.kind: each for each in engine.charts}.values():
        waiting.timers.extend(engine.timers(chart))
        for entity in engine.list(chart):
            waiting.effects.extend(engine.pending(chart, entity.id))
    return waiting


async def _look_async(engine: AsyncEngine) -> _Waiting:
    waiting = _Waiting([], [], engine.handled)
    for chart in {each.kind: each for each in engine.charts}.values():
        waiting.timers.extend([each async for each in engine.timers(chart)])
        async for entity in engine.list(chart):
            waiting.effects.extend(await engine.pending(chart, entity.id))
    return waiting

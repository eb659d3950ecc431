"""A lifecycle with one of each thing that can be declared, for whatever shows or writes charts."""

from __future__ import annotations

from datetime import timedelta

from stateward import Composite, Context, Event, Final, Lifecycle, Parallel, State, after, always, done, nested, on

__all__ = ["EverythingLifecycle", "Go", "Job", "Note", "Stop"]


class Go(Event):
    pass


class Stop(Event):
    pass


class Note(Event):
    text: str = ""


class Job(Context):
    tries: int = 0


def is_ready(job: Job, event: Event) -> bool:
    return job.tries > 0


def is_noted(job: Job, event: Note) -> bool:
    return bool(event.text)


def count(job: Job, event: Event) -> Job:
    return job.replace(tries=job.tries + 1)


def patience(job: Job) -> timedelta:
    return timedelta(minutes=job.tries)


def outcome(job: Job, event: Event) -> int:
    return job.tries


class EverythingLifecycle(Lifecycle[Job]):
    """One of each thing that can be drawn."""

    idle = State(initial=True, entry=count, exit=(count, count))

    @nested(entry=count)
    class busy(Parallel):
        class left(Composite):
            first = State(initial=True)

            class second(Composite):
                inner = State(initial=True)
                ready = Final(data=outcome)

            left_over = Final()
            step = on(Go, first.to(second))
            leap = on(Note, second.to(left_over, when=is_noted))
            leave = done(second.to(left_over))

        class right(Composite):
            slow = State(initial=True)
            quick = State()
            right_over = Final()
            speed_up = on(Go, slow.to(quick, when=is_ready, do=count), quick.to(right_over))

        third = State()

    class looping(Composite):
        odd = State(initial=True)
        even = State()
        flip = on(Go, odd.to(even), even.to(odd))

    halted = Final()

    begin = on(Go, idle.to(busy.left.second, busy.right.quick, when=is_ready, do=count), idle.to(busy))
    take_note = on(Note, idle.stay(when=is_noted, do=count), looping.stay(do=count))
    wait = after(timedelta(days=1, hours=2), idle.to(looping))
    tire = after(patience, looping.to(halted))
    hurry = always(looping.odd.to(halted, when=is_ready))
    rewind = on(Stop, busy.left.second.inner.to(busy), looping.to(looping.even, internal=True), looping.to(looping))
    back = on(Stop, idle.to(busy.history(deep=True)))
    back_there = on(Stop, idle.to(busy.left.history(default=busy.left.left_over), when=is_ready))
    finish = done(busy.to(halted, do=count))

"""A lifecycle that asks for what a test names, and notes what it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from stateward import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on

__all__ = [
    "Ask",
    "Broken",
    "Closed",
    "Egg",
    "EggLifecycle",
    "Gone",
    "Job",
    "JobLifecycle",
    "Loose",
    "Other",
    "Task",
    "Told",
    "Unwelcome",
]


class Task(Effect):
    """Done in its order."""

    name: str = ""


class Other(Effect):
    """Done in its order, by another handler."""

    name: str = ""


class Loose(Effect):
    """Registered as one that may overtake."""

    name: str = ""


class Ask(Event):
    """Ask for effects: `task:a`, `other:b`, `loose:c`."""

    what: tuple[str, ...] = ()


class Told(Event):
    """What a handler replies; it may ask for more."""

    what: str = ""
    then: tuple[str, ...] = ()


class Gone(Event):
    """What the lifecycle is told of a dead letter."""

    why: str = "gone"


class Broken(Event):
    """A reply whose action raises."""


class Unwelcome(Event):
    """A reply that is refused."""


class Closed(Event):
    pass


class Job(Context):
    trail: tuple[str, ...] = ()


EFFECTS: dict[str, Callable[..., Effect]] = {"task": Task, "other": Other, "loose": Loose}


def effects_of(names: tuple[str, ...]) -> list[Effect]:
    made: list[Effect] = []
    for each in names:
        kind, _, name = each.partition(":")
        made.append(EFFECTS[kind](name=name))
    return made


def ask(job: Job, event: Ask) -> Actions[Job]:
    yield from effects_of(event.what)
    return job


def note(job: Job, event: Told) -> Actions[Job]:
    yield from effects_of(event.then)
    return job.replace(trail=(*job.trail, event.what))


def note_gone(job: Job, event: Gone) -> Job:
    return job.replace(trail=(*job.trail, event.why))


def breaks(job: Job, event: Broken) -> Job:
    raise ValueError("broken")


def never(job: Job, event: Event) -> bool:
    return False


class JobLifecycle(Lifecycle[Job]):
    """A job that is open until it is closed."""

    version = 1

    at_work = State(initial=True)
    closed = Final()

    asked = on(Ask, at_work.stay(do=ask))
    told = on(Told, at_work.stay(do=note))
    gone = on(Gone, at_work.stay(do=note_gone))
    broken = on(Broken, at_work.stay(do=breaks))
    closing = on(Closed, at_work.to(closed))
    unwelcome = on(Unwelcome, at_work.to(closed), when=never)


class Egg(Context):
    pass


class EggLifecycle(Lifecycle[Egg]):
    """Boils for a minute."""

    version = 1

    boiling = State(initial=True)
    hard = Final()

    ready = after(timedelta(minutes=1), boiling.to(hard))

"""What is moved here: tasks whose event asks for one effect, jobs that ask when they are created, and reminders.

Effects, handlers and contexts are empty but for what tells one from the other: what is measured is the work itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from stateward import Actions, Call, Context, Effect, Event, Final, Lifecycle, Refusal, State, after, on
from stateward.engine import Creating, Engine, Sending

__all__ = [
    "BATCH",
    "HANDLER_FORMS",
    "LIFECYCLES",
    "Begin",
    "Begun",
    "Job",
    "JobLifecycle",
    "Reminder",
    "ReminderLifecycle",
    "RepliedLifecycle",
    "Task",
    "TaskLifecycle",
    "begin_all",
    "check_all",
    "create_tasks",
    "register",
]

BATCH = 500


class Task(Context):
    n: int = 0


class Begin(Event):
    n: int = 0


class Work(Effect):
    """Whose handler gives no answer: the effect is done when its row is deleted."""

    n: int


class Ask(Effect):
    """Whose handler answers with an event: its transition and the end of the effect are one commit."""

    n: int


class Begun(Event):
    pass


def ask_for_work(task: Task, event: Begin) -> Actions[Task]:
    yield Work(n=event.n)
    return task


def ask_for_answer(task: Task, event: Begin) -> Actions[Task]:
    yield Ask(n=event.n)
    return task


class TaskLifecycle(Lifecycle[Task]):
    ready = State(initial=True)
    begun = Final()
    begin = on(Begin, ready.to(begun, do=ask_for_work))


class RepliedLifecycle(Lifecycle[Task]):
    ready = State(initial=True)
    asking = State()
    begun = Final()
    begin = on(Begin, ready.to(asking, do=ask_for_answer))
    answer = on(Begun, asking.to(begun))


class Job(Context):
    name: str


class Perform(Effect):
    name: str


class Done(Event):
    pass


def perform(job: Job, event: Event) -> Actions[Job]:
    yield Perform(name=job.name)
    return job


class JobLifecycle(Lifecycle[Job]):
    """Created when it is enqueued, and kept as done, as the peers' jobs are."""

    enqueued = State(initial=True, entry=perform)
    done = Final()
    finish = on(Done, enqueued.to(done))


class Reminder(Context):
    pass


class ReminderLifecycle(Lifecycle[Reminder]):
    waiting = State(initial=True)
    expired = Final()
    expire = after(timedelta(hours=1), waiting.to(expired))


LIFECYCLES = (TaskLifecycle, RepliedLifecycle)

HANDLER_FORMS = ("function", "coroutine")


def register(engine: Engine, form: str, note: Callable[[int], object] | None = None) -> None:
    """Handlers of `Work` and `Ask` that do nothing but note, if told to, which effect it is that they begin with."""

    def work(effect: Work, call: Call) -> None:
        if note is not None:
            note(effect.n)

    async def work_as_task(effect: Work, call: Call) -> None:
        if note is not None:
            note(effect.n)

    def ask(effect: Ask, call: Call) -> Begun:
        return Begun()

    async def ask_as_task(effect: Ask, call: Call) -> Begun:
        return Begun()

    engine.handles(Work)(work if form == "function" else work_as_task)
    engine.handles(Ask)(ask if form == "function" else ask_as_task)


def create_tasks(engine: Engine, lifecycle: type[Lifecycle[Any]], names: Sequence[str]) -> None:
    check_all(
        engine.create_many(
            [Creating(lifecycle=lifecycle, entity=name, context=Task(), actor="bench:1") for name in names]
        )
    )


def begin_all(engine: Engine, lifecycle: type[Lifecycle[Any]], names: Sequence[str]) -> None:
    """Each its event, `BATCH` at a time; the n-th effect says so."""
    sendings = [
        Sending(lifecycle=lifecycle, entity=name, event=Begin(n=n), actor="bench:1", key="begin")
        for n, name in enumerate(names)
    ]
    for first in range(0, len(sendings), BATCH):
        check_all(engine.send_many(sendings[first : first + BATCH]))


def check_all(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, (Refusal, Exception)):
            message = f"an event was not applied: {answer}"
            raise RuntimeError(message)

"""One way of driving all four machines, and the small lifecycle that most of these tests run.

`Driver` hides that a ChannelMachine needs a loop: everything runs in the calling thread, so that a test of
what is the same for every machine is written once, without `await`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from stateward import (
    ChannelMachine,
    Chart,
    Context,
    ContextMarker,
    Event,
    EventMarker,
    Final,
    Lifecycle,
    Machine,
    Meta,
    MutexMachine,
    Refusal,
    Snapshot,
    State,
    Step,
    SwapMachine,
    on,
)
from stateward.machine import Listener

__all__ = [
    "KINDS",
    "PATIENCE_S",
    "Add",
    "AnyMachine",
    "Close",
    "Driver",
    "Kind",
    "Tally",
    "TallyLifecycle",
    "beside",
    "in_thread",
    "is_consistent",
]

C = TypeVar("C", bound=ContextMarker)
T = TypeVar("T")

AnyMachine = Machine[C] | MutexMachine[C] | SwapMachine[C] | ChannelMachine[C]
Kind = type[Machine[Any]] | type[MutexMachine[Any]] | type[SwapMachine[Any]] | type[ChannelMachine[Any]]

KINDS: list[Kind] = [Machine, MutexMachine, SwapMachine, ChannelMachine]

PATIENCE_S = 30.0
"""How long a test waits for what must happen, before it says that it does not."""


class Tally(Context):
    """Which events were applied, in order."""

    ids: tuple[int, ...] = ()


class Add(Event):
    """Write an id down; each is sent once."""

    id: int


class Close(Event):
    """Take no more."""


def add_id(context: Tally, event: Add) -> Tally:
    return Tally((*context.ids, event.id))


class TallyLifecycle(Lifecycle[Tally]):
    """The state says whether the number of ids is even: a half-moved machine would contradict itself."""

    even = State(initial=True)
    odd = State()
    closed = Final()

    add = on(Add, even.to(odd), odd.to(even), do=add_id)
    close = on(Close, (even | odd).to(closed))


def is_consistent(snapshot: Snapshot[Tally]) -> bool:
    """Whether state and context belong together."""
    return snapshot.state == ("odd" if len(snapshot.context.ids) % 2 else "even")


class Driver(Generic[C]):
    """A machine and, if it needs one, a loop that runs while something is sent."""

    def __init__(self, machine: AnyMachine[C]) -> None:
        self.machine = machine
        self._runner: asyncio.Runner | None = None

    @classmethod
    def start(
        cls,
        kind: Kind,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        listeners: Iterable[Listener[C]] = (),
    ) -> Driver[C]:
        return cls(kind(lifecycle, context, listeners=listeners))

    def __enter__(self) -> Self:
        if isinstance(self.machine, ChannelMachine):
            self._runner = asyncio.Runner()
            self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self.machine, ChannelMachine) and self._runner is not None:
            self._runner.run(self.machine.stop())
            self._runner.close()

    def mend(self) -> None:
        """Give a ChannelMachine an owning task, if it has none."""
        if isinstance(self.machine, ChannelMachine) and self._runner is not None:
            self._runner.run(self.machine.stop())
            self._runner.run(self.machine.__aenter__())

    def attempt(self, event: EventMarker, meta: Meta | None = None) -> Step[C] | Refusal:
        """What `attempt` gives; raises what it raises, KeyboardInterrupt and its like included."""
        if isinstance(self.machine, ChannelMachine):
            return self._run(self.machine.attempt(event, meta or Meta()))
        return self.machine.attempt(event, meta or Meta())

    def send(self, event: EventMarker, meta: Meta | None = None) -> Step[C]:
        """What `send` gives, likewise."""
        if isinstance(self.machine, ChannelMachine):
            return self._run(self.machine.send(event, meta or Meta()))
        return self.machine.send(event, meta or Meta())

    def _run(self, sending: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None
        answers: list[T] = []
        errors: list[BaseException] = []

        async def ask() -> None:
            try:
                answers.append(await sending)
            except BaseException as error:
                errors.append(error)

        # An interrupt goes through here; the coroutine is answered when the loop runs again.
        self._runner.run(ask())
        if errors:
            raise errors[0]
        return answers[0]


def beside(function: Callable[..., T], *arguments: Any, **options: Any) -> asyncio.Future[T]:
    """What a function returns in a thread of its own, to be awaited; `asyncio.to_thread` waits for ever if it hangs."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            result = function(*arguments, **options)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(future)


def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """What a function returns in a thread of its own; raises what it raises, or that it hangs."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function(*arguments))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), f"{function} hangs"
    if errors:
        raise errors[0]
    return results[0]

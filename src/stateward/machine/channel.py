"""A machine owned by one task, which takes events from a bounded channel.

The owner is the only one to step the machine, so nothing is locked and steps have one order. Callers in any
task of the loop, or in any thread, put their event into the channel and wait for the answer; when the channel
is full they wait for room. A caller that gives up while its event is still queued takes it back; one whose
event has been taken by the owner has had it applied, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from threading import get_ident
from types import TracebackType
from typing import Any, Self, TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta
from stateward.errors import MachineBusy, MachineStopped, Refusal, Refused
from stateward.kernel import Step, advance
from stateward.kernel.step import NO_META
from stateward.machine.single import Listener, MachineBase

__all__ = ["ChannelMachine"]

C = TypeVar("C", bound=ContextMarker)

_Answer = asyncio.Future[Any]
_Item = tuple[EventMarker, Meta, _Answer | None]

_log = logging.getLogger("stateward.machine")


class ChannelMachine(MachineBase[C]):
    """A machine whose events one task applies, in the order in which they entered its channel.

    Use it as an asynchronous context manager: entering starts the owning task, leaving handles what is still
    queued and ends it. Reading needs no channel: state and context are one immutable snapshot.
    """

    __slots__ = ("_capacity", "_channel", "_is_stopping", "_loop", "_on_failure", "_owner", "_stepping")

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        capacity: int = 1024,
        on_failure: Callable[[EventMarker, Refusal | Exception], object] | None = None,
        meta: Meta = NO_META,
        listeners: Iterable[Listener[C]] = (),
    ) -> None:
        """Start an instance; its owning task starts with `async with`.

        Args:
            lifecycle: the lifecycle class, or a chart.
            context: its first context.
            capacity: how many events may wait before callers do.
            on_failure: told of an event that was put without waiting, and was refused or failed; the log
                is told if this is not given.
            meta: what entry handlers of the start may know.
            listeners: called in the owning task with each Step.
        """
        self._prepare(capacity, on_failure)
        super().__init__(lifecycle, context, meta=meta, listeners=listeners)

    def _prepare(
        self,
        capacity: int = 1024,
        on_failure: Callable[[EventMarker, Refusal | Exception], object] | None = None,
    ) -> None:
        self._capacity = capacity
        self._on_failure = on_failure
        self._channel: asyncio.Queue[_Item | None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._owner: asyncio.Task[None] | None = None
        self._stepping = 0
        self._is_stopping = False

    # Its life.

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._channel = asyncio.Queue(self._capacity)
        self._is_stopping = False
        self._owner = asyncio.create_task(self._own(self._channel), name=f"owner of {self!r}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Take no more events, apply those that wait in the channel, and end the owning task. Twice is safe."""
        self._is_stopping = True
        owner, channel = self._owner, self._channel
        if owner is None or channel is None:
            return
        if not owner.done():
            await channel.put(None)
        await asyncio.wait([owner])
        self._owner = None

    # Sending.

    async def send(self, event: EventMarker, meta: Meta = NO_META) -> Step[C]:
        """Apply an event through the owning task and wait for its Step.

        Cancelling the wait takes the event back if the owner has not taken it yet.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            MachineStopped: the owning task does not run; the event was not applied.
        """
        answer = await self.attempt(event, meta)
        if type(answer) is Refusal:
            raise Refused(answer)
        return answer

    async def attempt(self, event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
        """As `send`, with a refusal by value."""
        future: asyncio.Future[Step[C] | Refusal] = asyncio.get_running_loop().create_future()
        await self._put(event, meta, future)
        return await future

    async def put(self, event: EventMarker, meta: Meta = NO_META) -> None:
        """Leave an event in the channel without waiting for its Step; waits only for room.

        Raises:
            MachineStopped: the owning task does not run; the event will not be applied.
        """
        await self._put(event, meta, None)

    def send_from_thread(self, event: EventMarker, meta: Meta = NO_META, *, timeout_s: float | None = None) -> Step[C]:
        """`send` for callers in other threads; blocks until the owning task has answered.

        Args:
            event: what happened.
            meta: what handlers may know beside it.
            timeout_s: seconds to wait; after that the event is taken back if it still waits.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            MachineStopped: the owning task does not run; the event was not applied.
            MachineBusy: called in the owning task's own thread, which would wait for itself.
            TimeoutError: no answer in time; the event was not applied, or is being applied now.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            raise MachineStopped(lifecycle=self.chart.kind, event=event.trigger_label())
        if asyncio._get_running_loop() is loop:
            raise MachineBusy(lifecycle=self.chart.kind, event=event.trigger_label())
        waiting = asyncio.run_coroutine_threadsafe(self.send(event, meta), loop)
        try:
            return waiting.result(timeout_s)
        except TimeoutError:
            waiting.cancel()
            raise

    async def _put(self, event: EventMarker, meta: Meta, answer: _Answer | None) -> None:
        if self._stepping == get_ident():
            raise MachineBusy(lifecycle=self.chart.kind, event=event.trigger_label())
        owner, channel = self._owner, self._channel
        if owner is None or channel is None or owner.done() or self._is_stopping:
            raise MachineStopped(lifecycle=self.chart.kind, event=event.trigger_label())
        await channel.put((event, meta, answer))
        if owner.done():
            # It ended while this caller waited for room: nobody else will look into the channel.
            self._fail_queued(channel)

    # The owning task.

    async def _own(self, channel: asyncio.Queue[_Item | None]) -> None:
        try:
            while (item := await channel.get()) is not None:
                self._apply(*item)
        finally:
            self._fail_queued(channel)

    def _apply(self, event: EventMarker, meta: Meta, answer: _Answer | None) -> None:
        if answer is not None and answer.done():
            return  # taken back by its caller
        self._stepping = get_ident()
        try:
            result = advance(self._snapshot, event, meta)
            if type(result) is Step:
                self._snapshot = result.snapshot
                if self._listeners:
                    self._tell(result)
        except Exception as error:
            self._report(event, answer, error)
        except BaseException:
            if answer is not None and not answer.done():
                answer.set_exception(MachineStopped(lifecycle=self.chart.kind, event=event.trigger_label()))
            raise
        else:
            if answer is not None:
                _settle(answer, result)
            elif type(result) is Refusal:
                self._report(event, None, result)
        finally:
            self._stepping = 0

    def _report(self, event: EventMarker, answer: _Answer | None, problem: Refusal | Exception) -> None:
        if answer is not None:
            assert isinstance(problem, Exception)
            answer.set_exception(problem)
        elif self._on_failure is None:
            _log.error("%s: an event that nobody waits for was not applied: %s", self.chart.kind, problem)
        else:
            try:
                self._on_failure(event, problem)
            except Exception:
                _log.exception("%s: on_failure raised", self.chart.kind)

    def _fail_queued(self, channel: asyncio.Queue[_Item | None]) -> None:
        """Tell everybody whose event was not reached."""
        while not channel.empty():
            item = channel.get_nowait()
            if item is None:
                continue
            event, _, answer = item
            stopped = MachineStopped(lifecycle=self.chart.kind, event=event.trigger_label())
            if answer is None:
                self._report(event, None, stopped)
            elif not answer.done():
                answer.set_exception(stopped)


def _settle(answer: _Answer, result: object) -> None:
    """Set a result; the caller can't have gone in between, since the owner has not awaited anything."""
    if not answer.done():
        answer.set_result(result)

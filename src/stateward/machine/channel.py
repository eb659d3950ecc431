"""A machine owned by one task, which takes events from a bounded channel.

The owner is the only one to step the machine, so nothing is locked and steps have one order. Callers in any
task of the loop, or in any thread, put their event into the channel and wait for the answer; when the channel
is full they wait for room.

Each event is settled once. Until the owner takes it, its caller may take it back, by being cancelled or by a
timeout; from then on it is applied or refused, whether anybody still waits for the answer or not. What the
owner never comes to is answered with `MachineStopped`, whatever has ended the owner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from threading import Lock, get_ident
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta
from stateward.errors import MachineStopped, Refusal, Refused
from stateward.kernel import Snapshot, Step, advance
from stateward.kernel.step import NO_META
from stateward.machine.single import Listener, MachineBase

__all__ = ["CAPACITY", "ChannelMachine"]

C = TypeVar("C", bound=ContextMarker)

CAPACITY = 1024
"""How many events may wait in a channel, unless its machine says otherwise."""

_Answer = asyncio.Future[Any] | Future[Any]
"""Where the caller waits: a task's future, or a thread's."""
_Item = tuple[EventMarker, Meta, _Answer | None]
_OnFailure = Callable[[EventMarker, Refusal | Exception], object]

_log = logging.getLogger("stateward.machine")


class _Channel:
    """What one `async with` brings into being: the queue, the task that empties it, and who waits in threads."""

    __slots__ = ("gate", "is_closed", "is_stopping", "late", "loop", "owner", "queue", "thread", "threads", "waiting")

    def __init__(self, capacity: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.thread = get_ident()
        self.queue: asyncio.Queue[_Item | None] = asyncio.Queue(capacity)
        self.owner: asyncio.Task[None] | None = None
        self.waiting = 0
        """How many callers wait for room; they are let in before the owner ends."""
        self.is_stopping = False
        """Nobody new comes in."""
        self.is_closed = False
        """The owner has ended: nobody looks into the queue any more."""
        self.gate = Lock()
        """Held while a thread comes in and while the channel closes, so that neither overlooks the other."""
        self.threads: dict[Future[Any], EventMarker] = {}
        """The answers that threads wait for."""
        self.late: set[asyncio.Task[bool]] = set()
        """Tasks that wait for room on behalf of threads."""

    def offer(self, item: _Item) -> bool:
        """Put an item into the queue; False if there is no room."""
        try:
            self.queue.put_nowait(item)
        except asyncio.QueueFull:
            return False
        return True

    async def wait_for_room(self, item: _Item) -> bool:
        """Put an item into the queue as soon as there is room; False if the owner has ended instead."""
        self.waiting += 1
        try:
            await self.queue.put(item)
            if self.is_closed:
                self.queue.get_nowait()  # it again; taking it out lets the next one in, to learn the same
                return False
            return True
        finally:
            self.waiting -= 1
            self.nudge()

    def nudge(self) -> None:
        """Wake the owner if it has nothing to wait for any more."""
        if self.is_stopping and not self.is_closed and self.queue.empty():
            self.queue.put_nowait(None)

    @property
    def is_done(self) -> bool:
        """Whether the owner may end."""
        return self.is_stopping and not self.waiting and self.queue.empty()


class ChannelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine's channel holds now."""

    is_running: bool
    """Whether its owning task takes events."""
    queued: int
    """Events that wait to be applied."""
    waiting: int
    """Callers that wait for room."""


class ChannelMachine(MachineBase[C]):
    """A machine whose events one task applies, in the order in which they entered its channel.

    Use it as an asynchronous context manager: entering starts the owning task, leaving handles what was sent
    before and ends it; it may be entered again, in another loop too. Reading needs no channel: state and
    context are one immutable snapshot.

    A `BaseException` from a handler or a listener (KeyboardInterrupt, SystemExit) ends the owning task. The
    machine is where it was before that event or where it is after it, and may be entered again.
    """

    __slots__ = ("_capacity", "_channel", "_is_stepping", "_on_failure")

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        capacity: int = CAPACITY,
        on_failure: _OnFailure | None = None,
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

    def statistics(self) -> ChannelStatistics:
        """What its channel holds now."""
        channel = self._channel
        if channel is None or channel.is_closed:
            return ChannelStatistics(is_running=False, queued=0, waiting=0)
        return ChannelStatistics(is_running=True, queued=channel.queue.qsize(), waiting=channel.waiting)

    @classmethod
    def restore(
        cls,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        snapshot: Snapshot[C],
        *,
        capacity: int = CAPACITY,
        on_failure: _OnFailure | None = None,
        listeners: Iterable[Listener[C]] = (),
    ) -> Self:
        """A machine that goes on from a snapshot; no entry handler runs again.

        Raises:
            SnapshotInvalid: the snapshot belongs to another chart, or its context to another class.
        """
        machine = super().restore(lifecycle, snapshot, listeners=listeners)
        machine._prepare(capacity, on_failure)
        return machine

    def _prepare(self, capacity: int = CAPACITY, on_failure: _OnFailure | None = None) -> None:
        if capacity < 1:
            message = f"a capacity of {capacity} lets nothing in; give one of at least 1"
            raise ValueError(message)
        self._capacity = capacity
        self._on_failure = on_failure
        self._channel: _Channel | None = None
        self._is_stepping = False

    # Its life.

    async def __aenter__(self) -> Self:
        """Start the owning task.

        Raises:
            RuntimeError: it runs already.
        """
        former = self._channel
        if former is not None and not former.is_closed and not former.loop.is_closed():
            message = f"{self!r} has an owning task already"
            raise RuntimeError(message)
        channel = self._channel = _Channel(self._capacity)
        channel.owner = asyncio.create_task(self._own(channel), name=f"owner of {self!r}")
        channel.owner.add_done_callback(partial(self._see_off, channel))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Take no more events, apply those sent before, and end the owning task. Twice is safe.

        Raises:
            RuntimeError: called in another event loop than that of the owning task.
        """
        channel = self._channel
        if channel is None or channel.owner is None or channel.is_closed:
            return
        self._check_loop(channel)
        channel.is_stopping = True
        channel.nudge()
        if not channel.owner.done():
            await asyncio.wait([channel.owner])
        self._close(channel)

    # Sending.

    async def send(self, event: EventMarker, meta: Meta = NO_META) -> Step[C]:
        """Apply an event through the owning task and wait for its Step.

        Cancelling the wait takes the event back if the owner has not taken it yet.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            MachineStopped: the owning task does not run; the event was not applied.
            MachineBusy: sent from inside a guard, an action or a listener of this machine.
            RuntimeError: called in another event loop than that of the owning task.
        """
        answer = await self.attempt(event, meta)
        if type(answer) is Refusal:
            raise Refused(answer)
        return answer

    async def attempt(self, event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
        """As `send`, with a refusal by value."""
        channel = self._enter(event)
        answer: asyncio.Future[Step[C] | Refusal] = channel.loop.create_future()
        item = (event, meta, answer)
        if not channel.offer(item) and not await channel.wait_for_room(item):
            raise self._stopped(event)
        return await answer

    async def put(self, event: EventMarker, meta: Meta = NO_META) -> None:
        """Leave an event in the channel without waiting for its Step; waits only for room.

        Raises:
            MachineStopped: the owning task does not run; the event will not be applied.
            MachineBusy: put from inside a guard, an action or a listener of this machine.
            RuntimeError: called in another event loop than that of the owning task.
        """
        channel = self._enter(event)
        item = (event, meta, None)
        if not channel.offer(item) and not await channel.wait_for_room(item):
            raise self._stopped(event)

    def send_from_thread(self, event: EventMarker, meta: Meta = NO_META, *, timeout_s: float | None = None) -> Step[C]:
        """`send` for callers in other threads; blocks until the owning task has answered.

        Args:
            event: what happened.
            meta: what handlers may know beside it.
            timeout_s: seconds to wait until the event is taken back; a step that has begun is waited for.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            MachineStopped: the owning task does not run; the event was not applied.
            MachineBusy: called in the owning task's own thread, which would wait for itself.
            TimeoutError: the owning task did not come to it in time; the event was not applied.
        """
        channel = self._running(event)
        if channel.thread == get_ident():
            raise self._busy(event)
        answer: Future[Step[C] | Refusal] = Future()
        try:
            self._enter_from_thread(channel, (event, meta, answer), answer)
            try:
                result = answer.result(timeout_s)
            except TimeoutError:
                if answer.cancel():
                    raise
                result = answer.result()  # the owner was faster
        finally:
            answer.cancel()  # an interrupt takes it back too
            with channel.gate:
                channel.threads.pop(answer, None)
        if type(result) is Refusal:
            raise Refused(result)
        return result

    def _running(self, event: EventMarker) -> _Channel:
        """The channel, if it takes events."""
        if not isinstance(event, EventMarker):
            message = f"{event!r} is no event: send an instance of an Event class"
            raise TypeError(message)
        channel = self._channel
        if channel is None or channel.is_stopping or channel.is_closed:
            raise self._stopped(event)
        return channel

    def _enter(self, event: EventMarker) -> _Channel:
        """The channel, if it takes events from this task now."""
        channel = self._running(event)
        self._check_loop(channel)
        if self._is_stepping:  # a coroutine driven by hand, by what the owner is running
            raise self._busy(event)
        return channel

    def _check_loop(self, channel: _Channel) -> None:
        if asyncio.get_running_loop() is not channel.loop:
            message = f"{self!r} is owned by a task of another event loop; there is send_from_thread"
            raise RuntimeError(message)

    def _enter_from_thread(self, channel: _Channel, item: _Item, answer: Future[Any]) -> None:
        with channel.gate:
            if channel.is_stopping or channel.is_closed:
                raise self._stopped(item[0])
            try:
                channel.loop.call_soon_threadsafe(self._let_in, channel, item)
            except RuntimeError as error:  # the loop was closed with the owner in it
                raise self._stopped(item[0]) from error
            channel.threads[answer] = item[0]

    def _let_in(self, channel: _Channel, item: _Item) -> None:
        """Put a thread's event into the queue, in the loop's own thread."""
        if not channel.is_closed and not channel.offer(item):
            task = channel.loop.create_task(channel.wait_for_room(item))
            channel.late.add(task)
            task.add_done_callback(channel.late.discard)

    # The owning task.

    async def _own(self, channel: _Channel) -> None:
        try:
            while not channel.is_done:
                item = await channel.queue.get()
                if item is not None:
                    self._apply(*item)
        finally:
            self._close(channel)

    def _apply(self, event: EventMarker, meta: Meta, answer: _Answer | None) -> None:
        """The event's one step, and its answer."""
        if answer is not None and not _claim(answer):
            return  # taken back by its caller
        result: Step[C] | Refusal | Exception | None = None
        try:
            self._is_stepping = True
            result = advance(self._snapshot, event, meta)
            if type(result) is Step:
                self._snapshot = result.snapshot
                if self._listeners:
                    self._tell(result)
        except Exception as error:
            result = error
        finally:
            self._is_stepping = False
            # Without a result something is on its way that ends this task, and the event was not applied.
            self._settle(event, answer, self._stopped(event) if result is None else result)

    def _settle(self, event: EventMarker, answer: _Answer | None, result: Step[C] | Refusal | Exception) -> None:
        if answer is None:
            if type(result) is not Step:
                self._report(event, result)
        elif answer.done():
            pass  # a listener has cancelled the task that waits for it
        elif isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def _report(self, event: EventMarker, problem: Refusal | Exception) -> None:
        """Tell that an event which nobody waits for was not applied."""
        if self._on_failure is None:
            _log.error("%s: an event that nobody waits for was not applied: %s", self.chart.kind, problem)
            return
        try:
            self._on_failure(event, problem)
        except Exception:
            _log.exception("%s: on_failure raised", self.chart.kind)

    def _close(self, channel: _Channel) -> None:
        """Answer all that the owner has not come to; a second time there is nothing left."""
        with channel.gate:
            channel.is_closed = True
            threads = list(channel.threads.items())
        for waiting, event in threads:
            if waiting.running() or _claim(waiting):
                waiting.set_exception(self._stopped(event))
        items: list[_Item] = []
        while not channel.queue.empty():
            item = channel.queue.get_nowait()
            if item is not None:
                items.append(item)
        items.sort(key=lambda item: item[2] is None)  # those who wait come first, whatever on_failure does
        for event, _, answer in items:
            if answer is None or not answer.done():
                self._settle(event, answer, self._stopped(event))

    def _see_off(self, channel: _Channel, owner: asyncio.Task[None]) -> None:
        """When the owner has ended: close, also if it was cancelled before it began, and report what killed it."""
        self._close(channel)
        error = None if owner.cancelled() else owner.exception()
        if error is not None:
            _log.error("%s: the owning task was ended by %r", self.chart.kind, error, exc_info=error)

    def _stopped(self, event: EventMarker) -> MachineStopped:
        return MachineStopped(lifecycle=self.chart.kind, event=event.trigger_label())


def _claim(answer: _Answer) -> bool:
    """Whether the caller still waits; from now on a thread can't take its event back."""
    if answer.done():
        return False
    return not isinstance(answer, Future) or answer.set_running_or_notify_cancel()

"""Machines that threads share: one behind a mutex, one by compare-and-swap.

Which for what: a mutex computes each step once, so it is the one for long actions and for listeners that
must see steps in order. Compare-and-swap lets readers and computing senders go on side by side, locks only
the comparison and the store, and computes a step again when somebody else was faster; that is sound because
steps are pure, and it pays where sends seldom meet. When in doubt let one task own the machine (`channel.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock, RLock, get_ident
from typing import TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta
from stateward.errors import Conflict, Refusal, Refused
from stateward.kernel import Step, advance
from stateward.kernel.step import NO_META
from stateward.machine.single import Listener, MachineBase

__all__ = ["MutexMachine", "SwapMachine"]

C = TypeVar("C", bound=ContextMarker)

SWAP_LIMIT = 10_000
"""Lost swaps of one send after which it gives up; each means that some other event was applied."""


class MutexMachine(MachineBase[C]):
    """A machine that any thread may send to: one event at a time, listeners included, in the order of the lock.

    Reading needs no lock: state and context are one immutable snapshot.
    """

    __slots__ = ("_is_busy", "_lock")

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        meta: Meta = NO_META,
        listeners: Iterable[Listener[C]] = (),
    ) -> None:
        self._prepare()
        super().__init__(lifecycle, context, meta=meta, listeners=listeners)

    def _prepare(self) -> None:
        # Reentrant, so that a thread that sends from inside its own send is told instead of blocked for ever.
        self._lock = RLock()
        self._is_busy = False

    def send(self, event: EventMarker, meta: Meta = NO_META) -> Step[C]:
        """Apply an event, after those of other threads that came first.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            MachineBusy: sent from inside a guard, an action or a listener of this machine.
        """
        answer = self.attempt(event, meta)
        if type(answer) is Refusal:
            raise Refused(answer)
        return answer

    def attempt(self, event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
        """Apply an event, or say why not by value; raises as `send` does, but for `Refused`."""
        with self._lock:
            if self._is_busy:
                raise self._busy(event)
            try:
                self._is_busy = True
                answer = advance(self._snapshot, event, meta)
                if type(answer) is Step:
                    self._snapshot = answer.snapshot
                    if self._listeners:
                        self._tell(answer)
                return answer
            finally:
                self._is_busy = False


class SwapMachine(MachineBase[C]):
    """A machine that any thread may send to: steps are computed side by side, and stored if nothing came between.

    Guards and actions may run several times for one event; they are pure, so nobody can tell. Listeners run
    in the sender's thread, without the lock: each sees each Step once, but those of two senders may cross.
    """

    __slots__ = ("_lock", "_senders")

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        meta: Meta = NO_META,
        listeners: Iterable[Listener[C]] = (),
    ) -> None:
        self._prepare()
        super().__init__(lifecycle, context, meta=meta, listeners=listeners)

    def _prepare(self) -> None:
        self._lock = Lock()
        self._senders: set[int] = set()

    def send(self, event: EventMarker, meta: Meta = NO_META) -> Step[C]:
        """Apply an event to whatever the machine's state is when the step is stored.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            Conflict: other senders were faster every time, beyond any reason.
            MachineBusy: sent from inside a guard, an action or a listener of this machine.
        """
        answer = self.attempt(event, meta)
        if type(answer) is Refusal:
            raise Refused(answer)
        return answer

    def attempt(self, event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
        """Apply an event, or say why not by value; raises as `send` does, but for `Refused`."""
        sender = get_ident()
        if sender in self._senders:
            raise self._busy(event)
        try:
            # In here: an interrupt between it and the finally would lock this thread out for ever.
            self._senders.add(sender)
            answer = self._swap(event, meta)
            if type(answer) is Step and self._listeners:
                self._tell(answer)
            return answer
        finally:
            self._senders.discard(sender)

    def _swap(self, event: EventMarker, meta: Meta) -> Step[C] | Refusal:
        for _ in range(SWAP_LIMIT):
            seen = self._snapshot
            answer = advance(seen, event, meta)
            if type(answer) is Refusal:
                return answer  # true of a state that held when the event was looked at
            with self._lock:
                if self._snapshot is seen:
                    self._snapshot = answer.snapshot
                    return answer
        problem = f"{event.trigger_label()} lost {SWAP_LIMIT} swaps to other senders"
        raise Conflict(problem, lifecycle=self.chart.kind)

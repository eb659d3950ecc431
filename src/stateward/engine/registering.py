"""What an engine is told of the work after commit: who handles which effect, and what is reconciled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from stateward.chart import Chart, ContextMarker, EffectMarker, EventMarker, Lifecycle
from stateward.engine.core import EngineCore, chart_given
from stateward.errors import DefinitionError
from stateward.ledger import Applied, Entity
from stateward.ledger.codec import check_text
from stateward.ledger.contract import address_of
from stateward.ledger.pairs import Pair
from stateward.observe.committed import Listener
from stateward.work.ground import Ground, Run
from stateward.work.handling import Call, Handlers, Retry, is_async
from stateward.work.notifying import Notifier, channel_of
from stateward.work.reconciling import Reconciliation
from stateward.work.retention import Retention, expiring
from stateward.work.worker import Worker, WorkerSettings

__all__ = ["Registering"]

C = TypeVar("C", bound=ContextMarker)
X = TypeVar("X", bound=EffectMarker)
H = TypeVar("H", bound=Callable[[Any, Call], Any])
A = TypeVar("A", bound=Callable[[Any], Any])

DEFAULT_RETRY = Retry()
DEFAULT_TIMEOUT = timedelta(seconds=30)


class Registering:
    """The registrations of an engine, of threads or of tasks."""

    _core: EngineCore

    def _prepare_work(self, ledger: Any, *, notify: bool) -> None:
        self._work_ledger = ledger
        self._notifier = Notifier(channel_of(ledger, ledger.capabilities)) if notify else None
        self._handlers = Handlers()
        self._reconciliations: dict[str, Reconciliation] = {}
        self._worker: Worker | None = None

    @property
    def charts(self) -> tuple[Chart[Any], ...]:
        """The charts that this engine serves, by kind and version."""
        return tuple(self._core.charts[key] for key in sorted(self._core.charts))

    @property
    def handled(self) -> tuple[str, ...]:
        """The types of effects that this engine handles, by their wire names."""
        return tuple(sorted(each.name for each in self._handlers))

    @property
    def address(self) -> str | None:
        """Where others find this engine's ledger; None: they can't, it is in memory."""
        return address_of(self._work_ledger)

    @property
    def clock(self) -> Callable[[], datetime] | None:
        """What this engine takes the time from; None: the system."""
        return self._core.clock

    @property
    def retention(self) -> Retention | None:
        """How long this engine's workers keep things; None: for ever."""
        return self._core.retention

    def handles(
        self,
        effect: type[EffectMarker],
        *,
        retry: Retry = DEFAULT_RETRY,
        timeout: timedelta = DEFAULT_TIMEOUT,
        concurrency: int | None = None,
        ordered: bool = True,
        on_dead: type[EventMarker] | EventMarker | Callable[[Any, str], EventMarker] | None = None,
    ) -> Callable[[H], H]:
        """Register who does what an effect asks for: a function or coroutine of the effect and its `Call`.

        What it returns, an event or several, goes back to the entity, once, however often it is asked. An entity's
        effects are done in their order, one after the other; while one is tried again, those behind it wait.

        Args:
            effect: the class of the effect.
            retry: how often it is attempted, and what is waited in between.
            timeout: how long an attempt may take.
            concurrency: how many attempts go on at the same time in this worker; None: as many as it has room for.
            ordered: whether effects of this type wait for those before them, and are waited for.
            on_dead: the event, its class, or a function of the effect and the error that makes it, by which the
                lifecycle is told that the effect was given up.

        Raises:
            DefinitionError: it is no effect, or has a handler already.
        """

        def register(function: H) -> H:
            self._handlers.register(
                effect, function, retry=retry, timeout=timeout, concurrency=concurrency, ordered=ordered,
                on_dead=on_dead,
            )  # fmt: skip
            return function

        return register

    def reconcile(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        state: object,
        *,
        older_than: timedelta,
        every: timedelta,
        rate: float | None = None,
        concurrency: int = 10,
        timeout: timedelta = DEFAULT_TIMEOUT,
        name: str | None = None,
    ) -> Callable[[Callable[[Entity[C]], Any]], Callable[[Entity[C]], Any]]:
        """Register a question to the world about entities that have not moved in a state for too long.

        The function or coroutine gets the entity, and returns an event, several, or nothing. It is asked again in each
        round while nothing moves the entity; let the event's `already=` make a late answer harmless.

        Args:
            lifecycle: the lifecycle.
            state: the state, `OrderLifecycle.paying`, or its path; entities in a state within it count as well.
            older_than: how long an entity has not moved.
            every: how often a round begins.
            rate: questions a second at most.
            concurrency: questions at the same time.
            timeout: how long a question may take; one that takes longer has failed, and is asked in the next round.
            name: by which the ledger keeps how far a round has come; by default kind and state.

        Raises:
            DefinitionError: there is no such state, or the name is taken.
        """
        chart = chart_given(lifecycle)
        kind = self._core.kind(chart)
        path = _path_of(chart, state)
        is_rate_meant = rate is None or rate > 0
        if min(older_than, every, timeout) <= timedelta(0) or not is_rate_meant or concurrency < 1:
            problem = "older_than, every, timeout and rate are positive, and concurrency is 1 or more"
            raise DefinitionError(problem, lifecycle=kind, subject=path)

        def register(function: Callable[[Entity[C]], Any]) -> Callable[[Entity[C]], Any]:
            what = Reconciliation(
                name=check_text("the name of a reconciliation", name or f"{kind}.{path}"), kind=kind, state=path,
                older_than=older_than, every=every, rate=rate,
                concurrency=concurrency, timeout=timeout, asking=function, is_async=is_async(function),
            )  # fmt: skip
            if what.name in self._reconciliations:
                problem = f"there is a reconciliation called {what.name} already"
                raise DefinitionError(problem, lifecycle=kind, subject=path)
            self._reconciliations[what.name] = what
            return function

        return register

    def _make_worker(self, run: Run, settings: WorkerSettings) -> Worker:
        ledger = self._work_ledger
        channel = channel_of(ledger, ledger.capabilities) if settings.listen else None
        ground = Ground(
            run, ledger.capabilities, self._core.charts, now=self._core.now, mint=self._core.mint,
            tell=self._core.tell,
        )  # fmt: skip
        chores = () if self._core.retention is None else (expiring(self._core.retention),)
        return Worker(
            ground, self._handlers, self._reconciliations.values(), settings, chores=chores, channel=channel
        )  # fmt: skip

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what became of each event that this engine commits, from now on; see `Committed`.

        It is called after the commit, in the thread or task that committed, and for what the engine's worker sends as
        well; what it raises is logged. Call what is returned to end it, once or more.
        """
        return self._core.listen(listener)

    def _after_commit(self, pairs: Sequence[Pair]) -> None:
        """Tell whoever listens, wake the worker of this engine, and have others told, if anything was asked for."""
        self._core.tell(pairs)
        worker, notifier = self._worker, self._notifier
        if worker is None and notifier is None:
            return
        steps = [
            each.answer.step for each in pairs if isinstance(each.answer, Applied) and each.answer.step is not None
        ]
        asks = any(step.effects for step in steps)
        delays = [timer.delay for step in steps for timer in step.timers_set]
        if worker is not None:
            if asks:
                worker.effects.set()
            if delays:
                worker.expect(self._core.now() + min(delays) // timedelta(microseconds=1))
        if notifier is not None and (asks or delays):
            notifier.tell()

    def _close_notifier(self) -> None:
        if self._notifier is not None:
            self._notifier.close()


def _path_of(chart: Chart[Any], state: object) -> str:
    try:
        return chart.state(state).path if isinstance(state, str) else chart.path_of(state)
    except (KeyError, TypeError, ValueError) as error:
        problem = str(error.args[0]) if error.args else repr(error)
        raise DefinitionError(problem, lifecycle=chart.kind) from None

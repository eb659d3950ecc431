"""Ways through a chart that must be legal, and events that must not be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta, chart_of
from stateward.errors import Refusal, RefusalKind, SnapshotInvalid
from stateward.kernel import Snapshot, Step, explain, position_of, start, step
from stateward.testing.coverage import Coverage

__all__ = ["assert_legal_path", "assert_refused"]

C = TypeVar("C", bound=ContextMarker)

NO_META = Meta()


def assert_legal_path(
    lifecycle: type[Lifecycle[C]] | Chart[C],
    path: Iterable[EventMarker | tuple[EventMarker, str]],
    *,
    context: C,
    at: str | None = None,
    meta: Meta = NO_META,
    coverage: Coverage | None = None,
) -> list[Step[C]]:
    """Walk a chart, from its start, along events; each must be accepted, and lead where it is said to lead.

    Timers fire by `Elapsed("expire@pending")`. No effect is done.

    Args:
        lifecycle: the lifecycle.
        path: events, each by itself or with the configuration that it must lead to, `"paid"`.
        context: the first data.
        at: the configuration to begin in, if that is not the start.
        meta: what handlers may know beside event and context.
        coverage: is shown each Step.

    Returns:
        The Step of each event, with what it asks for; before them, that of the start, unless `at` is given.

    Raises:
        AssertionError: an event was refused or raised, or led elsewhere; the text says why, and what the way was.
    """
    walk = _Walk(lifecycle, context, at, meta, coverage)
    for each in path:
        event, expected = each if isinstance(each, tuple) else (each, None)
        walk.take(event, expected)
    return walk.steps


def assert_refused(
    lifecycle: type[Lifecycle[C]] | Chart[C],
    event: EventMarker,
    *,
    context: C,
    after: Sequence[EventMarker | tuple[EventMarker, str]] = (),
    at: str | None = None,
    kind: RefusalKind | None = None,
    meta: Meta = NO_META,
) -> Refusal:
    """Walk a chart as `assert_legal_path` does, and then send an event that must be refused.

    Args:
        lifecycle: the lifecycle.
        event: what must be refused.
        context: the first data.
        after: the way there.
        at: the configuration to begin in, if that is not the start.
        kind: why it must be refused: `guarded`, `illegal`, `finished` or `unknown`.
        meta: what handlers may know beside event and context.

    Returns:
        The refusal.

    Raises:
        AssertionError: the event was accepted, or refused for another reason; or something of the way there was not
            legal.
    """
    walk = _Walk(lifecycle, context, at, meta, None)
    for each in after:
        walk.take(*(each if isinstance(each, tuple) else (each, None)))
    answer = step(walk.chart, walk.snapshot, event, meta)
    if isinstance(answer, Step):
        walk.fail(f"{event!r} is not refused in {walk.snapshot.state}", event)
    if kind is not None and answer.kind != kind:
        walk.fail(f"{event!r} is refused as {answer.kind} in {walk.snapshot.state}, and not as {kind}", event)
    return answer


class _Walk:
    """Where a path has come to."""

    def __init__(
        self,
        lifecycle: type[Lifecycle[Any]] | Chart[Any],
        context: Any,
        at: str | None,
        meta: Meta,
        coverage: Coverage | None,
    ) -> None:
        self.chart = lifecycle if isinstance(lifecycle, Chart) else chart_of(lifecycle)
        self.steps: list[Step[Any]] = []
        self._meta = meta
        self._coverage = coverage
        if at is None:
            begun = start(self.chart, context, meta)
            self.snapshot = begun.snapshot
            self._keep(begun)
        else:
            self.snapshot = _snapshot_at(self.chart, at, context)
        self._way = [self.snapshot.state]

    def take(self, event: EventMarker, expected: str | None) -> None:
        number = len(self._way)
        try:
            answer = step(self.chart, self.snapshot, event, self._meta)
        except Exception as error:
            self.fail(f"event {number} of the path, {event!r}, raised {error}", event)
        if isinstance(answer, Refusal):
            self.fail(f"event {number} of the path, {event!r}, is refused in {self.snapshot.state}", event)
        if expected is not None and answer.state != expected:
            problem = f"event {number} of the path, {event!r}, leads to {answer.state}, and not to {expected}"
            self.fail(problem, event)
        self.snapshot = answer.snapshot
        self._way.append(f"{event.trigger_label()} -> {answer.state}")
        self._keep(answer)

    def _keep(self, taken: Step[Any]) -> None:
        self.steps.append(taken)
        if self._coverage is not None:
            self._coverage(taken)

    def fail(self, problem: str, event: EventMarker) -> NoReturn:
        way = f"the way so far: {', '.join(self._way)}"
        why = str(explain(self.snapshot, event, self._meta))
        raise AssertionError("\n".join((f"{self.chart.kind}: {problem}", why, way))) from None


def _snapshot_at(chart: Chart[Any], at: str, context: Any) -> Snapshot[Any]:
    snapshot: Snapshot[Any] = Snapshot(position_of(chart, at), context)
    if not isinstance(context, chart.context_type):
        problem = f"the context is {type(context).__name__}, and the lifecycle's is {chart.context_type.__name__}"
        raise SnapshotInvalid(problem, lifecycle=chart.kind, state=at)
    return snapshot

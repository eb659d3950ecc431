"""The composition root: the only place that picks a ledger, and puts chart, kernel and ledger together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta, chart_of
from stateward.errors import DefinitionError, Refusal, Refused
from stateward.kernel import Explanation, Step, advance, explain, start
from stateward.ledger import DemoLedger, Entity, Record

__all__ = ["Engine"]

C = TypeVar("C", bound=ContextMarker)


class Engine:
    """Lifecycles on a ledger: entities are created, events sent to them, and nothing that happens is lost.

    For now it keeps its entities in one SQLite file, and has one writer at a time.
    """

    def __init__(self, path: Path | str, *, lifecycles: list[type[Lifecycle[Any]]]) -> None:
        """Open or create the ledger.

        Args:
            path: the SQLite file, or `:memory:`.
            lifecycles: the lifecycle classes that this engine serves.

        Raises:
            LedgerUnavailable: the file can't be opened.
        """
        self._charts = {chart_of(each).kind: chart_of(each) for each in lifecycles}
        self._ledger = DemoLedger(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger. Twice is safe."""
        self._ledger.close()

    def create(
        self, lifecycle: type[Lifecycle[C]], entity: str, context: C, *, actor: str, occurred_at: datetime
    ) -> Entity:
        """Start an entity; its start is its first record.

        Raises:
            Conflict: the id is taken.
            ActionFailed: an entry handler of the start raised.
        """
        chart = self._chart(lifecycle)
        meta = Meta(now=occurred_at, entity=entity, actor=actor)
        return self._ledger.commit_start(
            chart, entity, start(chart, context, meta), actor=actor, occurred_at=occurred_at
        )

    def send(
        self,
        lifecycle: type[Lifecycle[C]],
        entity: str,
        event: EventMarker,
        *,
        actor: str,
        occurred_at: datetime,
    ) -> Step[C]:
        """Apply an event to an entity; raises `Refused`, and else as `attempt` does."""
        answer = self.attempt(lifecycle, entity, event, actor=actor, occurred_at=occurred_at)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer

    def attempt(
        self,
        lifecycle: type[Lifecycle[C]],
        entity: str,
        event: EventMarker,
        *,
        actor: str,
        occurred_at: datetime,
    ) -> Step[C] | Refusal:
        """Apply an event to an entity, or record that it was refused, and say why by value.

        Raises:
            UnknownEntity: there is no such entity.
            Conflict: somebody else moved the entity in between.
            ActionFailed: a guard or an action raised; nothing was kept.
        """
        chart = self._chart(lifecycle)
        before = self._ledger.load_entity(chart, entity)
        answer = advance(before.snapshot, event, Meta(now=occurred_at, entity=entity, actor=actor))
        self._ledger.commit_answer(
            chart, before, event.trigger_label(), event, answer, actor=actor, occurred_at=occurred_at
        )
        return answer

    def get(self, lifecycle: type[Lifecycle[Any]], entity: str) -> Entity:
        """The entity as it stands.

        Raises:
            UnknownEntity: there is no such entity.
        """
        return self._ledger.load_entity(self._chart(lifecycle), entity)

    def why(self, lifecycle: type[Lifecycle[Any]], entity: str, event: EventMarker) -> Explanation:
        """What an event would do to an entity now, and why.

        Raises:
            UnknownEntity: there is no such entity.
        """
        return explain(self.get(lifecycle, entity).snapshot, event)

    def history(self, lifecycle: type[Lifecycle[Any]], entity: str) -> list[Record]:
        """Everything that happened to an entity, refused attempts included, in order."""
        return self._ledger.fetch_history(self._chart(lifecycle).kind, entity)

    def records(self, lifecycle: type[Lifecycle[Any]]) -> Iterator[Record]:
        """All records of a lifecycle's entities, an entity's together and in order."""
        return self._ledger.fetch_records(self._chart(lifecycle).kind)

    def census(self, lifecycle: type[Lifecycle[Any]]) -> dict[str, int]:
        """How many entities are in each configuration now."""
        return self._ledger.count_states(self._chart(lifecycle).kind)

    def _chart(self, lifecycle: type[Lifecycle[C]]) -> Chart[C]:
        chart: Chart[C] = chart_of(lifecycle)
        if self._charts.get(chart.kind) is not chart:
            problem = "is not among the lifecycles of this engine"
            raise DefinitionError(problem, lifecycle=chart.kind)
        return chart

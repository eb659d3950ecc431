"""Where an import sends what a log says: one lifecycle on an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stateward.chart import Chart, ContextMarker, Lifecycle
from stateward.engine.core import Answer, Sending
from stateward.engine.threads import Engine
from stateward.ledger import Applied, Record
from stateward.ledger.logs import LogRow

__all__ = ["LifecycleTarget"]


class LifecycleTarget:
    """An engine, as `stateward.ledger.importing.import_log` needs it."""

    def __init__(self, engine: Engine, lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> None:
        """Take the engine, and which of its lifecycles the log is for."""
        self._engine = engine
        self._lifecycle = lifecycle

    def states(self, entities: Sequence[str]) -> Mapping[str, str]:
        """The configurations of those that exist."""
        found = self._engine.get_many(self._lifecycle, entities) if entities else {}
        return {entity: each.state for entity, each in found.items()}

    def history(self, entity: str) -> Iterable[Record]:
        """All records of an entity."""
        return self._engine.history(self._lifecycle, entity)

    def create(self, row: LogRow, context: ContextMarker, key: str) -> Applied[Any]:
        """Start the entity that a row names."""
        return self._engine.create(
            self._lifecycle, row.entity, context, actor=row.actor, key=key, occurred_at=row.at, source="import"
        )

    def send(self, rows: Sequence[LogRow]) -> Sequence[Answer]:
        """Send the events of rows in one batch; the answers in their order."""
        sendings = [
            Sending(
                lifecycle=self._lifecycle, entity=row.entity, event=row.event, actor=row.actor, key=row.key,
                occurred_at=row.at,
            )
            for row in rows
        ]  # fmt: skip
        return self._engine.send_many(sendings, source="import")

"""How one entity is created and sent events: the same within a transaction of a caller's own; by threads or tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle
from stateward.engine.core import EngineCore, answer_of, applied_of
from stateward.errors import Refusal
from stateward.ledger import Actor, Applied
from stateward.ledger.pairs import Pair
from stateward.ledger.results import Source

__all__ = ["AsyncSender", "Sender"]

C = TypeVar("C", bound=ContextMarker)


class Sender:
    """What accepts creations and events; how their pairs are committed is said by each subclass."""

    _core: EngineCore

    def _settle(self, pairs: Sequence[Pair]) -> None:
        """Commit pairs: each has its answer or its error afterwards."""
        raise NotImplementedError

    def create(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        entity: str,
        context: C,
        *,
        actor: Actor | str,
        key: str | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Applied[C]:
        """Start an entity under this version of the lifecycle; its start is its first record.

        Args:
            lifecycle: the lifecycle.
            entity: its id, unique among the entities of its kind.
            context: its first data.
            actor: who does it.
            key: an idempotency key: the same again gives back the first answer.
            occurred_at: when it happened, if that was not now.
            source: where it comes from.
            traceparent: its place in a trace, as W3C Trace Context writes it; effects and what follows from them carry
                it on.
            tracestate: what goes along with it.

        Raises:
            Conflict: the id is taken, or the key was used for another.
            Refused: the actor may not.
            ActionFailed: an entry handler of the start raised.
            Unkeepable: the id, the context, the key or the actor can't be kept.
            LedgerUnavailable: the ledger is away; nothing was kept, or `is_outcome_unknown`.
        """
        pair = self._core.creation(
            lifecycle, entity, context, actor=actor, key=key, occurred_at=occurred_at, source=source,
            traceparent=traceparent, tracestate=tracestate,
        )  # fmt: skip
        self._settle((pair,))
        return applied_of(answer_of(pair))

    def send(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None = None,
        expected_revision: int | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Applied[C]:
        """Apply an event to an entity; raises `Refused`, and else is as `attempt`."""
        return applied_of(
            self.attempt(
                lifecycle, entity, event, actor=actor, key=key, expected_revision=expected_revision,
                occurred_at=occurred_at, source=source, traceparent=traceparent, tracestate=tracestate,
            )
        )  # fmt: skip

    def attempt(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None = None,
        expected_revision: int | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Applied[C] | Refusal:
        """Apply an event to an entity, or record that it was refused, and say why by value.

        Args:
            lifecycle: the lifecycle, in any version; the entity stays on its own.
            entity: the id.
            event: what happened.
            actor: who sends it.
            key: an idempotency key: the same again gives back the first answer, and applies nothing.
            expected_revision: refuse if the entity is not at this revision.
            occurred_at: when it happened, if that was not now.
            source: where it comes from.
            traceparent: its place in a trace, as W3C Trace Context writes it; effects and what follows from them carry
                it on.
            tracestate: what goes along with it.

        Raises:
            UnknownEntity: there is no such entity.
            Conflict: the key was used for another event or payload.
            ActionFailed: a guard or an action raised; nothing was kept.
            Unkeepable: the id, the event, the key or the actor can't be kept.
            VersionUnknown: the entity is on a version that this engine was not given.
            LedgerUnavailable: the ledger is away; nothing was kept, or `is_outcome_unknown`.
            LedgerCorrupt: the entity's row can't be read.
        """
        pair = self._core.sending(
            lifecycle, entity, event, actor=actor, key=key, expected_revision=expected_revision,
            occurred_at=occurred_at, source=source, traceparent=traceparent, tracestate=tracestate,
        )  # fmt: skip
        self._settle((pair,))
        return answer_of(pair)


class AsyncSender:
    """The same for tasks."""

    _core: EngineCore

    async def _settle(self, pairs: Sequence[Pair]) -> None:
        """As `Sender._settle`."""
        raise NotImplementedError

    async def create(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        entity: str,
        context: C,
        *,
        actor: Actor | str,
        key: str | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Applied[C]:
        """As `Sender.create`."""
        pair = self._core.creation(
            lifecycle, entity, context, actor=actor, key=key, occurred_at=occurred_at, source=source,
            traceparent=traceparent, tracestate=tracestate,
        )  # fmt: skip
        await self._settle((pair,))
        return applied_of(answer_of(pair))

    async def send(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None = None,
        expected_revision: int | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Applied[C]:
        """As `Sender.send`."""
        return applied_of(
            await self.attempt(
                lifecycle, entity, event, actor=actor, key=key, expected_revision=expected_revision,
                occurred_at=occurred_at, source=source, traceparent=traceparent, tracestate=tracestate,
            )
        )  # fmt: skip

    async def attempt(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None = None,
        expected_revision: int | None = None,
        occurred_at: datetime | None = None,
        source: Source = "call",
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Applied[C] | Refusal:
        """As `Sender.attempt`."""
        pair = self._core.sending(
            lifecycle, entity, event, actor=actor, key=key, expected_revision=expected_revision,
            occurred_at=occurred_at, source=source, traceparent=traceparent, tracestate=tracestate,
        )  # fmt: skip
        await self._settle((pair,))
        return answer_of(pair)

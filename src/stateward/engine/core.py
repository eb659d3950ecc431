"""What engines share: the charts, the clock, the way from a call to a pair and from a pair to an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar

import msgspec

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta, chart_of
from stateward.errors import DefinitionError, Refusal, Refused, StatewardError
from stateward.ledger import Actor, Applied, Entity, Record
from stateward.ledger.accepting import accept_creation, accept_event, accept_repair
from stateward.ledger.codec import from_micros, to_micros
from stateward.ledger.committing import CommitStatistics
from stateward.ledger.contract import Capabilities, FetchHistory, LedgerStatistics, ListEntities, Trips
from stateward.ledger.ids import RecordIds
from stateward.ledger.pairs import Pair
from stateward.ledger.protocol import commit_pairs
from stateward.ledger.reading import fetch_history, list_entities
from stateward.ledger.results import Source
from stateward.observe.committed import Listener, committed_of
from stateward.observe.logs import is_logged, log_committed
from stateward.work.retention import Retention
from stateward.work.worker import WorkerStatistics

__all__ = [
    "PAGE_SIZE",
    "READ_AGAIN_DELAY_S",
    "READ_AGAIN_S_MAX",
    "Answer",
    "Authorize",
    "Creating",
    "EngineCore",
    "EngineStatistics",
    "Sending",
    "answer_of",
    "applied_of",
    "by_state",
    "chart_given",
    "outcome_of",
]

C = TypeVar("C", bound=ContextMarker)

_log = logging.getLogger(__name__)

PAGE_SIZE = 500
"""Rows that are read at once."""

Authorize = Callable[[Actor, str, str, EventMarker | None], bool]
"""Whether an actor may send an event to an entity: (actor, kind, id, event); the event of a creation is None."""
Answer = Applied[Any] | Refusal | StatewardError

READ_AGAIN_DELAY_S = 0.01
READ_AGAIN_S_MAX = 1.0
"""How long a read is tried again: a connection that died unseen fails at once, a ledger that is away takes longer."""


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """One event of `send_many`."""

    lifecycle: type[Lifecycle[Any]] | Chart[Any]
    entity: str
    event: EventMarker
    actor: Actor | str
    key: str | None = None
    expected_revision: int | None = None
    occurred_at: datetime | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class Creating(msgspec.Struct, frozen=True, kw_only=True):
    """One entity of `create_many`."""

    lifecycle: type[Lifecycle[Any]] | Chart[Any]
    entity: str
    context: ContextMarker
    actor: Actor | str
    key: str | None = None
    occurred_at: datetime | None = None


class EngineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine has done since it was opened."""

    ledger: LedgerStatistics
    commits: CommitStatistics
    worker: WorkerStatistics | None
    """None: it does not work after commit."""


class EngineCore:
    """What both engines share: the charts, the clock, the way from a call to a pair and from there to an answer."""

    def __init__(
        self,
        lifecycles: Iterable[type[Lifecycle[Any]] | Chart[Any]],
        clock: Callable[[], datetime] | None,
        authorize: Authorize | None,
        retention: Retention | None = None,
    ) -> None:
        self.charts: dict[tuple[str, int], Chart[Any]] = {}
        for each in lifecycles:
            chart = chart_given(each)
            if chart.invokes:
                problem = "has states with children, which no ledger keeps: a FamilyMachine runs them in memory"
                raise DefinitionError(problem, lifecycle=chart.kind)
            before = self.charts.setdefault((chart.kind, chart.version), chart)
            if before != chart:
                problem = f"version {chart.version} is given twice, with different digests"
                raise DefinitionError(problem, lifecycle=chart.kind)
        self.kinds = tuple(sorted({kind for kind, _ in self.charts}))
        """The kinds of the lifecycles, in order."""
        self.clock = clock
        self._authorize = authorize
        self.retention = retention
        self._ids = RecordIds(lambda: self.now() // 1000)
        self._listeners: dict[object, Listener] = {}
        self._listening = Lock()

    def now(self) -> int:
        """Microseconds since 1970, by the engine's clock."""
        return time.time_ns() // 1000 if self.clock is None else to_micros(self.clock())

    def meta_now(self, entity: str) -> Meta:
        """What handlers would be told now, beside a record that there is not."""
        return Meta(now=from_micros(self.now()), entity=entity)

    def mint(self) -> str:
        """A new record id."""
        return self._ids.mint()

    def kind(self, lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> str:
        """The kind of a lifecycle that this engine serves, in whichever version."""
        kind = chart_given(lifecycle).kind
        if kind not in self.kinds:
            problem = "is not among the lifecycles of this engine"
            raise DefinitionError(problem, lifecycle=kind)
        return kind

    def kind_of(self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str) -> str:
        """The kind of a lifecycle that this engine serves; given as such, it may be any: to look needs no code."""
        return lifecycle if isinstance(lifecycle, str) else self.kind(lifecycle)

    def creation(
        self,
        lifecycle: type[Lifecycle[Any]] | Chart[Any],
        entity: str,
        context: ContextMarker,
        *,
        actor: Actor | str,
        key: str | None,
        occurred_at: datetime | None,
        source: Source,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Pair:
        """A creation, accepted."""
        chart = chart_given(lifecycle)
        if self.charts.get((self.kind(chart), chart.version)) != chart:
            problem = f"version {chart.version} is not among the lifecycles of this engine"
            raise DefinitionError(problem, lifecycle=chart.kind)
        pair = accept_creation(
            self._ids.mint(), chart, entity, context,
            actor=actor, key=key, occurred_at=occurred_at, now=self.now(), source=source,
            traceparent=traceparent, tracestate=tracestate,
        )  # fmt: skip
        return self._authorized(pair)

    def sending(
        self,
        lifecycle: type[Lifecycle[Any]] | Chart[Any],
        entity: str,
        event: EventMarker,
        *,
        actor: Actor | str,
        key: str | None,
        expected_revision: int | None,
        occurred_at: datetime | None,
        source: Source,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> Pair:
        """An event, accepted."""
        pair = accept_event(
            self._ids.mint(), self.kind(lifecycle), entity, event, actor=actor, key=key,
            expected_revision=expected_revision, occurred_at=occurred_at, now=self.now(), source=source,
            traceparent=traceparent, tracestate=tracestate,
        )  # fmt: skip
        if self.retention is not None and source == "call":
            pair.expires_at = self.retention.expires_at(pair.occurred_at)
        return self._authorized(pair)

    def repairing(
        self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str, state: str, *, reason: str, actor: Actor | str
    ) -> Pair:
        """A repair, accepted."""
        kind = self.kind(lifecycle)
        pair = accept_repair(self._ids.mint(), kind, entity, state, reason=reason, actor=actor, now=self.now())
        return self._authorized(pair)

    def _authorized(self, pair: Pair) -> Pair:
        if self._authorize is not None:
            pair.is_unauthorized = not self._authorize(pair.actor, pair.kind, pair.entity, pair.event)
        return pair

    def committing(
        self, pairs: Sequence[Pair], capabilities: Capabilities, *, is_joined: bool = False, waits: bool = False
    ) -> Trips[None]:
        """The protocol of a batch."""
        return commit_pairs(
            pairs,
            self.charts,
            self.now,
            holds_lock=capabilities.holds_write_lock,
            settles=any(pair.is_lost for pair in pairs),
            is_joined=is_joined,
            waits=waits,
        )

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener from now on; see `Engine.listen`."""
        key = object()
        with self._listening:
            self._listeners = {**self._listeners, key: listener}  # a new one: whoever tells goes through the old one

        def end() -> None:
            with self._listening:
                self._listeners = {each: told for each, told in self._listeners.items() if each is not key}

        return end

    def tell(self, pairs: Sequence[Pair], *, is_joined: bool = False) -> None:
        """After a commit: write the log, and tell the listeners. What happened holds whatever they do."""
        listeners, logs = self._listeners, is_logged()
        if not logs and not listeners:
            return
        for committed in committed_of(pairs, is_joined=is_joined):
            for listener in (*((log_committed,) if logs else ()), *listeners.values()):
                try:
                    listener(committed)
                except Exception:
                    with suppress(Exception):  # where it is the log itself that raises
                        _log.exception(
                            "%s: the listener %r raised; what it was told of holds", committed.kind, listener
                        )

    def accept_many(self, sendings: Sequence[Sending], source: Source) -> list[Pair | StatewardError]:
        """Several events, accepted or told why not."""
        accepted: list[Pair | StatewardError] = []
        for each in sendings:
            try:
                accepted.append(
                    self.sending(
                        each.lifecycle, each.entity, each.event, actor=each.actor, key=each.key,
                        expected_revision=each.expected_revision, occurred_at=each.occurred_at, source=source,
                        traceparent=each.traceparent, tracestate=each.tracestate,
                    )
                )  # fmt: skip
            except StatewardError as error:
                accepted.append(error)
        return accepted

    def accept_creations(self, creatings: Sequence[Creating], source: Source) -> list[Pair | StatewardError]:
        """Several creations, accepted or told why not."""
        accepted: list[Pair | StatewardError] = []
        for each in creatings:
            try:
                accepted.append(
                    self.creation(
                        each.lifecycle, each.entity, each.context, actor=each.actor, key=each.key,
                        occurred_at=each.occurred_at, source=source,
                    )
                )  # fmt: skip
            except StatewardError as error:
                accepted.append(error)
        return accepted

    # Pages: each reads one and says what the next one is, None if there is none.

    def history_page(self, operation: FetchHistory) -> Trips[tuple[list[Record], FetchHistory | None]]:
        """A page of an entity's records."""
        page = yield from fetch_history(operation)
        if len(page) < operation.limit:
            return page, None
        after = self.place_in_history(page[-1])
        return page, FetchHistory(operation.kind, operation.entity, after, operation.limit)

    @staticmethod
    def place_in_history(record: Record) -> tuple[int, bool, str]:
        """Behind which the records after it come."""
        is_attempt = record.outcome != "applied"
        return record.revision, is_attempt, record.id if is_attempt else ""

    def list_page(self, operation: ListEntities) -> Trips[tuple[list[Entity[Any]], ListEntities | None]]:
        """A page of entities."""
        return list_entities(operation, self.charts)

    @staticmethod
    def place_of(operation: ListEntities, entity: Entity[Any]) -> tuple[int, str]:
        """Behind which the entities after it come in a list."""
        if operation.due_by is not None:
            assert entity.due_by is not None
            return to_micros(entity.due_by), entity.id
        return to_micros(entity.updated_at) if operation.state is not None else 0, entity.id

    def recording(self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str, entity: str) -> FetchHistory:
        """The first page of an entity's records; to look needs no code."""
        return FetchHistory(self.kind_of(lifecycle), entity, None, PAGE_SIZE)

    def overdue(self, lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> ListEntities:
        """The first page of the entities past their time."""
        return ListEntities(kind=self.kind(lifecycle), due_by=self.now(), limit=PAGE_SIZE)

    def listing(
        self,
        lifecycle: type[Lifecycle[Any]] | Chart[Any],
        *,
        version: int | None,
        state: str | None,
        unmoved_since: datetime | None,
        due_by: datetime | None,
    ) -> ListEntities:
        """The first page of a list."""
        return ListEntities(
            kind=self.kind(lifecycle),
            version=version,
            state=state,
            updated_before=None if unmoved_since is None else to_micros(unmoved_since),
            due_by=None if due_by is None else to_micros(due_by),
            limit=PAGE_SIZE,
        )


def chart_given(lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> Chart[Any]:
    """The chart of a lifecycle that is given as a class, or as the chart itself."""
    if not isinstance(lifecycle, Chart):
        return chart_of(lifecycle)
    return lifecycle if lifecycle.kept is None else lifecycle.kept(lifecycle)


def by_state(lines: Iterable[tuple[str, int, str, int]]) -> dict[str, int]:
    """A census of all versions together."""
    counts: dict[str, int] = {}
    for _, _, state, count in lines:
        counts[state] = counts.get(state, 0) + count
    return counts


def answer_of(pair: Pair) -> Applied[Any] | Refusal:
    """The answer of a pair that is settled; its error is raised."""
    if pair.error is not None:
        raise pair.error
    assert pair.answer is not None
    return pair.answer


def applied_of(answer: Applied[Any] | Refusal) -> Applied[Any]:
    """An answer that is no refusal.

    Raises:
        Refused: it is one.
    """
    if isinstance(answer, Refusal):
        raise Refused(answer)
    return answer


def outcome_of(accepted: Pair | StatewardError) -> Answer:
    """The answer or the error of what was accepted, or the error that kept it from being."""
    if isinstance(accepted, StatewardError):
        return accepted
    outcome = accepted.error or accepted.answer
    assert outcome is not None
    return outcome

"""Folding: what the pairs of a batch come to, worked out in memory, entity by entity.

For each pair the first no is the answer: may this actor, is the key new, is the caller up to date, does the chart.
What an event changes is seen by the next one for the same entity; the rows of all are written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

import msgspec

from stateward.chart import Chart, Meta
from stateward.chart.values import wire_name
from stateward.errors import (
    Conflict,
    LedgerCorrupt,
    Refusal,
    StatewardError,
    UnknownEntity,
    VersionUnknown,
)
from stateward.kernel import Position, Snapshot, Step, advance, position_of, start, tables_of
from stateward.kernel.tables import Tables
from stateward.ledger.codec import LAST_TIME, decode_context, encode, encode_context, from_micros, json_text
from stateward.ledger.contract import (
    EntityMove,
)
from stateward.ledger.ids import part_of
from stateward.ledger.pairs import Answer, Charts, Pair
from stateward.ledger.repairing import force
from stateward.ledger.results import Applied, RecordOutcome
from stateward.ledger.rows import (
    CensusMove,
    EffectEnd,
    EntityRow,
    OutboxRow,
    ReceiptRow,
    RecordRow,
    TimerKey,
    TimerRow,
)

__all__ = ["Fold", "snapshot_of"]


class Fold:
    """One entity and the pairs of a batch that are for it, worked out in memory."""

    def __init__(self, row: EntityRow | None, charts: Charts, now: int) -> None:
        self._charts = charts
        self._now = now
        self._row = row
        self.kind = row.kind if row is not None else ""
        self.entity = row.id if row is not None else ""
        self._chart: Chart[Any] | None = None
        self._snapshot: Snapshot[Any] | None = None
        self._revision = row.revision if row is not None else 0
        self._part = row.part if row is not None else -1
        self._entered: dict[str, int] = {}
        self._context_text = ""
        self.is_new = False
        self.has_moved = False
        self.receipts: dict[str, ReceiptRow] = {}
        self.new_receipts: list[ReceiptRow] = []
        self.records: list[RecordRow] = []
        self.attempts: list[RecordRow] = []
        self.outbox: list[OutboxRow] = []
        self.ends: list[EffectEnd] = []
        """Effects that are done by what their handlers replied."""
        self.running: set[TimerKey] = set()
        """The timers that were found to run, of those that are to fire."""
        self.spent: list[TimerKey] = []
        """Timers that have fired without moving the entity."""
        self._failed: dict[str, StatewardError] = {}
        """The effects of whose replies one can't be applied, and why: they are not done, nor are replies behind it."""
        self.timers: dict[str, TimerRow] = {}
        self.cancelled: dict[str, None] = {}
        self._if_written: list[tuple[Pair, Answer | StatewardError]] = []
        """Answers of attempts before the entity moved: they hold once their records are written."""
        self._if_moved: list[tuple[Pair, Answer | StatewardError]] = []
        """Answers from the entity's first move on: they hold if it is written."""

    @property
    def has_rows(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.has_moved or self.attempts or self.ends or self.spent)

    # Folding.

    def take(self, pair: Pair) -> None:
        """Work out what a pair comes to."""
        if not self.kind:
            self.kind, self.entity = pair.kind, pair.entity
            self._part = part_of(pair.kind, pair.entity)
        answer: Answer | StatewardError | None = None
        if pair.source == "effect":
            answer = self._failed.get(pair.cause or "")
        if answer is None:
            try:
                answer = self._answer(pair)
            except StatewardError as error:
                answer = error
        ends = self._end(pair, answer)
        if self.has_moved:
            self._if_moved.append((pair, answer))
        elif ends or isinstance(answer, Refusal) or (isinstance(answer, Applied) and answer.outcome == "already_done"):
            self._if_written.append((pair, answer))
        else:  # nothing of it is to be written
            self._give(pair, answer)

    def _end(self, pair: Pair, answer: Answer | StatewardError) -> bool:
        """Whether an effect is done by this answer, or a timer spent: whatever the answer is, unless it is an error."""
        if isinstance(answer, StatewardError):
            if pair.cause is not None:
                self._failed[pair.cause] = answer
            return False
        if pair.timer is not None and pair.timer in self.running:
            self._spend(pair.timer)
        if pair.end is not None:
            self.ends.append(pair.end._replace(needs=self.records[0].id if self.has_moved else None))
        return pair.timer is not None or pair.end is not None

    def _spend(self, timer: TimerKey) -> None:
        """A timer that has fired is over, also where its transition leaves no state."""
        self.running.discard(timer)
        if not self.has_moved:
            self.spent.append(timer)
        elif timer.name not in self.timers:  # else it was set anew, by entering its state again
            self.cancelled[timer.name] = None

    def settle(self, *, has_moved: bool) -> None:
        """It is written: give the answers to their pairs. Those that build on a move that missed go round."""
        for pair, answer in (*self._if_written, *(self._if_moved if has_moved else ())):
            self._give(pair, answer)

    @staticmethod
    def _give(pair: Pair, answer: Answer | StatewardError) -> None:
        if isinstance(answer, StatewardError):
            pair.error = answer
        else:
            pair.answer = answer

    def _answer(self, pair: Pair) -> Answer | StatewardError:
        """The first no is the answer: may this actor, is the key new, is the caller up to date, does the chart."""
        exists = self._row is not None or self.is_new
        if pair.is_unauthorized:
            if not exists:
                return Refusal("unauthorized", pair.kind, "", pair.name)
            return self._refuse(pair, Refusal("unauthorized", pair.kind, self._current(pair).state, pair.name))
        earlier = self.receipts.get(pair.key) if pair.key is not None else None
        if earlier is not None:
            return self._repeat(pair, earlier)
        if pair.timer is not None and not self._runs(pair.timer):
            return Refusal("expired", pair.kind, self._current(pair).state if exists else "", pair.name)
        if pair.chart is not None:
            return self._create(pair)
        if not exists:
            return UnknownEntity(lifecycle=pair.kind, entity=pair.entity)
        snapshot = self._current(pair)
        if pair.state is not None:
            return self._repair(pair, snapshot)
        return self._send(pair, snapshot)

    def _runs(self, timer: TimerKey) -> bool:
        """Whether a timer that is to fire still runs: its state may have been left meanwhile, or by a pair before."""
        return timer in self.running and timer.name not in self.cancelled

    def _repeat(self, pair: Pair, earlier: ReceiptRow) -> Answer | StatewardError:
        # Who is asked again may answer otherwise; the first answer holds, and nobody sent it who could be told.
        if earlier.digest != pair.digest and pair.source not in ("effect", "reconcile"):
            problem = f"the key {pair.key!r} was used for another event or payload, in record {earlier.record}"
            return Conflict(problem, lifecycle=pair.kind, entity=pair.entity)
        return Applied(
            kind=pair.kind,
            entity=pair.entity,
            revision=earlier.revision,
            record=earlier.record,
            state=earlier.state_to,
            version=earlier.version,
            is_repetition=True,
        )

    def _create(self, pair: Pair) -> Answer | StatewardError:
        if self._row is not None or self.is_new:
            return Conflict("the id is taken", lifecycle=pair.kind, entity=pair.entity)
        chart, context = pair.chart, pair.context
        assert chart is not None
        assert context is not None
        self._chart = chart
        try:
            answer = self._apply(pair, start(chart, context, self._meta(pair)), state_from=None)
        except StatewardError:
            self._chart = None
            raise
        self.is_new = True
        return answer

    def _send(self, pair: Pair, snapshot: Snapshot[Any]) -> Answer | StatewardError:
        assert pair.event is not None
        if pair.expires_at is not None and pair.expires_at < self._now:
            return self._refuse(pair, Refusal("expired", pair.kind, snapshot.state, pair.name))
        if pair.expected_revision is not None and pair.expected_revision != self._revision:
            return self._refuse(pair, Refusal("stale", pair.kind, snapshot.state, pair.name))
        outcome = advance(snapshot, pair.event, self._meta(pair))
        if isinstance(outcome, Refusal):
            return self._refuse(pair, outcome)
        if outcome.outcome == "already_done":
            self._note(pair, snapshot.state, "already_done", None)
            return self._applied(pair, outcome)
        return self._apply(pair, outcome, state_from=snapshot.state)

    def _repair(self, pair: Pair, snapshot: Snapshot[Any]) -> Answer | StatewardError:
        """Force a configuration: what is entered by it counts from now on, timers included, and no handler runs."""
        assert pair.state is not None
        forced = force(self._known_chart(pair), snapshot, pair.state)
        pair.stays = tuple([(path, self._leave(path)) for path in forced.left])
        self._entered.update(dict.fromkeys(forced.entered, self._now))
        for name in forced.timers_cancelled:
            self.timers.pop(name, None)
            self.cancelled[name] = None
        for timer in forced.timers_set:
            self._set_timer(pair, timer.name, timer.delay)
        self._move(pair, forced.snapshot, state_from=snapshot.state)
        return self._applied(pair, None)

    def _apply(self, pair: Pair, step: Step[Any], *, state_from: str | None) -> Answer:
        """Take over what a step says: rows for its effects and timers, and the entity as it is from now on."""
        revision = self._revision + 1
        effects = [
            OutboxRow(
                self._part, pair.kind, pair.entity, revision, n, wire_name(type(effect)),
                encode(f"the effect {wire_name(type(effect))}", effect), pair.record, traceparent=pair.traceparent,
            )
            for n, effect in enumerate(step.effects)
        ]  # fmt: skip
        is_as_it_was = self._snapshot is not None and step.snapshot.context is self._snapshot.context
        context = self._context_text if is_as_it_was else encode_context(self._known_chart(pair), step.snapshot.context)
        self.outbox += effects
        for name in step.timers_cancelled:
            self.timers.pop(name, None)
            self.cancelled[name] = None
        for timer in step.timers_set:
            self._set_timer(pair, timer.name, timer.delay)
        stays: list[tuple[str, int]] = []
        for microstep in step.microsteps:
            stays += [(path, self._leave(path)) for path in microstep.exited]
            for path in microstep.entered:
                self._entered[path] = self._now
        pair.stays = tuple(stays)
        self._move(pair, step.snapshot, state_from=state_from, context=context)
        return self._applied(pair, step)

    def _leave(self, path: str) -> int:
        """For how many microseconds a state was active that is left now."""
        return max(0, self._now - self._entered.pop(path, self._now))

    def _set_timer(self, pair: Pair, name: str, delay: timedelta) -> None:
        due_at = min(self._now + delay // timedelta(microseconds=1), LAST_TIME)
        self.timers[name] = TimerRow(
            pair.kind, pair.entity, name, self._revision + 1, self._part, due_at, pair.record, pair.traceparent
        )

    def _move(self, pair: Pair, snapshot: Snapshot[Any], *, state_from: str | None, context: str | None = None) -> None:
        self._revision += 1
        pair.state_from = state_from
        self._snapshot = snapshot
        self._context_text = context if context is not None else self._context_text
        self.has_moved = True
        self.records.append(self._record(pair, state_from, snapshot.state, "applied", pair.reason))
        if pair.key is not None:
            version = self._known_chart(pair).version
            receipt = ReceiptRow(
                pair.kind, pair.entity, pair.key, pair.digest, pair.record, self._revision, snapshot.state, version,
                self._now,
            )  # fmt: skip
            self.receipts[pair.key] = receipt
            self.new_receipts.append(receipt)

    def _applied(self, pair: Pair, step: Step[Any] | None) -> Answer:
        assert self._snapshot is not None
        return Applied(
            kind=pair.kind,
            entity=pair.entity,
            revision=self._revision,
            record=pair.record,
            state=self._snapshot.state,
            version=self._known_chart(pair).version,
            outcome=step.outcome if step is not None else "applied",
            step=step,
        )

    def _refuse(self, pair: Pair, refusal: Refusal) -> Answer:
        outcome: RecordOutcome = "rejected_auth" if refusal.kind == "unauthorized" else "rejected_invalid"
        self._note(pair, refusal.state, outcome, refusal.kind)
        return refusal

    def _note(self, pair: Pair, state: str, outcome: RecordOutcome, reason: str | None) -> None:
        """A record of an attempt that changed nothing; behind an applied event it holds only if that does."""
        rows = self.records if self.has_moved else self.attempts
        rows.append(self._record(pair, state, state, outcome, reason))

    def _record(
        self, pair: Pair, state_from: str | None, state_to: str, outcome: RecordOutcome, reason: str | None
    ) -> RecordRow:
        return RecordRow(
            pair.record, pair.kind, pair.entity, self._revision, self._known_chart(pair).version, pair.name,
            pair.payload, state_from, state_to, pair.actor.kind, pair.actor.id, pair.key, pair.occurred_at, self._now,
            pair.cause, pair.source, outcome, reason, pair.traceparent, pair.tracestate,
        )  # fmt: skip

    def _meta(self, pair: Pair) -> Meta:
        return Meta(from_micros(self._now), pair.entity, pair.record, str(pair.actor))

    # The entity.

    def _current(self, pair: Pair) -> Snapshot[Any]:
        """The entity's snapshot by now, read from its row when it is first needed."""
        if self._snapshot is None:
            row = self._row
            assert row is not None
            self._snapshot, self._entered = snapshot_of(row, self._known_chart(pair))
            self._context_text = row.context
        return self._snapshot

    def _known_chart(self, pair: Pair) -> Chart[Any]:
        if self._chart is None:
            assert self._row is not None
            self._chart = self._charts.get((pair.kind, self._row.version))
            if self._chart is None:
                known = tuple(version for kind, version in self._charts if kind == pair.kind)
                raise VersionUnknown(lifecycle=pair.kind, entity=pair.entity, version=self._row.version, known=known)
        return self._chart

    def new_row(self) -> EntityRow:
        """The entity's row as it will be."""
        snapshot, chart = self._snapshot, self._chart
        assert snapshot is not None
        assert chart is not None
        created_at = self._row.created_at if self._row is not None else self._now
        return EntityRow(
            self.kind, self.entity, self._part, chart.version, snapshot.state, _history_text(snapshot),
            self._context_text, self._revision, created_at, self._now, json_text(self._entered),
            _due_by(chart, self._entered),
        )  # fmt: skip

    def move(self) -> EntityMove:
        """The entity's new row, and the revision that was read."""
        assert self._row is not None
        return EntityMove(self.new_row(), self._row.revision)

    def census(self) -> tuple[CensusMove, ...]:
        """What the entity's move changes in the census: one configuration less, another more."""
        if not self.has_moved or self._snapshot is None or self._chart is None:
            return ()
        version, state = self._chart.version, self._snapshot.state
        if self.is_new:
            return (CensusMove(self.kind, version, state, 1),)
        assert self._row is not None
        if self._row.state == state:
            return ()
        return CensusMove(self.kind, version, self._row.state, -1), CensusMove(self.kind, version, state, 1)


def snapshot_of(row: EntityRow, chart: Chart[Any]) -> tuple[Snapshot[Any], dict[str, int]]:
    """An entity's snapshot, and when each active state was entered, from its row.

    Raises:
        LedgerCorrupt: the row does not fit the chart.
    """
    try:
        position = _position(tables_of(chart), row.state, row.history)
        snapshot = Snapshot(position, decode_context(chart, row.context))
        entered = msgspec.json.decode(row.entered, type=dict[str, int])
        for path in entered:
            chart.state(path)
    except (msgspec.MsgspecError, StatewardError, ValueError, TypeError, AttributeError, KeyError) as error:
        problem = f"its row does not fit version {chart.version}: {error}"
        raise LedgerCorrupt(problem, lifecycle=row.kind, entity=row.id) from error
    return snapshot, entered


@lru_cache(maxsize=8192)
def _position(tables: Tables, state: str, history: str) -> Position:
    """Few positions, many entities: what a row's texts stand for is worked out once.

    By the chart's tables, not by the chart: those of equal structure are equal, though a lifecycle that was declared
    anew in this process has other functions.
    """
    return position_of(tables.chart, state, None if history == "{}" else msgspec.json.decode(history))


def _history_text(snapshot: Snapshot[Any]) -> str:
    history = snapshot.position.history
    return json_text(history) if history else "{}"


def _due_by(chart: Chart[Any], entered: Mapping[str, int]) -> int | None:
    """When the first SLA of an active state ends."""
    ends = [
        moment + round(sla.total_seconds() * 1_000_000)
        for path, moment in entered.items()
        if (sla := chart.state(path).sla) is not None
    ]
    return min(ends, default=None)

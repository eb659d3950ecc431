"""From the outbox to handlers, and from what they answer back to the ledger.

An effect is *in hand* from when it is read until what came of it is written. Of each entity the first effect only is
read, so that its effects go out in order; types that may overtake are read beside it. What came of effects is written
in batches: while one is written, the next gathers.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from stateward.chart import EventMarker
from stateward.errors import LedgerUnavailable, StatewardError
from stateward.ledger import Actor
from stateward.ledger.after_commit import EndEffects, FetchEffects, HoldLease, PostponeEffects, Postponement
from stateward.ledger.codec import from_micros
from stateward.ledger.contract import Trip, Trips
from stateward.ledger.ids import minted_at
from stateward.ledger.pairs import Pair
from stateward.ledger.rows import EffectEnd, EffectKey, OutboxRow
from stateward.work.calling import Caller, InlineCaller, Returned
from stateward.work.ground import Ground
from stateward.work.handling import Call, GiveUp, Handlers, Handling, Snooze, answers_of
from stateward.work.leases import Lease

__all__ = ["PAGE_MAX", "DispatchStatistics", "Dispatcher"]

PAGE_MAX = 500
"""Effects that are read at once."""
WAITING_MIN = 32
WAITING_TIMES = 4
"""No more of a type is read while so many times what can be handled at once waits in hand."""
SETTLE_MAX = 500
ERROR_CHARACTERS_MAX = 2_000
"""What is kept of an error."""
LEDGER_AWAY_S_MAX = 5.0
TAKEOVER_MARGIN_US = 60_000_000
"""By how much clocks may differ that tell which effects are older than a takeover."""

_log = logging.getLogger(__name__)


class DispatchStatistics(msgspec.Struct, kw_only=True):
    """What a worker has made of effects since it started."""

    done: int = 0
    replied: int = 0
    """Of those done, the ones whose handlers replied with events."""
    failed: int = 0
    """Attempts."""
    snoozed: int = 0
    dead: int = 0


class _Taken(msgspec.Struct, eq=False):
    """An effect in hand."""

    row: OutboxRow
    handling: Handling
    attempt: int
    """The one that is made, from 1."""

    @property
    def key(self) -> str:
        return f"{self.row.record}:{self.row.n}"


class _Outcome(msgspec.Struct, eq=False):
    """What came of an attempt."""

    taken: _Taken
    pairs: list[Pair] = []
    end: EffectEnd | None = None
    postponement: Postponement | None = None


class Dispatcher:
    """The effects of a worker's parts, under one lease."""

    def __init__(
        self,
        ground: Ground,
        lease: Lease,
        handlers: Handlers,
        caller: Caller | InlineCaller,
        *,
        concurrency: int,
        statistics: DispatchStatistics,
        chance: random.Random,
    ) -> None:
        self._ground = ground
        self._lease = lease
        self._handlers = handlers
        self._caller = caller
        self._concurrency = concurrency
        self.statistics = statistics
        self._chance = chance
        self.in_hand: dict[EffectKey, OutboxRow] = {}
        self._settled_meanwhile: set[EffectKey] = set()
        """Effects that were settled since what is due was asked for: the answer may be older, and still hold them."""
        self._busy: Counter[int] = Counter()
        """How many effects of each part are in hand."""
        self._waiting: dict[str, deque[_Taken]] = {}
        self.running = 0
        """Attempts that go on."""
        self._slots: Counter[str] = Counter()
        """How many calls of each type go on, of attempts that have timed out, too."""
        self._after: EffectKey | None = None
        self._outcomes: list[_Outcome] = []
        self.has_outcomes = asyncio.Event()
        self.has_settled = asyncio.Event()
        self._is_stopping = False
        self._is_pumping = False

    def is_busy(self, part: int) -> bool:
        """Whether anything of a part is in hand."""
        return self._busy[part] > 0

    # Reading.

    async def fetch(self) -> int:
        """Read what is due, as far as there is room, and begin with it; how many effects were taken in hand."""
        types = self._types_with_room()
        if not types or not self._lease.parts or self._is_stopping:
            return 0
        operation = FetchEffects(
            parts=tuple(self._lease.parts),
            kinds=self._ground.kinds,
            effects=tuple(each.name for each in types),
            unordered=tuple(each.name for each in self._handlers if not each.is_ordered),
            now=self._ground.now(),
            after=self._after,
            limit=PAGE_MAX,
        )
        self._settled_meanwhile.clear()
        rows: list[OutboxRow] = await self._ground.run(_fetch(operation))
        # Where the page ends, the next one begins; behind the last one it begins anew.
        self._after = EffectKey(*rows[-1][:5]) if len(rows) == PAGE_MAX else None
        known = self.in_hand.keys() | self._settled_meanwhile
        new = [row for row in rows if EffectKey(*row[:5]) not in known and row.part in self._lease.parts]
        for row in new:
            self._take(row)
        await self._begin(new)
        self.pump()
        return len(new)

    @property
    def is_amid_a_pass(self) -> bool:
        """Whether there is more behind what was read last."""
        return self._after is not None

    def _types_with_room(self) -> list[Handling]:
        """Those of which more is to be read: a slow type keeps no other from it."""
        return [each for each in self._handlers if len(self._waiting.get(each.name, ())) < self._waiting_max(each)]

    def _waiting_max(self, handling: Handling) -> int:
        at_once = min(handling.concurrency or self._concurrency, self._concurrency)
        return max(WAITING_MIN, WAITING_TIMES * at_once)

    async def wait_for_room(self) -> None:
        """Wait until there is a type of which more is to be read."""
        await asyncio.sleep(0)
        while not self._is_stopping and len(self._handlers) and not self._types_with_room():
            self.has_settled.clear()
            await self.has_settled.wait()

    @property
    def is_at_work(self) -> bool:
        """Whether attempts go on, or what came of some is not written."""
        return self.running > 0 or bool(self._outcomes)

    def _take(self, row: OutboxRow) -> None:
        self.in_hand[EffectKey(*row[:5])] = row
        self._busy[row.part] += 1

    def _drop(self, row: OutboxRow) -> None:
        key = EffectKey(*row[:5])
        if self.in_hand.pop(key, None) is not None:
            self._busy[row.part] -= 1
            self._settled_meanwhile.add(key)

    async def _begin(self, rows: Sequence[OutboxRow]) -> None:
        """Put effects in line; those that a dead worker may have had in hand, once it is noted that they are begun."""
        suspects: list[_Taken] = []
        for row in rows:
            handling = self._handlers.get(row.effect)
            assert handling is not None
            taken = _Taken(row, handling, row.attempts + 1)
            if not self._is_suspect(row):
                self._waiting.setdefault(row.effect, deque()).append(taken)
            elif taken.attempt > handling.retry.limit:
                self._finish(taken, self._dead(taken, row.attempts, row.last_error or "its worker died amid it"))
            else:
                suspects.append(taken)
        if not suspects:
            return
        notes = tuple(
            Postponement(
                EffectKey(*each.row[:5]), each.attempt, each.row.next_attempt,
                f"attempt {each.attempt} was begun, and its worker died amid it",
            )
            for each in suspects
        )  # fmt: skip
        try:
            await self._ground.run(_write_back(self._lease.worker, (), notes))
        except LedgerUnavailable:
            for each in suspects:
                self._drop(each.row)
            raise
        for each in suspects:
            self._waiting.setdefault(each.row.effect, deque()).append(each)

    def _is_suspect(self, row: OutboxRow) -> bool:
        """Whether it was there when its part was taken over from a worker that had not given it back."""
        taken_at = self._lease.taken_over.get(row.part)
        return taken_at is not None and minted_at(row.record) <= taken_at + TAKEOVER_MARGIN_US

    # Calling.

    def pump(self) -> None:
        """Begin attempts, type by type in turn, for as long as there is room."""
        if self._is_pumping:  # a call that comes back within it is seen by the round that goes on
            return
        self._is_pumping = True
        try:
            while self._begin_round():
                pass
        finally:
            self._is_pumping = False

    def _begin_round(self) -> bool:
        """Begin one attempt of each type that has room; whether any was begun."""
        has_begun = False
        if not self._is_stopping:
            for name, waiting in list(self._waiting.items()):
                handling = self._handlers.get(name)
                if not waiting or handling is None or self._slots.total() >= self._concurrency:
                    continue
                if handling.concurrency is not None and self._slots[name] >= handling.concurrency:
                    continue
                self._attempt(waiting.popleft())
                has_begun = True
        return has_begun

    def _attempt(self, taken: _Taken) -> None:
        row, handling = taken.row, taken.handling
        try:
            effect = handling.decode(row.payload)
        except GiveUp as error:
            self._finish(taken, self._outcome_of(taken, None, error))
            return
        call = Call(
            key=taken.key,
            kind=row.kind,
            entity=row.entity,
            effect=row.effect,
            revision=row.revision,
            record=row.record,
            attempt=taken.attempt,
            deadline=from_micros(self._ground.now()) + handling.timeout,
            asked_at=from_micros(minted_at(row.record)),
            traceparent=row.traceparent,
        )
        self.running += 1
        self._slots[row.effect] += 1
        self._caller.call(
            partial(handling.function, effect, call),
            is_async=handling.is_async,
            timeout_s=handling.timeout.total_seconds(),
            done=partial(self._returned, taken, effect),
            freed=partial(self._freed, row.effect),
        )

    def _returned(self, taken: _Taken, effect: Any, returned: Returned) -> None:
        self.running -= 1
        value, error = returned
        try:
            outcome = self._outcome_of(taken, effect, error) if error is not None else self._answered(taken, value)
        except Exception as problem:  # what it answered can't be taken back to the entity
            outcome = self._outcome_of(taken, effect, problem)
        self._finish(taken, outcome)

    def _freed(self, name: str) -> None:
        self._slots[name] -= 1
        self.pump()

    def _answered(self, taken: _Taken, value: object) -> _Outcome:
        row = taken.row
        end = EffectEnd(*row[:5], taken.attempt)
        pairs = [
            self._reply(row, event, taken.key if n == 0 else f"{taken.key}:{n}")
            for n, event in enumerate(answers_of(row.effect, taken.key, value))
        ]
        if pairs:
            pairs[-1].end = end
            return _Outcome(taken, pairs=pairs)
        return _Outcome(taken, end=end)

    def _reply(self, row: OutboxRow, event: EventMarker, key: str) -> Pair:
        pair = self._ground.accept(
            row.kind, row.entity, event, actor=Actor("handler", row.effect), key=f"effect:{key}", source="effect",
            cause=f"{row.record}:{row.n}",
        )  # fmt: skip
        pair.traceparent = row.traceparent
        return pair

    def _outcome_of(self, taken: _Taken, effect: Any, error: BaseException) -> _Outcome:
        """What follows a failed attempt, by the retry policy."""
        row, retry = taken.row, taken.handling.retry
        if isinstance(error, Snooze):
            return self._postponed(taken, taken.attempt - 1, error.delay, str(error))
        why = _text_of(error)
        rule = "give_up" if isinstance(error, GiveUp) else retry.rule_of(error)
        if isinstance(rule, timedelta):
            return self._postponed(taken, taken.attempt - 1, rule, why)
        self.statistics.failed += 1
        if rule == "retry" and taken.attempt < retry.limit:
            return self._postponed(taken, taken.attempt, retry.delay(taken.attempt, self._chance), why)
        _log.warning("%s %s of %s %s is a dead letter: %s", row.effect, taken.key, row.kind, row.entity, why)
        return self._dead(taken, taken.attempt, why, effect)

    def _postponed(self, taken: _Taken, attempts: int, delay: timedelta, why: str) -> _Outcome:
        if attempts < taken.attempt:
            self.statistics.snoozed += 1
        due_at = self._ground.now() + max(delay, timedelta(0)) // timedelta(microseconds=1)
        return _Outcome(taken, postponement=Postponement(EffectKey(*taken.row[:5]), attempts, due_at, why))

    def _dead(self, taken: _Taken, attempts: int, why: str, effect: Any = None) -> _Outcome:
        """A dead letter, with the event by which the lifecycle answers it, if there is one."""
        row, on_dead = taken.row, taken.handling.on_dead
        end = EffectEnd(*row[:5], attempts, why, self._ground.now())
        if on_dead is not None:
            try:
                effect = taken.handling.decode(row.payload) if effect is None else effect
                pair = self._reply(row, on_dead(effect, why), f"{taken.key}:dead")
            except Exception as error:  # the letter is not lost by it
                end = end._replace(error=f"{why}; and its on_dead: {_text_of(error)}"[:ERROR_CHARACTERS_MAX])
            else:
                pair.end = end
                return _Outcome(taken, pairs=[pair])
        return _Outcome(taken, end=end)

    def _finish(self, taken: _Taken, outcome: _Outcome) -> None:
        if EffectKey(*taken.row[:5]) in self.in_hand:
            self._outcomes.append(outcome)
            self.has_outcomes.set()

    # Writing back.

    async def settle(self) -> int:
        """Write what came of attempts; how many there were.

        Raises:
            LeaseLost: others go on with these parts; nothing of it was written.
            LedgerUnavailable: the ledger is away; it is kept to be written later.
        """
        outcomes = self._outcomes[:SETTLE_MAX]
        if not outcomes:
            self.has_outcomes.clear()
            return 0
        pairs = [pair for each in outcomes for pair in each.pairs if not pair.is_settled]
        if pairs:
            await self._ground.commit(pairs, lease=self._lease.worker)
        again = [each for each in outcomes if each.pairs and self._is_to_be_brought_again(each)]
        over = [each for each in outcomes if each not in again]
        ends = tuple(each.end for each in over if each.end is not None)
        notes = tuple(each.postponement for each in over if each.postponement is not None)
        if ends or notes:
            await self._ground.run(_write_back(self._lease.worker, ends, notes))
        self._outcomes[: len(outcomes)] = again
        for each in over:
            self._count(each)
            self._drop(each.taken.row)
        self.has_settled.set()
        return len(outcomes)

    def _is_to_be_brought_again(self, outcome: _Outcome) -> bool:
        """Whether something else is to be written of it, since the lifecycle's own code could not take a reply.

        The attempt is a failed one then, and nothing is lost.
        """
        errors = [pair.error for pair in outcome.pairs if pair.error is not None]
        if not errors:
            return False
        if isinstance(errors[0], LedgerUnavailable):
            for pair in outcome.pairs:  # under the same record ids
                pair.error = None
            return True
        end = outcome.pairs[-1].end
        if end is not None and end.error is not None:  # on_dead can't be taken: the letter is kept without it
            outcome.pairs, outcome.end = [], end._replace(error=f"{end.error}; and its on_dead: {_text_of(errors[0])}")
            return False
        failed = self._outcome_of(outcome.taken, None, errors[0])
        outcome.pairs, outcome.end, outcome.postponement = failed.pairs, failed.end, failed.postponement
        return bool(failed.pairs)

    def _count(self, outcome: _Outcome) -> None:
        end = outcome.end or (outcome.pairs[-1].end if outcome.pairs else None)
        if outcome.postponement is not None or end is None:
            return
        if end.error is not None:
            self.statistics.dead += 1
        else:
            self.statistics.done += 1
            self.statistics.replied += bool(outcome.pairs)

    # Stopping.

    def stop(self) -> None:
        """Begin no attempt any more; what waits stays in the outbox."""
        self._is_stopping = True
        self.has_settled.set()
        for waiting in self._waiting.values():
            while waiting:
                self._drop(waiting.popleft().row)

    async def wait_until_settled(self) -> None:
        """Wait until what goes on has ended, and `settle` has written what came of it."""
        while self.is_at_work:
            self.has_settled.clear()
            await self.has_settled.wait()


def _text_of(error: BaseException) -> str:
    text = str(error)
    name = type(error).__name__
    told = name if not text else text if isinstance(error, (GiveUp, StatewardError)) else f"{name}: {text}"
    return told[:ERROR_CHARACTERS_MAX].replace("\0", " ").encode("utf-8", "replace").decode()


def _fetch(operation: FetchEffects) -> Trips[list[OutboxRow]]:
    [rows] = yield Trip((operation,))
    return list(rows)


def _write_back(worker: str, ends: tuple[EffectEnd, ...], notes: tuple[Postponement, ...]) -> Trips[None]:
    operations = (
        HoldLease(worker),
        *((EndEffects(ends),) if ends else ()),
        *((PostponeEffects(notes),) if notes else ()),
    )
    yield Trip(operations, begins=True, commits=True)

"""From the outbox to handlers, and from what they answer back to the ledger.

An effect is *in hand* from when it is read until what came of it is written. Of each entity the first effect only is
read, so that its effects go out in order; types that may overtake are read beside it. What came of effects is written
in batches: while one is written, the next gathers.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any

from stateward.ledger.after_commit import FetchEffects, PostponeEffects, Postponement
from stateward.ledger.codec import from_micros
from stateward.ledger.ids import minted_at
from stateward.ledger.rows import EffectKey, OutboxRow
from stateward.work.calling import Caller, InlineCaller, Returned
from stateward.work.ground import Ground
from stateward.work.handling import Call, GiveUp, Handlers, Handling
from stateward.work.leases import Lease
from stateward.work.outcomes import DispatchStatistics, Judge, Outcome, Taken, amid
from stateward.work.settling import SETTLE_MAX, Settler

__all__ = ["PAGE_MAX", "Dispatcher"]

PAGE_MAX = 500
"""Effects that are read at once."""
LINE_MIN, LINE_TIMES = 32, 16
"""In line are so many of a type, or so many times what is handled of it at once."""
OUTCOMES_MAX = 2 * SETTLE_MAX
"""While what came of so many is not written, no more are read: a worker that dies has no more than that, and its lines,
done for nothing; and what is in hand is read again with each page."""
TAKEOVER_MARGIN_US = 60_000_000
"""By how much clocks may differ that tell which effects are older than a takeover."""


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
        self._judge = Judge(ground, statistics, chance)
        self.in_hand: dict[EffectKey, OutboxRow] = {}
        self._last_in_hand: dict[tuple[str, str], EffectKey] = {}
        """Of each entity of which an effect is in hand that may not be overtaken, the last such."""
        self._settled_meanwhile: set[EffectKey] = set()
        """Effects that were settled since what is due was asked for: the answer may be older, and still hold them."""
        self._busy: Counter[int] = Counter()
        """How many effects of each part are in hand."""
        self._waiting: dict[str, deque[Taken]] = {}
        self._alone: deque[Taken] = deque()
        """Those amid which a worker has died. They are begun one at a time: a worker that one of them kills then has no
        other of them in hand, which would run out of attempts together with it."""
        self._is_alone_begun = False
        self._begun: list[Taken] = []
        """Those that have their room, and are called as soon as it is noted that they are begun."""
        self._running: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        """As `_running`, and with functions that have timed out and go on."""
        self._postponed_once: set[EffectKey] = set()
        """In a drain, what was attempted and is to be again: some other time."""
        self._after: EffectKey | None = None
        self.settler = Settler(ground, lease, self._judge, self._settled)
        self.has_outcomes = asyncio.Event()
        self.has_settled = asyncio.Event()
        self._is_stopping = False
        self._is_pumping = False

    def is_busy(self, part: int) -> bool:
        """Whether anything of a part is in hand."""
        return self._busy[part] > 0

    @property
    def running(self) -> int:
        """Attempts that go on."""
        return self._running.total()

    # Reading.

    async def fetch(self) -> int:
        """Read what is due, as far as there is room, and begin with it; how many effects were taken in hand."""
        parts = self._lease.open_parts
        if not parts:
            self._after = None
        if not parts or self._is_stopping or not self._has_room():
            return 0
        types = self._wanted_types()
        operation = FetchEffects(
            parts=tuple(parts),
            kinds=self._ground.kinds,
            effects=tuple(each.name for each in types),
            unordered=tuple(each.name for each in self._handlers if not each.is_ordered),
            now=self._ground.now(),
            after=self._after,
            limit=PAGE_MAX,
        )
        self._settled_meanwhile.clear()
        [rows] = await self._ground.ask(operation)
        # Where the page ends, the next one begins; behind the last one it begins anew.
        self._after = EffectKey(*rows[-1][:5]) if len(rows) == PAGE_MAX else None
        if self._is_stopping:
            return 0
        known = self.in_hand.keys() | self._settled_meanwhile | self._postponed_once
        now_open = self._lease.open_parts
        # A part that was given back and taken again meanwhile has another epoch: what was read is of before.
        new = [
            row
            for row in rows
            if EffectKey(*row[:5]) not in known
            and row.part in parts
            and now_open.get(row.part) == parts[row.part]
            and not self._is_behind_its_time(row)
        ]
        taken = self._line_up(new)
        self.pump()
        return taken

    def _wanted_types(self) -> list[Handling]:
        """Those of which more fit into their line: one whose line is full keeps no other from being read."""
        return [each for each in self._handlers if self._fits(each)]

    def _fits(self, handling: Handling) -> bool:
        at_once = min(handling.concurrency or self._concurrency, self._concurrency)
        line = len(self._waiting.get(handling.name, ()))
        return line < max(LINE_MIN, LINE_TIMES * at_once)

    def _has_room(self) -> bool:
        return self.settler.count < OUTCOMES_MAX and bool(self._wanted_types())

    @property
    def is_amid_a_pass(self) -> bool:
        """Whether there is more behind what was read last."""
        return self._after is not None

    async def wait_for_room(self) -> None:
        """Wait until there is room to read more, if there is little, in hand or in the lines of all types."""
        await asyncio.sleep(0)
        while not self._has_room() and not self._is_stopping:
            self.has_settled.clear()
            await self.has_settled.wait()

    @property
    def is_at_work(self) -> bool:
        """Whether attempts go on, or what came of some is not written."""
        return self.running > 0 or not self.settler.is_over

    def _is_behind_its_time(self, row: OutboxRow) -> bool:
        """Whether a later effect of its entity is in hand: a dead letter was put back meanwhile, and has to wait."""
        handling = self._handlers.get(row.effect)
        last = self._last_in_hand.get((row.kind, row.entity))
        return handling is not None and handling.is_ordered and last is not None and last > EffectKey(*row[:5])

    def _take(self, row: OutboxRow, handling: Handling) -> None:
        key = EffectKey(*row[:5])
        self.in_hand[key] = row
        self._busy[row.part] += 1
        if handling.is_ordered:
            self._last_in_hand[row.kind, row.entity] = key

    def _drop(self, row: OutboxRow) -> None:
        key = EffectKey(*row[:5])
        if self.in_hand.pop(key, None) is not None:
            self._busy[row.part] -= 1
            self._settled_meanwhile.add(key)
            if self._last_in_hand.get((row.kind, row.entity)) == key:
                del self._last_in_hand[row.kind, row.entity]

    def _line_up(self, rows: Sequence[OutboxRow]) -> int:
        """Put effects in line, as many as fit; those amid which workers died until there is no attempt left are dead.

        Returns:
            How many were taken in hand.
        """
        count = 0
        for row in rows:
            handling = self._handlers.get(row.effect)
            assert handling is not None
            if not self._fits(handling):  # the next pass finds it
                continue
            self._take(row, handling)
            count += 1
            taken = Taken(row, handling, row.attempts + 1, self._is_suspect(row))
            if taken.is_suspect and taken.attempt > handling.retry.limit:
                self._finish(self._judge.has_died(taken))
            elif taken.is_alone:
                self._alone.append(taken)
            else:
                self._waiting.setdefault(row.effect, deque()).append(taken)
        return count

    def _is_suspect(self, row: OutboxRow) -> bool:
        """Whether it was there when its part was taken over from a worker that had not given it back."""
        taken_at = self._lease.taken_over.get(row.part)
        return taken_at is not None and minted_at(row.record) <= taken_at + TAKEOVER_MARGIN_US

    def leave(self, parts: Container[int]) -> None:
        """Take those of parts that are to be given back out of the lines; what goes on ends as it would."""
        self._leave(lambda row: row.part in parts)

    def rest(self, kinds: Container[str], effects: Container[str]) -> None:
        """Take those that are paused out of the lines, which may be long; what goes on ends as it would."""
        self._leave(lambda row: row.kind in kinds or row.effect in effects)

    @property
    def has_waiting(self) -> bool:
        """Whether any are in line."""
        return bool(self._alone) or any(self._waiting.values())

    def _leave(self, leaves: Callable[[OutboxRow], bool]) -> None:
        for line in (*self._waiting.values(), self._alone):
            leaving = [each for each in line if leaves(each.row)]
            for each in leaving:
                line.remove(each)
                self._drop(each.row)
        self.has_settled.set()

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
        if self._is_stopping:
            return has_begun
        for waiting in list(self._waiting.values()):
            if waiting and self._has_room_for(waiting[0].handling):
                self._begin(waiting.popleft())
                has_begun = True
        if self._alone and not self._is_alone_begun and self._has_room_for(self._alone[0].handling):
            self._is_alone_begun = True
            self._begin(self._alone.popleft())
            has_begun = True
        return has_begun

    def _has_room_for(self, handling: Handling) -> bool:
        """Whether another attempt fits in; functions that have timed out and go on keep their threads."""
        if self.running >= self._concurrency or (not handling.is_async and self._held.total() >= self._concurrency):
            return False
        return handling.concurrency is None or self._held[handling.name] < handling.concurrency

    def _begin(self, taken: Taken) -> None:
        """Call it, or first have it noted that it is begun: one that kills its worker is to run out of attempts."""
        self._running[taken.row.effect] += 1
        self._held[taken.row.effect] += 1
        if taken.is_suspect:
            self._begun.append(taken)
            self.has_outcomes.set()
        else:
            self._attempt(taken)

    async def _note_begun(self) -> int:
        """Note which attempts are begun that may kill the worker, and begin them."""
        begun = tuple(self._begun)
        if not begun:
            return 0
        notes = tuple(
            Postponement(EffectKey(*each.row[:5]), each.attempt, each.row.next_attempt, amid(each.attempt))
            for each in begun
        )
        await self._ground.write(PostponeEffects(notes), lease=self._lease.worker)
        for each in begun:
            if each in self._begun:  # else it is stopped meanwhile
                self._begun.remove(each)
                self._attempt(each)
        return len(begun)

    def _end_call(self, taken: Taken) -> None:
        self._held[taken.row.effect] -= 1
        self.pump()

    def _attempt(self, taken: Taken) -> None:
        row, handling = taken.row, taken.handling
        try:
            effect = handling.decode(row.payload)
        except GiveUp as error:
            self._held[row.effect] -= 1
            self._returned(taken, None, (None, error))
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
        self._caller.call(
            partial(handling.function, effect, call),
            is_async=handling.is_async,
            timeout_s=handling.timeout.total_seconds(),
            done=partial(self._returned, taken, effect),
            gone=partial(self._end_call, taken),
        )

    def _returned(self, taken: Taken, effect: Any, returned: Returned) -> None:
        self._running[taken.row.effect] -= 1
        if taken.is_alone:
            self._is_alone_begun = False
        self._finish(self._judge.judge(taken, effect, returned))
        self.pump()

    def _finish(self, outcome: Outcome) -> None:
        if EffectKey(*outcome.taken.row[:5]) in self.in_hand:
            self.settler.add(outcome)
            self.has_outcomes.set()

    # Writing back.

    async def settle(self) -> int:
        """Write what came of attempts, and which are begun that may kill the worker; how many there were.

        Raises:
            LeaseLost: others go on with these parts; nothing of it was written.
            LedgerUnavailable: the ledger is away; it is kept to be written later.
        """
        count = await self._note_begun() + await self.settler.settle()
        if not self._begun and not self.settler.has_outcomes:
            self.has_outcomes.clear()
        if count:
            self.has_settled.set()
        return count

    async def settle_held_up(self) -> int:
        """Write what others held up, waiting for these a moment; how many there were. Raises as `settle`."""
        count = await self.settler.settle_held_up()
        self.has_settled.set()
        return count

    def _settled(self, outcome: Outcome) -> None:
        self._drop(outcome.taken.row)
        if outcome.postponement is not None and self._caller.is_inline:
            self._postponed_once.add(outcome.postponement.key)

    # Stopping.

    def stop(self) -> None:
        """Begin no attempt any more; what waits stays in the outbox."""
        self._is_stopping = True
        for line in (*self._waiting.values(), self._alone):
            while line:
                self._drop(line.popleft().row)
        while self._begun:
            taken = self._begun.pop()
            self._running[taken.row.effect] -= 1
            self._held[taken.row.effect] -= 1
            self._drop(taken.row)
        self.has_settled.set()

    async def wait_until_settled(self) -> None:
        """Wait until what goes on has ended, and `settle` has written what came of it."""
        while self.is_at_work:
            self.has_settled.clear()
            await self.has_settled.wait()

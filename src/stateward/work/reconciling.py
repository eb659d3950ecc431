"""Reconciliation: asking the world about entities that have waited in a state for longer than they should.

A round goes through the entities that had not moved for `older_than` when it began, in batches by keyset, and what the
world tells is sent as ordinary events. How far it has come is kept, so that another worker goes on where one ended.
One worker does it at a time: the one that works on the part of the reconciliation's name.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from stateward.chart import EventMarker
from stateward.errors import LedgerUnavailable, Refusal, StatewardError
from stateward.ledger import Actor, Entity
from stateward.ledger.after_commit import FetchReconciliation, KeepReconciliation, ListPauses
from stateward.ledger.codec import json_text
from stateward.ledger.contract import CountCensus, ListEntities, Trip, Trips
from stateward.ledger.ids import part_of
from stateward.ledger.pairs import Pair
from stateward.ledger.reading import entity_of
from stateward.ledger.rows import EntityRow, ReconciliationRow
from stateward.work.ground import Ground
from stateward.work.handling import answers_of
from stateward.work.leases import Lease

__all__ = ["ReconcileStatistics", "Reconciler", "Reconciliation"]

BATCH_MAX = 100
"""Entities that are read, asked about and answered together."""

_log = logging.getLogger(__name__)


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is asked, about which entities, and how often."""

    name: str
    """Unique in a ledger: how far it has come is kept by it."""
    kind: str
    state: str
    """The path of a state; an entity is in it if it, or a state within it, is active."""
    older_than: timedelta
    every: timedelta
    rate: float | None
    """Questions a second at most; None: as fast as they are answered."""
    concurrency: int
    """Questions at the same time."""
    timeout: timedelta
    """How long a question may take. A function that takes longer goes on in its thread, and is not listened to."""
    asking: Callable[[Entity[Any]], Any]
    is_async: bool

    @property
    def part(self) -> int:
        """The part whose worker does it."""
        return part_of("reconcile", self.name)


class ReconcileStatistics(msgspec.Struct, kw_only=True):
    """What a worker has reconciled since it started."""

    asked: int = 0
    learned: int = 0
    """Events that were applied."""
    refused: int = 0
    failed: int = 0
    """Questions that raised, or whose answer could not be applied."""


class _Room:
    """Places for the questions that go on at the same time. One that is late keeps its place until it is back."""

    def __init__(self, places: int) -> None:
        self._places = self._free = places
        self._late = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Take a place, as soon as one is free.

        Raises:
            TimeoutError: all places are those of late questions: nobody knows when one is free.
        """
        if self._late == self._places:
            raise self._full()
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back: to whoever waits first."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def be_late(self) -> None:
        """Keep a place though nobody waits for the answer any more; when none but such are left, all who wait go."""
        self._late += 1
        if self._late == self._places:
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_exception(self._full())

    def come_back(self) -> None:
        """Give a late question's place back."""
        self._late -= 1
        self.leave()

    def _full(self) -> TimeoutError:
        return TimeoutError(f"not asked: {self._late} questions before it are not back yet")


class _Place(msgspec.Struct, frozen=True):
    """How far a round has come: behind which entity of which configuration."""

    state: str
    number: int
    id: str


class Reconciler:
    """One reconciliation, under one lease."""

    def __init__(
        self,
        ground: Ground,
        lease: Lease,
        what: Reconciliation,
        statistics: ReconcileStatistics,
        *,
        run_in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] | None,
    ) -> None:
        """Take what it stands on.

        Args:
            ground: ledger, charts and clocks.
            lease: the worker's.
            what: what is asked.
            statistics: where it is counted.
            run_in_thread: how a function that blocks is called; None: in this very thread, and without waiting between
                questions.
        """
        self._ground = ground
        self._lease = lease
        self._what = what
        self._statistics = statistics
        self._run_in_thread = run_in_thread
        self._next_question_at = 0.0
        self._room = _Room(what.concurrency)
        self._late: set[str] = set()
        """The entities about whom a question is late, and not back yet: it is not asked again beside itself."""

    async def work(self) -> int:
        """Do one batch, if any is due and this worker is the one; how many entities were asked about.

        Raises:
            LeaseLost: another goes on with it.
            LedgerUnavailable: the ledger is away.
        """
        if self._what.part not in self._lease.parts:
            return 0
        now = self._ground.now()
        kept, pauses = await self._ground.ask(FetchReconciliation(self._what.name), ListPauses())
        if any((each.scope, each.name) == ("kind", self._what.kind) for each in pauses):
            return 0
        row: ReconciliationRow | None = kept[0] if kept else None
        every = self._what.every // timedelta(microseconds=1)
        # One that is due far later than any can be was noted by a clock that has been put back since.
        if row is None or (row.after is None and not now < row.due_at <= now + 2 * every):
            row = ReconciliationRow(self._what.name, now, json_text(_Place("", 0, "")), now + every)
        if row.after is None:
            return 0
        place = msgspec.json.decode(row.after, type=_Place)
        entities, following = await self._ground.run(self._read(row, place))
        await self._ask_all(entities)
        after = None if following is None else json_text(following)
        await self._ground.write(KeepReconciliation(row._replace(after=after)), lease=self._lease.worker)
        return len(entities)

    def _read(self, row: ReconciliationRow, place: _Place) -> Trips[tuple[list[Entity[Any]], _Place | None]]:
        """The next batch of a round, and where it goes on behind it; None: the round is over."""
        [census] = yield Trip((CountCensus(self._what.kind),))
        states = sorted({state for _, _, state, _ in census if self._is_within(state)} | {place.state or ""})
        for state in states:
            if state < place.state or not state:
                continue
            operation = ListEntities(
                kind=self._what.kind,
                state=state,
                updated_before=row.round_at - self._what.older_than // timedelta(microseconds=1) + 1,
                after=(place.number, place.id) if state == place.state else None,
                limit=BATCH_MAX,
            )
            [rows] = yield Trip((operation,))
            if rows:
                last: EntityRow = rows[-1]
                return self._entities(rows), _Place(state, operation.number_of(last), last.id)
        return [], None

    def _is_within(self, configuration: str) -> bool:
        """Whether the state, or one within it, is active in a configuration."""
        return any(f"{path}.".startswith(f"{self._what.state}.") for path in configuration.split("|"))

    def _entities(self, rows: Sequence[EntityRow]) -> list[Entity[Any]]:
        entities: list[Entity[Any]] = []
        for row in rows:
            try:
                entities.append(entity_of(row, self._ground.charts))
            except StatewardError as error:  # of a version that is not known here, say: the others are asked about
                self._statistics.failed += 1
                _log.error("reconciling %s: %s", self._what.name, error)
        return entities

    async def _ask_all(self, entities: Sequence[Entity[Any]]) -> None:
        answered = await asyncio.gather(*(self._ask(each) for each in entities))
        pairs = [pair for each in answered for pair in each]
        if not pairs:
            return
        await self._ground.commit(pairs, lease=self._lease.worker)
        for pair in pairs:
            if isinstance(pair.error, LedgerUnavailable):
                raise pair.error
            if pair.error is not None:
                self._statistics.failed += 1
                _log.error("reconciling %s: %s", self._what.name, pair.error)
            elif isinstance(pair.answer, Refusal):
                self._statistics.refused += 1
            else:
                self._statistics.learned += 1

    async def _ask(self, entity: Entity[Any]) -> list[Pair]:
        """What the world tells of an entity, as events; a question that fails is asked again in the next round."""
        try:
            if entity.id in self._late:
                problem = "not asked: the question before is not back yet"
                raise TimeoutError(problem)
            await self._room.enter()
            answer = await self._answer(entity)
            return [self._reply(entity, n, event) for n, event in enumerate(answers_of(self._what.name, "", answer))]
        except Exception as error:
            self._statistics.failed += 1
            _log.warning("reconciling %s: asking about %s %s: %r", self._what.name, entity.kind, entity.id, error)
            return []

    async def _answer(self, entity: Entity[Any]) -> Any:
        """What a question is answered, in time; its place is given back when it has ended, however late.

        Raises:
            TimeoutError: it was not; else a question that hangs would keep all others from ever being asked.
        """
        timeout_s, asked = self._what.timeout.total_seconds(), partial(self._what.asking, entity)
        question: asyncio.Future[Any] | None = None
        try:
            await self._wait_for_turn()
            self._statistics.asked += 1
            if self._what.is_async or self._run_in_thread is None:
                answer = asked()
                async with asyncio.timeout(timeout_s):
                    return await answer if inspect.isawaitable(answer) else answer
            question = asyncio.ensure_future(self._run_in_thread(asked))
            done, _ = await asyncio.wait([question], timeout=timeout_s)
            if done:
                return question.result()
            problem = f"no answer within {timeout_s:g} s"
            raise TimeoutError(problem)
        finally:
            if question is None or question.done():
                self._room.leave()
            else:
                self._room.be_late()
                self._late.add(entity.id)
                question.add_done_callback(partial(self._come_back, entity.id))

    def _come_back(self, entity: str, question: asyncio.Future[Any]) -> None:
        self._room.come_back()
        self._late.discard(entity)
        if not question.cancelled():
            question.exception()  # nobody listens any more

    def _reply(self, entity: Entity[Any], n: int, event: EventMarker) -> Pair:
        key = f"reconcile:{self._what.name}:{entity.revision}" + (f":{n}" if n else "")
        actor = Actor("reconcile", self._what.name)
        return self._ground.accept(
            entity.kind, entity.id, event, actor=actor, key=key, source="reconcile", cause=None
        )  # fmt: skip

    async def _wait_for_turn(self) -> None:
        """Keep to the rate; in `drain`, nothing is waited for."""
        if self._what.rate is None or self._run_in_thread is None:
            return
        now = self._ground.monotonic()
        turn = max(now, self._next_question_at)
        self._next_question_at = turn + 1 / self._what.rate
        if turn > now:
            await asyncio.sleep(turn - now)

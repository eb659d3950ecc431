"""The engine for threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle
from stateward.engine.core import (
    READ_AGAIN_DELAY_S,
    READ_AGAIN_S_MAX,
    Answer,
    Authorize,
    Creating,
    EngineCore,
    EngineStatistics,
    Sending,
    answer_of,
    applied_of,
    by_state,
    outcome_of,
)
from stateward.engine.joined import JoinedEngine, joinable
from stateward.engine.measuring import Measuring
from stateward.engine.paging import Paging
from stateward.engine.sender import Sender
from stateward.engine.tail import Tails
from stateward.engine.working import WorkingEngine
from stateward.errors import LedgerUnavailable, StatewardError
from stateward.kernel import Explanation, explain
from stateward.ledger import Actor, Applied, Entity, Record, open_ledger
from stateward.ledger.committing import BATCH_MAX, SETTLE_DELAYS_S, Committer, mark_lost
from stateward.ledger.contract import ConnectionLost, FetchHistory, Ledger, ListEntities, Trips
from stateward.ledger.joining import driver_connection
from stateward.ledger.pairs import Pair
from stateward.ledger.reading import count_census, fetch_entities, fetch_entity, register_lifecycles
from stateward.ledger.results import Source
from stateward.work.retention import Retention

__all__ = ["Engine"]

C = TypeVar("C", bound=ContextMarker)
T = TypeVar("T")


class Engine(WorkingEngine, Paging, Measuring, Tails, Sender):
    """Lifecycles on a ledger: entities are created, events sent to them, and nothing that happens is lost.

    It may be used by any number of threads: what they send while a commit is in flight is committed together next.
    """

    def __init__(
        self,
        ledger: str | Path | Ledger,
        *,
        lifecycles: Iterable[type[Lifecycle[Any]] | Chart[Any]],
        clock: Callable[[], datetime] | None = None,
        authorize: Authorize | None = None,
        notify: bool = False,
        retention: Retention | None = None,
    ) -> None:
        """Open a ledger; a fresh database is made ready.

        Args:
            ledger: `sqlite:///orders.db`, `sqlite://` or `memory://` for one in memory, or a ledger.
            lifecycles: those that this engine serves, several versions of one among them if need be.
            clock: the time, with a time zone; the system's if it is not given.
            authorize: says whether an actor may send an event; all may if it is not given.
            notify: whether workers of other processes that listen are told after commits that ask for effects or set
                timers; on PostgreSQL alone.
            retention: how long what is not needed any more is kept; for ever if it is not given.

        Raises:
            LedgerUnavailable: the database can't be opened.
            LedgerOutdated: its schema is not the one that this version of stateward knows.
            DefinitionError: a version of a lifecycle was registered in it with another digest.
        """
        self._core = EngineCore(lifecycles, clock, authorize, retention)
        self._ledger: Ledger = open_ledger(ledger)
        try:
            self._prepare_work(self._ledger, notify=notify)
            self._read(lambda: register_lifecycles(self._core.charts))
        except BaseException:
            if isinstance(ledger, (str, Path)):  # one that was given is its giver's
                self._ledger.close()
            raise
        self._committer = Committer(self._commit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop working, if it was started, and close the ledger. Twice is safe."""
        try:
            self.stop()
        finally:
            self._close_notifier()
            self._ledger.close()

    def statistics(self) -> EngineStatistics:
        """What this engine has committed, and its worker has done, since they started."""
        return EngineStatistics(
            ledger=self._ledger.statistics(),
            commits=self._committer.statistics(),
            worker=None if self._worker is None else self._worker.statistics(),
        )

    def _settle(self, pairs: Sequence[Pair]) -> None:
        self._committer.submit(pairs)

    def _commit(self, pairs: Sequence[Pair], *, waits: bool = False) -> None:
        for delay_s in (*SETTLE_DELAYS_S, None):
            try:
                self._ledger.run(self._core.committing(pairs, self._ledger.capabilities, waits=waits))
            except LedgerUnavailable as error:
                self._after_commit(pairs)  # a part of a batch may have been committed before the rest failed
                is_lost = mark_lost(pairs, error)
                if not is_lost and not isinstance(error, ConnectionLost):
                    raise
                if delay_s is None:
                    raise LedgerUnavailable(error.problem, is_outcome_unknown=is_lost) from error
                time.sleep(delay_s)  # then whether it was committed is looked up, by the ids of its records
            else:
                self._after_commit(pairs)
                return

    def _read(self, make: Callable[[], Trips[T]]) -> T:
        """Read, and again for as long as connections turn out to have died while nobody used them."""
        deadline = time.monotonic() + READ_AGAIN_S_MAX
        while True:
            try:
                return self._ledger.run(make())
            except ConnectionLost:
                if time.monotonic() > deadline:
                    raise
            time.sleep(READ_AGAIN_DELAY_S)

    # Moving entities.

    def send_many(self, sendings: Sequence[Sending], *, source: Source = "call") -> list[Answer]:
        """Send events in batches; the answers come in the order of the events.

        It is no transaction over all of them: each is applied, refused or fails by itself. Those for one entity apply
        in their order.

        Returns:
            For each an `Applied`, a `Refusal`, or the error that `attempt` would have raised.
        """
        return self._submit(self._core.accept_many(sendings, source))

    def create_many(self, creatings: Sequence[Creating], *, source: Source = "call") -> list[Answer]:
        """Start entities in batches; the answers come in the order of the entities, as those of `send_many` do."""
        return self._submit(self._core.accept_creations(creatings, source))

    def _submit(self, accepted: Sequence[Pair | StatewardError]) -> list[Answer]:
        pairs = [each for each in accepted if isinstance(each, Pair)]
        for first in range(0, len(pairs), BATCH_MAX):
            self._committer.submit(pairs[first : first + BATCH_MAX])
        return [outcome_of(each) for each in accepted]

    def repair(
        self, lifecycle: type[Lifecycle[C]] | Chart[C], entity: str, state: str, *, reason: str, actor: Actor | str
    ) -> Applied[C]:
        """Force an entity into a configuration, with a reason, as a record of source `repair`. No handler runs.

        Raises:
            UnknownEntity: there is no such entity.
            SnapshotInvalid: the lifecycle has no such configuration.
            Refused: the actor may not.
        """
        pair = self._core.repairing(lifecycle, entity, state, reason=reason, actor=actor)
        self._committer.submit((pair,))
        return applied_of(answer_of(pair))

    def joining(self, connection: Any) -> JoinedEngine:
        """An engine whose transitions are part of the transaction that is open on a connection of the caller's.

        Args:
            connection: of psycopg 3 or sqlite3, or a SQLAlchemy Session or Connection or a Django connection above one;
                on the very database of this engine's ledger.

        Raises:
            Unjoinable: the ledger joins no connections, or none of this kind.
        """
        ledger = joinable(self._ledger, self._ledger.capabilities)
        return JoinedEngine(self._core, ledger, driver_connection(connection))

    # Reading.

    def get(self, lifecycle: type[Lifecycle[C]] | Chart[C], entity: str) -> Entity[C]:
        """The entity as it stands.

        Raises:
            UnknownEntity: there is no such entity.
        """
        return self._read(lambda: fetch_entity(self._core.kind(lifecycle), entity, self._core.charts))

    def get_many(self, lifecycle: type[Lifecycle[C]] | Chart[C], entities: Sequence[str]) -> dict[str, Entity[C]]:
        """Several entities by id; those that do not exist are left out."""
        return self._read(lambda: fetch_entities(self._core.kind(lifecycle), entities, self._core.charts))

    def why(self, lifecycle: type[Lifecycle[Any]] | Chart[Any], entity: str, event: EventMarker) -> Explanation:
        """What an event would do to an entity now, and why; guards that ask for them are told the time and the id.

        Raises:
            UnknownEntity: there is no such entity.
        """
        return explain(self.get(lifecycle, entity).snapshot, event, self._core.meta_now(entity))

    def history(self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str, entity: str) -> Iterator[Record]:
        """Everything that happened to an entity, refused attempts included, in order; read in pages."""
        following: FetchHistory | None = self._core.recording(lifecycle, entity)
        while following is not None:
            page, following = self._read(partial(self._core.history_page, following))
            yield from page

    def list(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        *,
        version: int | None = None,
        state: str | None = None,
        unmoved_since: datetime | None = None,
        due_by: datetime | None = None,
    ) -> Iterator[Entity[C]]:
        """Entities by id; with a state those that have not moved for longest first; with `due_by` the first due first.

        They are read in pages.

        Args:
            lifecycle: the lifecycle.
            version: only those on this version.
            state: only those in this configuration.
            unmoved_since: only those that have not moved since then.
            due_by: only those with an active state whose SLA ends then, or has ended before.
        """
        following: ListEntities | None = self._core.listing(
            lifecycle, version=version, state=state, unmoved_since=unmoved_since, due_by=due_by
        )
        while following is not None:
            page, following = self._read(partial(self._core.list_page, following))
            yield from page

    def stuck(self, lifecycle: type[Lifecycle[C]] | Chart[C]) -> Iterator[Entity[C]]:
        """Entities past an active state's SLA, the longest overdue first; read in pages."""
        following: ListEntities | None = self._core.overdue(lifecycle)
        while following is not None:
            page, following = self._read(partial(self._core.list_page, following))
            yield from page

    def census(self, lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> dict[str, int]:
        """How many entities are in each configuration now, in all versions together."""
        return by_state(self._read(lambda: count_census(self._core.kind(lifecycle))))

    def census_by_version(
        self, lifecycle: type[Lifecycle[Any]] | Chart[Any] | str | None = None
    ) -> dict[tuple[str, int, str], int]:
        """How many entities there are by kind, version and configuration; of one kind, or of all.

        To look needs no code: the kind may be any, given by its name.
        """
        kind = None if lifecycle is None else self._core.kind_of(lifecycle)
        lines = self._read(lambda: count_census(kind))
        return {(each, version, state): count for each, version, state, count in lines if count}

"""Every ledger held against a model in plain Python, by histories that Hypothesis makes up.

The model keeps a list of records, a dict of entities and a dict of keys, and says what each call must answer. Batches
that two engines send at once have no one right outcome: there the order that readers see in the history is replayed,
and must lead the model to where the ledger is. Where a ledger is shared by processes, the second engine lives in one of
its own in some, which is closed and killed, between batches and within them, and started anew.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.conninfo import make_conninfo

from stateward import ActionFailed, Conflict, Event, Refusal, UnknownEntity
from stateward.engine import Engine, Sending
from stateward.ledger import Applied, Record
from stateward.ledger.contract import Ledger
from stateward.ledger.memory import MemoryLedger
from tests.ledger.faults_counting import Break, Close, Count, CountLifecycle, Tick
from tests.ledger.faults_postgres import wait_until
from tests.ledger.other_process import EngineElsewhere, open_at

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
IDS = ["c1", "c2", "c3"]

# The model.


class Line(NamedTuple):
    """A record, as far as the model knows it."""

    revision: int
    event: str
    n: int | None
    state_from: str | None
    state_to: str
    outcome: str
    reason: str | None
    key: str | None


class Given(NamedTuple):
    """What a key was honoured for, and with which answer."""

    event: Any
    record: str
    revision: int
    state: str


@dataclass
class Kept:
    """An entity of the model."""

    state: str = "even"
    revision: int = 1
    ticks: tuple[int, ...] = ()
    lines: list[Line] = field(default_factory=list[Line])
    keys: dict[str, Given] = field(default_factory=dict[str, Given])
    timer: tuple[int, int] | None = None
    """The revision that set `remind`, and when it is due."""
    outbox: list[tuple[int, int, int]] = field(default_factory=list[tuple[int, int, int]])
    """(revision, n, the number that is told)."""

    def answer(self, event: Event, key: str | None, expected: int | None) -> Any:
        """What must come of an event: a Line, a Given of before, or the class of an error."""
        before = self.keys.get(key) if key is not None else None
        if before is not None:
            return before if before.event == event else Conflict
        if expected is not None and expected != self.revision:
            return self._attempt(event, key, "rejected_invalid", "stale")
        if isinstance(event, Close) and self.state == "closed":
            return self._attempt(event, key, "already_done", None)
        if self.state == "closed":
            return self._attempt(event, key, "rejected_invalid", "finished")
        if self.state == "odd" and not isinstance(event, Tick):
            return self._attempt(event, key, "rejected_invalid", "illegal")
        if isinstance(event, Break):
            return ActionFailed
        return self._line(event, key, self.revision + 1, "closed" if isinstance(event, Close) else self._other())

    def take(self, line: Line, event: Event, record: str, now: int) -> None:
        """Take a record over."""
        self.lines.append(line)
        if line.outcome != "applied":
            return
        self.revision, self.state = line.revision, line.state_to
        if line.key is not None:
            self.keys[line.key] = Given(event, record, line.revision, line.state_to)
        if isinstance(event, Tick):
            self.ticks += (event.n,)
            self.outbox.append((line.revision, 0, event.n))
        self.timer = (line.revision, now + 86_400_000_000) if line.state_to == "odd" else None

    def _other(self) -> str:
        return "odd" if self.state == "even" else "even"

    def _attempt(self, event: Event, key: str | None, outcome: str, reason: str | None) -> Line:
        return self._line(event, key, self.revision, self.state, outcome=outcome, reason=reason)

    def _line(
        self,
        event: Event,
        key: str | None,
        revision: int,
        state: str,
        *,
        outcome: str = "applied",
        reason: str | None = None,
    ) -> Line:
        n = event.n if isinstance(event, Tick) else None
        return Line(revision, type(event).__name__, n, self.state, state, outcome, reason, key)


# The ledgers.


class Store(NamedTuple):
    """A ledger of one example: how it is opened, and what its tables of timers and effects hold."""

    open: Callable[[], Ledger]
    address: str | None
    """Where another process finds it; None: there is none."""
    is_durable: bool
    timers: Callable[[], list[tuple[str, str, int, int]]]
    """(entity, name, revision, due at)."""
    outbox: Callable[[], list[tuple[str, int, int, int]]]
    """(entity, revision, n, the number that is told)."""
    end: Callable[[], None]
    is_left: Callable[[], bool] = lambda: True
    """Whether nothing goes on any more on behalf of a process that was killed."""


TIMERS = "SELECT entity, name, revision, {due_at} FROM timer ORDER BY 1, 3"
OUTBOX = "SELECT entity, revision, n, {payload} FROM outbox ORDER BY 1, 2, 3"


def memory_store() -> Store:
    ledger = MemoryLedger()
    return Store(
        open=lambda: ledger,
        address=None,
        is_durable=False,
        timers=lambda: sorted((each.entity, each.name, each.revision, each.due_at) for each in ledger._timers.values()),
        outbox=lambda: sorted(
            (each.entity, each.revision, each.n, msgspec.json.decode(each.payload)["n"])
            for each in ledger._outbox.values()
        ),
        end=lambda: None,
    )


def sqlite_store(folder: Path) -> Store:
    path = folder / f"{uuid4().hex}.db"

    def read(query: str) -> list[Any]:
        connection = sqlite3.connect(path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def end() -> None:
        for each in folder.glob(f"{path.name}*"):
            each.unlink()

    return Store(
        open=lambda: open_at(str(path)),
        address=str(path),
        is_durable=True,
        timers=lambda: read(TIMERS.format(due_at="due_at")),
        outbox=lambda: read(OUTBOX.format(payload="json_extract(payload, '$.n')")),
        end=end,
    )


def postgres_store(dsn: str) -> Store:
    """A schema of the example's own, which is faster than a database."""
    schema = f"s{uuid4().hex}"
    inside = make_conninfo(dsn, options=f"-csearch_path={schema}")
    connection = psycopg.connect(inside, autocommit=True)
    connection.execute(f"CREATE SCHEMA {schema}".encode())

    def is_left() -> bool:
        query = "SELECT FROM pg_stat_activity WHERE application_name = %s"
        return not connection.execute(query, (f"other {schema}",)).fetchall()

    def end() -> None:
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        connection.close()

    return Store(
        open=lambda: open_at(inside),
        address=make_conninfo(inside, application_name=f"other {schema}"),
        is_durable=True,
        timers=lambda: connection.execute(TIMERS.format(due_at="stateward_micros(due_at)").encode()).fetchall(),
        outbox=lambda: connection.execute(OUTBOX.format(payload="(payload->>'n')::integer").encode()).fetchall(),
        end=end,
        is_left=is_left,
    )


# The histories.

ENTITIES = st.sampled_from(IDS)
KEYS = st.none() | st.sampled_from([f"k{n}" for n in range(6)])
EVENTS = st.one_of(
    st.builds(Tick, n=st.integers(0, 3)),
    st.builds(Tick, n=st.integers(0, 3)),
    st.just(Close()),
    st.just(Break()),
)
EXPECTED = st.sampled_from([None, None, 0, 0, -1, 1])
"""How far the revision that a caller expects is from the one that there is."""
ENGINES = st.integers(0, 1)


class Machine(RuleBasedStateMachine):
    """Two engines on one ledger, and the model."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.clock = START
        self.model: dict[str, Kept] = {}
        self.acknowledged: dict[str, tuple[str, int, str]] = {}
        """What was answered by record id: (entity, revision, state)."""
        self.engines: list[Any] = [self._open(0), self._open(1)]

    def _open(self, n: int) -> Any:
        if n and self.store.address is not None:
            return EngineElsewhere(self.store.address, lambda: self.clock)
        return Engine(self.store.open(), lifecycles=[CountLifecycle], clock=lambda: self.clock)

    def teardown(self) -> None:
        for engine in self.engines:
            engine.close()
        self.store.end()

    @property
    def now(self) -> int:
        return (self.clock - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    # Rules.

    @initialize()
    def first(self) -> None:
        self.create(0, "c1", None)

    @rule(engine=ENGINES, entity=ENTITIES, key=KEYS)
    def create(self, engine: int, entity: str, key: str | None) -> None:
        def act() -> Any:
            return self.engines[engine].create(CountLifecycle, entity, Count(), actor="a:1", key=key)

        kept = self.model.get(entity)
        if kept is None:
            made = act()
            assert (made.revision, made.state, made.is_repetition) == (1, "even", False)
            kept = self.model[entity] = Kept(lines=[Line(1, "Started", None, None, "even", "applied", None, key)])
            if key is not None:
                kept.keys[key] = Given("Started", made.record, 1, "even")
            self._acknowledge(entity, made)
        elif key is not None and key in kept.keys and kept.keys[key].event == "Started":
            self._is_repetition(act(), kept.keys[key])
        else:
            with pytest.raises(Conflict):
                act()

    @rule(engine=ENGINES, entity=ENTITIES, event=EVENTS, key=KEYS, off=EXPECTED)
    def send(self, engine: int, entity: str, event: Event, key: str | None, off: int | None) -> None:
        answer = self.engines[engine].send_many([self._sending(entity, event, key, off)])[0]
        self._expect(entity, event, key, off, answer=answer, revision=self._revision(entity))

    @rule(engine=ENGINES, number=st.integers(0, 20), is_other=st.booleans())
    def repeat(self, engine: int, number: int, is_other: bool) -> None:
        # What is drawn may not depend on what came of batches at once, so the number picks among what there is.
        keyed = sorted((entity, key) for entity, kept in self.model.items() for key in kept.keys)
        if not keyed:
            return
        entity, key = keyed[number % len(keyed)]
        given = self.model[entity].keys[key]
        if given.event == "Started":
            return
        event = Tick(n=77) if is_other else given.event
        answer = self.engines[engine].send_many([self._sending(entity, event, key, None)])[0]
        self._expect(entity, event, key, None, answer=answer, revision=self._revision(entity))

    @rule(engine=ENGINES, batch=st.lists(st.tuples(ENTITIES, EVENTS, KEYS, EXPECTED), max_size=8))
    def send_batch(self, engine: int, batch: list[tuple[str, Event, str | None, int | None]]) -> None:
        revisions = {entity: self._revision(entity) for entity in IDS}
        answers = self.engines[engine].send_many([self._sending(*each) for each in batch])
        assert len(answers) == len(batch)
        for each, answer in zip(batch, answers, strict=True):
            self._expect(*each, answer=answer, revision=revisions[each[0]])

    @rule(batches=st.tuples(*[st.lists(st.tuples(ENTITIES, EVENTS, KEYS), min_size=1, max_size=6)] * 2))
    def send_batches_at_once(self, batches: tuple[list[Any], list[Any]]) -> None:
        known = self._known()
        sendings = [[self._sending(name, event, key, None) for name, event, key in batch] for batch in batches]
        answers = self._at_once(*sendings)
        assert [len(each) for each in answers] == [len(each) for each in batches]
        told = [(*each, answer) for n in range(2) for each, answer in zip(batches[n], answers[n], strict=True)]
        for entity in self.model:
            self._replay(entity, [each for each in told if each[0] == entity], known, Counter())
        for entity, _, _, answer in told:
            assert entity in self.model or isinstance(answer, UnknownEntity)

    @rule(entity=ENTITIES, state=st.sampled_from(["even", "closed"]))
    def repair(self, entity: str, state: str) -> None:
        kept = self.model.get(entity)
        if kept is None or kept.state == "odd":  # what becomes of the timers of a state that is left so: see below
            return
        made = self.engines[0].repair(CountLifecycle, entity, state, reason="a test", actor="op:1")
        line = Line(kept.revision + 1, "Repaired", None, kept.state, state, "applied", "a test", None)
        kept.take(line, Event(), made.record, self.now)
        self._acknowledge(entity, made)

    @rule(minutes=st.integers(1, 100))
    def pass_time(self, minutes: int) -> None:
        self.clock += timedelta(minutes=minutes)

    @precondition(lambda self: self.store.is_durable)
    @rule(engine=ENGINES)
    def reopen(self, engine: int) -> None:
        self.engines[engine].close()
        self.engines[engine] = self._open(engine)

    @precondition(lambda self: self.store.address is not None)
    @rule(batch=st.lists(st.tuples(ENTITIES, EVENTS, KEYS), max_size=6), is_beside=st.booleans())
    def kill(self, batch: list[tuple[str, Event, str | None]], is_beside: bool) -> None:
        """The other process ends in the midst of a batch, maybe while this one sends the same."""
        known = self._known()
        sendings = [self._sending(*each, None) for each in batch]
        self.engines[1].begin("send_many", sendings)
        told = (
            [(*sent, answer) for sent, answer in zip(batch, self.engines[0].send_many(sendings), strict=True)]
            if is_beside
            else []
        )
        self.engines[1].kill()
        wait_until(self.store.is_left, "for what the killed process has begun")
        self.engines[1] = self._open(1)
        for entity in self.model:
            unanswered = Counter(
                (type(event), getattr(event, "n", None), key) for name, event, key in batch if name == entity
            )
            self._replay(entity, [each for each in told if each[0] == entity], known, unanswered)

    # What holds after each of them.

    @invariant()
    def ledger_is_as_the_model(self) -> None:
        for engine in self.engines:
            entities = {each.id: each for each in engine.list(CountLifecycle)}
            assert entities.keys() == self.model.keys()
            assert engine.census(CountLifecycle) == Counter(kept.state for kept in self.model.values())
            for name, kept in self.model.items():
                entity = entities[name]
                assert (entity.state, entity.revision) == (kept.state, kept.revision)
                assert entity.context == Count(ticks=kept.ticks)
                records = list(engine.history(CountLifecycle, name))
                assert sorted(map(line_of, records), key=repr) == sorted(kept.lines, key=repr)
                applied = [each for each in records if each.outcome == "applied"]
                assert [each.revision for each in applied] == list(range(1, kept.revision + 1))
                assert [each.state_from for each in applied[1:]] == [each.state_to for each in applied[:-1]]
                assert records == sorted(records, key=lambda each: (each.revision, each.outcome != "applied"))
                there = {each.id: each for each in records}
                for record, (owner, revision, state) in self.acknowledged.items():
                    assert owner != name or (there[record].revision, there[record].state_to) == (revision, state)

    @invariant()
    def timers_and_effects_are_what_was_asked_for(self) -> None:
        timers = [(name, "remind", *kept.timer) for name, kept in self.model.items() if kept.timer is not None]
        assert self._timers() == sorted(timers)
        assert self.store.outbox() == sorted((name, *each) for name, kept in self.model.items() for each in kept.outbox)

    def _timers(self) -> list[tuple[Any, ...]]:
        # An after()'s timer is named for its state; there is one in this lifecycle.
        return [(entity, "remind", revision, due_at) for entity, _, revision, due_at in self.store.timers()]

    # Details.

    def _revision(self, entity: str) -> int:
        return self.model[entity].revision if entity in self.model else 1

    def _sending(self, entity: str, event: Event, key: str | None, off: int | None) -> Sending:
        expected = None if off is None else self._revision(entity) + off
        return Sending(
            lifecycle=CountLifecycle, entity=entity, event=event, actor="a:1", key=key, expected_revision=expected
        )

    def _acknowledge(self, entity: str, answer: Applied[Any]) -> None:
        if answer.outcome == "applied":
            self.acknowledged[answer.record] = (entity, answer.revision, answer.state)

    def _is_repetition(self, answer: Any, given: Given) -> None:
        assert (answer.record, answer.revision, answer.state) == (given.record, given.revision, given.state)
        assert answer.is_repetition

    def _expect(
        self, entity: str, event: Event, key: str | None, off: int | None, *, answer: Any, revision: int
    ) -> None:
        """Hold an answer against the model's, and take it over."""
        kept = self.model.get(entity)
        if kept is None:
            assert isinstance(answer, UnknownEntity)
            return
        wanted = kept.answer(event, key, None if off is None else revision + off)
        if isinstance(wanted, Given):
            self._is_repetition(answer, wanted)
        elif not isinstance(wanted, Line):
            assert type(answer) is wanted
        else:
            if isinstance(answer, Refusal):
                assert (wanted.reason, wanted.state_from) == (answer.kind, answer.state)
            else:
                assert (answer.outcome, answer.revision) == (wanted.outcome, wanted.revision)
                assert (answer.state, answer.is_repetition) == (wanted.state_to, False)
                self._acknowledge(entity, answer)
            kept.take(wanted, event, getattr(answer, "record", ""), self.now)

    def _at_once(self, *sendings: list[Sending]) -> list[list[Any]]:
        """What both engines answer to batches that they send at the same time."""
        here, other = self.engines
        if isinstance(other, EngineElsewhere):
            other.begin("send_many", sendings[1])
            return [here.send_many(sendings[0]), other.finish()]
        barrier = Barrier(2)
        answers: list[list[Any]] = [[], []]

        def work(n: int) -> None:
            barrier.wait()
            answers[n] = self.engines[n].send_many(sendings[n])

        threads = [Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def _known(self) -> set[str]:
        """The ids of all records that there are."""
        return {each.id for name in self.model for each in self.engines[0].history(CountLifecycle, name)}

    def _replay(
        self,
        entity: str,
        told: list[tuple[str, Event, str | None, Any]],
        known: set[str],
        unanswered: Counter[tuple[type[Event], int | None, str | None]],
    ) -> None:
        """Take over what came of batches at once, in the order that readers see, and hold the answers against it.

        What got no answer may have a record or not.
        """
        kept = self.model[entity]
        records: dict[str, Record] = {}
        for record in self.engines[0].history(CountLifecycle, entity):
            if record.id in known:
                continue
            line = line_of(record)
            event: Any = {"Tick": Tick, "Close": Close}.get(record.event, Break)(**record.payload)
            assert line == kept.answer(event, record.key, None), "in the order of the history each follows"
            kept.take(line, event, record.id, self.now)
            records[record.id] = record
        fresh = [each for each in told if is_recorded(each[3])]
        answered = {each[3].record for each in fresh if isinstance(each[3], Applied)}
        assert answered <= records.keys(), "each event that was applied has its record"
        of_refusals = Counter(
            (type(each[1]), getattr(each[1], "n", None), each[2]) for each in fresh if isinstance(each[3], Refusal)
        )
        others = Counter(map(sent_of, (each for each in records.values() if each.id not in answered)))
        assert of_refusals <= others, "each that was refused has one"
        assert others <= of_refusals + unanswered, "and nothing else has any, but what got no answer"
        for _, event, key, answer in told:
            if isinstance(answer, Conflict):
                assert key is not None
                assert kept.keys[key].event != event
            elif isinstance(answer, Applied) and answer.is_repetition:
                assert key is not None
                self._is_repetition(answer, kept.keys[key])
            elif isinstance(answer, Applied):
                record = records[answer.record]
                assert (record.revision, record.state_to, record.key) == (answer.revision, answer.state, key)
                self._acknowledge(entity, answer)
            else:
                assert isinstance(answer, (Refusal, ActionFailed)), answer


def line_of(record: Record) -> Line:
    return Line(
        record.revision, record.event, record.payload.get("n"), record.state_from, record.state_to, record.outcome,
        record.reason, record.key,
    )  # fmt: skip


def sent_of(record: Record) -> tuple[type[Event], int | None, str | None]:
    """The event that a record is of, as far as the model tells them apart, and its key."""
    events: dict[str, type[Event]] = {"Tick": Tick, "Close": Close}
    return events.get(record.event, Break), record.payload.get("n"), record.key


def is_recorded(answer: Any) -> bool:
    """Whether an answer stands for a record of its own."""
    return isinstance(answer, Refusal) or (isinstance(answer, Applied) and not answer.is_repetition)


def run(make: Callable[[], Store], *, examples: int, steps: int) -> None:
    factory: Any = lambda: Machine(make())  # noqa: E731 - its type is told wrongly
    run_state_machine_as_test(
        factory,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_the_ledger_in_memory_is_as_the_model() -> None:
    run(memory_store, examples=60, steps=25)


def test_the_ledger_on_sqlite_is_as_the_model(tmp_path: Path) -> None:
    run(lambda: sqlite_store(tmp_path)._replace(address=None), examples=40, steps=25)


def test_the_ledger_on_postgres_is_as_the_model(postgres_dsn: str) -> None:
    run(lambda: postgres_store(postgres_dsn)._replace(address=None), examples=10, steps=20)


def test_the_ledger_on_sqlite_is_as_the_model_in_two_processes(tmp_path: Path) -> None:
    run(lambda: sqlite_store(tmp_path), examples=25, steps=25)


def test_the_ledger_on_postgres_is_as_the_model_in_two_processes(postgres_dsn: str) -> None:
    run(lambda: postgres_store(postgres_dsn), examples=8, steps=20)


# What the histories above leave out.


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        made = memory_store()
    elif request.param == "sqlite":
        made = sqlite_store(tmp_path)
    else:
        made = postgres_store(request.getfixturevalue("postgres_dsn"))
    yield made
    made.end()


def test_a_repair_cancels_the_timers_of_the_states_that_it_leaves(store: Store) -> None:
    with Engine(store.open(), lifecycles=[CountLifecycle], clock=lambda: START) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        engine.send(CountLifecycle, "c1", Tick(), actor="a:1")
        assert [each[2] for each in store.timers()] == [2]
        engine.repair(CountLifecycle, "c1", "even", reason="a test", actor="a:1")
        assert store.timers() == []
        engine.send(CountLifecycle, "c1", Tick(), actor="a:1")
        assert [each[2] for each in store.timers()] == [4], "one timer of a name, set by the last"


def test_a_repair_sets_the_timers_of_the_states_that_it_enters(store: Store) -> None:
    with Engine(store.open(), lifecycles=[CountLifecycle], clock=lambda: START) as engine:
        engine.create(CountLifecycle, "c1", Count(), actor="a:1")
        engine.repair(CountLifecycle, "c1", "odd", reason="a test", actor="a:1")
        assert [each[2] for each in store.timers()] == [2]

"""What makes commits on PostgreSQL exact, point by point of section 6 of the design: each held, and taken out.

Every point is a scenario that forces the interleaving which it is for. It is run as the ledger is, and once more with
the point taken out of the SQL or of the protocol, by patching it for that test alone; then it must come out wrong. So
each of these tests was seen to fail, and is seen again in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg.errors import LockNotAvailable

from stateward.engine import Engine, Sending
from stateward.errors import LedgerUnavailable
from stateward.ledger import Applied
from stateward.ledger.committing import retry_delays
from stateward.ledger.contract import CommitMoves, CreateEntities, LoadPairs, PairKey, Trip
from stateward.ledger.folding import Fold
from stateward.ledger.pairs import Pair
from stateward.ledger.postgres import PostgresLedger, statements
from stateward.ledger.postgres.statement import Statement, columns_of
from stateward.ledger.rows import EntityRow
from tests.ledger.faults_counting import Close, Count, CountLifecycle, Tick, check_engine, ticks
from tests.ledger.faults_postgres import blocked_backends, wait_until

POINT = pytest.mark.parametrize("is_held", [True, False], ids=["held", "taken-out"])


@pytest.fixture
def admin(postgres_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def other(postgres_dsn: str) -> Iterator[Engine]:
    """An engine beside the one that is looked at: another process, as far as the database can tell."""
    with Engine(postgres_dsn, lifecycles=[CountLifecycle]) as made:
        for entity in ("c1", "c2", "c3"):
            made.create(CountLifecycle, entity, Count(), actor="a:1")
        yield made


class Watched(PostgresLedger):
    """A ledger whose trips a test comes between."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.before: Callable[[type, int], None] = lambda operation, nth: None
        """Called before each trip with an operation, and how many of the kind came before."""
        self.after: Callable[[type, int], None] = lambda operation, nth: None
        self.counts: dict[type, int] = {}

    def _make(self, connection: Any, trip: Trip) -> Any:
        kinds = [type(each) for each in trip.operations]
        seen = [(kind, self.counts.get(kind, 0)) for kind in kinds]
        for kind, nth in seen:
            self.counts[kind] = nth + 1
            self.before(kind, nth)
        pages = super()._make(connection, trip)
        for kind, nth in seen:
            self.after(kind, nth)
        return pages


@pytest.fixture
def watched(postgres_dsn: str, other: Engine) -> Watched:
    return Watched(postgres_dsn)


@pytest.fixture
def engine(watched: Watched) -> Iterator[Engine]:
    with Engine(watched, lifecycles=[CountLifecycle]) as made:
        yield made


def take_out(monkeypatch: pytest.MonkeyPatch, query: str, *changes: tuple[str, str]) -> None:
    """Change the text of a query for this test."""
    text = statements._QUERIES[query]
    for before, after in changes:
        assert before in text, f"{query} does not hold {before!r}: is the point still there?"
        text = text.replace(before, after)
    monkeypatch.setitem(statements._QUERIES, query, text)


def tick(engine: Engine, n: int, entity: str = "c1", key: str | None = None) -> Applied[Count]:
    return engine.send(CountLifecycle, entity, Tick(n=n), actor="a:1", key=key)


def tick_all(engine: Engine, *entities: str) -> list[Any]:
    return engine.send_many(
        [Sending(lifecycle=CountLifecycle, entity=each, event=Tick(n=1), actor="a:1") for each in entities]
    )


def sending(engine: Engine, entity: str, event: Any, key: str | None = None) -> Pair:
    return engine._core.sending(
        CountLifecycle, entity, event, actor="a:1", key=key, expected_revision=None, occurred_at=None, source="call"
    )


def is_exact(engine: Engine) -> bool:
    """Whether all that is kept holds together."""
    try:
        check_engine(engine)
    except AssertionError:
        return False
    return True


def once(act: Callable[[], Any], operation: type) -> Callable[[type, int], None]:
    """Act at the first trip with an operation."""

    def at(kind: type, nth: int) -> None:
        if kind is operation and nth == 0:
            act()

    return at


# "The record id is minted when the pair is accepted and kept over all attempts."


@POINT
def test_the_record_id_is_kept_over_all_attempts(engine: Engine, watched: Watched, is_held: bool) -> None:
    """A commit whose reply is lost is found by it. Taken out, by minting anew for each attempt: applied twice."""
    pair = sending(engine, "c1", Tick(n=1))
    accepted = pair.record

    def lose() -> None:
        raise LedgerUnavailable("the reply was lost", is_outcome_unknown=True)

    def mint(kind: type, nth: int) -> None:
        if kind is LoadPairs and not is_held:
            pair.record = engine._core._ids.mint()

    watched.before, watched.after = mint, once(lose, CommitMoves)
    engine._committer.submit([pair])
    assert (ticks(check_engine(engine)["c1"]) == [1]) == is_held
    assert isinstance(pair.answer, Applied)
    assert (pair.answer.record == accepted) == is_held


# "Entity and receipts are read in one statement."


@POINT
def test_entity_and_receipt_are_read_at_one_moment(
    engine: Engine, other: Engine, watched: Watched, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """Another sends the same key meanwhile. Taken out, by reading receipts, then entities: it is applied again.

    The plain INSERT of the receipt would notice that too, so it is taken out in both runs.
    """
    take_out(monkeypatch, "receipt_of_one", ("    FROM moved\n", "    FROM moved ON CONFLICT DO NOTHING\n"))
    is_first = True
    make = Watched._make

    def made(self: Watched, connection: Any, trip: Trip) -> Any:
        nonlocal is_first
        pages = make(self, connection, trip)
        if is_first and isinstance(trip.operations[0], LoadPairs):
            is_first = False
            tick(other, 1, key="k")
            if not is_held:
                [later] = make(self, connection, trip)
                return [[(entity, receipt) for (entity, _), (_, receipt) in zip(later, pages[0], strict=True)]]
        return pages

    monkeypatch.setattr(Watched, "_make", made)
    assert tick(engine, 1, key="k").is_repetition == is_held
    assert ticks(engine.history(CountLifecycle, "c1")) == ([1] if is_held else [1, 1])


def test_entity_and_receipt_are_one_statement() -> None:
    for pairs in ((PairKey("Count", "c1", "k"),), (PairKey("Count", "c1", "k"), PairKey("Count", "c2", None))):
        [statement] = statements.statements_of(LoadPairs(pairs))
        assert "LEFT JOIN entity" in statement.sql
        assert "LEFT JOIN receipt" in statement.sql


# "The write is one statement whose first CTE locks the entities whose revision is as expected, ORDER BY kind, id FOR NO
# KEY UPDATE SKIP LOCKED, and the update compares again."

SKIP = (" SKIP LOCKED", "")
NO_KEY = ("FOR NO KEY UPDATE", "FOR UPDATE")


@POINT
def test_a_locked_entity_is_skipped(
    engine: Engine, admin: psycopg.Connection[Any], watched: Watched, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """c1 is held by somebody. Taken out: the statement waits, and c2 is not moved by it."""
    if not is_held:
        take_out(monkeypatch, "commit_moves", SKIP)
    revisions: list[Any] = []
    query = "SELECT revision FROM entity WHERE id = 'c2'"
    pairs = [sending(engine, each, Tick(n=1)) for each in ("c1", "c2")]

    def look(kind: type, nth: int) -> None:
        if kind is LoadPairs and nth == 1:
            revisions.extend(admin.execute(query).fetchone() or ())

    watched.before = look
    with admin.transaction(force_rollback=True):
        admin.execute("SELECT FROM entity WHERE id = 'c1' FOR UPDATE")
        engine._ledger.run(engine._core.committing(pairs, watched.capabilities))
    assert revisions == [2 if is_held else 1]


@POINT
@pytest.mark.parametrize("query", ["commit_moves", "move_one"])
def test_a_foreign_key_to_an_entity_does_not_hold_it(
    *,
    engine: Engine,
    admin: psycopg.Connection[Any],
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    is_held: bool,
) -> None:
    """A caller's open transaction has inserted a row that refers to c1. Taken out: the event does not come through."""
    if not is_held:
        take_out(monkeypatch, "commit_moves", NO_KEY)
        take_out(monkeypatch, "move_one", NO_KEY)  # in which what missed goes round
    pairs = [sending(engine, each, Tick(n=1)) for each in (("c1", "c2") if query == "commit_moves" else ("c1",))]
    with admin.transaction(force_rollback=True):
        admin.execute("SELECT FROM entity WHERE id = 'c1' FOR KEY SHARE")
        engine._ledger.run(engine._core.committing(pairs, watched.capabilities))
    assert pairs[0].is_settled == is_held
    assert all(pair.is_settled for pair in pairs[1:])


@POINT
def test_entities_are_locked_in_their_order(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """The plan sorts below the locking. While locked rows are skipped nobody waits, so that it is a second safeguard;
    taken out, the plan shows it: rows are locked as the join finds them.
    """
    if not is_held:
        take_out(monkeypatch, "commit_moves", ("ORDER BY e.kind, e.id FOR", "FOR"))
    operation = CommitMoves(moves=())
    [statement] = statements.statements_of(operation)
    plan = [line for (line,) in admin.execute(f"EXPLAIN (COSTS OFF) {statement.sql}".encode(), statement.parameters)]
    at = next(n for n, line in enumerate(plan) if "LockRows" in line)
    assert ("Sort" in plan[at + 1]) == is_held, plan[at : at + 4]


COMPARED_BATCH = [
    ("AND e.revision = w.expected\n    ORDER", "\n    ORDER"),
    ("AND e.revision = w.expected\n    RET", "\n    RET"),
]
COMPARED_ONE = [
    ("AND revision = %(expected)s\n    FOR", "\n    FOR"),
    ("AND revision = %(expected)s AND EXISTS", "AND EXISTS"),
]


@POINT
@pytest.mark.parametrize("query", ["commit_moves", "move_one"])
def test_a_write_compares_the_revision_that_was_read(
    *,
    engine: Engine,
    other: Engine,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    is_held: bool,
) -> None:
    """Another moves c1 between read and write. Taken out of both, lock and update: a move is lost, a revision double.

    It closes, which has no effects: the outbox's primary key would notice a second revision too. Taking it out of one
    of them alone was not tried; by reading, nothing fails then: what the lock lets through is locked at its revision
    by then, and what it does not is compared by the update.
    """
    if not is_held:
        take_out(monkeypatch, query, *(COMPARED_BATCH if query == "commit_moves" else COMPARED_ONE))
    watched.before = once(lambda: tick(other, 7), CommitMoves)
    pairs = [sending(engine, each, Close()) for each in (("c1", "c2") if query == "commit_moves" else ("c1",))]
    engine._committer.submit(pairs)
    assert is_exact(engine) == is_held
    assert (engine.get(CountLifecycle, "c1").state == "odd") == is_held, "from where it can't close"


# "What missed or was skipped goes round again with jitter, after three misses alone and waiting with lock_timeout."


@POINT
def test_what_missed_goes_round_again(
    engine: Engine, other: Engine, watched: Watched, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """c1 is moved by another before each of three writes. Taken out, by giving no delays: it is never applied."""
    if not is_held:
        monkeypatch.setattr("stateward.ledger.committing.retry_delays", lambda *given: iter(()))

    def move(kind: type, nth: int) -> None:
        if kind is CommitMoves and nth < 3:
            tick(other, nth)

    watched.before = move
    pair = sending(engine, "c1", Tick(n=100))
    engine._committer.submit([pair])
    if is_held:
        assert isinstance(pair.answer, Applied)
        assert pair.answer.revision == 5
        assert ticks(check_engine(engine)["c1"]) == [*range(3), 100]
    else:
        assert not pair.is_settled


@POINT
def test_after_three_misses_it_waits_and_nobody_comes_between(
    engine: Engine,
    *,
    other: Engine,
    watched: Watched,
    admin: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
    is_held: bool,
) -> None:
    """Another moves c1 before every write, unless c1 is locked. Taken out, by locking nothing: it is never applied."""
    monkeypatch.setattr("stateward.ledger.committing.HELD_S_MAX", 1.0)
    if not is_held:
        take_out(monkeypatch, "lock_entities", ("FOR NO KEY UPDATE", ""))
    moved: list[int] = []

    def move_unless_locked(kind: type, nth: int) -> None:
        if kind is CommitMoves:
            try:
                admin.execute("SELECT FROM entity WHERE id = 'c1' FOR NO KEY UPDATE NOWAIT")
            except LockNotAvailable:
                return
            tick(other, nth)
            moved.append(nth)

    watched.before = move_unless_locked
    if is_held:
        assert tick(engine, 100).revision == 5
        assert moved == [0, 1, 2]
        assert ticks(check_engine(engine)["c1"]) == [0, 1, 2, 100]
    else:
        with pytest.raises(LedgerUnavailable, match="held or moved by others"):
            tick(engine, 100)


@POINT
def test_after_three_misses_whoever_holds_it_is_waited_for(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """Another holds c1, and lets go once it is waited for. Taken out, by skipping it: nobody ever waits."""
    monkeypatch.setattr("stateward.ledger.committing.HELD_S_MAX", 30.0 if is_held else 0.5)
    monkeypatch.setattr("stateward.ledger.postgres.ledger._SETTINGS", b"SET lock_timeout = '20s'")
    if not is_held:
        take_out(monkeypatch, "lock_entities", ("FOR NO KEY UPDATE", "FOR NO KEY UPDATE SKIP LOCKED"))
    answers: list[Applied[Count] | LedgerUnavailable] = []

    def send() -> None:
        try:
            answers.append(tick(engine, 1))
        except LedgerUnavailable as error:
            answers.append(error)

    with psycopg.connect(admin.info.dsn) as holder:
        holder.execute("SELECT FROM entity WHERE id = 'c1' FOR UPDATE")
        thread = Thread(target=send)
        thread.start()
        if is_held:
            wait_until(lambda: blocked_backends(admin), "for the sender to wait for c1")
            holder.rollback()
        thread.join(30)
    [answer] = answers
    if is_held:
        assert isinstance(answer, Applied)
        assert answer.revision == 2
    else:
        assert isinstance(answer, LedgerUnavailable)


def test_those_who_go_round_do_not_march_in_step(engine: Engine) -> None:
    """Taken out, by a fixed delay, the two would be equal."""
    pair = sending(engine, "c1", Tick())
    first, second = (list(islice(retry_delays([pair]), 8)) for _ in range(2))
    assert first != second
    assert all(0 < each <= 0.1 for each in (*first, *second))


# "A receipt is inserted only with a revision bump and never ON CONFLICT DO NOTHING (that applied an event twice)."


@POINT
@pytest.mark.parametrize("query", ["commit_moves", "move_one"])
def test_a_receipt_that_is_there_already_keeps_the_event_from_being_applied_again(
    *,
    engine: Engine,
    other: Engine,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    is_held: bool,
) -> None:
    """The compare-and-swap is taken out in both runs, so that the receipt is alone. With ON CONFLICT: applied twice."""
    is_one = query == "move_one"
    take_out(monkeypatch, query, *(COMPARED_ONE if is_one else COMPARED_BATCH))
    if not is_held:
        if is_one:
            take_out(monkeypatch, "receipt_of_one", ("    FROM moved\n", "    FROM moved ON CONFLICT DO NOTHING\n"))
        else:
            joined = "JOIN held h ON h.kind = r.kind AND h.id = r.entity\n"
            take_out(monkeypatch, query, (joined, f"{joined[:-1]} ON CONFLICT DO NOTHING\n"))
    watched.before = once(
        lambda: other.send(CountLifecycle, "c1", Close(), actor="b:1", key="k"), CommitMoves
    )  # fmt: skip
    pairs = [sending(engine, "c1", Close(), key="k")] + ([] if is_one else [sending(engine, "c2", Tick(n=1))])
    engine._committer.submit(pairs)
    assert isinstance(pairs[0].answer, Applied)
    assert pairs[0].answer.is_repetition == is_held
    applied = [each.event for each in engine.history(CountLifecycle, "c1") if each.outcome == "applied"]
    assert applied == ["Started", "Close"] + ([] if is_held else ["Close"])


def test_a_refusal_leaves_no_receipt(engine: Engine, admin: psycopg.Connection[Any]) -> None:
    tick(engine, 1)
    for _ in range(2):
        engine.attempt(CountLifecycle, "c1", Close(), actor="a:1", key="k")
    assert admin.execute("SELECT count(*) FROM receipt").fetchone() == (0,)
    tick(engine, 2)
    assert engine.send(CountLifecycle, "c1", Close(), actor="a:1", key="k").revision == 4
    assert admin.execute("SELECT revision FROM receipt").fetchall() == [(4,)]


# "An entity, timer or census row appears once in a statement, netted before."


@POINT
def test_a_line_of_the_census_is_netted(engine: Engine, monkeypatch: pytest.MonkeyPatch, is_held: bool) -> None:
    """Three entities move alike. Taken out: a row can't be upserted twice, and the batch fails."""
    if not is_held:
        take_out(
            monkeypatch,
            "commit_moves",
            ("sum(n.change) AS change", "n.change"),
            ("GROUP BY n.kind, n.version, n.state HAVING sum(n.change) <> 0", ""),
        )
    answers = tick_all(engine, "c1", "c2", "c3")
    assert all(isinstance(each, Applied) for each in answers) == is_held
    assert engine.census(CountLifecycle) == ({"odd": 3} if is_held else {"even": 3})


@POINT
def test_an_entity_stands_once_in_a_statement(
    engine: Engine, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """Two events for c1 in a batch. Taken out, by folding each by itself: a revision is made twice."""
    from stateward.ledger import protocol

    fold = protocol._fold

    def unfolded(pairs: Sequence[Pair], loaded: Sequence[Any], charts: Any, now: int, *_: Any) -> list[Fold]:
        return [
            each for pair, row in zip(pairs, loaded, strict=True) for each in fold([pair], [row], charts, now)
        ]  # fmt: skip

    if not is_held:
        monkeypatch.setattr(protocol, "_fold", unfolded)
    pairs = [sending(engine, each, Close()) for each in ("c1", "c2", "c1")]
    engine._committer.submit(pairs)
    assert is_exact(engine) == is_held
    if is_held:
        assert [getattr(pair.answer, "outcome", None) for pair in pairs] == ["applied", "applied", "already_done"]
        answers = tick_all(engine, "c3", "c3", "c3")
        assert [each.revision for each in answers] == [2, 3, 4]
        # The timer of the first was cancelled by the second within the statement, and set again by the third.
        assert admin.execute("SELECT revision FROM timer WHERE entity = 'c3'").fetchall() == [(4,)]


# "Creates go in sorted order in a statement of their own, first."


def entity_row(entity: str) -> EntityRow:
    return EntityRow("Count", entity, 0, 1, "even", "{}", '{"ticks": []}', 1, 0, 0, "{}", None)


@POINT
def test_creates_go_in_sorted_order(
    admin: psycopg.Connection[Any], other: Engine, monkeypatch: pytest.MonkeyPatch, postgres_dsn: str, is_held: bool
) -> None:
    """c7 is being created by another, who will want c8. Taken out: c8 is held by who waits for c7, a deadlock."""
    if not is_held:
        take_out(monkeypatch, "create_entities", ("ORDER BY kind, id\n", ""))
    [statement] = statements.statements_of(CreateEntities((entity_row("c8"), entity_row("c7"))))
    [first] = statements.statements_of(CreateEntities((entity_row("c7"),)))
    [then] = statements.statements_of(CreateEntities((entity_row("c8"),)))
    with psycopg.connect(postgres_dsn) as one, psycopg.connect(postgres_dsn) as two:
        one.execute(first.sql.encode(), first.parameters)
        thread = Thread(target=lambda: two.execute(statement.sql.encode(), statement.parameters))
        thread.start()
        wait_until(lambda: blocked_backends(admin), "for the batch to wait for c7")
        one.execute("SET lock_timeout = '50ms'")
        try:
            one.execute(then.sql.encode(), then.parameters)
            is_free = True
        except psycopg.errors.LockNotAvailable:
            is_free = False
        one.rollback()
        thread.join(20)
        two.rollback()
    assert is_free == is_held


@POINT
def test_a_create_that_did_not_hold_writes_nothing_else(
    engine: Engine, other: Engine, watched: Watched, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """Another creates c9 just before. Taken out, by not looking at what was inserted: it has two first records."""
    if not is_held:
        monkeypatch.setitem(
            statements._MAKE,
            CreateEntities,
            lambda operation: [
                Statement(
                    statements._QUERIES["create_entities"],
                    columns_of(operation.entities, len(EntityRow._fields)),
                    lambda rows: [(each.kind, each.id) for each in operation.entities],
                )
            ],
        )
    watched.before = once(
        lambda: other.create(CountLifecycle, "c9", Count(), actor="b:1"), CreateEntities
    )  # fmt: skip
    pair = engine._core.creation(
        CountLifecycle, "c9", Count(), actor="a:1", key=None, occurred_at=None, source="call"
    )  # fmt: skip
    engine._committer.submit([pair])
    records = list(engine.history(CountLifecycle, "c9"))
    assert len(records) == (1 if is_held else 2)
    assert ("the id is taken" in str(pair.error)) == is_held


# "A refusal computed after an accepted event of the same fold counts only if that fold's write did."


@POINT
def test_a_refusal_behind_an_accepted_event_holds_only_with_it(
    engine: Engine, other: Engine, watched: Watched, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    """A tick makes c1 odd, from where it can't close; but another's tick came first, and then it can.

    Taken out, by noting every refusal as one that holds whatever moves: a refusal stands that never was.
    """
    if not is_held:

        def note(self: Fold, pair: Pair, state: str, outcome: Any, reason: str | None) -> None:
            self.attempts.append(self._record(pair, state, state, outcome, reason))

        monkeypatch.setattr(Fold, "_note", note)
    watched.before = once(lambda: tick(other, 7), CommitMoves)
    pairs = [sending(engine, "c1", Tick(n=1)), sending(engine, "c1", Close())]
    engine._committer.submit(pairs)
    outcomes = [each.outcome for each in engine.history(CountLifecycle, "c1")]
    assert (outcomes == ["applied"] * 4) == is_held
    if is_held:
        assert check_engine(engine)["c1"][-1].state_to == "closed"


# "Plans: custom for batches, generic for the scalar."


def plans(watched: Watched, needle: str) -> tuple[int, int]:
    """How often the server ran prepared statements by a generic and by a custom plan."""
    query = "SELECT coalesce(sum(generic_plans), 0)::int, coalesce(sum(custom_plans), 0)::int \
        FROM pg_prepared_statements WHERE statement LIKE %s"
    with watched._connection() as connection:
        [found] = connection.execute(query, (f"%{needle}%",)).fetchall()
    return found[0], found[1]


def test_batches_are_planned_for_their_sizes(engine: Engine, watched: Watched) -> None:
    """Taken out, PostgreSQL takes a generic plan from the sixth time on, made for tables as small as they were."""
    for _ in range(60):
        tick_all(engine, "c1", "c2", "c3")
    for needle in ("WITH wanted AS", "WITH ORDINALITY AS w (kind, id, key, n)"):
        assert plans(watched, needle)[0] == 0, needle


def test_single_sends_are_planned_once(engine: Engine, watched: Watched) -> None:
    """Taken out, by `plan_cache_mode = force_custom_plan` for all, each would be planned anew: no generic plan."""
    for n in range(60):
        tick(engine, n)
    for needle in ("FROM (VALUES (", "UPDATE entity SET version = $"):
        generic, custom = plans(watched, needle)
        assert generic > custom, needle

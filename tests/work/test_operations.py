"""The stores' operations of the work after commit: the same pages from each, bounded plans, and an upgrade."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stateward.engine import Engine
from stateward.errors import LeaseLost, LedgerOutdated
from stateward.ledger.after_commit import (
    AddPause,
    AddWorker,
    EndEffects,
    EndPause,
    FetchEffects,
    FetchParts,
    FetchReconciliation,
    FetchTimers,
    FetchWorkers,
    FindTimers,
    HoldLease,
    KeepReconciliation,
    ListDeadLetters,
    ListPauses,
    ListPending,
    ListTimers,
    PostponeEffects,
    Postponement,
    PostponeTimers,
    RaiseBeat,
    ReleaseParts,
    RemoveWorker,
    ReviveEffects,
    SpendTimers,
    TakeParts,
)
from stateward.ledger.contract import CommitMoves, Trip, Trips
from stateward.ledger.ids import part_of
from stateward.ledger.memory import MemoryLedger
from stateward.ledger.postgres import PostgresLedger
from stateward.ledger.postgres.ledger import _SETTINGS
from stateward.ledger.postgres.work import WORK
from stateward.ledger.rows import (
    EffectEnd,
    EffectKey,
    OutboxRow,
    PauseRow,
    ReconciliationRow,
    TimerKey,
    TimerRow,
    WorkerRow,
)
from stateward.ledger.sqlite import SqliteLedger
from stateward.ledger.sqlite.work import _QUERIES as SQLITE_QUERIES
from tests.ledger.servers import Server
from tests.work.conftest import Clock, ask, empty, pending, trail
from tests.work.lifecycles import Egg, EggLifecycle, Job, JobLifecycle, Task, Told

ALL_OF_HEALTH: Any = list(HealthCheck)

# The same pages from each store.

KINDS, ENTITIES, EFFECTS, NAMES = ("A", "B"), ("x", "y", "\U0001f600"), ("e", "f"), ("t@s", "u@s")
WORKERS = ("w1", "w2", "w3")
RECORD = "01900000-0000-7000-8000-0000000000{:02x}"
T0 = 1_700_000_000_000_000


def effect_key(kind: str, entity: str, revision: int, n: int) -> EffectKey:
    return EffectKey(part_of(kind, entity), kind, entity, revision, n)


EFFECT_KEYS = [effect_key(k, e, r, n) for k in KINDS for e in ENTITIES for r in (2, 10) for n in (0, 1)]
TIMER_KEYS = [TimerKey(k, e, name, 2) for k in KINDS for e in ENTITIES for name in NAMES]
PARTS_USED = sorted({key.part for key in EFFECT_KEYS})
OUTBOX = tuple(
    OutboxRow(*key, EFFECTS[i % 2], "{}", RECORD.format(i), traceparent=None if i % 3 else "00-1")
    for i, key in enumerate(EFFECT_KEYS)
)
TIMERS = tuple(
    TimerRow(*key, part_of(key.kind, key.entity), T0 + i * 1000, RECORD.format(i)) for i, key in enumerate(TIMER_KEYS)
)

times = st.integers(T0 - 5_000, T0 + 20_000)
workers = st.sampled_from(WORKERS)


def mostly_all(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Some of them, and in most cases all: what asks for little finds nothing, in each store."""
    some = st.lists(st.sampled_from(values), unique=True).map(lambda each: tuple(sorted(each)))
    return st.sampled_from((True, True, False)).flatmap(lambda is_all: st.just(tuple(values)) if is_all else some)


kinds = mostly_all((*KINDS, "C"))
effects = mostly_all((*EFFECTS, "g"))
some_effects = st.sampled_from(((), ("e",), ("f",), ("e", "f"), ("g",)))
some_parts = mostly_all(PARTS_USED)
some_keys = st.lists(st.sampled_from(EFFECT_KEYS), unique=True, max_size=12)
some_timers = st.lists(st.sampled_from([*TIMER_KEYS, TimerKey("A", "x", "t@s", 9)]), unique=True, max_size=6)
limits = st.integers(1, 30)
texts = st.sampled_from(("because", 'a "quoted" \\ one', "ü, {NULL}"))


def or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def ends_of(keys: list[EffectKey], error: str | None, needs: str | None) -> EndEffects:
    died_at = None if error is None else T0
    return EndEffects(tuple(EffectEnd(*key, 3, error, died_at, needs) for key in keys))


fetching = st.builds(
    FetchEffects,
    parts=some_parts,
    kinds=kinds,
    effects=effects,
    unordered=some_effects,
    now=times,
    after=or_none(st.sampled_from(EFFECT_KEYS)),
    limit=limits,
)
taking = st.builds(
    TakeParts,
    workers,
    st.dictionaries(st.integers(0, 5), st.integers(0, 3)).map(lambda each: tuple(sorted(each.items()))),
)
ending = st.builds(ends_of, some_keys, or_none(texts), or_none(st.just(RECORD.format(250))))

others = st.one_of(
    st.builds(lambda w, b, p: AddWorker(WorkerRow(w, b, p, T0)), workers, st.integers(1, 3), texts),
    st.builds(RaiseBeat, workers),
    st.builds(RemoveWorker, workers, or_none(st.integers(1, 4))),
    st.just(FetchWorkers()),
    st.just(FetchParts()),
    st.builds(ReleaseParts, workers, st.lists(st.integers(0, 5), unique=True).map(tuple)),
    st.builds(HoldLease, workers),
    st.builds(
        lambda keys, attempts, due, error: PostponeEffects(
            tuple(Postponement(key, attempts, due, error) for key in keys)
        ),
        some_keys,
        st.integers(0, 9),
        or_none(times),
        or_none(texts),
    ),
    st.builds(lambda key: ListPending(*key[:3]), st.sampled_from(EFFECT_KEYS)),
    st.builds(
        ListDeadLetters,
        kind=or_none(st.sampled_from(KINDS)),
        entity=or_none(st.sampled_from(ENTITIES)),
        effect=or_none(st.sampled_from(EFFECTS)),
        after=or_none(st.sampled_from(EFFECT_KEYS).map(lambda key: (T0, *key[1:]))),
        limit=limits,
    ),
    st.builds(lambda keys, due: ReviveEffects(tuple((*key[1:], due) for key in keys)), some_keys, or_none(times)),
    st.builds(
        FetchTimers, parts=some_parts, kinds=kinds, now=times, limit=st.just(99), limit_of_part=st.integers(1, 3)
    ),
    st.builds(
        lambda keys, due: PostponeTimers(tuple((key, due + i) for i, key in enumerate(keys))), some_timers, times
    ),
    st.builds(lambda keys: FindTimers(tuple(keys)), some_timers),
    st.builds(lambda keys: SpendTimers(tuple(keys)), some_timers),
    st.builds(
        ListTimers,
        kind=st.sampled_from(KINDS),
        entity=or_none(st.sampled_from(ENTITIES)),
        due_before=or_none(times),
        after=or_none(st.sampled_from(TIMERS).map(lambda row: (row.due_at, row.entity, row.name, row.revision))),
        limit=limits,
    ),
    st.builds(
        lambda scope, name, reason: AddPause(PauseRow(scope, name, reason, T0, "ops:1")),
        st.sampled_from(("kind", "effect")),
        st.sampled_from(("A", "e")),
        texts,
    ),
    st.builds(EndPause, st.sampled_from(("kind", "effect")), st.sampled_from(("A", "e")), times, texts),
    st.just(ListPauses()),
    st.builds(FetchReconciliation, st.sampled_from(("r1", "r2"))),
    st.builds(
        lambda name, at, after: KeepReconciliation(ReconciliationRow(name, at, after, at + 5)),
        st.sampled_from(("r1", "r2")),
        times,
        or_none(texts),
    ),
)

reviving = st.builds(lambda keys, due: ReviveEffects(tuple((*key[1:], due) for key in keys)), some_keys, or_none(times))
focus = st.one_of(fetching, taking, ending, reviving)
operations = st.booleans().flatmap(lambda is_focus: focus if is_focus else others)
"""Half of them are those of which most can go wrong."""

UNSORTED = (TakeParts, ReviveEffects, FindTimers, FetchTimers)
"""Whose contracts promise no order of the page, or none beyond that within a part."""


def one_by_one(operation: Any) -> Trips[Any]:
    [rows] = yield Trip((operation,), begins=True, commits=True)
    return [tuple(row) for row in rows]


def page_of(ledger: Any, operation: Any) -> Any:
    try:
        page = ledger.run(one_by_one(operation))
    except LeaseLost as error:
        return error.worker
    return sorted(page) if isinstance(operation, UNSORTED) else page


def fill(ledger: Any) -> None:
    moves = CommitMoves(
        moves=(), created=(), records=(), attempts=(), receipts=(), outbox=OUTBOX, timers_set=TIMERS,
        timers_cancelled=(), census=(),
    )  # fmt: skip
    if isinstance(ledger, MemoryLedger):
        ledger.run(one_by_one(moves))
    elif isinstance(ledger, SqliteLedger):
        with ledger.connection() as connection:
            put(connection.executemany, "?", lambda record: bytes.fromhex(record.replace("-", "")))
    else:
        with ledger._connection() as connection:
            cursor = connection.cursor()
            put(cursor.executemany, "%s", str)


def put(execute: Callable[[Any, Any], Any], mark: str, record: Callable[[str], Any]) -> None:
    rows = [(*row[:7], record(row.record), *row[8:]) for row in OUTBOX]
    execute(f"INSERT INTO outbox VALUES ({', '.join([mark] * 12)})", rows)
    due = mark if mark == "?" else "stateward_time(%s)"
    timers = [(*row[:6], record(row.record), row.traceparent) for row in TIMERS]
    execute(f"INSERT INTO timer VALUES ({mark}, {mark}, {mark}, {mark}, {mark}, {due}, {mark}, {mark})", timers)


@pytest.fixture
def postgres_ledger(postgres_dsn: str) -> Iterator[PostgresLedger]:
    ledger = PostgresLedger(postgres_dsn)
    ledger.prepare()
    yield ledger
    ledger.close()


@settings(max_examples=25, deadline=None, suppress_health_check=ALL_OF_HEALTH)
@given(st.lists(operations, min_size=50, max_size=80))
def check_pages(postgres: PostgresLedger, made: list[Any]) -> None:
    with psycopg.connect(postgres._dsn) as connection:
        empty(connection)
    memory, sqlite = MemoryLedger(), SqliteLedger(":memory:")
    sqlite.prepare()
    try:
        for ledger in (memory, sqlite, postgres):
            fill(ledger)
        for n, operation in enumerate([*made, *LAST]):
            expected = page_of(memory, operation)
            assert page_of(sqlite, operation) == expected, (n, operation)
            assert page_of(postgres, operation) == expected, (n, operation)
    finally:
        sqlite.close()


LAST: list[Any] = [
    FetchWorkers(),
    FetchParts(),
    *(ListPending(*key[:3]) for key in EFFECT_KEYS[::4]),
    ListDeadLetters(limit=99),
    *(ListTimers(kind=kind, limit=99) for kind in KINDS),
    ListPauses(),
]
"""What is compared at the end of each example, so that no write goes unseen."""


def test_each_store_gives_the_same_pages(postgres_ledger: PostgresLedger) -> None:
    check_pages(postgres_ledger)


# Plans.

ROWS = 200_000
LIMIT = 500


def effects_operation(parts: range) -> FetchEffects:
    return FetchEffects(
        parts=tuple(parts), kinds=("Job",), effects=("Task",), unordered=(), now=T0, after=None, limit=LIMIT
    )  # fmt: skip


def timers_operation(parts: range) -> FetchTimers:
    return FetchTimers(
        parts=tuple(parts), kinds=("Job",), now=T0, limit=LIMIT, limit_of_part=max(LIMIT // len(parts), 16)
    )  # fmt: skip


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from walk(each)


def check_plan(connection: Any, operation: Any, index: str) -> None:
    """It goes by the index, and reads few rows more than it gives; who first finds dead ones marks them, so: twice."""
    [statement] = WORK[type(operation)](operation)
    query = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}".encode()
    connection.execute(query, statement.parameters)
    [[found]] = connection.execute(query, statement.parameters).fetchone()
    plan = found["Plan"]
    told = json.dumps(plan, indent=1)
    nodes = list(walk(plan))
    assert plan["Actual Rows"] == LIMIT, told
    assert index in {node.get("Index Name") for node in nodes}, told
    assert not any(node["Node Type"] == "Sort" for node in nodes), told
    read = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if node.get("Relation Name") in ("outbox", "timer")
    )
    assert read <= 4 * LIMIT, told
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 20 * LIMIT, told


def test_what_is_due_is_read_by_its_index_on_postgresql(postgres_server: Server) -> None:
    """Whatever statistics say, which part is asked for, and however many dead rows there are before it."""
    with psycopg.connect(postgres_server.uri(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE plans")
        ledger = PostgresLedger(postgres_server.uri("plans"))
        ledger.prepare()
        ledger.close()
        with psycopg.connect(postgres_server.uri("plans"), autocommit=True) as connection:
            connection.execute(_SETTINGS)
            check_all_plans(connection)
        admin.execute("DROP DATABASE plans WITH (FORCE)")


def check_all_plans(connection: Any) -> None:
    for table in ("outbox", "timer"):
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    connection.execute("ANALYZE outbox, timer")  # while there is nothing
    connection.execute(
        "INSERT INTO outbox SELECT i % 64, 'Job', 'e' || i, 2, 0, 'Task', '{}', gen_random_uuid()"
        f" FROM generate_series(1, {ROWS}) i"
    )
    connection.execute(
        "INSERT INTO timer SELECT 'Job', 'e' || i, 't@s', 2, i % 64, to_timestamp(i), gen_random_uuid()"
        f" FROM generate_series(1, {ROWS}) i"
    )
    for what in ("stale", "fresh", "dead"):
        if what == "dead":
            connection.execute("DELETE FROM outbox WHERE part < 60")
            connection.execute(f"DELETE FROM timer WHERE due_at < to_timestamp({ROWS - 20_000})")
        elif what == "fresh":
            connection.execute("ANALYZE outbox, timer")
        for parts in (range(64), range(62, 63)):
            check_plan(connection, effects_operation(parts), "outbox_pkey")
        check_plan(connection, timers_operation(range(64)), "timer_by_due")


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_what_is_due_is_read_by_its_index_on_sqlite(tmp_path: Path, is_analyzed: bool) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", synchronous="OFF")
    ledger.prepare()
    with ledger.connection() as connection:
        connection.execute("BEGIN")
        series = f"WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {ROWS // 10}) "
        connection.execute(
            f"{series} INSERT INTO outbox SELECT i % 64, 'Job', 'e' || i, 2, 0, 'Task', '{{}}', randomblob(16), 0,"
            " NULL, NULL, NULL FROM s"
        )
        connection.execute(
            f"{series} INSERT INTO timer SELECT 'Job', 'e' || i, 't', 2, i % 64, i, randomblob(16), NULL FROM s"
        )
        connection.execute("COMMIT")
        if is_analyzed:
            connection.execute("ANALYZE")
        for name, table in (("fetch_effects", "o"), ("fetch_timers", "t")):
            count = SQLITE_QUERIES[name].count("?")
            rows = connection.execute("EXPLAIN QUERY PLAN " + SQLITE_QUERIES[name], [None] * (11 if count > 9 else 4))
            plan = [row[3] for row in rows]
            [first] = [
                each for each in plan if each.startswith((f"SEARCH {table} ", f"SCAN {table} ", f"SCAN {table}"))
            ]
            assert first.startswith(f"SEARCH {table} USING"), plan
            assert not any("TEMP B-TREE FOR ORDER BY" in each for each in plan), plan
    ledger.close()


# The upgrade.


def test_a_ledger_of_before_the_work_after_commit_works_on_sqlite(tmp_path: Path, clock: Clock) -> None:
    """Its rows are those that are written now, as far as its columns go."""
    path = tmp_path / "ledger.db"
    fill_before(lambda: SqliteLedger(tmp_path / "filled.db"), clock)
    with pytest.MonkeyPatch.context() as patch:
        only_the_first(patch, "stateward.ledger.sqlite.schema")
        ledger = SqliteLedger(path)
        ledger.prepare()
    with ledger.connection() as connection:
        connection.execute("ATTACH ? AS filled", (str(tmp_path / "filled.db"),))
        connection.execute("BEGIN")
        tables = connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            if table != "part" and not table.startswith("sqlite_"):
                connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM filled.{table}")
        connection.execute("COMMIT")
        connection.execute("DETACH filled")
    ledger.close()
    work_after(lambda: SqliteLedger(path), clock)


def test_a_ledger_of_before_the_work_after_commit_works_on_postgresql(postgres_server: Server, clock: Clock) -> None:
    with psycopg.connect(postgres_server.uri(), autocommit=True) as admin:
        for name in ("filled", "upgraded"):
            admin.execute(f"CREATE DATABASE {name}".encode())
        filled, upgraded = postgres_server.uri("filled"), postgres_server.uri("upgraded")
        fill_before(lambda: PostgresLedger(filled), clock)
        with pytest.MonkeyPatch.context() as patch:
            only_the_first(patch, "stateward.ledger.postgres.schema")
            ledger = PostgresLedger(upgraded)
            ledger.prepare()
            ledger.close()
        with psycopg.connect(filled) as source, psycopg.connect(upgraded) as target:
            for table in ("lifecycle", "entity", "record", "receipt", "outbox", "timer", "census"):
                copy_rows(source, target, table)
        work_after(lambda: PostgresLedger(upgraded), clock)
        for name in ("filled", "upgraded"):
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def copy_rows(source: Any, target: Any, table: str) -> None:
    found = target.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", (table,)
    )  # fmt: skip
    columns = ", ".join(name for (name,) in found)
    with (
        source.cursor().copy(f"COPY (SELECT {columns} FROM {table}) TO STDOUT") as out,
        target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as into,
    ):
        for data in out:
            into.write(data)


def only_the_first(patch: pytest.MonkeyPatch, schema: str) -> None:
    """The code of before: its schema ends with the first file."""
    from importlib import import_module

    module = import_module(schema)
    patch.setattr(module, "_MIGRATIONS", module._MIGRATIONS[:1])


def fill_before(make: Callable[[], Any], clock: Clock) -> None:
    with Engine(make(), lifecycles=[JobLifecycle, EggLifecycle], clock=clock) as engine:
        for n in range(5):
            ask(engine, f"j{n}", "task:a", "task:b")
            engine.create(EggLifecycle, f"e{n}", Egg(), actor="test:1")


def work_after(make: Callable[[], Any], clock: Clock) -> None:
    ledger = make()
    with pytest.raises(LedgerOutdated):
        Engine(ledger, lifecycles=[JobLifecycle])
    applied = ledger.upgrade()
    assert applied[0] == 2, "and whatever came later"
    with Engine(ledger, lifecycles=[JobLifecycle, EggLifecycle], clock=clock) as engine:
        engine.handles(Task)(lambda effect, call: Told(what=effect.name))
        clock.forward(minutes=2)
        assert len(pending(engine, "j0")) == 2
        engine.drain()
        for n in range(5):
            assert (trail(engine, f"j{n}"), pending(engine, f"j{n}")) == (("a", "b"), [])
            assert engine.get(EggLifecycle, f"e{n}").state == "hard"
        engine.create(JobLifecycle, "new", Job(), actor="test:1")
        ask(engine, "new", "task:c")
        engine.drain()
        assert trail(engine, "new") == ("c",)

"""An event log from elsewhere: what is read of it, what is sent, what an interrupted run leaves to the next.

The databases of `stateward db` and `stateward doctor` on PostgreSQL are looked at here too, where the server is.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from stateward import Chart, Context, ContextMarker, Event, EventMarker, Final, Lifecycle, State, chart_of, on
from stateward.cli import _group
from stateward.engine import Engine, LifecycleTarget
from stateward.errors import Conflict, ImportStopped, LedgerUnavailable, MapInvalid
from stateward.ledger.checking import find_faults, open_database
from stateward.ledger.importing import Report, import_log
from stateward.ledger.logs import BadRow, Log, LogRow, read_map
from stateward.ledger.sql import read_migrations
from stateward.ledger.sqlite import SqliteLedger
from tests.ledger.conftest import MakeLedger
from tests.ledger.lifecycles import Parcel, ParcelLifecycle, Pay, parcel_chart

ROOT = Path(__file__).parents[2]
REAL_LOG = ROOT.parent / "shared" / "data" / "incidents.csv.gz"
AT = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "who,what,when,case,amount,note\n"
BASIC = ["entity=case", "time=when", "event=what"]
MAPS = ("entity=case", "time=when", "actor=who", "event=what", "Pay.amount=amount", "Event.note=note")


def line(
    event: str, entity: str = "p1", *, minute: int = 0, amount: str = "100", who: str = "ann", note: str = ""
) -> str:
    return f"{who},{event},{(AT + timedelta(minutes=minute)).isoformat()},{entity},{amount},{note}\n"


def lives(parcels: int) -> str:
    """Parcels that are ordered, paid twice, shipped, and shipped too often, turn by turn."""
    events = ["Ship", "Pay", "Pay", "Ship", "Ship", "Ship"]
    rows = [(minute, event, f"p{n}") for minute, event in enumerate(events) for n in range(parcels)]
    return HEAD + "".join(line(event, entity, minute=minute) for minute, event, entity in rows)


WHOLE = {
    "applied": {("ordered", "Pay"): 1, ("paid", "Ship"): 1, ("moving.van.loading|moving.papers.drafted", "Ship"): 1},
    "already_done": {("paid", "Pay"): 1},
    "refused": {("ordered", "Ship"): 1, ("moving.van.driving|moving.papers.drafted", "Ship"): 1},
}
"""What each of those parcels comes to."""


def counted(report: Report) -> dict[str, dict[tuple[str, str], int]]:
    return {
        "applied": dict(report.applied),
        "already_done": dict(report.already_done),
        "refused": dict(report.refused),
    }


def times(number: int) -> dict[str, dict[tuple[str, str], int]]:
    return {what: {pair: count * number for pair, count in pairs.items()} for what, pairs in WHOLE.items()}


class Bench:
    """An engine on a SQLite file, and logs that are sent through it."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.mapping = read_map(parcel_chart, MAPS)

    def log(self, text: str, name: str = "log.csv") -> Log:
        path = self.folder / name
        path.write_text(text)
        return Log(path, self.mapping)

    def send(self, text: str | Log, **options: Any) -> Report:
        log = self.log(text) if isinstance(text, str) else text
        return import_log(log, LifecycleTarget(self.engine, ParcelLifecycle), **options)

    def history(self, entity: str = "p1") -> list[tuple[str, str, int]]:
        return [(each.event, each.outcome, each.revision) for each in self.engine.history(ParcelLifecycle, entity)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterable[Bench]:
    with Engine(SqliteLedger(tmp_path / "parcels.db", synchronous="OFF"), lifecycles=[ParcelLifecycle]) as engine:
        yield Bench(tmp_path, engine)


@dataclass(frozen=True)
class Weighed(EventMarker):
    grams: int
    by: str
    times: int = 1


class Stock(Context):
    size: int


# What is sent.


def test_a_log_is_sent_in_its_order_with_its_own_times_and_actors(bench: Bench) -> None:
    report = bench.send(HEAD + line("Pay", minute=3, note="hello") + line("Ship", minute=1, who="service:robot"))
    assert (report.rows, report.created, report.earlier, report.bad, report.failed) == (2, 1, 0, 0, 0)
    started, paid, shipped = bench.engine.history(ParcelLifecycle, "p1")
    assert [started.event, paid.event, shipped.event] == ["Started", "Pay", "Ship"]
    assert [str(each.actor) for each in (started, paid, shipped)] == ["user:ann", "user:ann", "service:robot"]
    moments = [AT + timedelta(minutes=minute) for minute in (3, 3, 1)]
    assert [each.occurred_at for each in (started, paid, shipped)] == moments
    assert {each.source for each in (started, paid, shipped)} == {"import"}
    assert paid.payload == {"amount": 100, "note": "hello", "ratio": 0.0}
    assert re.fullmatch(r"import:[0-9a-f]{16}:1:start", started.key or "")
    assert started.key == f"{paid.key}:start"
    assert shipped.key == f"{(paid.key or '').removesuffix('1')}2"


def test_the_report_counts_by_state_and_event(bench: Bench) -> None:
    report = bench.send(lives(3))
    assert counted(report) == times(3)
    assert report.reasons[("ordered", "Ship")] == {"illegal"}
    assert (report.rows, report.created) == (18, 3)
    assert bench.engine.census(ParcelLifecycle) == {"moving.van.driving|moving.papers.drafted": 3}


def test_compressed_or_not_with_a_byte_order_mark_or_not_it_is_the_same_log(bench: Bench) -> None:
    text = lives(2)
    bench.send(text)
    for data in (gzip.compress(text.encode()), b"\xef\xbb\xbf" + text.replace("\n", "\r\n\r\n").encode()):
        path = bench.folder / "again"
        path.write_bytes(data)
        report = bench.send(Log(path, bench.mapping))
        assert counted(report) == times(2)
        assert (report.created, report.earlier) == (2, 12)
    assert len(bench.history("p1")) == 7


def test_a_log_that_has_grown_goes_on_and_another_log_goes_its_own_way(bench: Bench) -> None:
    text = HEAD + line("Pay")
    bench.send(text)
    report = bench.send(text + line("Ship") + line("Pay", "p2"))
    assert (report.rows, report.earlier, report.created) == (3, 1, 2)
    report = bench.send(HEAD + line("Deliver"))
    assert (report.earlier, report.created) == (0, 0), "the entity was there, and was not started by this log"
    assert report.applied == {("moving.van.loading|moving.papers.drafted", "Deliver"): 1}


def test_events_are_named_by_several_columns_and_a_table(bench: Bench) -> None:
    bench.mapping = read_map(
        parcel_chart,
        ["entity=case", "time=when", "event=what,note", "actor=who"],
        {"bill/settled": "Pay", "go/": "Ship"},
    )
    text = HEAD + line("bill", note="settled").replace("100", "") + line("go")
    report = bench.send(text)
    assert report.refused == {("ordered", "Pay"): 1, ("ordered", "Ship"): 1}
    assert report.reasons[("ordered", "Pay")] == {"guarded"}


def test_the_first_context_is_made_of_the_row_that_names_the_entity_first(bench: Bench) -> None:
    bench.mapping = read_map(parcel_chart, [*MAPS, "Started.price=amount"])
    bench.send(HEAD + line("Pay", amount="7") + line("Pay", amount="9") + line("Ship", "p2", amount=""))
    assert bench.engine.get(ParcelLifecycle, "p1").context.price == 7
    assert bench.engine.get(ParcelLifecycle, "p2").context.price == 100, "an empty cell leaves the default"


# Interrupted, and run again.


class Broken(Exception):
    pass


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_an_import_that_was_interrupted_goes_on_and_applies_nothing_twice(
    make_ledger: MakeLedger, tmp_path: Path, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.ledger.importing.BATCH_SIZE", 7)
    engine = Engine(make_ledger(), lifecycles=[ParcelLifecycle])
    bench = Bench(tmp_path, engine)
    seen: list[int] = []

    def interrupt(report: Report) -> None:
        seen.append(report.rows)
        if len(seen) == batches:
            raise Broken

    with pytest.raises(Broken):
        bench.send(lives(4), on_progress=interrupt)
    assert seen == [7, 14, 21][:batches]
    again = Bench(tmp_path, Engine(make_ledger(), lifecycles=[ParcelLifecycle]))
    report = again.send(lives(4))
    assert counted(report) == times(4), "the report is that of a run without interruption"
    assert (report.rows, report.created, report.earlier) == (24, 4, 7 * batches)
    for n in range(4):
        assert again.history(f"p{n}") == [
            ("Started", "applied", 1),
            ("Ship", "rejected_invalid", 1),
            ("Pay", "applied", 2),
            ("Pay", "already_done", 2),
            ("Ship", "applied", 3),
            ("Ship", "applied", 4),
            ("Ship", "rejected_invalid", 4),
        ]


class Failing:
    """A target whose database goes away: behind so many creations, or in the middle of a batch."""

    def __init__(self, inner: LifecycleTarget, *, creations: int = 1000, sent: int = 1000) -> None:
        self._inner = inner
        self._creations = creations
        self._sent = sent

    def states(self, entities: Sequence[str]) -> Mapping[str, str]:
        return self._inner.states(entities)

    def history(self, entity: str) -> Iterable[Any]:
        return self._inner.history(entity)

    def create(self, row: LogRow, context: ContextMarker, key: str) -> Any:
        if self._creations == 0:
            raise LedgerUnavailable("it went away")
        self._creations -= 1
        return self._inner.create(row, context, key)

    def send(self, rows: Sequence[LogRow]) -> Sequence[Any]:
        done = list(self._inner.send(rows[: self._sent]))
        return [*done, *(LedgerUnavailable("it went away") for _ in rows[self._sent :])]


@pytest.mark.parametrize("faults", [{"creations": 2}, {"sent": 0}, {"sent": 5}, {"sent": 13}])
def test_an_import_whose_database_went_away_within_a_batch_goes_on(bench: Bench, faults: dict[str, int]) -> None:
    with pytest.raises(LedgerUnavailable, match="it went away"):
        import_log(bench.log(lives(4)), Failing(LifecycleTarget(bench.engine, ParcelLifecycle), **faults))
    report = bench.send(lives(4))
    assert counted(report) == times(4)
    assert (report.created, report.earlier) == (4, faults.get("sent", 0))
    assert [event for event, _, _ in bench.history("p3")] == ["Started", "Ship", "Pay", "Pay", "Ship", "Ship", "Ship"]


def test_a_refused_event_is_not_tried_again_in_a_later_state(bench: Bench) -> None:
    text = HEAD + line("Ship") + line("Pay")
    bench.send(text)
    assert bench.send(text + line("Ship")).applied == {("ordered", "Pay"): 1, ("paid", "Ship"): 1}
    assert [outcome for _, outcome, _ in bench.history()] == ["applied", "rejected_invalid", "applied", "applied"]


def test_entities_that_are_forgotten_are_looked_up_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.ledger.importing.BATCH_SIZE", 5)
    monkeypatch.setattr("stateward.ledger.importing.KNOWN_MAX", 1)
    for earlier in (0, 24):
        report = bench.send(lives(4))
        assert counted(report) == times(4)
        assert (report.created, report.earlier) == (4, earlier)


@pytest.mark.parametrize(
    "changed", [line("Pay", amount="101"), line("Ship"), line("Pay", minute=5), line("Pay", note="other")]
)
def test_a_row_that_says_something_else_than_what_was_sent_is_a_conflict(bench: Bench, changed: str) -> None:
    bench.send(HEAD + line("Deliver") + line("Pay"))
    with pytest.raises(Conflict, match=r"Parcel p1: .*log\.csv, line 3: this is \w+ of .* has sent Pay of"):
        bench.send(HEAD + line("Deliver") + changed + line("Ship"))
    assert len(bench.history()) == 3, "nothing was sent"


def test_somebody_else_may_start_the_entity_or_send_the_row_meanwhile(bench: Bench) -> None:
    class Late(LifecycleTarget):
        def states(self, entities: Sequence[str]) -> Mapping[str, str]:
            found = super().states(entities)
            if not found:
                bench.send(bench.log(text, "other.csv"))
            return found

    text = HEAD + line("Pay") + line("Ship")
    report = import_log(bench.log(text), Late(bench.engine, ParcelLifecycle))
    assert (report.rows, report.applied.total(), report.failed) == (2, 2, 0)
    assert bench.history() == [("Started", "applied", 1), ("Pay", "applied", 2), ("Ship", "applied", 3)]


# Rows and maps that are wrong.

BAD_ROWS = [
    (line("Vanish"), "'Vanish' names no event of Parcel"),
    (line("Pay", amount="much"), "Expected `int`"),
    (line("Pay").replace("2026-01-01T00:00:00+00:00", "yesterday"), "when is 'yesterday', no time in ISO 8601"),
    (line("Pay").replace("+00:00", ""), "without an offset"),
    (line("Pay", entity=""), "the entity (case) is ''"),
    (line("Pay", entity="x" * 501), "the entity (case) is 501 bytes long"),
    (line("Pay", who=""), "names no actor"),
    (line("Pay", who="x" * 500), "the actor (who) is 505 bytes long"),
    (line("Pay", note="a\0b"), "the event Pay holds a NUL"),
    ("ann,Pay\n", "has 2 cells; the header has 6"),
    (line("Pay").replace("\n", ",more\n"), "has 7 cells; the header has 6"),
]


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS, ids=[problem for _, problem in BAD_ROWS])
def test_a_bad_row_stops_the_import_before_anything_of_its_batch_or_is_counted(
    bench: Bench, row: str, problem: str
) -> None:
    text = HEAD + line("Pay") + row + line("Ship")
    with pytest.raises(ImportStopped) as stopped:
        bench.send(text)
    assert str(stopped.value).startswith(f"{bench.folder / 'log.csv'}, line 3: ")
    assert problem in str(stopped.value)
    assert bench.engine.census(ParcelLifecycle) == {}
    report = bench.send(text, skips_bad=True)
    assert (report.rows, report.bad, report.applied.total(), report.failed) == (3, 1, 2, 0)
    assert [each.startswith("line 3: ") for each in report.problems] == [True]


def test_a_bad_row_of_a_later_batch_leaves_those_before_as_they_are_and_once_mended_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.ledger.importing.BATCH_SIZE", 2)
    start, rest = HEAD + line("Ship") + line("Pay"), line("Ship") + line("Ship")
    with pytest.raises(ImportStopped, match="line 4"):
        bench.send(start + line("Vanish", "p2") + rest)
    assert bench.history() == [("Started", "applied", 1), ("Ship", "rejected_invalid", 1), ("Pay", "applied", 2)]
    report = bench.send(start + line("Pay", "p2") + rest)
    assert (report.rows, report.earlier, report.applied.total()) == (5, 2, 4)


def test_a_row_mended_too_late_is_left_out_and_told(bench: Bench) -> None:
    text = HEAD + line("Pay") + line("Vanish") + line("Ship")
    bench.send(text, skips_bad=True)
    report = bench.send(text.replace("Vanish", "Return"))
    assert (report.failed, report.applied.total(), report.earlier) == (1, 2, 3)
    assert report.problems == ["line 3: an earlier run left it out, and has sent later rows of this entity since"]


def test_an_event_that_meets_an_error_stops_the_import_behind_its_batch_or_is_counted(bench: Bench) -> None:
    text = HEAD + line("Fail") + line("Pay", "p2")
    with pytest.raises(ImportStopped, match=r"log\.csv, line 2: Parcel in ordered, handling Fail: .*breaks"):
        bench.send(text)
    assert bench.history("p2")[-1] == ("Pay", "applied", 2), "the others of its batch are done"
    report = bench.send(text, skips_bad=True)
    assert (report.failed, report.earlier, report.applied.total()) == (1, 1, 1)


def refuse_to_open(stock: Stock, event: Event) -> Stock:
    if stock.size > 9:
        raise ValueError("too large")
    return stock


class ShelfLifecycle(Lifecycle[Stock]):
    opened = State(initial=True, entry=refuse_to_open)
    gone = Final()
    weigh = on(Weighed, opened.to(gone))


def test_an_entity_that_cannot_be_started_fails_all_its_rows_and_no_others(tmp_path: Path) -> None:
    mapping = read_map(
        chart_of(ShelfLifecycle), [*BASIC, "Started.size=n", "Weighed.grams=n", "Event.by=who", "actor=who"]
    )
    path = tmp_path / "log.csv"
    rows = [f"{entity},Weighed,{AT.isoformat()},{size},ann" for entity, size in (("a", 99), ("b", 5), ("a", 1))]
    path.write_text("\n".join(["case,what,when,n,who", *rows]))
    with Engine(tmp_path / "shelf.db", lifecycles=[ShelfLifecycle]) as engine:
        target = LifecycleTarget(engine, ShelfLifecycle)
        with pytest.raises(ImportStopped, match=r"line 2: Shelf.*refuse_to_open.*too large"):
            import_log(Log(path, mapping), target)
        report = import_log(Log(path, mapping), target, skips_bad=True)
        assert (report.rows, report.failed, report.created, report.earlier, report.applied.total()) == (3, 2, 1, 1, 1)
        assert engine.census(ShelfLifecycle) == {"gone": 1}


def test_problems_are_counted_all_and_told_a_few(bench: Bench) -> None:
    report = bench.send(HEAD + line("Vanish") * 40, skips_bad=True)
    assert (report.rows, report.bad, len(report.problems)) == (40, 40, 10)


def test_a_context_that_cannot_be_made_makes_its_row_bad(bench: Bench) -> None:
    bench.mapping = read_map(parcel_chart, [*MAPS, "Started.price=note"])
    text = HEAD + line("Pay", note="dear") + line("Pay", note="100")
    with pytest.raises(ImportStopped, match="line 2: no p1 can be started from it: Expected `int`"):
        bench.send(text)
    report = bench.send(text, skips_bad=True)
    assert (report.bad, report.created, report.applied.total()) == (1, 1, 1)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "line 1: has no column case; it has none at all"),
        (b"case,what,who,when,amount\n", "line 1: has no column note; it has case, what, who, when, amount"),
        (b"case,what,who,when,amount,note,case\n", "line 1: has more than one column case"),
        (HEAD.encode() + line("Pay").encode() + b'"a"b,c\n', "line 3: ',' expected"),
        (HEAD.encode() + b"\xff\xfe\n", "line 1: 'utf-8' codec"),
        (gzip.compress(lives(30).encode())[:-9], "Compressed file ended"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_stops_the_import(bench: Bench, data: bytes, problem: str) -> None:
    path = bench.folder / "log"
    path.write_bytes(data)
    with pytest.raises(ImportStopped) as stopped:
        bench.send(Log(path, bench.mapping), skips_bad=True)
    assert problem in str(stopped.value)
    assert bench.engine.census(ParcelLifecycle) == {}


def test_a_log_without_rows_is_well(bench: Bench) -> None:
    report = bench.send(HEAD)
    assert (report.rows, report.created) == (0, 0)


@pytest.mark.parametrize(
    ("maps", "names", "problem"),
    [
        (["entity=case"], None, "nothing says which column is the time and the event: time=column"),
        (["entity"], None, "'entity' is no map"),
        (["entity="], None, "'entity=' is no map"),
        ([*BASIC, "entity=who"], None, "entity is mapped twice, to case and to who"),
        ([*BASIC, "colour=note"], None, "colour can't be mapped"),
        ([*BASIC, "Buy.amount=amount"], None, "Parcel has no event Buy; it has Deliver, Fail, Pay, Return, Ship"),
        ([*BASIC, "Pay.colour=amount"], None, "Pay has no field colour"),
        ([*BASIC, "Event.colour=amount"], None, "no event has a field colour"),
        ([*BASIC, "Started.colour=amount"], None, "Parcel has no field colour"),
        (BASIC, {"go": "Buy"}, "'go': Parcel has no event 'Buy'"),
        (BASIC, {"go": ["Pay"]}, "'go': Parcel has no event"),
    ],
)
def test_a_wrong_map_is_told(maps: list[str], names: dict[str, Any] | None, problem: str) -> None:
    with pytest.raises(MapInvalid) as told:
        read_map(parcel_chart, maps, names)
    assert problem in str(told.value)


def test_actors_and_time_zones_stand_in_where_the_log_says_nothing(bench: Bench) -> None:
    bench.mapping = replace(
        bench.mapping, default_actor="service:old", actor_kind="staff", zone=ZoneInfo("Europe/Berlin")
    )
    bench.send(HEAD + line("Pay", who="").replace("+00:00", "") + line("Ship"))
    _, paid, shipped = bench.engine.history(ParcelLifecycle, "p1")
    assert (str(paid.actor), str(shipped.actor)) == ("service:old", "staff:ann")
    assert paid.occurred_at == AT - timedelta(hours=1)


# Classes that are none of ours.


class StockLifecycle(Lifecycle[Stock]):
    counted = State(initial=True)
    gone = Final()
    weigh = on(Weighed, counted.to(gone))


def test_dataclasses_are_read_and_a_context_without_defaults_must_be_mapped(tmp_path: Path) -> None:
    chart: Chart[Any] = chart_of(StockLifecycle)
    with pytest.raises(MapInvalid, match=r"Stock needs values to start with, Started.field=column: .*`size`"):
        read_map(chart, BASIC)
    mapping = read_map(
        chart, [*BASIC, "Started.size=n", "Weighed.grams=n", "Event.by=who", "Event.times=m", "actor=who"]
    )
    path = tmp_path / "log.csv"
    path.write_text(f"case,what,when,n,m,who\ns,Weighed,{AT.isoformat()},5,,ann\ns,Weighed,{AT.isoformat()},,2,ann\n")
    good, bad = Log(path, mapping).rows()
    assert isinstance(good, LogRow)
    assert (good.event, good.first) == (Weighed(5, "ann"), {"size": "5"})
    assert isinstance(bad, BadRow)
    assert "Expected `int`" in bad.problem


# What the commands find on PostgreSQL.


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(_group, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def found(dsn: str, *arguments: str) -> list[tuple[str, str, str]]:
    """What doctor finds there."""
    done = CliRunner().invoke(_group, ["doctor", "--ledger", dsn, "tests.ledger.lifecycles", "-o", "json", *arguments])
    rows: list[dict[str, str]] = json.loads(done.stdout)
    assert done.exit_code == (1 if rows else 0), done.output
    assert all(row["todo"] for row in rows)
    return [(row["check"], row["what"], row["where"]) for row in rows]


def test_a_database_is_brought_up_to_date_and_looked_at(fresh_postgres_dsn: str) -> None:
    first, *others, last = read_migrations("stateward.ledger.postgres")
    assert run("db", "check", "--ledger", fresh_postgres_dsn)[0] == 1
    [(check, what, _)] = found(fresh_postgres_dsn)
    assert (check, what) == ("schema", f"the schema is at 0, and this version of stateward knows {last.number}")
    applied = "".join(f"applied {each.number:04}_{each.name}\n" for each in (first, *others, last))
    assert run("db", "upgrade", "--ledger", fresh_postgres_dsn) == (0, applied)
    assert run("db", "upgrade", "--ledger", fresh_postgres_dsn) == (
        0,
        f"nothing to apply: the schema is at {last.number}\n",
    )
    assert run("db", "check", "--ledger", fresh_postgres_dsn)[0] == 0
    assert run("db", "current", "--ledger", fresh_postgres_dsn, "-o", "jsonl") == (
        0,
        f'{{"found":{last.number},"known":{last.number}}}\n',
    )
    assert found(fresh_postgres_dsn) == []


def test_what_is_wrong_with_a_database_is_found(postgres_dsn: str) -> None:
    with Engine(postgres_dsn, lifecycles=[ParcelLifecycle]) as engine:
        for n in range(3):
            engine.create(ParcelLifecycle, f"p{n}", Parcel(), actor="a")
        engine.send(ParcelLifecycle, "p0", Pay(amount=100), actor="a")
    assert found(postgres_dsn) == []
    assert [check for check, _, _ in found(postgres_dsn, "--outbox-age", "0")] == ["outbox"]
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        [server] = connection.execute("SELECT now()").fetchone() or [AT]
        following = (server.replace(day=1) + timedelta(days=32)).strftime("record_%Y_%m")
        connection.execute(f"DROP TABLE {following}".encode())
        connection.execute("UPDATE entity SET state = 'sold' WHERE id = 'p1'")
        connection.execute("UPDATE census SET state = 'sold' WHERE state = 'paid'")
        connection.execute("UPDATE lifecycle SET digest = repeat('0', 64)")
    faults = found(postgres_dsn)
    assert [check for check, _, _ in faults] == ["digest", "state", "census", "census", "partition"]
    assert faults[1][2] == "Parcel version 1 in sold"
    assert faults[2] == ("census", "the census says 2, and there are 1 entities", "Parcel version 1 in ordered")
    assert faults[4][1] == f"there is no partition {following}"
    with open_database(postgres_dsn) as database:
        late = database.read_facts(lambda: time.time() - 3600)
        early = database.read_facts(lambda: time.time() + 3600)
    assert 3599 < late.skew_s <= 3600
    assert -3600 <= early.skew_s < -3599
    [clock] = [each for each in find_faults(late, [], outbox_age_s=3600) if each.check == "clock"]
    assert clock.what == "the server's clock is 3600.0 s ahead of this machine's"


# The documentation, run.

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "importing.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the incident log is not there")
def test_the_documented_commands_give_the_documented_report_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "incidents.csv.gz").symlink_to(REAL_LOG)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    printed: list[str] = []
    for kind, block in BLOCKS:
        if kind == "json":
            (tmp_path / "events.json").write_text(block)
        elif kind in ("sh", "python"):
            words = ["sh", "-ec", block] if kind == "sh" else [sys.executable, "-c", block]
            done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
            printed += [done.stdout] if done.stdout else []
    took = re.compile(r"rows in [\d.]+ s")
    assert [took.sub("", each) for each in printed] == [took.sub("", block) for kind, block in BLOCKS if kind == "text"]

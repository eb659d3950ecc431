"""Listeners of an engine: each event is told once, after it was written down, whoever committed it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import msgspec
import pytest

from stateward import AsyncEngine, Engine, Refused, Sending
from stateward.errors import LedgerUnavailable, Unkeepable
from stateward.ledger.contract import CommitMoves, Interrupted, Page
from stateward.ledger.memory import MemoryLedger
from stateward.observe import Committed, JsonLines, Stay
from tests.conftest import MakeLedger
from tests.observe.lifecycles import Clock, Close, Closed, DoorLifecycle, House, Lock, Open, Ring

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Clock) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[DoorLifecycle], clock=clock) as made:
        yield made


@pytest.fixture
def told(engine: Engine) -> list[Committed]:
    found: list[Committed] = []
    engine.listen(found.append)
    return found


def test_a_transition_is_told_with_its_stay(engine: Engine, clock: Clock, told: list[Committed]) -> None:
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    clock.move(timedelta(seconds=90))
    answer = engine.send(DoorLifecycle, "d1", Open(), actor="a:2", traceparent=TRACE)
    begun, opened = told
    assert (begun.event, begun.state_from, begun.state_to, begun.stays) == ("Started", None, "shut", ())
    assert msgspec.structs.replace(opened, duration=0) == Committed(
        kind="Door", entity_id="d1", event="Open", state_from="shut", state_to="ajar", outcome="applied", reason=None,
        actor="a:2", source="call", record=answer.record, duration=0, stays=(Stay("shut", 90.0),),
        trace_id="0af7651916cd43dd8448eb211c80319c", is_joined=False,
    )  # fmt: skip
    assert opened.duration > 0


def test_refusals_and_what_is_already_done_are_told_and_repetitions_are_not(
    engine: Engine, told: list[Committed]
) -> None:
    engine.create(DoorLifecycle, "d1", House(), actor="a:1", key="k")
    engine.create(DoorLifecycle, "d1", House(), actor="a:1", key="k")
    with pytest.raises(Refused):
        engine.send(DoorLifecycle, "d1", Close(), actor="a:1")
    with pytest.raises(Refused):
        engine.send(DoorLifecycle, "d1", Lock(code=1), actor="a:1")
    engine.send(DoorLifecycle, "d1", Open(), actor="a:1")
    engine.send(DoorLifecycle, "d1", Open(), actor="a:1")
    assert [(each.event, each.outcome, each.reason, each.state_from, each.state_to) for each in told] == [
        ("Started", "applied", None, None, "shut"),
        ("Close", "refused", "illegal", "shut", "shut"),
        ("Lock", "refused", "guarded", "shut", "shut"),
        ("Open", "applied", None, "shut", "ajar"),
        ("Open", "already_done", None, "ajar", "ajar"),
    ]


def test_what_a_worker_sends_is_told_with_its_source_and_its_trace(
    engine: Engine, clock: Clock, told: list[Committed]
) -> None:
    @engine.handles(Ring)
    def answer(_effect: Ring, _call: Any) -> Closed:
        return Closed()

    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    engine.send(DoorLifecycle, "d1", Open(), actor="a:1", traceparent=TRACE)
    engine.drain()
    assert [(each.event, each.source, each.trace_id is not None) for each in told] == [
        ("Started", "call", False), ("Open", "call", True), ("Closed", "effect", True),
    ]  # fmt: skip


def test_a_timer_that_fires_is_told(engine: Engine, clock: Clock, told: list[Committed]) -> None:
    engine.handles(Ring)(lambda _effect, _call: None)
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    engine.send(DoorLifecycle, "d1", Open(), actor="a:1")
    clock.move(timedelta(minutes=6))
    engine.drain()
    assert (told[-1].source, told[-1].state_from, told[-1].state_to) == ("timer", "ajar", "shut")
    assert told[-1].stays == (Stay("ajar", 360.0),)


def test_a_repair_is_told_with_its_reason(engine: Engine, told: list[Committed]) -> None:
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    engine.repair(DoorLifecycle, "d1", "locked", reason="the key broke", actor="operator:1")
    assert (told[-1].source, told[-1].reason, told[-1].state_from) == ("repair", "the key broke", "shut")


def test_each_event_of_many_threads_is_told_once(engine: Engine, told: list[Committed]) -> None:
    together = Barrier(8)

    def create(first: int) -> None:
        together.wait()
        for n in range(first, first + 25):
            engine.create(DoorLifecycle, f"d{n}", House(), actor="a:1")

    threads = [Thread(target=create, args=(n * 25,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(each.entity_id for each in told) == sorted(f"d{n}" for n in range(200))


def test_events_of_one_batch_and_one_entity_are_told_in_their_order(engine: Engine, told: list[Committed]) -> None:
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    events = [Open(), Close(), Close(), Open()]
    engine.send_many(
        [Sending(lifecycle=DoorLifecycle, entity="d1", event=each, actor="a:1", traceparent=TRACE) for each in events]
    )
    assert [(each.state_from, each.state_to, each.outcome) for each in told[1:]] == [
        ("shut", "ajar", "applied"), ("ajar", "shut", "applied"), ("shut", "shut", "refused"),
        ("shut", "ajar", "applied"),
    ]  # fmt: skip
    assert all(each.trace_id for each in told[1:])


def test_a_listener_that_raises_harms_nobody(
    engine: Engine, told: list[Committed], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Committed) -> None:
        message = "no room"
        raise OSError(message)

    end = engine.listen(fail)
    last: list[Committed] = []
    engine.listen(last.append)
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    assert len(told) == len(last) == 1
    assert "no room" in caplog.text
    assert "what it was told of holds" in caplog.text
    end()
    end()
    caplog.clear()
    engine.create(DoorLifecycle, "d2", House(), actor="a:1")
    assert (len(last), caplog.text) == (2, "")


def test_engines_of_tasks_tell_as_well(make_ledger: MakeLedger) -> None:
    told: list[Committed] = []

    async def main() -> None:
        async with AsyncEngine(make_ledger(), lifecycles=[DoorLifecycle]) as engine:
            engine.listen(told.append)
            await engine.create(DoorLifecycle, "d1", House(), actor="a:1")
            await engine.attempt(DoorLifecycle, "d1", Close(), actor="a:1", traceparent=TRACE)

    asyncio.run(main())
    assert [(each.event, each.outcome) for each in told] == [("Started", "applied"), ("Close", "refused")]
    assert told[1].trace_id == TRACE[3:35]


def test_a_traceparent_that_is_none_is_told(engine: Engine) -> None:
    with pytest.raises(Unkeepable, match="none by W3C Trace Context"):
        engine.create(DoorLifecycle, "d1", House(), actor="a:1", traceparent="00-xyz")


# Log lines.


def test_nothing_is_logged_until_logging_is_configured(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    engine.attempt(DoorLifecycle, "d1", Close(), actor="a:1")
    assert capfd.readouterr() == ("", "")


def test_each_transition_and_refusal_is_one_structured_line(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="stateward"):
        engine.create(DoorLifecycle, "d1", House(), actor="a:1")
        engine.send(DoorLifecycle, "d1", Open(), actor="a:1", traceparent=TRACE)
        engine.attempt(DoorLifecycle, "d1", Lock(code=1), actor="b:2")
    lines = [record for record in caplog.records if record.name == "stateward.transitions"]
    assert [each.getMessage() for each in lines] == [
        "Door d1: (start) -> shut by Started",
        "Door d1: shut -> ajar by Open",
        "Door d1 in ajar refused Lock: illegal",
    ]
    written = [msgspec.json.decode(JsonLines().format(each)) for each in lines]
    assert all(each.pop("duration") > 0 for each in written)
    assert written[1] | {"time": ""} == {
        "time": "", "level": "info", "logger": "stateward.transitions", "message": "Door d1: shut -> ajar by Open",
        "entity_id": "d1", "kind": "Door", "state_from": "shut", "state_to": "ajar", "event": "Open",
        "outcome": "applied", "reason": None, "actor": "a:1", "trace_id": TRACE[3:35],
    }  # fmt: skip
    assert (written[2]["outcome"], written[2]["reason"], written[2]["actor"]) == ("refused", "illegal", "b:2")


def test_an_id_makes_no_lines_of_its_own(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    entity = "d1\nDoor d2: shut -> ajar by Open\x1b[2K é"
    with caplog.at_level(logging.INFO, logger="stateward"):
        engine.create(DoorLifecycle, entity, House(), actor="a:1")
        engine.attempt(DoorLifecycle, entity, Close(), actor="a:1")
    lines: list[Any] = [record for record in caplog.records if record.name == "stateward.transitions"]
    assert [each.entity_id for each in lines] == [entity] * 2
    assert all(each.getMessage().isprintable() for each in lines)
    assert lines[0].getMessage().startswith(r"Door d1\nDoor d2: shut -> ajar by Open\x1b[2K")


def test_json_lines_hold_exceptions_and_whatever_cannot_be_json() -> None:
    try:
        raise LookupError
    except LookupError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "a\nb %s", (error,), (LookupError, error, None))
    line = JsonLines().format(record)
    assert "\n" not in line
    decoded = msgspec.json.decode(line)
    assert (decoded["level"], decoded["exception"].splitlines()[-1]) == ("error", "LookupError")


# A commit that comes through in part.


class TornLedger(MemoryLedger):
    """Refuses the rows of several entities together, and is away for those of `d2`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_torn = False

    def _commit_moves(self, operation: CommitMoves) -> Page:
        moved = {row.id for row, _ in operation.moves}
        if self.is_torn and len(moved) > 1:
            message = "another writer holds one of them"
            raise Interrupted(message)
        if self.is_torn and "d2" in moved:
            message = "gone"
            raise LedgerUnavailable(message)
        return super()._commit_moves(operation)


def check_torn(told: list[Committed], answers: list[Any]) -> None:
    assert [type(each).__name__ for each in answers] == ["Applied", "LedgerUnavailable"]
    assert [(each.entity_id, each.event) for each in told[2:]] == [("d1", "Open")]


def opening() -> list[Sending]:
    return [Sending(lifecycle=DoorLifecycle, entity=each, event=Open(), actor="a:1") for each in ("d1", "d2")]


def test_what_was_committed_of_a_batch_whose_rest_failed_is_told() -> None:
    told: list[Committed] = []
    ledger = TornLedger()
    with Engine(ledger, lifecycles=[DoorLifecycle]) as engine:
        engine.listen(told.append)
        for each in ("d1", "d2"):
            engine.create(DoorLifecycle, each, House(), actor="a:1")
        ledger.is_torn = True
        check_torn(told, engine.send_many(opening()))


def test_what_was_committed_of_a_batch_of_tasks_whose_rest_failed_is_told() -> None:
    told: list[Committed] = []
    ledger = TornLedger()

    async def main() -> None:
        async with AsyncEngine(ledger, lifecycles=[DoorLifecycle]) as engine:
            engine.listen(told.append)
            for each in ("d1", "d2"):
                await engine.create(DoorLifecycle, each, House(), actor="a:1")
            ledger.is_torn = True
            check_torn(told, await engine.send_many(opening()))

    asyncio.run(main())


class Unwritable(logging.Filter):
    """Can't say whether a line is to be written."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise OSError(record.name)


def test_a_log_that_raises_harms_nobody(engine: Engine, told: list[Committed]) -> None:
    log = logging.getLogger("stateward.transitions")
    unwritable, level = Unwritable(), log.level
    log.addFilter(unwritable)
    log.setLevel(logging.INFO)
    try:
        engine.create(DoorLifecycle, "d1", House(), actor="a:1")
    finally:
        log.removeFilter(unwritable)
        log.setLevel(level)
    assert [each.entity_id for each in told] == ["d1"]

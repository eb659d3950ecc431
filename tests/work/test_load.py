"""What holds however much there is: no more in hand than can be written soon, and nothing read that is not needed."""

from __future__ import annotations

import asyncio

import psycopg

from stateward import Call
from stateward.engine import Engine
from stateward.ledger.after_commit import EndEffects
from stateward.ledger.postgres import statements
from stateward.ledger.rows import EffectEnd
from stateward.work.dispatching import OUTCOMES_MAX, PAGE_MAX
from tests.conftest import MakeLedger
from tests.work.conftest import ask_many, shift_of
from tests.work.lifecycles import JobLifecycle, Task


def test_what_is_done_and_not_written_is_bounded(make_ledger: MakeLedger) -> None:
    """Handlers are quicker than the ledger: no more is read until what came of them is written."""

    async def read_on(engine: Engine) -> int:
        shift = shift_of(engine)
        await shift.lease.begin()
        dispatcher = shift.dispatcher
        for _ in range(8):
            await dispatcher.fetch()
            while dispatcher.running:
                await asyncio.sleep(0)
        in_hand = len(dispatcher.in_hand)
        while await dispatcher.settle():
            pass
        assert await dispatcher.fetch() > 0
        dispatcher.stop()
        shift.caller.close()
        return in_hand

    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        ask_many(engine, [f"j{n}" for n in range(4 * PAGE_MAX)], "task:a")

        @engine.handles(Task)
        async def answer(effect: Task, call: Call) -> None:
            pass

        assert OUTCOMES_MAX <= asyncio.run(read_on(engine)) < OUTCOMES_MAX + PAGE_MAX


def test_records_of_replies_are_found_by_their_keys(postgres_dsn: str) -> None:
    """Not by reading all records that there are into a hash, which is as quick as long as there are few."""
    ends = tuple(
        EffectEnd(0, "Job", f"j{n}", 2, 0, 1, needs=f"019a0000-0000-7000-8000-{n:012}") for n in range(500)
    )  # fmt: skip
    [statement] = statements.statements_of(EndEffects(ends))
    explain = f"EXPLAIN (COSTS OFF) {statement.sql}".encode()
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = [line for (line,) in connection.execute(explain, statement.parameters)]
    assert not [line for line in plan if "hashed" in line], plan
    assert [line for line in plan if "record" in line and "Index" in line], plan

"""By which plan PostgreSQL runs what a worker asks of it again and again."""

from __future__ import annotations

import psycopg

from stateward.ledger.after_commit import EndEffects
from stateward.ledger.postgres import statements
from stateward.ledger.rows import EffectEnd


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

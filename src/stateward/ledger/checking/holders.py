"""What holds others up on PostgreSQL: transactions that stay open, and snapshots that nobody lets go of.

A transaction that has written records holds up readers behind a cursor until it ends. One that holds an old snapshot,
a prepared one, a replication slot or a standby's feedback keeps rows that were deleted since from being removed, by
vacuum too; the outbox and the timers, whose rows live for a moment, grow by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from stateward.ledger.checking.facts import Bloat, Facts, Fault, Holder

__all__ = ["SNAPSHOT_AGE_S_MAX", "holder_faults", "read_holders"]

SNAPSHOT_AGE_S_MAX = 300.0
"""How long a transaction may last."""
SNAPSHOT_TRANSACTIONS_MAX = 1_000_000
"""How many transactions may begin while one snapshot is held, where it does not tell since when it is."""
DEAD_ROWS_MAX = 10_000
"""Dead rows that are too few to be worth a word."""

_WRITERS = """
    SELECT pid, virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'record'::regclass AND granted AND mode <> 'AccessShareLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
# Only of this database: snapshots of others do not keep its rows. Vacuum's own are not counted by anybody.
_SESSIONS = f"""
WITH writer AS ({_WRITERS})
SELECT 'transaction',
    'pid ' || pid || ', ' || coalesce(nullif(application_name, ''), backend_type) || coalesce(', ' || state, ''),
    pid::text, datname, extract(epoch FROM clock_timestamp() - xact_start)::float8,
    coalesce(age(backend_xmin), age(backend_xid), 0), pid IN (SELECT pid FROM writer)
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    AND backend_type <> 'autovacuum worker'
ORDER BY xact_start"""
_PREPARED = f"""
WITH writer AS ({_WRITERS})
SELECT 'prepared transaction', gid || ', of ' || owner, gid, database,
    extract(epoch FROM clock_timestamp() - prepared)::float8, age(transaction),
    EXISTS (
        SELECT FROM pg_locks JOIN writer USING (virtualtransaction)
        WHERE writer.pid IS NULL AND pg_locks.pid IS NULL AND transactionid = transaction
    )
FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared"""
_SLOTS = """
SELECT 'replication slot', slot_name || CASE WHEN active THEN ', in use' ELSE ', which nobody uses' END, slot_name,
    coalesce(database, current_database()), 0.0::float8, age(xmin), false
FROM pg_replication_slots WHERE xmin IS NOT NULL ORDER BY slot_name"""
_STANDBYS = """
SELECT 'standby', 'pid ' || pid || ', ' || application_name, pid::text, current_database(), 0.0::float8,
    age(backend_xmin), false
FROM pg_stat_replication WHERE backend_xmin IS NOT NULL ORDER BY pid"""
_BLOAT = """
SELECT relname, n_live_tup, n_dead_tup FROM pg_stat_user_tables
WHERE relid IN ('outbox'::regclass, 'timer'::regclass, 'entity'::regclass, 'census'::regclass, 'worker'::regclass)
ORDER BY relname"""
_TODO = {
    "transaction": "end it: SELECT pg_terminate_backend({}); then find what leaves it open, and bound it by "
    "idle_in_transaction_session_timeout",
    "prepared transaction": "decide it: COMMIT PREPARED '{0}' or ROLLBACK PREPARED '{0}'",
    "replication slot": "see what reads from it; if nobody does, SELECT pg_drop_replication_slot('{}')",
    "standby": "end the long query there, or do without its hot_standby_feedback",
}


def read_holders(read: Callable[[str], list[Any]]) -> dict[str, Any]:
    """The facts of it. Of other users' sessions, only a member of pg_read_all_stats is told since when they last."""
    [[rank, is_called]] = read("SELECT last_value, is_called FROM record_rank")
    [[last]] = read("SELECT coalesce((SELECT rank FROM record ORDER BY rank DESC LIMIT 1), 0)")
    return {
        "holders": [Holder(*row) for sql in (_SESSIONS, _PREPARED, _SLOTS, _STANDBYS) for row in read(sql)],
        "bloat": [Bloat(*row) for row in read(_BLOAT)],
        "next_rank": rank + is_called,
        "last_rank": last,
    }


def holder_faults(facts: Facts, age_s_max: float) -> Iterator[Fault]:
    """What is wrong with it."""
    for holder in facts.holders:
        harm, since = _harm(holder), f"{holder.transactions:,} transactions"
        if holder.age_s:
            since = str(timedelta(seconds=round(holder.age_s)))
        is_old = holder.age_s > age_s_max if holder.age_s else holder.transactions > SNAPSHOT_TRANSACTIONS_MAX
        if harm and is_old:
            where = f"{holder.name}, database {holder.database}"
            todo = _TODO[holder.what].format(holder.handle)
            yield Fault("snapshot", f"a {holder.what} that has lasted for {since} {harm}", where, todo)
    for table, live, dead in facts.bloat:
        if dead > max(DEAD_ROWS_MAX, 2 * live):
            what = f"{dead:,} dead rows beside {live:,} live ones: vacuum can't keep up, or is kept from it"
            todo = (
                f"end what holds an old snapshot, if there is something; else VACUUM {table}, and let autovacuum come "
                f"sooner: ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.01)"
            )
            yield Fault("vacuum", what, f"{table}, {facts.place}", todo)
    if facts.next_rank is not None and facts.next_rank <= facts.last_rank:
        last = facts.last_rank
        what = f"the next record may be given rank {facts.next_rank:,}, and there is one at {last:,}"
        todo = f"SELECT setval('record_rank', {last}): readers behind a cursor miss what comes meanwhile"
        yield Fault("rank", what, f"record_rank, {facts.place}", todo)


def _harm(holder: Holder) -> str:
    harms = ["holds up readers behind a cursor"] if holder.writes_records else []
    if holder.transactions:
        harms.append("keeps dead rows from being removed")
    return " and ".join(harms)

-- name: follow_records
WITH ahead AS MATERIALIZED (
    SELECT rank FROM record WHERE rank > %(after)s::bigint ORDER BY rank LIMIT %(limit)s
), placed AS (
    SELECT rank, %(start)s::bigint + row_number() OVER (PARTITION BY rank > %(start)s::bigint ORDER BY rank)
        AS expected
    FROM ahead
), head AS (
    SELECT coalesce(max(rank) FILTER (WHERE rank <= %(start)s::bigint OR rank = expected),
            %(after)s::bigint) AS reached,
        coalesce(max(rank), %(after)s::bigint) AS looked, count(*) AS seen,
        coalesce((SELECT rank FROM record ORDER BY rank DESC LIMIT 1), %(after)s::bigint) AS newest
    FROM placed
)
SELECT reached, looked, seen, newest, rank, id, kind, entity, revision, version, event, payload, state_from, state_to,
    actor_kind, actor_id, key, occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate
FROM head LEFT JOIN LATERAL (
    SELECT rank, id::text, kind, entity, revision, version, event, payload::text, state_from, state_to, actor_kind,
        actor_id, key, stateward_micros(occurred_at) AS occurred_at, stateward_micros(recorded_at) AS recorded_at,
        cause, source, outcome, reason, traceparent, tracestate
    FROM record
    WHERE rank > %(after)s::bigint AND rank <= head.reached
        AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s::text[]))
    ORDER BY rank LIMIT %(limit)s
) AS followed ON true
ORDER BY rank;

-- name: fetch_writers
WITH held AS MATERIALIZED (
    SELECT locktype, transactionid, pid, split_part(virtualtransaction, '/', 2) AS number,
        locktype = 'relation' AND relation = 'record'::regclass AND mode <> 'AccessShareLock'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AS writes
    FROM pg_locks WHERE granted AND locktype IN ('relation', 'transactionid')
)
SELECT DISTINCT x.transactionid::text FROM held x
WHERE x.locktype = 'transactionid' AND EXISTS (
    -- A transaction that is prepared gives its locks one by one to a process without an identifier, under its number.
    SELECT FROM held w
    WHERE w.writes AND w.number = x.number AND (w.pid = x.pid OR w.pid IS NULL OR x.pid IS NULL)
)
-- On a standby it is not to be known who writes on the primary.
UNION ALL SELECT 'primary' WHERE pg_is_in_recovery();

-- name: find_rank
SELECT coalesce((
    SELECT rank FROM record WHERE %(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s::text[])
    ORDER BY rank DESC LIMIT 1 OFFSET %(last)s
), 0);

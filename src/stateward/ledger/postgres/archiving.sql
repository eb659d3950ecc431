-- name: find_oldest
SELECT id::text FROM record ORDER BY record.id LIMIT 1;

-- name: survey
SELECT count(*), (SELECT id::text FROM record WHERE id >= %(first)s::uuid AND id < %(end)s::uuid ORDER BY record.id LIMIT 1),
    (SELECT id::text FROM record WHERE id >= %(first)s::uuid AND id < %(end)s::uuid ORDER BY record.id DESC
        LIMIT 1)
FROM record WHERE id >= %(first)s::uuid AND id < %(end)s::uuid;

-- name: read_page
SELECT id::text, kind, entity, revision, version, event, payload::text, state_from, state_to, actor_kind, actor_id,
    key, stateward_micros(occurred_at), stateward_micros(recorded_at), cause, source, outcome, reason, traceparent,
    tracestate
FROM record WHERE record.id > %(after)s::uuid AND record.id < %(end)s::uuid
ORDER BY record.id LIMIT %(limit)s;

-- name: find_receipt
SELECT
FROM record r JOIN receipt t ON t.kind = r.kind AND t.entity = r.entity AND t.key = r.key AND t.record = r.id
WHERE r.id >= %(first)s::uuid AND r.id < %(end)s::uuid AND r.outcome = 'applied'
    AND r.id > (SELECT through FROM expiry WHERE name = 'receipt')
LIMIT 1;

-- name: find_partition
SELECT FROM pg_inherits WHERE inhparent = 'record'::regclass AND inhrelid = to_regclass(%s);

-- name: delete_month
WITH gone AS (DELETE FROM ONLY record_default WHERE id >= %(first)s::uuid AND id < %(end)s::uuid RETURNING id)
SELECT count(*) FROM gone;

-- name: find_oldest
SELECT id FROM record ORDER BY id LIMIT 1;

-- name: survey
SELECT count(*), min(id), max(id) FROM record WHERE id >= ?1 AND id < ?2;

-- name: read_page
SELECT id, kind, entity, revision, version, event, payload, state_from, state_to, actor_kind, actor_id, key,
    occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate
FROM record WHERE id > ?1 AND id < ?2
ORDER BY id LIMIT ?3;

-- name: find_receipt
SELECT 1
FROM record r JOIN receipt t ON t.kind = r.kind AND t.entity = r.entity AND t.key = r.key AND t.record = r.id
WHERE r.id > max(?1, (SELECT through FROM expiry WHERE name = 'receipt')) AND r.id < ?2 AND r.outcome = 'applied'
LIMIT 1;

-- name: delete_triggers
SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name = 'record_is_not_deleted';

-- name: delete_month
DELETE FROM record WHERE id >= ?1 AND id < ?2;

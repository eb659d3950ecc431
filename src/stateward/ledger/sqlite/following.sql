-- name: look_ahead
SELECT max(position), count(*) FROM (SELECT position FROM record WHERE position > ?1 ORDER BY position LIMIT ?2);

-- name: follow_records
SELECT position, id, kind, entity, revision, version, event, payload, state_from, state_to, actor_kind, actor_id, key,
    occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate
FROM record
WHERE position > ?1 AND position <= ?2 AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3)))
ORDER BY position;

-- name: find_position
SELECT coalesce((
    SELECT position FROM record WHERE ?1 IS NULL OR kind IN (SELECT value FROM json_each(?1))
    ORDER BY position DESC LIMIT 1 OFFSET ?2
), 0);

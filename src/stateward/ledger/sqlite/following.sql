-- name: look_ahead
SELECT max(rank), count(*) FROM (SELECT rank FROM record WHERE rank > ?1 ORDER BY rank LIMIT ?2);

-- name: follow_records
SELECT rank, id, kind, entity, revision, version, event, payload, state_from, state_to, actor_kind, actor_id, key,
    occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate
FROM record
WHERE rank > ?1 AND rank <= ?2 AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3)))
ORDER BY rank;

-- name: find_rank
SELECT coalesce((
    SELECT rank FROM record WHERE ?1 IS NULL OR kind IN (SELECT value FROM json_each(?1))
    ORDER BY rank DESC LIMIT 1 OFFSET ?2
), 0);

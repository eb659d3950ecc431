-- name: load_pair
SELECT e.kind, e.id, e.part, e.version, e.state, e.history, e.context, e.revision, e.created_at, e.updated_at,
    e.entered, e.due_by, e.parent_kind, e.parent_id, e.traceparent,
    r.kind, r.entity, r.key, r.digest, r.record, r.revision, r.state_to, r.version, r.created_at
FROM (SELECT ?1 AS kind, ?2 AS id) w
LEFT JOIN entity e ON e.kind = w.kind AND e.id = w.id
LEFT JOIN receipt r ON r.kind = w.kind AND r.entity = w.id AND r.key = ?3;

-- name: load_entity
SELECT kind, id, part, version, state, history, context, revision, created_at, updated_at, entered, due_by,
    parent_kind, parent_id, traceparent
FROM entity WHERE kind = ?1 AND id = ?2;

-- name: create_entity
INSERT INTO entity VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: move_entity
UPDATE entity SET version = ?4, state = ?5, history = ?6, context = ?7, revision = ?8, updated_at = ?10, entered = ?11,
    due_by = ?12
WHERE kind = ?1 AND id = ?2 AND revision = ?16;

-- name: add_record
INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    -- Behind all others, and not before what the time says, so that no rank comes again when all are archived.
    (SELECT max(coalesce(max(rank), 0) + 1, ?14) FROM record));

-- name: add_receipt
INSERT INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_effect
INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: cancel_timer
DELETE FROM timer WHERE kind = ?1 AND entity = ?2 AND name = ?3;

-- name: set_timer
INSERT INTO timer VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: move_census
INSERT INTO census (kind, version, state, count) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET count = count + excluded.count;

-- name: find_record
SELECT id, kind, entity, revision, version, event, payload, state_from, state_to, actor_kind, actor_id, key,
    occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate
FROM record WHERE id = ?1;

-- name: fetch_history
SELECT id, kind, entity, revision, version, event, payload, state_from, state_to, actor_kind, actor_id, key,
    occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate
FROM record
WHERE kind = ?1 AND entity = ?2
    AND (revision, (outcome <> 'applied'), (CASE WHEN outcome = 'applied' THEN x'' ELSE id END)) > (?3, ?4, ?5)
ORDER BY revision, (outcome <> 'applied'), (CASE WHEN outcome = 'applied' THEN x'' ELSE id END)
LIMIT ?6;

-- name: list_by_id
SELECT kind, id, part, version, state, history, context, revision, created_at, updated_at, entered, due_by,
    parent_kind, parent_id, traceparent
FROM entity
WHERE kind = ?1 AND id > ?2 AND (?3 IS NULL OR version = ?3) AND (?4 IS NULL OR updated_at < ?4)
ORDER BY id LIMIT ?5;

-- name: list_by_state
SELECT kind, id, part, version, state, history, context, revision, created_at, updated_at, entered, due_by,
    parent_kind, parent_id, traceparent
FROM entity
WHERE kind = ?1 AND state = ?2 AND (updated_at, id) > (?3, ?4) AND (?5 IS NULL OR version = ?5)
    AND (?6 IS NULL OR updated_at < ?6)
ORDER BY updated_at, id LIMIT ?7;

-- name: list_by_due
SELECT kind, id, part, version, state, history, context, revision, created_at, updated_at, entered, due_by,
    parent_kind, parent_id, traceparent
FROM entity
WHERE kind = ?1 AND due_by IS NOT NULL AND due_by <= ?2 AND (due_by, id) > (?3, ?4) AND (?5 IS NULL OR state = ?5)
    AND (?6 IS NULL OR version = ?6) AND (?7 IS NULL OR updated_at < ?7)
ORDER BY due_by, id LIMIT ?8;

-- name: count_census
SELECT kind, version, state, sum(count) FROM census
WHERE ?1 IS NULL OR kind = ?1
GROUP BY kind, version, state HAVING sum(count) <> 0
ORDER BY kind, version, state;

-- name: register_lifecycle
INSERT INTO lifecycle VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;

-- name: find_digest
SELECT digest FROM lifecycle WHERE kind = ?1 AND version = ?2;

-- name: add_worker
INSERT INTO worker VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING;

-- name: raise_beat
UPDATE worker SET beat = beat + 1 WHERE id = ?1 RETURNING beat;

-- name: remove_worker
DELETE FROM worker WHERE id = ?1 AND (?2 IS NULL OR beat = ?2) RETURNING id;

-- name: fetch_workers
SELECT id, beat, process, started_at FROM worker ORDER BY id;

-- name: fetch_parts
SELECT part, owner, epoch FROM part ORDER BY part;

-- name: take_part
UPDATE part SET owner = ?1, epoch = epoch + 1
WHERE part = ?2 AND epoch = ?3 AND (owner IS NULL OR owner NOT IN (SELECT id FROM worker))
    AND EXISTS (SELECT 1 FROM worker WHERE id = ?1)
RETURNING part, owner, epoch;

-- name: release_part
UPDATE part SET owner = NULL WHERE part = ?2 AND owner = ?1;

-- name: find_worker
SELECT 1 FROM worker WHERE id = ?1;

-- name: fetch_effects
SELECT part, kind, entity, revision, n, effect, payload, record, attempts, next_attempt, last_error, traceparent
FROM outbox o
WHERE (part, kind, entity, revision, n) > (?6, ?7, ?8, ?9, ?10)
    AND part IN (SELECT value FROM json_each(?1))
    AND (next_attempt IS NULL OR next_attempt <= ?5)
    AND kind IN (SELECT value FROM json_each(?2)) AND effect IN (SELECT value FROM json_each(?3))
    AND (
        effect IN (SELECT value FROM json_each(?4))
        OR NOT EXISTS (
            SELECT 1 FROM outbox b
            WHERE b.part = o.part AND b.kind = o.kind AND b.entity = o.entity
                AND (b.revision, b.n) < (o.revision, o.n) AND b.effect NOT IN (SELECT value FROM json_each(?4))
        )
    )
    AND NOT EXISTS (
        SELECT 1 FROM pause p
        WHERE p.resumed_at IS NULL AND p.scope = 'kind' AND p.name = o.kind
    )
    AND NOT EXISTS (
        SELECT 1 FROM pause p
        WHERE p.resumed_at IS NULL AND p.scope = 'effect' AND p.name = o.effect
    )
ORDER BY part, kind, entity, revision, n LIMIT ?11;

-- name: find_unhandled
SELECT effect, kind, entity FROM (
    SELECT effect, kind, entity, row_number() OVER (PARTITION BY effect ORDER BY kind, entity) AS place FROM (
        SELECT effect, kind, entity FROM outbox
        WHERE part IN (SELECT value FROM json_each(?1)) AND kind IN (SELECT value FROM json_each(?2))
            AND effect NOT IN (SELECT value FROM json_each(?3))
        LIMIT 1000
    )
) WHERE place = 1 ORDER BY effect;

-- name: bury_effect
INSERT INTO dead_letter
SELECT kind, entity, revision, n, part, effect, payload, record, ?6, ?7, ?8, traceparent
FROM outbox
WHERE part = ?1 AND kind = ?2 AND entity = ?3 AND revision = ?4 AND n = ?5
    AND (?9 IS NULL OR EXISTS (SELECT 1 FROM record WHERE id = ?9))
ON CONFLICT DO UPDATE SET attempts = excluded.attempts, error = excluded.error, died_at = excluded.died_at;

-- name: end_effect
DELETE FROM outbox
WHERE part = ?1 AND kind = ?2 AND entity = ?3 AND revision = ?4 AND n = ?5
    AND (?6 IS NULL OR EXISTS (SELECT 1 FROM record WHERE id = ?6));

-- name: postpone_effect
UPDATE outbox SET attempts = ?6, next_attempt = ?7, last_error = ?8
WHERE part = ?1 AND kind = ?2 AND entity = ?3 AND revision = ?4 AND n = ?5;

-- name: list_pending
SELECT part, kind, entity, revision, n, effect, payload, record, attempts, next_attempt, last_error, traceparent
FROM outbox WHERE part = ?1 AND kind = ?2 AND entity = ?3
ORDER BY revision, n;

-- name: list_dead_letters
SELECT kind, entity, revision, n, part, effect, payload, record, attempts, error, died_at, traceparent
FROM dead_letter
WHERE (died_at, kind, entity, revision, n) > (?4, ?5, ?6, ?7, ?8)
    AND (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR entity = ?2) AND (?3 IS NULL OR effect = ?3)
ORDER BY died_at, kind, entity, revision, n LIMIT ?9;

-- name: revive_effect
INSERT INTO outbox
SELECT part, kind, entity, revision, n, effect, payload, record, 0, ?5, error, traceparent
FROM dead_letter WHERE kind = ?1 AND entity = ?2 AND revision = ?3 AND n = ?4;

-- name: forget_dead_letter
DELETE FROM dead_letter WHERE kind = ?1 AND entity = ?2 AND revision = ?3 AND n = ?4;

-- name: fetch_timers
SELECT kind, entity, name, revision, part, due_at, record, traceparent
FROM timer t
WHERE part = ?1 AND due_at <= ?3 AND kind IN (SELECT value FROM json_each(?2))
    AND NOT EXISTS (
        SELECT 1 FROM pause p
        WHERE p.resumed_at IS NULL AND p.scope = 'kind' AND p.name = t.kind
    )
ORDER BY due_at LIMIT ?4;

-- name: find_timer
SELECT kind, entity, name, revision FROM timer WHERE kind = ?1 AND entity = ?2 AND name = ?3 AND revision = ?4;

-- name: spend_timer
DELETE FROM timer WHERE kind = ?1 AND entity = ?2 AND name = ?3 AND revision = ?4;

-- name: postpone_timer
UPDATE timer SET due_at = ?5 WHERE kind = ?1 AND entity = ?2 AND name = ?3 AND revision = ?4;

-- name: list_timers
SELECT kind, entity, name, revision, part, due_at, record, traceparent
FROM timer
WHERE kind = ?1 AND (?2 IS NULL OR entity = ?2) AND (?3 IS NULL OR due_at <= ?3)
    AND (due_at, entity, name, revision) > (?4, ?5, ?6, ?7)
ORDER BY due_at, entity, name, revision LIMIT ?8;

-- name: add_pause
INSERT INTO pause VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING name;

-- name: end_pause
UPDATE pause SET resumed_at = ?3, resumed_by = ?4 WHERE scope = ?1 AND name = ?2 AND resumed_at IS NULL RETURNING name;

-- name: list_pauses
SELECT scope, name, reason, paused_at, paused_by, resumed_at, resumed_by
FROM pause WHERE resumed_at IS NULL ORDER BY scope, name;

-- name: fetch_reconciliation
SELECT name, round_at, after, due_at FROM reconciliation WHERE name = ?1;

-- name: keep_reconciliation
INSERT INTO reconciliation VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET round_at = excluded.round_at, after = excluded.after, due_at = excluded.due_at;

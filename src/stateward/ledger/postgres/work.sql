-- name: add_worker
INSERT INTO worker VALUES (%s, %s, %s, stateward_time(%s)) ON CONFLICT (id) DO NOTHING;

-- name: raise_beat
UPDATE worker SET beat = beat + 1 WHERE id = %s RETURNING beat;

-- name: remove_worker
DELETE FROM worker WHERE id = %(worker)s AND (%(beat)s::bigint IS NULL OR beat = %(beat)s) RETURNING id;

-- name: fetch_workers
SELECT id, beat, process, stateward_micros(started_at) FROM worker ORDER BY id;

-- name: fetch_parts
SELECT part, owner, epoch FROM part ORDER BY part;

-- name: take_parts
WITH wanted AS MATERIALIZED (
    SELECT p.part FROM part p
    JOIN unnest(%(part)s::smallint[], %(epoch)s::bigint[]) AS w (part, epoch) ON w.part = p.part AND w.epoch = p.epoch
    WHERE p.owner IS NULL OR p.owner NOT IN (SELECT id FROM worker)
    ORDER BY p.part FOR NO KEY UPDATE OF p SKIP LOCKED
), held AS MATERIALIZED (
    SELECT FROM worker WHERE id = %(worker)s FOR KEY SHARE
)
UPDATE part p SET owner = %(worker)s, epoch = epoch + 1
FROM wanted w WHERE p.part = w.part AND EXISTS (SELECT FROM held)
RETURNING p.part, p.owner, p.epoch;

-- name: release_parts
UPDATE part SET owner = NULL WHERE owner = %s AND part = ANY (%s::smallint[]);

-- name: hold_lease
SELECT stateward_hold_lease(%s);

-- name: fetch_effects
-- By kind and without its index: else what is due is sorted while statistics take it for few.
SELECT part, kind, entity, revision, n, effect, payload::text, record::text, attempts, stateward_micros(next_attempt),
    last_error, traceparent
FROM outbox o
WHERE (part, kind, entity, revision, n)
        > (%(a_part)s::smallint, %(a_kind)s::text, %(a_entity)s::text, %(a_revision)s::bigint, %(a_n)s::integer)
    AND part = ANY (%(parts)s::smallint[])
    AND (next_attempt IS NULL OR next_attempt <= stateward_time(%(now)s))
    AND (kind || '') = ANY (%(kinds)s::text[]) AND effect = ANY (%(effects)s::text[])
    AND (
        effect = ANY (%(unordered)s::text[])
        OR NOT EXISTS (
            SELECT FROM outbox b
            WHERE b.part = o.part AND b.kind = o.kind AND b.entity = o.entity
                AND (b.revision, b.n) < (o.revision, o.n) AND b.effect <> ALL (%(unordered)s::text[])
        )
    )
    AND NOT EXISTS (
        SELECT FROM pause p
        WHERE p.resumed_at IS NULL AND (p.scope, p.name) IN (('kind', o.kind), ('effect', o.effect))
    )
ORDER BY part, kind, entity, revision, n LIMIT %(limit)s;

-- name: find_unhandled
SELECT DISTINCT ON (effect) effect, kind, entity FROM (
    SELECT effect, kind, entity FROM outbox
    WHERE part = ANY (%s::smallint[]) AND kind = ANY (%s::text[]) AND effect <> ALL (%s::text[])
    LIMIT 1000
) AS found
ORDER BY effect, kind, entity;

-- name: end_effects
-- A reply's record is looked up as a value: EXISTS beside OR may read all records into a hash, batch for batch.
WITH wanted AS (
    SELECT * FROM unnest(%(part)s::smallint[], %(kind)s::text[], %(entity)s::text[], %(revision)s::bigint[],
        %(n)s::integer[], %(attempts)s::integer[], %(error)s::text[], %(died_at)s::bigint[], %(needs)s::text[])
        AS w (part, kind, entity, revision, n, attempts, error, died_at, needs)
), ended AS (
    DELETE FROM outbox o USING wanted w
    WHERE o.part = w.part AND o.kind = w.kind AND o.entity = w.entity AND o.revision = w.revision AND o.n = w.n
        AND (w.needs IS NULL OR (SELECT true FROM record r WHERE r.id = w.needs::uuid))
    RETURNING o.kind, o.entity, o.revision, o.n, o.part, o.effect, o.payload, o.record, w.attempts, w.error, w.died_at,
        o.traceparent
)
INSERT INTO dead_letter
SELECT kind, entity, revision, n, part, effect, payload, record, attempts, error, stateward_time(died_at), traceparent
FROM ended WHERE error IS NOT NULL
ON CONFLICT (kind, entity, revision, n)
    DO UPDATE SET attempts = excluded.attempts, error = excluded.error, died_at = excluded.died_at;

-- name: postpone_effects
UPDATE outbox o SET attempts = w.attempts, next_attempt = stateward_time(w.next_attempt), last_error = w.last_error
FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::bigint[], %s::integer[], %s::integer[], %s::bigint[],
    %s::text[]) AS w (part, kind, entity, revision, n, attempts, next_attempt, last_error)
WHERE o.part = w.part AND o.kind = w.kind AND o.entity = w.entity AND o.revision = w.revision AND o.n = w.n;

-- name: list_pending
SELECT part, kind, entity, revision, n, effect, payload::text, record::text, attempts, stateward_micros(next_attempt),
    last_error, traceparent
FROM outbox WHERE part = %s AND kind = %s AND entity = %s
ORDER BY revision, n;

-- name: list_dead_letters
SELECT kind, entity, revision, n, part, effect, payload::text, record::text, attempts, error,
    stateward_micros(died_at), traceparent
FROM dead_letter
WHERE (died_at, kind, entity, revision, n)
        > (stateward_time(%(a_died_at)s), %(a_kind)s::text, %(a_entity)s::text, %(a_revision)s::bigint, %(a_n)s::integer)
    AND (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(entity)s::text IS NULL OR entity = %(entity)s)
    AND (%(effect)s::text IS NULL OR effect = %(effect)s)
ORDER BY died_at, kind, entity, revision, n LIMIT %(limit)s;

-- name: revive_effects
WITH wanted AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::integer[], %s::bigint[])
        AS w (kind, entity, revision, n, due_at)
), revived AS (
    DELETE FROM dead_letter d USING wanted w
    WHERE d.kind = w.kind AND d.entity = w.entity AND d.revision = w.revision AND d.n = w.n
    RETURNING d.*, w.due_at
)
INSERT INTO outbox (part, kind, entity, revision, n, effect, payload, record, attempts, next_attempt, last_error,
    traceparent)
SELECT part, kind, entity, revision, n, effect, payload, record, 0, stateward_time(due_at), error, traceparent
FROM revived
RETURNING kind, entity, revision, n;

-- name: fetch_timers
-- By kind as above.
SELECT t.kind, t.entity, t.name, t.revision, t.part, stateward_micros(t.due_at), t.record::text, t.traceparent
FROM unnest(%(parts)s::smallint[]) AS p (part)
CROSS JOIN LATERAL (
    SELECT * FROM timer
    WHERE timer.part = p.part AND due_at <= stateward_time(%(now)s)
        AND (kind || '') = ANY (%(kinds)s::text[])
        AND NOT EXISTS (
            SELECT FROM pause WHERE resumed_at IS NULL AND scope = 'kind' AND pause.name = timer.kind
        )
    ORDER BY due_at LIMIT %(limit_of_part)s
) AS t
LIMIT %(limit)s;

-- name: find_timers
SELECT t.kind, t.entity, t.name, t.revision
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS w (kind, entity, name, revision)
JOIN timer t ON t.kind = w.kind AND t.entity = w.entity AND t.name = w.name AND t.revision = w.revision;

-- name: spend_timers
DELETE FROM timer t
USING unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS w (kind, entity, name, revision)
WHERE t.kind = w.kind AND t.entity = w.entity AND t.name = w.name AND t.revision = w.revision;

-- name: postpone_timers
UPDATE timer t SET due_at = stateward_time(w.due_at)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[]) AS w (kind, entity, name, revision, due_at)
WHERE t.kind = w.kind AND t.entity = w.entity AND t.name = w.name AND t.revision = w.revision;

-- name: list_timers
SELECT kind, entity, name, revision, part, stateward_micros(due_at), record::text, traceparent
FROM timer
WHERE kind = %(kind)s AND (%(entity)s::text IS NULL OR entity = %(entity)s)
    AND (%(due_before)s::bigint IS NULL OR due_at <= stateward_time(%(due_before)s))
    AND (due_at, entity, name, revision)
        > (stateward_time(%(a_due_at)s), %(a_entity)s::text, %(a_name)s::text, %(a_revision)s::bigint)
ORDER BY due_at, entity, name, revision LIMIT %(limit)s;

-- name: add_pause
INSERT INTO pause
VALUES (%s, %s, %s, stateward_time(%s), %s, stateward_time(%s), %s)
ON CONFLICT DO NOTHING RETURNING name;

-- name: end_pause
UPDATE pause SET resumed_at = stateward_time(%(at)s), resumed_by = %(by)s
WHERE scope = %(scope)s AND name = %(name)s AND resumed_at IS NULL RETURNING name;

-- name: list_pauses
SELECT scope, name, reason, stateward_micros(paused_at), paused_by, stateward_micros(resumed_at), resumed_by
FROM pause WHERE resumed_at IS NULL ORDER BY scope, name;

-- name: fetch_reconciliation
SELECT name, stateward_micros(round_at), after, stateward_micros(due_at) FROM reconciliation WHERE name = %s;

-- name: keep_reconciliation
INSERT INTO reconciliation VALUES (%s, stateward_time(%s), %s, stateward_time(%s))
ON CONFLICT (name) DO UPDATE SET round_at = excluded.round_at, after = excluded.after, due_at = excluded.due_at;

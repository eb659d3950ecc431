-- name: load_pairs
SELECT e.kind, e.id, e.part, e.version, e.state, e.history::text, e.context::text, e.revision,
    stateward_micros(e.created_at), stateward_micros(e.updated_at), e.entered::text, stateward_micros(e.due_by),
    e.parent_kind, e.parent_id, e.traceparent,
    r.kind, r.entity, r.key, r.digest, r.record::text, r.revision, r.state_to, r.version, stateward_micros(r.created_at)
FROM unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS w (kind, id, key, n)
LEFT JOIN entity e ON e.kind = w.kind AND e.id = w.id
LEFT JOIN receipt r ON r.kind = w.kind AND r.entity = w.id AND r.key = w.key
ORDER BY w.n;

-- name: load_pair
SELECT e.kind, e.id, e.part, e.version, e.state, e.history::text, e.context::text, e.revision,
    stateward_micros(e.created_at), stateward_micros(e.updated_at), e.entered::text, stateward_micros(e.due_by),
    e.parent_kind, e.parent_id, e.traceparent,
    r.kind, r.entity, r.key, r.digest, r.record::text, r.revision, r.state_to, r.version, stateward_micros(r.created_at)
FROM (VALUES (%s::text, %s::text, %s::text)) AS w (kind, id, key)
LEFT JOIN entity e ON e.kind = w.kind AND e.id = w.id
LEFT JOIN receipt r ON r.kind = w.kind AND r.entity = w.id AND r.key = w.key;

-- name: lock_entities
SELECT FROM entity WHERE (kind, id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
ORDER BY kind, id FOR NO KEY UPDATE;

-- name: create_entities
INSERT INTO entity
SELECT kind, id, part, version, state, history::jsonb, context::jsonb, revision, stateward_time(created_at),
    stateward_time(updated_at), entered::jsonb, stateward_time(due_by), parent_kind, parent_id, traceparent
FROM unnest(%s::text[], %s::text[], %s::smallint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[])
    AS w (kind, id, part, version, state, history, context, revision, created_at, updated_at, entered, due_by,
        parent_kind, parent_id, traceparent)
ORDER BY kind, id
ON CONFLICT DO NOTHING
RETURNING kind, id;

-- name: commit_moves
WITH wanted AS (
    SELECT * FROM unnest(%(e_kind)s::text[], %(e_id)s::text[], %(e_expected)s::bigint[], %(e_version)s::integer[],
        %(e_state)s::text[], %(e_history)s::text[], %(e_context)s::text[], %(e_revision)s::bigint[],
        %(e_updated_at)s::bigint[], %(e_entered)s::text[], %(e_due_by)s::bigint[])
        AS w (kind, id, expected, version, state, history, context, revision, updated_at, entered, due_by)
), locked AS MATERIALIZED (
    SELECT e.kind, e.id FROM entity e JOIN wanted w ON e.kind = w.kind AND e.id = w.id AND e.revision = w.expected
    ORDER BY e.kind, e.id FOR NO KEY UPDATE OF e SKIP LOCKED
), moved AS (
    UPDATE entity e SET version = w.version, state = w.state, history = w.history::jsonb, context = w.context::jsonb,
        revision = w.revision, updated_at = stateward_time(w.updated_at), entered = w.entered::jsonb,
        due_by = stateward_time(w.due_by)
    FROM wanted w JOIN locked l ON l.kind = w.kind AND l.id = w.id
    WHERE e.kind = w.kind AND e.id = w.id AND e.revision = w.expected
    RETURNING e.kind, e.id
), held AS MATERIALIZED (
    SELECT kind, id FROM moved
    UNION ALL SELECT * FROM unnest(%(c_kind)s::text[], %(c_id)s::text[])
), recorded AS (
    INSERT INTO record
    SELECT r.id::uuid, r.kind, r.entity, revision, version, event, payload::jsonb, state_from, state_to, actor_kind,
        actor_id, key, stateward_time(occurred_at), stateward_time(recorded_at), cause, source, outcome, reason,
        traceparent, tracestate
    FROM unnest(%(r_id)s::text[], %(r_kind)s::text[], %(r_entity)s::text[], %(r_revision)s::bigint[],
        %(r_version)s::integer[], %(r_event)s::text[], %(r_payload)s::text[], %(r_state_from)s::text[],
        %(r_state_to)s::text[], %(r_actor_kind)s::text[], %(r_actor_id)s::text[], %(r_key)s::text[],
        %(r_occurred_at)s::bigint[], %(r_recorded_at)s::bigint[], %(r_cause)s::text[], %(r_source)s::text[],
        %(r_outcome)s::text[], %(r_reason)s::text[], %(r_traceparent)s::text[], %(r_tracestate)s::text[],
        %(r_always)s::boolean[])
        AS r (id, kind, entity, revision, version, event, payload, state_from, state_to, actor_kind, actor_id, key,
            occurred_at, recorded_at, cause, source, outcome, reason, traceparent, tracestate, always)
    WHERE r.always OR (r.kind, r.entity) IN (SELECT kind, id FROM held)
), receipted AS (
    INSERT INTO receipt
    SELECT r.kind, r.entity, key, digest, record::uuid, revision, state_to, version, stateward_time(created_at)
    FROM unnest(%(k_kind)s::text[], %(k_entity)s::text[], %(k_key)s::text[], %(k_digest)s::bytea[],
        %(k_record)s::text[], %(k_revision)s::bigint[], %(k_state_to)s::text[], %(k_version)s::integer[],
        %(k_created_at)s::bigint[])
        AS r (kind, entity, key, digest, record, revision, state_to, version, created_at)
    JOIN held h ON h.kind = r.kind AND h.id = r.entity
), asked AS (
    INSERT INTO outbox (part, kind, entity, revision, n, effect, payload, record, traceparent)
    SELECT part, o.kind, o.entity, revision, n, effect, payload::jsonb, record::uuid, traceparent
    FROM unnest(%(o_part)s::smallint[], %(o_kind)s::text[], %(o_entity)s::text[], %(o_revision)s::bigint[],
        %(o_n)s::integer[], %(o_effect)s::text[], %(o_payload)s::text[], %(o_record)s::text[],
        %(o_traceparent)s::text[])
        AS o (part, kind, entity, revision, n, effect, payload, record, traceparent)
    JOIN held h ON h.kind = o.kind AND h.id = o.entity
), cancelled AS (
    DELETE FROM timer t
    USING unnest(%(x_kind)s::text[], %(x_entity)s::text[], %(x_name)s::text[]) AS x (kind, entity, name)
    JOIN held h ON h.kind = x.kind AND h.id = x.entity
    WHERE t.kind = x.kind AND t.entity = x.entity AND t.name = x.name
), timed AS (
    INSERT INTO timer
    SELECT t.kind, t.entity, name, revision, part, stateward_time(due_at), record::uuid, traceparent
    FROM unnest(%(t_kind)s::text[], %(t_entity)s::text[], %(t_name)s::text[], %(t_revision)s::bigint[],
        %(t_part)s::smallint[], %(t_due_at)s::bigint[], %(t_record)s::text[], %(t_traceparent)s::text[])
        AS t (kind, entity, name, revision, part, due_at, record, traceparent)
    JOIN held h ON h.kind = t.kind AND h.id = t.entity
), change AS (
    SELECT n.kind, n.version, n.state, sum(n.change) AS change
    FROM unnest(%(n_kind)s::text[], %(n_entity)s::text[], %(n_version)s::integer[], %(n_state)s::text[],
        %(n_change)s::bigint[]) AS n (kind, entity, version, state, change)
    JOIN held h ON h.kind = n.kind AND h.id = n.entity
    GROUP BY n.kind, n.version, n.state HAVING sum(n.change) <> 0
), slot AS MATERIALIZED (
    -- A slot that no other transaction holds, looked for from a random one on; it frees itself with the transaction.
    SELECT coalesce((
        SELECT (%(slot)s::integer + g) %% 64 FROM generate_series(0, 63) AS g
        WHERE pg_try_advisory_xact_lock(1937006964, (%(slot)s::integer + g) %% 64) LIMIT 1
    ), %(slot)s::integer)::smallint AS n
), counted AS (
    INSERT INTO census
    SELECT kind, version, state, slot.n, change FROM change, slot ORDER BY kind, version, state
    ON CONFLICT (kind, version, state, slot) DO UPDATE SET count = census.count + excluded.count
)
SELECT kind, id FROM held;

-- name: move_one
WITH locked AS MATERIALIZED (
    SELECT 1 FROM entity WHERE kind = %(kind)s AND id = %(id)s AND revision = %(expected)s
    FOR NO KEY UPDATE SKIP LOCKED
), moved AS (
    UPDATE entity SET version = %(version)s, state = %(state)s, history = %(history)s::jsonb,
        context = %(context)s::jsonb, revision = %(revision)s, updated_at = stateward_time(%(updated_at)s),
        entered = %(entered)s::jsonb, due_by = stateward_time(%(due_by)s)
    WHERE kind = %(kind)s AND id = %(id)s AND revision = %(expected)s AND EXISTS (SELECT FROM locked)
    RETURNING kind, id
), recorded AS (
    INSERT INTO record
    SELECT %(r_id)s::uuid, moved.kind, moved.id, %(revision)s, %(version)s, %(r_event)s, %(r_payload)s::jsonb,
        %(r_state_from)s, %(state)s, %(r_actor_kind)s, %(r_actor_id)s, %(r_key)s, stateward_time(%(r_occurred_at)s),
        stateward_time(%(updated_at)s), %(r_cause)s, %(r_source)s, %(r_outcome)s, %(r_reason)s, %(r_traceparent)s,
        %(r_tracestate)s
    FROM moved
)

-- name: receipt_of_one
, receipted AS (
    INSERT INTO receipt
    SELECT moved.kind, moved.id, %(r_key)s, %(k_digest)s, %(r_id)s::uuid, %(revision)s, %(state)s, %(version)s,
        stateward_time(%(updated_at)s)
    FROM moved
)

-- name: effects_of_one
, asked AS (
    INSERT INTO outbox (part, kind, entity, revision, n, effect, payload, record, traceparent)
    SELECT %(part)s, moved.kind, moved.id, %(revision)s, n - 1, effect, payload::jsonb, %(r_id)s::uuid,
        %(r_traceparent)s
    FROM moved, unnest(%(o_effect)s::text[], %(o_payload)s::text[]) WITH ORDINALITY AS o (effect, payload, n)
)

-- name: cancels_of_one
, cancelled AS (
    -- By the parameters and not by what moved: only so is the whole of the key sure to be looked up by.
    DELETE FROM timer WHERE kind = %(kind)s AND entity = %(id)s AND name = ANY (%(x_name)s::text[])
        AND EXISTS (SELECT FROM moved)
)

-- name: timers_of_one
, timed AS (
    INSERT INTO timer
    SELECT moved.kind, moved.id, name, %(revision)s, %(part)s, stateward_time(due_at), %(r_id)s::uuid,
        %(r_traceparent)s
    FROM moved, unnest(%(t_name)s::text[], %(t_due_at)s::bigint[]) AS t (name, due_at)
)

-- name: census_of_one
, slot AS MATERIALIZED (
    SELECT coalesce((
        SELECT (%(slot)s::integer + g) %% 64 FROM generate_series(0, 63) AS g
        WHERE pg_try_advisory_xact_lock(1937006964, (%(slot)s::integer + g) %% 64) LIMIT 1
    ), %(slot)s::integer)::smallint AS n
), counted AS (
    INSERT INTO census
    SELECT moved.kind, %(version)s, c.state, slot.n, c.change
    FROM moved, slot, (VALUES (%(state)s, 1), (%(r_state_from)s, -1)) AS c (state, change)
    ORDER BY c.state
    ON CONFLICT (kind, version, state, slot) DO UPDATE SET count = census.count + excluded.count
)

-- name: fetch_entities
SELECT e.kind, e.id, e.part, e.version, e.state, e.history::text, e.context::text, e.revision,
    stateward_micros(e.created_at), stateward_micros(e.updated_at), e.entered::text, stateward_micros(e.due_by),
    e.parent_kind, e.parent_id, e.traceparent
FROM unnest(%s::text[]) WITH ORDINALITY AS w (id, n)
LEFT JOIN entity e ON e.kind = %s AND e.id = w.id
ORDER BY w.n;

-- name: find_records
SELECT id::text, kind, entity, revision, version, event, payload::text, state_from, state_to, actor_kind, actor_id,
    key, stateward_micros(occurred_at), stateward_micros(recorded_at), cause, source, outcome, reason, traceparent,
    tracestate
FROM record WHERE id = ANY (%s::uuid[]);

-- name: fetch_history
SELECT id::text, kind, entity, revision, version, event, payload::text, state_from, state_to, actor_kind, actor_id,
    key, stateward_micros(occurred_at), stateward_micros(recorded_at), cause, source, outcome, reason, traceparent,
    tracestate
FROM record
WHERE kind = %s AND entity = %s AND (revision, (outcome <> 'applied'), id) > (%s, %s, %s::uuid)
ORDER BY revision, (outcome <> 'applied'), id
LIMIT %s;

-- name: list_by_id
SELECT kind, id, part, version, state, history::text, context::text, revision, stateward_micros(created_at),
    stateward_micros(updated_at), entered::text, stateward_micros(due_by), parent_kind, parent_id, traceparent
FROM entity
WHERE kind = %(kind)s AND id > %(id)s AND (%(version)s::integer IS NULL OR version = %(version)s)
    AND (%(before)s::bigint IS NULL OR updated_at < stateward_time(%(before)s))
ORDER BY id LIMIT %(limit)s;

-- name: list_by_state
SELECT kind, id, part, version, state, history::text, context::text, revision, stateward_micros(created_at),
    stateward_micros(updated_at), entered::text, stateward_micros(due_by), parent_kind, parent_id, traceparent
FROM entity
WHERE kind = %(kind)s AND state = %(state)s AND (updated_at, id) > (stateward_time(%(number)s), %(id)s)
    AND (%(version)s::integer IS NULL OR version = %(version)s)
    AND (%(before)s::bigint IS NULL OR updated_at < stateward_time(%(before)s))
ORDER BY updated_at, id LIMIT %(limit)s;

-- name: list_by_due
SELECT kind, id, part, version, state, history::text, context::text, revision, stateward_micros(created_at),
    stateward_micros(updated_at), entered::text, stateward_micros(due_by), parent_kind, parent_id, traceparent
FROM entity
WHERE kind = %(kind)s AND due_by IS NOT NULL AND due_by <= stateward_time(%(due_by)s)
    AND (due_by, id) > (stateward_time(%(number)s), %(id)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(version)s::integer IS NULL OR version = %(version)s)
    AND (%(before)s::bigint IS NULL OR updated_at < stateward_time(%(before)s))
ORDER BY due_by, id LIMIT %(limit)s;

-- name: count_census
SELECT kind, version, state, sum(count)::bigint FROM census
WHERE %(kind)s::text IS NULL OR kind = %(kind)s
GROUP BY kind, version, state HAVING sum(count) <> 0
ORDER BY kind, version, state;

-- name: register_lifecycle
INSERT INTO lifecycle VALUES (%s, %s, %s) ON CONFLICT DO NOTHING;

-- name: find_digest
SELECT digest FROM lifecycle WHERE kind = %s AND version = %s;

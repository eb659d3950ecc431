-- name: expire_receipts
WITH mark AS MATERIALIZED (
    SELECT through FROM expiry WHERE name = 'receipt' FOR UPDATE SKIP LOCKED
), seen AS MATERIALIZED (
    SELECT id, kind, entity, CASE outcome WHEN 'applied' THEN key END AS key FROM record
    WHERE id > (SELECT through FROM mark) AND id < %(before)s::uuid
    ORDER BY id LIMIT %(limit)s
), gone AS (
    DELETE FROM receipt r USING seen s
    WHERE r.kind = s.kind AND r.entity = s.entity AND r.key = s.key AND r.record = s.id
    RETURNING r.key
), marked AS (
    UPDATE expiry SET through = (SELECT id FROM seen ORDER BY id DESC LIMIT 1)
    WHERE name = 'receipt' AND EXISTS (SELECT FROM seen)
)
SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM gone);

-- name: expire_dead_letters
WITH old AS MATERIALIZED (
    SELECT kind, entity, revision, n FROM dead_letter WHERE died_at < stateward_time(%(before)s)
    ORDER BY died_at, kind, entity, revision, n LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM dead_letter d USING old o
    WHERE d.kind = o.kind AND d.entity = o.entity AND d.revision = o.revision AND d.n = o.n
    RETURNING d.n
)
SELECT count(*) FROM gone;

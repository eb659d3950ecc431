-- name: expire_receipts
-- The receipts of an effect's replies are for the effect: while it may be asked again, they are kept. They are looked
-- for as values: EXISTS beside OR may read all into a hash, batch for batch.
WITH mark AS MATERIALIZED (
    SELECT through FROM expiry WHERE name = 'receipt' FOR UPDATE SKIP LOCKED
), seen AS MATERIALIZED (
    SELECT id, kind, entity, CASE outcome WHEN 'applied' THEN key END AS key FROM record
    WHERE id > (SELECT through FROM mark) AND id < %(before)s::uuid
    ORDER BY id LIMIT %(limit)s
), gone AS (
    DELETE FROM receipt r USING seen s
    WHERE r.kind = s.kind AND r.entity = s.entity AND r.key = s.key AND r.record = s.id
        AND (
            r.key NOT LIKE 'effect:%%'
            OR coalesce(
                (
                    SELECT false FROM dead_letter d
                    WHERE d.kind = r.kind AND d.entity = r.entity
                        AND d.record::text = split_part(r.key, ':', 2) AND d.n::text = split_part(r.key, ':', 3)
                    LIMIT 1
                ),
                (
                    SELECT false FROM outbox o
                    WHERE o.part = (SELECT part FROM entity e WHERE e.kind = r.kind AND e.id = r.entity)
                        AND o.kind = r.kind AND o.entity = r.entity
                        AND o.record::text = split_part(r.key, ':', 2) AND o.n::text = split_part(r.key, ':', 3)
                    LIMIT 1
                ),
                true
            )
        )
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

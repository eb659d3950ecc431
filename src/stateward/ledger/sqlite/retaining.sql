-- name: records_behind_the_mark
SELECT id, kind, entity, CASE outcome WHEN 'applied' THEN key END FROM record
WHERE id > (SELECT through FROM expiry WHERE name = 'receipt') AND id < ?1
ORDER BY id LIMIT ?2;

-- name: expire_receipt
-- The receipts of an effect's replies are for the effect: while it may be asked again, they are kept. Their keys are
-- `effect:`, the 36 characters of the effect's record, and behind another colon its number and what may follow it.
DELETE FROM receipt
WHERE kind = ?2 AND entity = ?3 AND key = ?4 AND record = ?1
    AND (
        key NOT LIKE 'effect:%'
        OR NOT (
            EXISTS (
                SELECT 1 FROM dead_letter d
                WHERE d.kind = ?2 AND d.entity = ?3 AND lower(hex(d.record)) = replace(substr(?4, 8, 36), '-', '')
                    AND substr(?4, 45) || ':' LIKE d.n || ':%'
            )
            OR EXISTS (
                SELECT 1 FROM outbox o
                WHERE o.part = (SELECT part FROM entity e WHERE e.kind = ?2 AND e.id = ?3)
                    AND o.kind = ?2 AND o.entity = ?3
                    AND lower(hex(o.record)) = replace(substr(?4, 8, 36), '-', '')
                    AND substr(?4, 45) || ':' LIKE o.n || ':%'
            )
        )
    );

-- name: set_mark
UPDATE expiry SET through = ?1 WHERE name = 'receipt';

-- name: expire_dead_letters
DELETE FROM dead_letter WHERE (kind, entity, revision, n) IN (
    SELECT kind, entity, revision, n FROM dead_letter WHERE died_at < ?1
    ORDER BY died_at, kind, entity, revision, n LIMIT ?2
);

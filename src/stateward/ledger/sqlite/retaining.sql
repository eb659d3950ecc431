-- name: records_behind_the_mark
SELECT id, kind, entity, CASE outcome WHEN 'applied' THEN key END FROM record
WHERE id > (SELECT through FROM expiry WHERE name = 'receipt') AND id < ?1
ORDER BY id LIMIT ?2;

-- name: expire_receipt
DELETE FROM receipt WHERE kind = ?2 AND entity = ?3 AND key = ?4 AND record = ?1;

-- name: set_mark
UPDATE expiry SET through = ?1 WHERE name = 'receipt';

-- name: expire_dead_letters
DELETE FROM dead_letter WHERE (kind, entity, revision, n) IN (
    SELECT kind, entity, revision, n FROM dead_letter WHERE died_at < ?1
    ORDER BY died_at, kind, entity, revision, n LIMIT ?2
);

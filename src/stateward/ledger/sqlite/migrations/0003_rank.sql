-- Where each record stands among all: in the order in which they were committed, which their ids are not.

ALTER TABLE record ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;

-- Those that are there are put in the order in which they were recorded.
DROP TRIGGER record_is_not_updated;
UPDATE record SET rank = placed.n
FROM (SELECT id, row_number() OVER (ORDER BY recorded_at, revision, outcome <> 'applied', id) AS n FROM record) AS placed
WHERE placed.id = record.id;
CREATE TRIGGER record_is_not_updated BEFORE UPDATE ON record
    BEGIN SELECT raise(ABORT, 'records are append-only'); END;

-- Not unique: INSERT OR REPLACE would delete the record that has a rank already, and ask no trigger.
CREATE INDEX record_by_rank ON record (rank);

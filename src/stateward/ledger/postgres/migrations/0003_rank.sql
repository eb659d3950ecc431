-- Where each record stands among all, drawn by the INSERT that writes it: `ledger/following.py` says what that is worth.

CREATE SEQUENCE record_rank;

-- The transaction has its number first, so that whoever has drawn a rank can be named. Records that are there are given
-- theirs in the order in which they lie in the table, which is rewritten.
ALTER TABLE record ADD COLUMN rank bigint NOT NULL
    DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('record_rank') END;
ALTER SEQUENCE record_rank OWNED BY record.rank;

CREATE INDEX record_by_rank ON record (rank);

-- Where each record stands among all, drawn by the INSERT that writes it: `ledger/following.py` says what that is worth.

CREATE SEQUENCE record_rank;

-- Those that are there are given theirs in the order in which they lie in the table, which is rewritten.
ALTER TABLE record ADD COLUMN rank bigint NOT NULL DEFAULT nextval('record_rank');
ALTER SEQUENCE record_rank OWNED BY record.rank;

CREATE INDEX record_by_rank ON record (rank);

-- Where each record stands among all, drawn by the INSERT that writes it: `ledger/following.py` says what that is worth.

CREATE SEQUENCE record_position;

-- Those that are there are given theirs in the order in which they lie in the table, which is rewritten.
ALTER TABLE record ADD COLUMN position bigint NOT NULL DEFAULT nextval('record_position');
ALTER SEQUENCE record_position OWNED BY record.position;

CREATE INDEX record_by_position ON record (position);

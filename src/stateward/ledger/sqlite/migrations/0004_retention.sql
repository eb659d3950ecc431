-- How far expiring has come: the receipts of the records up to this one have been looked at.
CREATE TABLE expiry (
    name TEXT NOT NULL PRIMARY KEY CHECK (name = 'receipt'),
    through BLOB NOT NULL CHECK (length(through) = 16)
) STRICT, WITHOUT ROWID;

INSERT INTO expiry VALUES ('receipt', zeroblob(16));

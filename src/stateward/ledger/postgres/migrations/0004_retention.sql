-- How far expiring has come: the receipts of the records up to this one have been looked at.
CREATE TABLE expiry (
    name text NOT NULL PRIMARY KEY CHECK (name = 'receipt'),
    through uuid NOT NULL
) WITH (fillfactor = 50);

INSERT INTO expiry VALUES ('receipt', '00000000-0000-0000-0000-000000000000');

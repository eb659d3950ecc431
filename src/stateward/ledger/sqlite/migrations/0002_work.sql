-- What the work after commit keeps: who works, what died, what rests, and how far reconciliation has come.

-- A worker's lease: it holds for as long as its row is there. The worker raises the beat; a peer that has seen the same
-- beat for too long, by its own clock, deletes the row, and with it the worker's right to write anything.
CREATE TABLE worker (
    id TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    beat INTEGER NOT NULL DEFAULT 1 CHECK (beat > 0),
    process TEXT NOT NULL,
    started_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO part (part)
WITH RECURSIVE n (part) AS (SELECT 0 UNION ALL SELECT part + 1 FROM n WHERE part < 63) SELECT part FROM n;

CREATE TABLE dead_letter (
    kind TEXT NOT NULL,
    entity TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    n INTEGER NOT NULL CHECK (n >= 0),
    part INTEGER NOT NULL CHECK (part BETWEEN 0 AND 63),
    effect TEXT NOT NULL CHECK (effect <> ''),
    payload TEXT NOT NULL,
    record BLOB NOT NULL CHECK (length(record) = 16),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    error TEXT NOT NULL CHECK (error <> ''),
    died_at INTEGER NOT NULL,
    traceparent TEXT,
    PRIMARY KEY (kind, entity, revision, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letter_by_time ON dead_letter (died_at, kind, entity, revision, n);

-- What is paused, and was: a pause without an end goes on.
CREATE TABLE pause (
    scope TEXT NOT NULL CHECK (scope IN ('kind', 'effect')),
    name TEXT NOT NULL CHECK (name <> ''),
    reason TEXT NOT NULL CHECK (reason <> ''),
    paused_at INTEGER NOT NULL,
    paused_by TEXT NOT NULL,
    resumed_at INTEGER,
    resumed_by TEXT,
    CHECK ((resumed_at IS NULL) = (resumed_by IS NULL))
) STRICT;

CREATE UNIQUE INDEX pause_that_goes_on ON pause (scope, name) WHERE resumed_at IS NULL;

CREATE TABLE reconciliation (
    name TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    round_at INTEGER NOT NULL,
    after TEXT,
    due_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The ledger on SQLite. Times are microseconds since 1970 in UTC, documents are JSON text, record ids UUIDs of
-- version 7 as 16 bytes, so that a range of ids is a range of time.

CREATE TABLE lifecycle (
    kind TEXT NOT NULL CHECK (kind <> ''),
    version INTEGER NOT NULL CHECK (version > 0),
    digest TEXT NOT NULL CHECK (length(digest) = 64),
    PRIMARY KEY (kind, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE entity (
    kind TEXT NOT NULL CHECK (kind <> ''),
    id TEXT NOT NULL CHECK (id <> ''),
    part INTEGER NOT NULL CHECK (part BETWEEN 0 AND 63),
    version INTEGER NOT NULL CHECK (version > 0),
    state TEXT NOT NULL CHECK (state <> ''),
    history TEXT NOT NULL,
    context TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    entered TEXT NOT NULL,
    due_by INTEGER,
    parent_kind TEXT,
    parent_id TEXT,
    traceparent TEXT,
    PRIMARY KEY (kind, id),
    CHECK ((parent_kind IS NULL) = (parent_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX entity_by_state ON entity (kind, state, updated_at, id);
CREATE INDEX entity_by_due ON entity (kind, due_by, id) WHERE due_by IS NOT NULL;

CREATE TABLE record (
    id BLOB NOT NULL CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    entity TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    version INTEGER NOT NULL CHECK (version > 0),
    event TEXT NOT NULL CHECK (event <> ''),
    payload TEXT NOT NULL,
    state_from TEXT,
    state_to TEXT NOT NULL CHECK (state_to <> ''),
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    key TEXT,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    cause TEXT,
    source TEXT NOT NULL CHECK (source IN ('call', 'effect', 'timer', 'reconcile', 'import', 'repair')),
    outcome TEXT NOT NULL CHECK (outcome IN ('applied', 'already_done', 'rejected_invalid', 'rejected_auth')),
    reason TEXT,
    traceparent TEXT,
    tracestate TEXT,
    PRIMARY KEY (id),
    -- A start comes from nowhere, and everything else from somewhere.
    CHECK ((state_from IS NULL) = (outcome = 'applied' AND revision = 1)),
    CHECK (outcome NOT LIKE 'rejected%' OR reason IS NOT NULL),
    CHECK (outcome <> 'already_done' OR reason IS NULL)
) STRICT, WITHOUT ROWID;

-- In the order of an entity's history: of one revision the applied record first, of which there is one, then attempts.
CREATE UNIQUE INDEX record_of_entity ON record
    (kind, entity, revision, (outcome <> 'applied'), (CASE WHEN outcome = 'applied' THEN x'' ELSE id END));

CREATE TRIGGER record_is_not_updated BEFORE UPDATE ON record
    BEGIN SELECT raise(ABORT, 'records are append-only'); END;
CREATE TRIGGER record_is_not_deleted BEFORE DELETE ON record
    BEGIN SELECT raise(ABORT, 'records are append-only'); END;
-- INSERT OR REPLACE deletes without asking the trigger above, unless recursive triggers are on.
CREATE TRIGGER record_is_not_replaced BEFORE INSERT ON record
    WHEN EXISTS (SELECT 1 FROM record WHERE id = new.id)
    BEGIN SELECT raise(ABORT, 'records are append-only'); END;
CREATE TRIGGER record_revision_is_not_replaced BEFORE INSERT ON record
    WHEN new.outcome = 'applied' AND EXISTS (
        SELECT 1 FROM record WHERE kind = new.kind AND entity = new.entity AND revision = new.revision
            AND (outcome <> 'applied') = 0 AND (CASE WHEN outcome = 'applied' THEN x'' ELSE id END) = x'')
    BEGIN SELECT raise(ABORT, 'records are append-only'); END;

CREATE TABLE receipt (
    kind TEXT NOT NULL,
    entity TEXT NOT NULL,
    key TEXT NOT NULL CHECK (key <> ''),
    digest BLOB NOT NULL CHECK (length(digest) = 16),
    record BLOB NOT NULL CHECK (length(record) = 16),
    revision INTEGER NOT NULL CHECK (revision > 0),
    state_to TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (kind, entity, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    part INTEGER NOT NULL CHECK (part BETWEEN 0 AND 63),
    kind TEXT NOT NULL,
    entity TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0),
    n INTEGER NOT NULL CHECK (n >= 0),
    effect TEXT NOT NULL CHECK (effect <> ''),
    payload TEXT NOT NULL,
    record BLOB NOT NULL CHECK (length(record) = 16),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt INTEGER,
    last_error TEXT,
    traceparent TEXT,
    PRIMARY KEY (part, kind, entity, revision, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE timer (
    kind TEXT NOT NULL,
    entity TEXT NOT NULL,
    name TEXT NOT NULL CHECK (name <> ''),
    revision INTEGER NOT NULL CHECK (revision > 0),
    part INTEGER NOT NULL CHECK (part BETWEEN 0 AND 63),
    due_at INTEGER NOT NULL,
    record BLOB NOT NULL CHECK (length(record) = 16),
    traceparent TEXT,
    PRIMARY KEY (kind, entity, name, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX timer_by_due ON timer (part, due_at);

CREATE TABLE census (
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    slot INTEGER NOT NULL DEFAULT 0 CHECK (slot BETWEEN 0 AND 63),
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, version, state, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE part (
    part INTEGER NOT NULL PRIMARY KEY CHECK (part BETWEEN 0 AND 63),
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0
) STRICT;

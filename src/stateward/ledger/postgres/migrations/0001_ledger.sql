-- The ledger on PostgreSQL 15 and later, in the schema that comes first in search_path. Times travel as microseconds
-- since 1970 and are kept as timestamptz; record ids are UUIDs of version 7, so that a range of ids is a range of time.

-- STABLE, as what they are made of is said to be: so the planner puts their bodies in the place of their calls.
CREATE FUNCTION stateward_time(micros bigint) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE
    -- In two parts: an interval is multiplied as a float, which does not hold the microseconds of all times.
    RETURN timestamptz '1970-01-01 00:00:00+00' + micros / 1000000 * interval '1 second'
        + micros % 1000000 * interval '1 microsecond';

CREATE FUNCTION stateward_micros(moment timestamptz) RETURNS bigint LANGUAGE sql STABLE STRICT PARALLEL SAFE
    RETURN (extract(epoch FROM moment) * 1000000)::bigint;

CREATE TABLE lifecycle (
    kind text NOT NULL CHECK (kind <> ''),
    version integer NOT NULL CHECK (version > 0),
    digest text NOT NULL CHECK (length(digest) = 64),
    PRIMARY KEY (kind, version)
);

CREATE TABLE entity (
    kind text COLLATE "C" NOT NULL CHECK (kind <> ''),
    id text COLLATE "C" NOT NULL CHECK (id <> ''),
    part smallint NOT NULL CHECK (part BETWEEN 0 AND 63),
    version integer NOT NULL CHECK (version > 0),
    state text COLLATE "C" NOT NULL CHECK (state <> ''),
    history jsonb NOT NULL,
    context jsonb NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL CHECK (isfinite(created_at)),
    updated_at timestamptz NOT NULL CHECK (isfinite(updated_at)),
    entered jsonb NOT NULL,
    due_by timestamptz CHECK (isfinite(due_by)),
    parent_kind text,
    parent_id text,
    traceparent text,
    PRIMARY KEY (kind, id),
    CHECK ((parent_kind IS NULL) = (parent_id IS NULL))
);

-- By the state first: where the planner knows nothing of the table yet, an index that begins with the kind, as the
-- primary key does, would be a tie for looking up a kind and an id.
CREATE INDEX entity_by_state ON entity (state, kind, updated_at, id);
CREATE INDEX entity_by_due ON entity (kind, due_by, id) WHERE due_by IS NOT NULL;

CREATE TABLE record (
    id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    version integer NOT NULL CHECK (version > 0),
    event text NOT NULL CHECK (event <> ''),
    payload jsonb NOT NULL,
    state_from text,
    state_to text NOT NULL CHECK (state_to <> ''),
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    key text,
    occurred_at timestamptz NOT NULL CHECK (isfinite(occurred_at)),
    recorded_at timestamptz NOT NULL CHECK (isfinite(recorded_at)),
    cause text,
    source text NOT NULL CHECK (source IN ('call', 'effect', 'timer', 'reconcile', 'import', 'repair')),
    outcome text NOT NULL CHECK (outcome IN ('applied', 'already_done', 'rejected_invalid', 'rejected_auth')),
    reason text,
    traceparent text,
    tracestate text,
    PRIMARY KEY (id),
    -- A start comes from nowhere, and everything else from somewhere.
    CHECK ((state_from IS NULL) = (outcome = 'applied' AND revision = 1)),
    CHECK (outcome NOT LIKE 'rejected%' OR reason IS NOT NULL),
    CHECK (outcome <> 'already_done' OR reason IS NULL)
) PARTITION BY RANGE (id);

-- An index over all partitions can't be unique without the id; that there is one applied record of a revision is
-- kept by the entity's own revision, which every commit compares.
CREATE INDEX record_of_entity ON record (kind, entity, revision, (outcome <> 'applied'), id);

CREATE FUNCTION stateward_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'records are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER record_is_not_changed BEFORE UPDATE OR DELETE ON record
    FOR EACH ROW EXECUTE FUNCTION stateward_append_only();
CREATE TRIGGER record_is_not_truncated BEFORE TRUNCATE ON record
    FOR EACH STATEMENT EXECUTE FUNCTION stateward_append_only();

-- What no month's partition takes lands here rather than nowhere.
CREATE TABLE record_default PARTITION OF record DEFAULT;
CREATE TRIGGER record_is_not_truncated BEFORE TRUNCATE ON record_default
    FOR EACH STATEMENT EXECUTE FUNCTION stateward_append_only();

-- The first id of a moment: its milliseconds, and nothing but zeros behind them.
CREATE FUNCTION stateward_first_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT RETURN
    (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- Make the partition of a month, if it is not there; the name of the partition. None: records of that month lie in the
-- default partition already, and stay there with those that come.
CREATE FUNCTION stateward_make_partition(month timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month, 'UTC');
    following timestamptz := date_trunc('month', first + interval '32 days', 'UTC');
    name text := 'record_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF record FOR VALUES FROM (%L) TO (%L)',
            name, stateward_first_id(first), stateward_first_id(following));
        EXECUTE format('CREATE TRIGGER record_is_not_truncated BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION stateward_append_only()', name);
    END IF;
    RETURN name;
EXCEPTION WHEN check_violation THEN
    RETURN NULL;
END $$;

CREATE TABLE receipt (
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (key <> ''),
    digest bytea NOT NULL CHECK (length(digest) = 16),
    record uuid NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    state_to text NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL CHECK (isfinite(created_at)),
    PRIMARY KEY (kind, entity, key)
);

CREATE TABLE outbox (
    part smallint NOT NULL CHECK (part BETWEEN 0 AND 63),
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    n integer NOT NULL CHECK (n >= 0),
    effect text NOT NULL CHECK (effect <> ''),
    payload jsonb NOT NULL,
    record uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt timestamptz CHECK (isfinite(next_attempt)),
    last_error text,
    traceparent text,
    PRIMARY KEY (part, kind, entity, revision, n)
);

CREATE TABLE timer (
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    revision bigint NOT NULL CHECK (revision > 0),
    part smallint NOT NULL CHECK (part BETWEEN 0 AND 63),
    due_at timestamptz NOT NULL CHECK (isfinite(due_at)),
    record uuid NOT NULL,
    traceparent text,
    PRIMARY KEY (kind, entity, name, revision)
);

CREATE INDEX timer_by_due ON timer (part, due_at);

CREATE TABLE census (
    kind text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 63),
    count bigint NOT NULL,
    PRIMARY KEY (kind, version, state, slot)
) WITH (fillfactor = 50);

CREATE TABLE part (
    part smallint NOT NULL PRIMARY KEY CHECK (part BETWEEN 0 AND 63),
    owner text,
    epoch bigint NOT NULL DEFAULT 0
);

-- What the work after commit keeps: who works, what died, what rests, and how far reconciliation has come.

-- A worker's lease: it holds for as long as its row is there. The worker raises the beat; a peer that has seen the same
-- beat for too long, by its own clock, deletes the row, and with it the worker's right to write anything.
CREATE TABLE worker (
    id text COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    beat bigint NOT NULL DEFAULT 1 CHECK (beat > 0),
    process text NOT NULL,
    started_at timestamptz NOT NULL CHECK (isfinite(started_at))
) WITH (fillfactor = 50);

INSERT INTO part (part) SELECT generate_series(0, 63);

CREATE TABLE dead_letter (
    kind text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    n integer NOT NULL CHECK (n >= 0),
    part smallint NOT NULL CHECK (part BETWEEN 0 AND 63),
    effect text COLLATE "C" NOT NULL CHECK (effect <> ''),
    payload jsonb NOT NULL,
    record uuid NOT NULL,
    attempts integer NOT NULL CHECK (attempts >= 0),
    error text NOT NULL CHECK (error <> ''),
    died_at timestamptz NOT NULL CHECK (isfinite(died_at)),
    traceparent text,
    PRIMARY KEY (kind, entity, revision, n)
);

CREATE INDEX dead_letter_by_time ON dead_letter (died_at, kind, entity, revision, n);

-- What is paused, and was: a pause without an end goes on.
CREATE TABLE pause (
    scope text NOT NULL CHECK (scope IN ('kind', 'effect')),
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    paused_at timestamptz NOT NULL CHECK (isfinite(paused_at)),
    paused_by text NOT NULL,
    resumed_at timestamptz CHECK (isfinite(resumed_at)),
    resumed_by text,
    CHECK ((resumed_at IS NULL) = (resumed_by IS NULL))
);

CREATE UNIQUE INDEX pause_that_goes_on ON pause (scope, name) WHERE resumed_at IS NULL;

CREATE TABLE reconciliation (
    name text COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    round_at timestamptz NOT NULL CHECK (isfinite(round_at)),
    after text,
    due_at timestamptz NOT NULL CHECK (isfinite(due_at))
);

-- Keep a worker's lease from being taken away until the transaction ends, or end the transaction: what a worker writes
-- back holds only if nobody else goes on with its parts. Its beat, which is no key, may rise meanwhile.
CREATE FUNCTION stateward_hold_lease(worker_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM worker WHERE id = worker_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % has lost its lease', worker_id USING ERRCODE = 'SW001';
    END IF;
END $$;

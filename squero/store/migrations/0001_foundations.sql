-- Accounts and their money, generations and their fair shares, workers.

-- Every lease, epoch and expiry is measured on this clock; tests move it by one row.
CREATE TABLE clock (shift interval NOT NULL);
INSERT INTO clock VALUES ('0');
CREATE FUNCTION squero_now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT now() + shift FROM clock';

CREATE TABLE accounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE,
    billing text NOT NULL CHECK (billing IN ('prepaid', 'unmetered')),
    weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    cap integer CHECK (cap > 0),
    created_at timestamptz NOT NULL DEFAULT squero_now()
);

CREATE TABLE keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL REFERENCES accounts,
    type text NOT NULL CHECK (type IN ('INFERENCE', 'ADMIN')),
    hash bytea NOT NULL UNIQUE,
    last6 text NOT NULL,
    description text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT squero_now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX keys_of_account ON keys (account_id);

CREATE TABLE workers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    lane text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    own boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT squero_now(),
    last_seen_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON COLUMN workers.own IS 'started by the server itself: all of them are dead when it starts';

-- A balance is what the transfers below add up to; `squero ledger check` recomputes it.
CREATE TABLE balances (
    account_id uuid NOT NULL REFERENCES accounts,
    currency text NOT NULL CHECK (currency IN ('USD')),
    available_micros bigint NOT NULL DEFAULT 0 CHECK (available_micros >= 0),
    held_micros bigint NOT NULL DEFAULT 0 CHECK (held_micros >= 0),
    PRIMARY KEY (account_id, currency)
);

-- Double entry in one row: the amount leaves one book and enters another, so they sum to zero.
CREATE TABLE transfers (
    id text PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    currency text NOT NULL,
    from_book text NOT NULL CHECK (from_book IN ('funding', 'available', 'held')),
    to_book text NOT NULL CHECK (to_book IN ('funding', 'available', 'held', 'revenue')),
    amount_micros bigint NOT NULL CHECK (amount_micros >= 0),
    queue_id uuid,
    key_id uuid REFERENCES keys,
    created_at timestamptz NOT NULL DEFAULT squero_now(),
    CHECK (from_book <> to_book)
);
CREATE INDEX transfers_of_account ON transfers (account_id, created_at);

CREATE TABLE generations (
    queue_id uuid PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    account_id uuid NOT NULL REFERENCES accounts,
    key_id uuid NOT NULL REFERENCES keys,
    model text NOT NULL,
    lane text NOT NULL,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'rendering', 'completed', 'failed', 'cancelled')),
    media text CHECK (media IN ('kept', 'deleted')),
    attempt integer NOT NULL DEFAULT 0,
    strikes integer NOT NULL DEFAULT 0,
    lost_leases integer NOT NULL DEFAULT 0,
    memory_failures integer NOT NULL DEFAULT 0,
    resolution text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    frames integer NOT NULL,
    fps integer NOT NULL,
    audio boolean NOT NULL,
    seed bigint NOT NULL,
    prompt bytea,
    inputs jsonb NOT NULL,
    key_day date NOT NULL,
    wrapped_key bytea,
    currency text NOT NULL,
    price_micros bigint NOT NULL CHECK (price_micros >= 0),
    estimate_us bigint NOT NULL CHECK (estimate_us > 0),
    expected_wait_us bigint NOT NULL,
    worker_id uuid REFERENCES workers,
    instance uuid,
    lease_until timestamptz,
    progress real NOT NULL DEFAULT 0,
    progress_at timestamptz,
    failure text,
    failure_message text,
    render_us bigint,
    result_bytes bigint,
    created_at timestamptz NOT NULL DEFAULT squero_now(),
    started_at timestamptz,
    finished_at timestamptz,
    expires_at timestamptz,
    CHECK ((state = 'rendering') = (lease_until IS NOT NULL)),
    CHECK ((media IS NOT NULL) = (state = 'completed'))
);
CREATE INDEX generations_queue ON generations (lane, account_id, seq) WHERE state = 'queued';
CREATE INDEX generations_queue_by_model ON generations (lane, account_id, model, seq)
    WHERE state = 'queued';
CREATE INDEX generations_waiting ON generations (created_at) WHERE state = 'queued';
CREATE INDEX generations_leases ON generations (lease_until) WHERE state = 'rendering';
CREATE INDEX generations_of_worker ON generations (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX generations_kept ON generations (expires_at) WHERE media = 'kept';
CREATE INDEX generations_timings ON generations (model, resolution, frames, finished_at)
    WHERE state = 'completed';

-- The clock of a lane: the virtual time at which the latest job that started did so. It never goes
-- back, and whoever comes to the lane comes no earlier.
CREATE TABLE lanes (
    lane text PRIMARY KEY,
    virtual_us bigint NOT NULL DEFAULT 0
);

-- The fair share of an account in a lane: virtual time grows when its work starts.
CREATE TABLE shares (
    lane text NOT NULL,
    account_id uuid NOT NULL REFERENCES accounts,
    weight integer NOT NULL,
    cap integer,
    queued integer NOT NULL DEFAULT 0 CHECK (queued >= 0),
    running integer NOT NULL DEFAULT 0 CHECK (running >= 0),
    waiting_us bigint NOT NULL DEFAULT 0 CHECK (waiting_us >= 0),
    virtual_us bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, account_id)
);
CREATE INDEX shares_next ON shares (lane, virtual_us, account_id)
    WHERE queued > 0 AND (cap IS NULL OR running < cap);
CREATE INDEX shares_active ON shares (lane, virtual_us) WHERE queued > 0 OR running > 0;

-- What makes a repeated queue call answer what the first one did; no prompt is in the hash.
CREATE TABLE idempotency (
    account_id uuid NOT NULL REFERENCES accounts,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    queue_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT squero_now(),
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- When leases were last looked at: after an outage none expires for one lease length.
CREATE TABLE watch (looked_at timestamptz NOT NULL, quiet_until timestamptz NOT NULL);
INSERT INTO watch VALUES ('-infinity', '-infinity');

-- Ways to pay, currencies by epoch, what a key may spend, and who was refused for calling too often.

-- The UTC day: epochs and a key's periods begin and end with it.
CREATE FUNCTION squero_today() RETURNS date LANGUAGE sql STABLE
    AS 'SELECT (squero_now() AT TIME ZONE ''UTC'')::date';

ALTER TABLE accounts
    DROP CONSTRAINT accounts_billing_check,
    ADD CONSTRAINT accounts_billing_check CHECK (billing IN ('prepaid', 'postpaid', 'unmetered')),
    ADD COLUMN tier text NOT NULL DEFAULT 'paid',
    ADD COLUMN diem_micros bigint NOT NULL DEFAULT 0 CHECK (diem_micros >= 0);
COMMENT ON COLUMN accounts.diem_micros IS 'the DIEM that each epoch begins with';

ALTER TABLE keys
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN usd_limit_micros bigint CHECK (usd_limit_micros >= 0),
    ADD COLUMN diem_limit_micros bigint CHECK (diem_limit_micros >= 0),
    ADD COLUMN limit_period text NOT NULL DEFAULT 'EPOCH'
        CHECK (limit_period IN ('EPOCH', 'MONTH', 'LIFETIME')),
    ADD COLUMN model_privacy text NOT NULL DEFAULT 'ALL'
        CHECK (model_privacy IN ('ALL', 'PRIVATE_TEXT', 'PRIVATE_ONLY')),
    ADD COLUMN models text[];
COMMENT ON COLUMN keys.model_privacy IS 'told as it was set: every model is private';
COMMENT ON COLUMN keys.models IS 'the models that the key may use; null is every one';
DROP INDEX keys_of_account;
CREATE INDEX keys_of_account ON keys (account_id, created_at);

-- The DIEM of an epoch is a balance of its own, so none rolls over. Others have no epoch.
ALTER TABLE balances
    DROP CONSTRAINT balances_currency_check,
    DROP CONSTRAINT balances_pkey,
    ADD COLUMN epoch date NOT NULL DEFAULT 'epoch',
    ADD CHECK (currency IN ('DIEM', 'BUNDLED_CREDITS', 'USD')),
    ADD CHECK ((currency = 'DIEM') = (epoch <> 'epoch')),
    ADD PRIMARY KEY (account_id, currency, epoch);

ALTER TABLE transfers
    DROP CONSTRAINT transfers_from_book_check,
    DROP CONSTRAINT transfers_to_book_check,
    ADD COLUMN epoch date NOT NULL DEFAULT 'epoch',
    ADD COLUMN counted_on date,
    ADD CONSTRAINT transfers_from_book_check
        CHECK (from_book IN ('funding', 'line', 'available', 'held')),
    ADD CONSTRAINT transfers_to_book_check
        CHECK (to_book IN ('funding', 'line', 'available', 'held', 'revenue', 'lapsed'));
COMMENT ON COLUMN transfers.counted_on IS 'of a hold and its release: the day in whose periods the key spent it';
CREATE INDEX transfers_of_key ON transfers (key_id, created_at) WHERE key_id IS NOT NULL;

-- What a key has spent in the periods that are under way: holds, until they are released.
CREATE TABLE spending (
    key_id uuid NOT NULL REFERENCES keys,
    currency text NOT NULL CHECK (currency IN ('DIEM', 'USD')),
    day date NOT NULL,
    day_micros bigint NOT NULL DEFAULT 0 CHECK (day_micros >= 0),
    month_micros bigint NOT NULL DEFAULT 0 CHECK (month_micros >= 0),
    lifetime_micros bigint NOT NULL DEFAULT 0 CHECK (lifetime_micros >= 0),
    PRIMARY KEY (key_id, currency)
);
COMMENT ON COLUMN spending.currency IS 'bundled credits count as USD';
COMMENT ON COLUMN spending.day IS 'when the key last spent: older counts of a day or month are over';

UPDATE transfers SET counted_on = (created_at AT TIME ZONE 'UTC')::date WHERE id LIKE 'hold:%';
UPDATE transfers s SET counted_on = h.counted_on FROM transfers h
WHERE s.id = 'settle:' || h.queue_id AND s.to_book <> 'revenue' AND h.id LIKE 'hold:%';
INSERT INTO spending (key_id, currency, day, day_micros, month_micros, lifetime_micros)
SELECT k.id, c.currency, squero_today(),
       coalesce(sum(h.amount_micros) FILTER (WHERE h.counted_on = squero_today()), 0),
       coalesce(sum(h.amount_micros) FILTER (
           WHERE date_trunc('month', h.counted_on) = date_trunc('month', squero_today())), 0),
       coalesce(sum(h.amount_micros), 0)
FROM keys k
CROSS JOIN (VALUES ('DIEM'), ('USD')) AS c (currency)
LEFT JOIN transfers h ON h.key_id = k.id AND h.id LIKE 'hold:%' AND h.currency = c.currency
    AND NOT EXISTS (SELECT FROM transfers s
                    WHERE s.id = 'settle:' || h.queue_id AND s.to_book <> 'revenue')
GROUP BY k.id, c.currency;

-- Calls that were refused for their number, the last fifty of an account of which it may read.
CREATE TABLE refusals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts,
    key_id uuid REFERENCES keys,
    model text NOT NULL,
    tier text NOT NULL,
    type text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT squero_now()
);
CREATE INDEX refusals_of_account ON refusals (account_id, id);

-- What of it counts in the key's present period.
CREATE FUNCTION squero_spent(s spending, period text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN period = 'LIFETIME' THEN s.lifetime_micros
        WHEN period = 'MONTH' AND s.day > squero_today() - extract(day FROM squero_today())::integer
            THEN s.month_micros
        WHEN period = 'EPOCH' AND s.day >= squero_today() THEN s.day_micros
        ELSE 0 END
$$;

-- Whether so much can be taken from a balance; DIEM is of use from a tenth on.
CREATE FUNCTION squero_covers(a accounts, b balances, micros bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN a.billing = 'unmetered' THEN b.currency = 'USD'
        WHEN b.currency = 'DIEM' THEN b.available_micros >= greatest(micros, 100000)
        ELSE b.available_micros >= micros END
$$;

-- Whether the key may spend so much more of a currency in its present period.
CREATE FUNCTION squero_allows(k keys, s spending, micros bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        squero_spent(s, k.limit_period) + micros
        <= CASE s.currency WHEN 'DIEM' THEN k.diem_limit_micros ELSE k.usd_limit_micros END, true)
$$;

-- Keys: who calls. Only a keyed hash of a key is stored.

-- name: create
WITH created AS (
    INSERT INTO keys (account_id, type, hash, last6, description)
    VALUES (%(account_id)s, %(type)s, %(hash)s, %(last6)s, %(description)s)
    RETURNING id
), counted AS (
    INSERT INTO spending (key_id, currency, day)
    SELECT id, currency, squero_today() FROM created, unnest('{DIEM,USD}'::text[]) AS currency
)
SELECT id FROM created;

-- name: caller
-- The caller behind a key that is in force, with the balances that its answers report. That the key
-- was used is noted once a minute.
WITH caller AS (
    SELECT k.id AS key_id, k.type, k.models, a.id AS account_id, a.billing, a.tier, a.weight, a.cap,
           coalesce(usd.available_micros, 0) AS usd_micros,
           coalesce(diem.available_micros, a.diem_micros) AS diem_micros,
           squero_today() AS today
    FROM keys k
    JOIN accounts a ON a.id = k.account_id
    LEFT JOIN balances usd ON usd.account_id = a.id AND usd.currency = 'USD'
    LEFT JOIN balances diem ON diem.account_id = a.id AND diem.epoch = squero_today()
    WHERE k.hash = %(hash)s AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > squero_now())
), used AS (
    UPDATE keys SET last_used_at = squero_now() FROM caller
    WHERE id = key_id AND (last_used_at < squero_now() - interval '1 minute' OR last_used_at IS NULL)
)
SELECT * FROM caller;

-- Keys: who calls. Only a keyed hash of a key is stored.

-- name: lock_room
-- Who makes keys of an account goes one after another; nobody else waits, not a first job either.
SELECT pg_advisory_xact_lock(hashtext('squero keys ' || %(account_id)s::text));

-- name: room
-- How many keys the account made in the last minute, when the first of them is a minute old, and how
-- many it has in force.
SELECT count(*) FILTER (WHERE lately) AS lately,
       extract(epoch FROM interval '1 minute' - coalesce(
           max(age) FILTER (WHERE lately), '0'))::float8 AS reset_seconds,
       count(*) FILTER (WHERE revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > squero_now())) AS in_force
FROM keys
CROSS JOIN LATERAL (SELECT squero_now() - created_at AS age) AS since
-- Who waited has begun before some that were made; but one of much later was made before a step of
-- the clock.
CROSS JOIN LATERAL (SELECT age > '-1 minute' AND age < '1 minute' AS lately) AS minute
WHERE account_id = %(account_id)s;

-- name: create
WITH created AS (
    INSERT INTO keys (account_id, type, hash, last6, description, expires_at, usd_limit_micros,
                      diem_limit_micros, limit_period, model_privacy, models)
    VALUES (%(account_id)s, %(type)s, %(hash)s, %(last6)s, %(description)s, %(expires_at)s,
            %(usd_limit_micros)s, %(diem_limit_micros)s, %(limit_period)s, %(model_privacy)s,
            %(models)s)
    RETURNING id
), counted AS (
    INSERT INTO spending (key_id, currency, day)
    SELECT id, currency, squero_today() FROM created, unnest('{DIEM,USD}'::text[]) AS currency
)
SELECT id FROM created;

-- name: list
-- An account's keys, the newest first: those in force, or the one with this id unless it was
-- revoked. With what each has spent in its period, and in today's epoch and the six before it.
SELECT k.id, k.type, k.description, k.last6, k.created_at, k.expires_at, k.last_used_at,
       k.usd_limit_micros, k.diem_limit_micros, k.limit_period, k.model_privacy, k.models,
       squero_spent(usd, k.limit_period) AS period_usd_micros,
       squero_spent(diem, k.limit_period) AS period_diem_micros,
       week.usd_micros AS week_usd_micros, week.diem_micros AS week_diem_micros
FROM keys k
JOIN spending usd ON usd.key_id = k.id AND usd.currency = 'USD'
JOIN spending diem ON diem.key_id = k.id AND diem.currency = 'DIEM'
CROSS JOIN LATERAL (
    SELECT coalesce(sum(micros) FILTER (WHERE currency <> 'DIEM'), 0)::bigint AS usd_micros,
           coalesce(sum(micros) FILTER (WHERE currency = 'DIEM'), 0)::bigint AS diem_micros
    FROM (
        SELECT currency, CASE to_book WHEN 'held' THEN amount_micros ELSE -amount_micros END AS micros
        FROM transfers
        WHERE key_id = k.id AND counted_on >= (SELECT squero_today() - 6)
          AND created_at >= (SELECT (squero_today() - 6)::timestamp AT TIME ZONE 'UTC')
        ) AS counted) AS week
WHERE k.account_id = %(account_id)s AND k.revoked_at IS NULL
  AND CASE WHEN %(key_id)s::uuid IS NULL THEN k.expires_at IS NULL OR k.expires_at > squero_now()
      ELSE k.id = %(key_id)s END
ORDER BY k.created_at DESC, k.id DESC
LIMIT %(limit)s OFFSET %(offset)s;

-- name: change
-- What is named in `changed`, of a key in force.
UPDATE keys
SET description = coalesce(%(description)s, description),
    limit_period = coalesce(%(limit_period)s, limit_period),
    model_privacy = coalesce(%(model_privacy)s, model_privacy),
    expires_at = CASE WHEN 'expires_at' = ANY(%(changed)s::text[]) THEN %(expires_at)s
        ELSE expires_at END,
    usd_limit_micros = CASE WHEN 'usd_limit_micros' = ANY(%(changed)s::text[])
        THEN %(usd_limit_micros)s ELSE usd_limit_micros END,
    diem_limit_micros = CASE WHEN 'diem_limit_micros' = ANY(%(changed)s::text[])
        THEN %(diem_limit_micros)s ELSE diem_limit_micros END,
    models = CASE WHEN 'models' = ANY(%(changed)s::text[]) THEN %(models)s ELSE models END
WHERE id = %(key_id)s AND account_id = %(account_id)s AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > squero_now())
RETURNING hash;

-- name: revoke
UPDATE keys SET revoked_at = squero_now()
WHERE id = %(key_id)s AND account_id = %(account_id)s AND revoked_at IS NULL
RETURNING hash;

-- name: caller
-- The caller behind a key that is in force, with the balances that its answers report. That the key
-- was used is noted once a minute.
WITH caller AS (
    SELECT k.id AS key_id, k.type, k.models, a.id AS account_id, a.billing, a.tier,
           coalesce(usd.available_micros, 0) AS usd_micros,
           coalesce(diem.available_micros, a.diem_micros) AS diem_micros,
           squero_today() AS today,
           extract(epoch FROM k.expires_at - squero_now())::float8 AS left_seconds
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

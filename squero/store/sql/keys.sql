-- Keys: who calls. Only a keyed hash of a key is stored.

-- name: create
INSERT INTO keys (account_id, type, hash, last6, description)
VALUES (%(account_id)s, %(type)s, %(hash)s, %(last6)s, %(description)s)
RETURNING id;

-- name: caller
-- The caller behind a key that is in force, with the balance that its answers report.
SELECT k.id AS key_id, k.type, a.id AS account_id, a.billing, a.weight, a.cap,
       coalesce(b.available_micros, 0) AS available_micros,
       (squero_now() AT TIME ZONE 'UTC')::date AS today
FROM keys k
JOIN accounts a ON a.id = k.account_id
LEFT JOIN balances b ON b.account_id = a.id AND b.currency = 'USD'
WHERE k.hash = %(hash)s AND k.revoked_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > squero_now());

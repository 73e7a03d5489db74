-- Accounts: who pays, and how.

-- name: create
-- Nothing comes back when the name is taken.
INSERT INTO accounts (name, billing, weight, cap)
VALUES (%(name)s, %(billing)s, %(weight)s, %(cap)s)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, billing, tier, weight, cap, diem_micros;

-- name: find
SELECT id, name, billing, tier, weight, cap, diem_micros FROM accounts WHERE name = %(name)s;

-- name: open_balance
INSERT INTO balances (account_id, currency) VALUES (%(account_id)s, %(currency)s)
ON CONFLICT DO NOTHING;

-- name: list
-- Every account with what it may spend now and what it is held for; DIEM that no call has asked for
-- yet today is what the epoch begins with.
SELECT a.name, a.billing, a.tier, a.weight, a.cap, a.diem_micros,
       coalesce(usd.available_micros, 0) AS usd_micros,
       CASE a.billing WHEN 'postpaid' THEN (
           SELECT coalesce(sum(CASE from_book WHEN 'line' THEN amount_micros ELSE -amount_micros END), 0)
           FROM transfers t WHERE t.account_id = a.id AND 'line' IN (from_book, to_book))::bigint END
           AS line_micros,
       coalesce(bundled.available_micros, 0) AS bundled_micros,
       coalesce(diem.available_micros, a.diem_micros) AS diem_left_micros,
       (SELECT coalesce(sum(held_micros), 0)::bigint FROM balances b WHERE b.account_id = a.id)
           AS held_micros,
       (SELECT count(*) FROM keys k WHERE k.account_id = a.id AND k.revoked_at IS NULL) AS keys
FROM accounts a
LEFT JOIN balances usd ON usd.account_id = a.id AND usd.currency = 'USD'
LEFT JOIN balances bundled ON bundled.account_id = a.id AND bundled.currency = 'BUNDLED_CREDITS'
LEFT JOIN balances diem ON diem.account_id = a.id AND diem.epoch = squero_today()
ORDER BY a.name;

-- name: lock
-- Whoever changes an account's terms waits here; its jobs do not, except the first in a lane.
SELECT FROM accounts WHERE id = %(account_id)s FOR NO KEY UPDATE;

-- name: set_tier
UPDATE accounts SET tier = %(tier)s WHERE id = %(account_id)s;

-- name: set_share
-- Also of the work that waits already; the account is locked.
WITH changed AS (
    UPDATE accounts SET weight = %(weight)s, cap = %(cap)s WHERE id = %(account_id)s RETURNING id
)
UPDATE shares SET weight = %(weight)s, cap = %(cap)s FROM changed WHERE account_id = changed.id;

-- name: set_diem
UPDATE accounts SET diem_micros = %(diem_micros)s WHERE id = %(account_id)s;

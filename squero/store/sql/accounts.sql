-- Accounts: who pays.

-- name: create
-- Nothing comes back when the name is taken.
INSERT INTO accounts (name, billing, weight, cap)
VALUES (%(name)s, %(billing)s, %(weight)s, %(cap)s)
ON CONFLICT (name) DO NOTHING
RETURNING id, name, billing, weight, cap;

-- name: find
SELECT id, name, billing, weight, cap FROM accounts WHERE name = %(name)s;

-- name: open_balance
INSERT INTO balances (account_id, currency) VALUES (%(account_id)s, %(currency)s)
ON CONFLICT DO NOTHING;

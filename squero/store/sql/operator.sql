-- What the operator sees and does across all accounts.

-- name: keys
-- Every key that was ever made, and whether it is in force; never the key.
SELECT k.id, a.name AS account, k.type, k.last6, k.description, k.created_at, k.last_used_at,
       k.expires_at,
       CASE WHEN k.revoked_at IS NOT NULL THEN 'revoked'
            WHEN k.expires_at <= squero_now() THEN 'expired'
            ELSE 'in force' END AS state
FROM keys k
JOIN accounts a ON a.id = k.account_id
ORDER BY a.name, k.created_at, k.id;

-- name: revoke_key
UPDATE keys SET revoked_at = squero_now() WHERE id = %(key_id)s AND revoked_at IS NULL;

-- A queue call that is sent twice makes one job.

-- name: find
SELECT request_hash, i.queue_id, g.model
FROM idempotency i JOIN generations g USING (queue_id)
WHERE i.account_id = %(account_id)s AND key = %(key)s
  AND i.created_at > squero_now() - interval '24 hours';

-- name: remember
-- No row when another call with this key was first; waits for that call to commit or to fail.
INSERT INTO idempotency AS i (account_id, key, request_hash, queue_id)
VALUES (%(account_id)s, %(key)s, %(request_hash)s, %(queue_id)s)
ON CONFLICT (account_id, key) DO UPDATE
SET request_hash = excluded.request_hash, queue_id = excluded.queue_id,
    created_at = excluded.created_at
WHERE i.created_at <= squero_now() - interval '24 hours';

-- name: forget
DELETE FROM idempotency WHERE created_at <= squero_now() - interval '24 hours';

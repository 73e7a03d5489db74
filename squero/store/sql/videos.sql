-- Videos: an account's jobs as records. One is there until it is cancelled, deleted or expired; one
-- that failed for as long as its media would be.

-- name: find
SELECT queue_id, model, state, progress, width, height, frames, fps, created_at, finished_at,
       expires_at
FROM generations
WHERE queue_id = %(queue_id)s AND account_id = %(account_id)s
  AND state <> 'cancelled' AND media IS DISTINCT FROM 'deleted'
  AND coalesce(expires_at, finished_at + make_interval(hours => %(retention_hours)s), 'infinity')
      > squero_now();

-- name: forget
-- Of a job that failed there is nothing to delete but that it is told of.
UPDATE generations SET expires_at = squero_now()
WHERE queue_id = %(queue_id)s AND account_id = %(account_id)s AND state = 'failed';

-- name: place
-- Where a job stands in the account's list, also when it is not there any more.
SELECT created_at FROM transfers
WHERE id = 'hold:' || %(queue_id)s::text AND account_id = %(account_id)s;

-- name: newest
-- Found by their holds, of which there is an index by account and time; each job is looked up by
-- itself, whatever the planner thinks of their number.
SELECT g.*
FROM transfers t
CROSS JOIN LATERAL (
    SELECT queue_id, model, state, progress, width, height, frames, fps, created_at, finished_at,
           expires_at
    FROM generations
    WHERE queue_id = t.queue_id AND state <> 'cancelled' AND media IS DISTINCT FROM 'deleted'
      AND coalesce(expires_at, finished_at + make_interval(hours => %(retention_hours)s),
                   'infinity') > squero_now()
    LIMIT 1) g
WHERE t.account_id = %(account_id)s AND t.to_book = 'held'
  AND t.created_at > squero_now() - make_interval(hours => %(listed_hours)s)
  AND (t.created_at, t.id) < (coalesce(%(after)s, 'infinity'::timestamptz), %(after_id)s::text)
ORDER BY t.created_at DESC, t.id DESC
LIMIT %(limit)s;

-- name: oldest
SELECT g.*
FROM transfers t
CROSS JOIN LATERAL (
    SELECT queue_id, model, state, progress, width, height, frames, fps, created_at, finished_at,
           expires_at
    FROM generations
    WHERE queue_id = t.queue_id AND state <> 'cancelled' AND media IS DISTINCT FROM 'deleted'
      AND coalesce(expires_at, finished_at + make_interval(hours => %(retention_hours)s),
                   'infinity') > squero_now()
    LIMIT 1) g
WHERE t.account_id = %(account_id)s AND t.to_book = 'held'
  AND t.created_at > squero_now() - make_interval(hours => %(listed_hours)s)
  AND (t.created_at, t.id) > (coalesce(%(after)s, '-infinity'::timestamptz), %(after_id)s::text)
ORDER BY t.created_at, t.id
LIMIT %(limit)s;

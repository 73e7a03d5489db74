-- Workers: tokens bound to a lane. Only a keyed hash of a token is stored.

-- name: create
INSERT INTO workers (name, lane, hash, own)
VALUES (%(name)s, %(lane)s, %(hash)s, %(own)s)
RETURNING id;

-- name: list
SELECT id, name, lane, own, created_at, last_seen_at, revoked_at,
       (SELECT count(*) FROM generations g WHERE g.worker_id = w.id AND g.state = 'rendering')
           AS rendering
FROM workers w
WHERE NOT own OR revoked_at IS NULL
ORDER BY created_at;

-- name: revoke
UPDATE workers SET revoked_at = squero_now()
WHERE id = %(worker_id)s AND revoked_at IS NULL;

-- name: revoke_own
UPDATE workers SET revoked_at = squero_now() WHERE own AND revoked_at IS NULL;

-- name: forget_own
-- A server leaves no heap of dead tokens behind, but a generation may still name one.
DELETE FROM workers w
WHERE own AND revoked_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.worker_id = w.id);

-- name: authenticate
SELECT id AS worker_id, lane, own FROM workers WHERE hash = %(hash)s AND revoked_at IS NULL;

-- name: seen
UPDATE workers SET last_seen_at = squero_now() WHERE id = %(worker_id)s;

-- name: serving
-- How many workers have lately asked for the work of a lane.
SELECT count(*) FROM workers
WHERE lane = %(lane)s AND revoked_at IS NULL AND last_seen_at > squero_now() - interval '60 s';

-- Workers: tokens bound to a lane. Only a keyed hash of a token is stored.

-- name: create
INSERT INTO workers (name, lane, hash, server)
VALUES (%(name)s, %(lane)s, %(hash)s, %(server)s)
RETURNING id;

-- name: list
SELECT id, name, lane, server IS NOT NULL AS own, created_at, last_seen_at, revoked_at, troubles,
       (SELECT count(*) FROM generations g WHERE g.worker_id = w.id AND g.state = 'rendering')
           AS rendering
FROM workers w
WHERE server IS NULL OR revoked_at IS NULL
ORDER BY created_at;

-- name: revoke
UPDATE workers SET revoked_at = squero_now()
WHERE id = %(worker_id)s AND revoked_at IS NULL;

-- name: lock_own
-- The lanes of a server's own tokens that are in force: no claim with one of them is under way.
SELECT pg_advisory_xact_lock(hashtext('squero lane ' || lane)) FROM (
    SELECT DISTINCT lane FROM workers
    WHERE server = %(server)s AND revoked_at IS NULL ORDER BY lane) AS lanes;

-- name: revoke_own
-- The token of a server's own worker, or of all of them.
UPDATE workers SET revoked_at = squero_now()
WHERE server = %(server)s AND revoked_at IS NULL
  AND (%(worker_id)s::uuid IS NULL OR id = %(worker_id)s);

-- name: forget_own
-- A server leaves no heap of dead tokens behind, but a generation may still name one.
DELETE FROM workers w
WHERE server = %(server)s AND revoked_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.worker_id = w.id);

-- name: authenticate
SELECT id AS worker_id, lane, server IS NOT NULL AS own, name FROM workers
WHERE hash = %(hash)s AND revoked_at IS NULL;

-- name: in_force
SELECT EXISTS (SELECT FROM workers WHERE id = %(worker_id)s AND revoked_at IS NULL);

-- name: seen
UPDATE workers SET last_seen_at = squero_now(), troubles = %(troubles)s
WHERE id = %(worker_id)s;

-- name: unable
-- What each worker cannot render that has lately asked for a lane's work, or is at it: while it
-- renders it does not ask.
SELECT ARRAY(SELECT jsonb_object_keys(troubles)) AS models FROM workers w
WHERE lane = %(lane)s AND revoked_at IS NULL
  AND (last_seen_at > squero_now() - make_interval(secs => %(offline_seconds)s) OR EXISTS (
       SELECT FROM generations g WHERE g.worker_id = w.id AND g.state = 'rendering'));

-- name: serving
-- How many workers have lately asked for the work of a lane, or are at it.
SELECT count(*) FROM workers w
WHERE lane = %(lane)s AND revoked_at IS NULL
  AND (last_seen_at > squero_now() - interval '60 s' OR EXISTS (
       SELECT FROM generations g WHERE g.worker_id = w.id AND g.state = 'rendering'));

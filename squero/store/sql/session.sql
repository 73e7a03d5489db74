-- What concerns the session with the database itself.

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: ping
SELECT 1;

-- name: today
SELECT (squero_now() AT TIME ZONE 'UTC')::date;

-- Which server started a worker: it alone knows when its own are dead.

ALTER TABLE workers ADD COLUMN server uuid;
COMMENT ON COLUMN workers.server
    IS 'the server that started the worker itself: all of its own are dead when it starts';
-- Nobody knows whose these are. A server that runs makes new ones.
UPDATE workers SET revoked_at = squero_now() WHERE own AND revoked_at IS NULL;
ALTER TABLE workers DROP COLUMN own;
CREATE INDEX workers_of_server ON workers (server) WHERE server IS NOT NULL;

-- Written, and never read.
ALTER TABLE generations DROP COLUMN instance, DROP COLUMN result_bytes;

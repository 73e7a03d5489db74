-- Generations: the job row. The WHERE clause is the state machine: no row back means no.

-- name: queue
-- The job, its place in the share and its hold, in one statement that changes all or nothing: the
-- currency that was taken; no row when nothing was, and then `queue_refusal` says why. Rows are
-- locked in the order share, balance, spending; the key is too, so that what it may do is what holds
-- when the share's turn has come, not when the call did. The purse is the first currency that covers the
-- price and of which the key may spend so much. An unmetered account is funded as it goes. An
-- account that had nothing queued or running comes back at the larger of its own virtual time and
-- the lane's, so that it neither owes for its absence nor profits from it; where nobody is active,
-- all are even.
WITH share AS (
    SELECT account_id, queued FROM shares
    WHERE lane = %(lane)s AND account_id = %(account_id)s
    FOR UPDATE
), purse AS (
    SELECT b.account_id, b.currency, b.epoch, a.billing, s.currency AS counted_as
    FROM share
    JOIN accounts a ON a.id = share.account_id
    JOIN keys k ON k.id = %(key_id)s AND k.revoked_at IS NULL
    JOIN balances b ON b.account_id = a.id AND b.epoch IN ('epoch', squero_today())
    JOIN spending s ON s.key_id = k.id
        AND s.currency = CASE b.currency WHEN 'DIEM' THEN 'DIEM' ELSE 'USD' END
    WHERE share.queued < %(queued_limit)s
      AND squero_covers(a, b, %(price_micros)s)
      AND squero_allows(k, s, %(price_micros)s)
      AND (a.diem_micros = 0 OR EXISTS (
          SELECT FROM balances WHERE account_id = a.id AND epoch = squero_today()))
    ORDER BY array_position('{DIEM,BUNDLED_CREDITS,USD}', b.currency)
    LIMIT 1
    FOR UPDATE OF b, s FOR SHARE OF k
), held AS (
    UPDATE balances b
    SET available_micros = available_micros
            - CASE p.billing WHEN 'unmetered' THEN 0 ELSE %(price_micros)s::bigint END,
        held_micros = held_micros + %(price_micros)s
    FROM purse p
    WHERE b.account_id = p.account_id AND b.currency = p.currency AND b.epoch = p.epoch
    RETURNING b.account_id, b.currency, b.epoch, p.billing, p.counted_as
), counted AS (
    UPDATE spending s
    SET day_micros = squero_spent(s, 'EPOCH') + %(price_micros)s,
        month_micros = squero_spent(s, 'MONTH') + %(price_micros)s,
        lifetime_micros = lifetime_micros + %(price_micros)s,
        day = greatest(s.day, squero_today())
    FROM held WHERE s.key_id = %(key_id)s AND s.currency = held.counted_as
    RETURNING s.day
), transferred AS (
    INSERT INTO transfers
        (id, account_id, currency, epoch, from_book, to_book, amount_micros, queue_id, key_id,
         counted_on)
    SELECT 'hold:' || %(queue_id)s::text, account_id, currency, epoch,
           CASE billing WHEN 'unmetered' THEN 'funding' ELSE 'available' END, 'held',
           %(price_micros)s, %(queue_id)s, %(key_id)s, counted.day
    FROM held, counted
), created AS (
    INSERT INTO generations
        (queue_id, account_id, key_id, model, lane, resolution, width, height, frames, fps, audio,
         seed, prompt, inputs, key_day, wrapped_key, currency, price_micros, estimate_us,
         expected_wait_us)
    SELECT
        %(queue_id)s, account_id, %(key_id)s, %(model)s, %(lane)s, %(resolution)s, %(width)s,
        %(height)s, %(frames)s, %(fps)s, %(audio)s, %(seed)s, %(prompt)s, %(inputs)s, %(key_day)s,
        %(wrapped_key)s, currency, %(price_micros)s, %(estimate_us)s, %(expected_wait_us)s
    FROM held
), clock AS (
    SELECT virtual_us, false AS idle FROM lanes WHERE lane = %(lane)s AND EXISTS (
        SELECT FROM shares WHERE lane = %(lane)s AND (queued > 0 OR running > 0))
    UNION ALL
    SELECT max(virtual_us), true FROM shares WHERE lane = %(lane)s AND NOT EXISTS (
        SELECT FROM shares WHERE lane = %(lane)s AND (queued > 0 OR running > 0))
    HAVING count(*) > 0
), shared AS (
    UPDATE shares s
    SET queued = s.queued + 1, waiting_us = s.waiting_us + %(estimate_us)s,
        virtual_us = CASE WHEN s.queued > 0 OR s.running > 0 THEN s.virtual_us
                     ELSE greatest(s.virtual_us, (SELECT virtual_us FROM clock)) END
    FROM held WHERE s.lane = %(lane)s AND s.account_id = held.account_id
), woken AS (
    INSERT INTO lanes AS l (lane, virtual_us)
    SELECT %(lane)s, virtual_us FROM clock, held WHERE idle
    ON CONFLICT (lane) DO UPDATE SET virtual_us = excluded.virtual_us
    WHERE l.virtual_us < excluded.virtual_us
)
SELECT currency FROM held;

-- name: queue_many
-- What `queue` does, for one job each of several accounts: those that were taken, each whole or not
-- at all. The others are queued by themselves: of accounts that have nothing queued or running, which
-- come back at the lane's clock; whose share another transaction has locked, for which nobody else
-- waits here; and those that `queue` would not take, of which `queue_refusal` then says why.
WITH asked AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(jobs)s::json) AS job (
        queue_id uuid, account_id uuid, key_id uuid, model text, lane text, resolution text,
        width integer, height integer, frames integer, fps integer, audio boolean, seed bigint,
        prompt bytea, inputs jsonb, key_day date, wrapped_key bytea, price_micros bigint,
        estimate_us bigint, expected_wait_us bigint)
), share AS (
    SELECT asked.* FROM asked CROSS JOIN LATERAL (
        SELECT FROM shares
        WHERE lane = asked.lane AND account_id = asked.account_id
          AND (queued > 0 OR running > 0) AND queued < %(queued_limit)s
        FOR UPDATE SKIP LOCKED) AS active
), purse AS (
    SELECT share.*, found.currency, found.epoch, found.billing, found.counted_as
    FROM share CROSS JOIN LATERAL (
        SELECT b.currency, b.epoch, a.billing, s.currency AS counted_as
        FROM accounts a
        JOIN keys k ON k.id = share.key_id AND k.revoked_at IS NULL
        JOIN balances b ON b.account_id = a.id AND b.epoch IN ('epoch', squero_today())
        JOIN spending s ON s.key_id = k.id
            AND s.currency = CASE b.currency WHEN 'DIEM' THEN 'DIEM' ELSE 'USD' END
        WHERE a.id = share.account_id
          AND squero_covers(a, b, share.price_micros)
          AND squero_allows(k, s, share.price_micros)
          AND (a.diem_micros = 0 OR EXISTS (
              SELECT FROM balances WHERE account_id = a.id AND epoch = squero_today()))
        ORDER BY array_position('{DIEM,BUNDLED_CREDITS,USD}', b.currency)
        LIMIT 1
        FOR UPDATE OF b, s FOR SHARE OF k) AS found
), held AS (
    UPDATE balances b
    SET available_micros = available_micros
            - CASE p.billing WHEN 'unmetered' THEN 0 ELSE p.price_micros END,
        held_micros = held_micros + p.price_micros
    FROM purse p
    WHERE b.account_id = p.account_id AND b.currency = p.currency AND b.epoch = p.epoch
    RETURNING p.*
), counted AS (
    UPDATE spending s
    SET day_micros = squero_spent(s, 'EPOCH') + held.price_micros,
        month_micros = squero_spent(s, 'MONTH') + held.price_micros,
        lifetime_micros = lifetime_micros + held.price_micros,
        day = greatest(s.day, squero_today())
    FROM held WHERE s.key_id = held.key_id AND s.currency = held.counted_as
    RETURNING held.queue_id, s.day
), transferred AS (
    INSERT INTO transfers
        (id, account_id, currency, epoch, from_book, to_book, amount_micros, queue_id, key_id,
         counted_on)
    SELECT 'hold:' || queue_id::text, account_id, currency, epoch,
           CASE billing WHEN 'unmetered' THEN 'funding' ELSE 'available' END, 'held',
           price_micros, queue_id, key_id, counted.day
    FROM held JOIN counted USING (queue_id)
), created AS (
    INSERT INTO generations
        (queue_id, account_id, key_id, model, lane, resolution, width, height, frames, fps, audio,
         seed, prompt, inputs, key_day, wrapped_key, currency, price_micros, estimate_us,
         expected_wait_us)
    SELECT
        queue_id, account_id, key_id, model, lane, resolution, width, height, frames, fps, audio,
        seed, prompt, inputs, key_day, wrapped_key, currency, price_micros, estimate_us,
        expected_wait_us
    FROM held
), shared AS (
    UPDATE shares s SET queued = s.queued + 1, waiting_us = s.waiting_us + held.estimate_us
    FROM held WHERE s.lane = held.lane AND s.account_id = held.account_id
)
SELECT queue_id FROM held;

-- name: queue_refusal
-- Why a job was not taken a moment ago; `none` when it would be now.
SELECT CASE
    WHEN s.queued IS NULL THEN 'no_share'
    WHEN k.id IS NULL THEN 'no_key'
    WHEN s.queued >= %(queued_limit)s THEN 'crowded'
    WHEN a.diem_micros > 0 AND NOT EXISTS (
        SELECT FROM balances WHERE account_id = a.id AND epoch = squero_today()) THEN 'no_epoch'
    WHEN purse.allowed THEN 'none'
    WHEN purse.usd THEN 'usd_limit'
    WHEN purse.usd IS NOT NULL THEN 'diem_limit'
    ELSE 'insufficient' END
FROM accounts a
LEFT JOIN shares s ON s.account_id = a.id AND s.lane = %(lane)s
LEFT JOIN keys k ON k.id = %(key_id)s AND k.revoked_at IS NULL
CROSS JOIN LATERAL (
    SELECT bool_or(squero_allows(k, spent, %(price_micros)s)) AS allowed,
           bool_or(spent.currency = 'USD') AS usd
    FROM balances b
    JOIN spending spent ON spent.key_id = k.id
        AND spent.currency = CASE b.currency WHEN 'DIEM' THEN 'DIEM' ELSE 'USD' END
    WHERE b.account_id = a.id AND b.epoch IN ('epoch', squero_today())
      AND squero_covers(a, b, %(price_micros)s)) AS purse
WHERE a.id = %(account_id)s;

-- name: announce
-- A job has come to the lane, or a place in it: so many, and where.
SELECT pg_notify('squero_queued', '1 ' || %(lane)s);

-- name: announce_all
SELECT pg_notify('squero_queued', jobs || ' ' || lane)
FROM unnest(%(lanes)s::text[], %(jobs)s::integer[]) AS news (lane, jobs);

-- name: lock_lane
-- Claims of a lane go one after another, so that each sees the virtual time the last one charged.
SELECT pg_advisory_xact_lock(hashtext('squero lane ' || %(lane)s));

-- name: choose
-- For a worker that cannot render every model and names those that it can: what `claim` then takes.
-- Of an account's queue the oldest job of one model after the other is looked up, and never job
-- after job of models that are others'.
WITH RECURSIVE shunned AS MATERIALIZED (
    SELECT queue_id FROM generations g
    WHERE worker_id = %(worker_id)s AND state = 'queued' AND strikes > 0
      AND progress_at > squero_now() - interval '60 s'
      AND EXISTS (SELECT FROM workers w
                  WHERE w.lane = %(lane)s AND w.id <> %(worker_id)s AND w.revoked_at IS NULL
                    AND w.last_seen_at > squero_now() - interval '60 s'
                    AND NOT w.troubles ? g.model)
), share AS (
    SELECT account_id FROM shares s
    WHERE lane = %(lane)s AND queued > 0 AND (cap IS NULL OR running < cap) AND EXISTS (
        WITH RECURSIVE next AS (
            SELECT '' AS model
            UNION ALL
            SELECT found.model FROM next CROSS JOIN LATERAL (
                SELECT model FROM generations g
                WHERE g.lane = %(lane)s AND g.account_id = s.account_id AND g.model > next.model
                  AND g.state = 'queued' AND g.queue_id NOT IN (SELECT queue_id FROM shunned)
                ORDER BY g.model, seq LIMIT 1) AS found)
        SELECT FROM next WHERE model = ANY (%(models)s::text[]))
    ORDER BY virtual_us, account_id
    LIMIT 1
), oldest AS (
    SELECT account_id, '' AS model, NULL::bigint AS seq FROM share
    UNION ALL
    SELECT account_id, found.* FROM oldest CROSS JOIN LATERAL (
        SELECT model, seq FROM generations g
        WHERE g.lane = %(lane)s AND g.account_id = oldest.account_id AND g.model > oldest.model
          AND g.state = 'queued' AND g.queue_id NOT IN (SELECT queue_id FROM shunned)
        ORDER BY g.model, seq LIMIT 1) AS found
)
SELECT account_id, coalesce(min(seq) FILTER (WHERE model = ANY (%(warm)s::text[])), min(seq)) AS seq
FROM oldest WHERE model = ANY (%(models)s::text[])
GROUP BY account_id;

-- name: claim
-- The waiting account with the least virtual time; its oldest job, of a warm model if it has one;
-- or the job that was chosen. What failed at the worker's hands a minute ago is for another worker,
-- where there is one that can: `choose` says so too, word for word, as a view or a function that
-- both would ask costs 3 to 5 % of a claim, which is mostly the time of its planning.
WITH shunned AS MATERIALIZED (
    SELECT queue_id FROM generations g
    WHERE worker_id = %(worker_id)s AND state = 'queued' AND strikes > 0
      AND progress_at > squero_now() - interval '60 s'
      AND EXISTS (SELECT FROM workers w
                  WHERE w.lane = %(lane)s AND w.id <> %(worker_id)s AND w.revoked_at IS NULL
                    AND w.last_seen_at > squero_now() - interval '60 s'
                    AND NOT w.troubles ? g.model)
), share AS (
    SELECT account_id, virtual_us FROM shares s
    WHERE lane = %(lane)s AND queued > 0 AND (cap IS NULL OR running < cap)
      AND EXISTS (SELECT FROM workers WHERE id = %(worker_id)s AND revoked_at IS NULL)
      AND (%(account_id)s::uuid IS NULL OR account_id = %(account_id)s)
      AND (NOT EXISTS (SELECT FROM shunned) OR EXISTS (
           SELECT FROM generations g
           WHERE g.lane = %(lane)s AND g.account_id = s.account_id AND g.state = 'queued'
             AND g.queue_id NOT IN (SELECT queue_id FROM shunned)))
    ORDER BY virtual_us, account_id
    LIMIT 1
    FOR UPDATE
), warm AS (
    SELECT oldest.seq
    FROM share, unnest(%(warm)s::text[]) AS model
    CROSS JOIN LATERAL (
        SELECT seq FROM generations g
        WHERE g.lane = %(lane)s AND g.account_id = share.account_id AND g.model = model.model
          AND g.state = 'queued' AND g.queue_id NOT IN (SELECT queue_id FROM shunned)
        ORDER BY seq LIMIT 1
    ) oldest
    ORDER BY oldest.seq LIMIT 1
), job AS (
    SELECT queue_id, account_id, estimate_us
    FROM generations
    WHERE lane = %(lane)s AND account_id = (SELECT account_id FROM share) AND state = 'queued'
      AND seq >= coalesce(%(seq)s::bigint, (SELECT seq FROM warm), 0)
      AND (%(seq)s::bigint IS NULL OR seq = %(seq)s)
      AND queue_id NOT IN (SELECT queue_id FROM shunned)
    ORDER BY seq
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), charged AS (
    UPDATE shares s
    SET queued = queued - 1, running = running + 1, waiting_us = waiting_us - job.estimate_us,
        virtual_us = virtual_us + job.estimate_us / s.weight
    FROM job WHERE s.lane = %(lane)s AND s.account_id = job.account_id
), advanced AS (
    INSERT INTO lanes AS l (lane, virtual_us)
    SELECT %(lane)s, share.virtual_us FROM share JOIN job USING (account_id)
    ON CONFLICT (lane) DO UPDATE SET virtual_us = excluded.virtual_us
    WHERE l.virtual_us < excluded.virtual_us
)
UPDATE generations g
SET state = 'rendering', attempt = attempt + 1, worker_id = %(worker_id)s,
    progress = 0, progress_at = squero_now(), started_at = squero_now(),
    lease_until = squero_now() + make_interval(secs => %(lease_seconds)s)
FROM job WHERE g.queue_id = job.queue_id
RETURNING g.queue_id, g.attempt, g.model, g.resolution, g.width, g.height, g.frames, g.fps,
    g.audio, g.seed, g.prompt, g.note, g.inputs, g.key_day, g.wrapped_key, g.memory_failures;

-- name: renew
-- The answer to a progress report: a row means go on. A render that had to wait begins only now.
UPDATE generations
SET progress = %(progress)s, progress_at = squero_now(), note = coalesce(%(note)s, note),
    started_at = CASE WHEN %(begins)s AND progress = 0 THEN squero_now() ELSE started_at END,
    lease_until = squero_now() + make_interval(secs => %(lease_seconds)s)
WHERE queue_id = %(queue_id)s AND attempt = %(attempt)s AND worker_id = %(worker_id)s
  AND state = 'rendering'
RETURNING attempt;

-- name: attempt
-- The attempt that a worker speaks of, also after it has settled.
SELECT queue_id, attempt, state, media, inputs, key_day, wrapped_key, width, height, frames, fps,
       audio
FROM generations
WHERE queue_id = %(queue_id)s AND attempt = %(attempt)s AND worker_id = %(worker_id)s;

-- name: complete
UPDATE generations
SET state = 'completed', media = 'kept', progress = 1, lease_until = NULL, prompt = NULL,
    note = NULL, finished_at = squero_now(),
    expires_at = squero_now() + make_interval(hours => %(retention_hours)s),
    render_us = extract(epoch FROM squero_now() - started_at) * 1000000
WHERE queue_id = %(queue_id)s AND attempt = %(attempt)s AND worker_id = %(worker_id)s
  AND state = 'rendering'
RETURNING queue_id, account_id, lane, model, estimate_us, render_us, strikes, lost_leases,
    memory_failures;

-- name: interrupt
-- An attempt ends without a result and the job waits again; the next claim is a new attempt.
UPDATE generations
SET state = 'queued', lease_until = NULL, progress = 0,
    strikes = strikes + (%(reason)s = 'strike')::integer,
    lost_leases = lost_leases + (%(reason)s IN ('lease', 'death'))::integer,
    memory_failures = memory_failures + (%(reason)s = 'memory')::integer
WHERE queue_id = %(queue_id)s AND attempt = %(attempt)s AND state = 'rendering'
  AND (%(worker_id)s::uuid IS NULL OR worker_id = %(worker_id)s)
  AND (%(reason)s <> 'lease' OR lease_until <= squero_now())
RETURNING queue_id, account_id, lane, model, estimate_us,
    (extract(epoch FROM squero_now() - started_at) * 1000000)::bigint AS render_us,
    strikes, lost_leases, memory_failures;

-- name: fail
-- For good: the same failure is told on every poll.
UPDATE generations
SET state = 'failed', failure = %(failure)s, failure_message = %(message)s,
    finished_at = squero_now(), prompt = NULL, note = NULL, wrapped_key = NULL
WHERE queue_id = %(queue_id)s AND state = 'queued'
RETURNING queue_id, account_id, lane, estimate_us;

-- name: cancel
UPDATE generations
SET state = 'cancelled', failure = 'cancelled', finished_at = squero_now(), lease_until = NULL,
    prompt = NULL, note = NULL, wrapped_key = NULL,
    render_us = CASE state WHEN 'rendering'
        THEN (extract(epoch FROM squero_now() - started_at) * 1000000)::bigint END
WHERE queue_id = %(queue_id)s AND account_id = %(account_id)s
  AND state IN ('queued', 'rendering')
RETURNING queue_id, account_id, lane, model, estimate_us, render_us, strikes, lost_leases,
    memory_failures;

-- name: exists
-- Whether a generation is the account's own.
SELECT queue_id FROM generations
WHERE queue_id = %(queue_id)s AND account_id = %(account_id)s;

-- name: poll
-- Customers' own generations, as their polls see them, for many polls at once. Each is looked up
-- by itself, and so is what waits before it of its account's own jobs, up to a thousand.
SELECT g.*, ahead.count AS ahead
FROM unnest(%(queue_ids)s::uuid[], %(account_ids)s::uuid[]) AS asked (queue_id, account_id)
CROSS JOIN LATERAL (
    SELECT queue_id, account_id, seq, model, lane, state, media, attempt, progress, failure,
           failure_message, estimate_us, expected_wait_us, key_day, wrapped_key,
           (extract(epoch FROM squero_now() - created_at) * 1000)::bigint AS execution_ms,
           (extract(epoch FROM progress_at - started_at) * 1000000)::bigint AS progressed_us,
           (extract(epoch FROM squero_now() - progress_at) * 1000000)::bigint AS since_us
    FROM generations
    WHERE queue_id = asked.queue_id AND account_id = asked.account_id
    LIMIT 1) AS g
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT 1 FROM generations before
        WHERE g.state = 'queued' AND before.lane = g.lane AND before.account_id = g.account_id
          AND before.state = 'queued' AND before.seq < g.seq
        LIMIT 1000) AS waiting) AS ahead;

-- name: delete_media
-- The key goes with the row's media: what may linger of the bytes can no longer be read.
UPDATE generations
SET media = 'deleted', prompt = NULL, wrapped_key = NULL
WHERE queue_id = %(queue_id)s AND media = 'kept'
RETURNING queue_id;

-- name: expired
UPDATE generations
SET media = 'deleted', prompt = NULL, wrapped_key = NULL
WHERE queue_id IN (
    SELECT queue_id FROM generations
    WHERE media = 'kept' AND expires_at <= squero_now()
    ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
RETURNING queue_id;

-- name: overdue
-- Jobs that have waited longer than they may.
SELECT queue_id, attempt FROM generations
WHERE state = 'queued' AND created_at <= squero_now() - make_interval(hours => %(queue_hours)s)
ORDER BY created_at LIMIT 1000;

-- name: gone
-- Jobs that wait for a model that is none of these. Only the models of each queue are read, one
-- after the other, and then the jobs of those that are gone: as a range of one model, for where the
-- statistics know but one, `=` reads the whole queue.
WITH RECURSIVE waiting AS (
    SELECT lane, account_id, '' AS model FROM shares WHERE queued > 0
    UNION ALL
    SELECT w.lane, w.account_id, next.model
    FROM waiting w CROSS JOIN LATERAL (
        SELECT g.model FROM generations g
        WHERE g.lane = w.lane AND g.account_id = w.account_id AND g.state = 'queued'
          AND g.model > w.model
        ORDER BY g.model LIMIT 1) AS next
)
SELECT job.queue_id, job.attempt
FROM waiting w CROSS JOIN LATERAL (
    SELECT queue_id, attempt FROM generations g
    WHERE g.lane = w.lane AND g.account_id = w.account_id
      AND g.model >= w.model AND g.model <= w.model AND g.state = 'queued'
    ORDER BY g.model, seq) AS job
WHERE w.model <> ALL (%(models)s::text[]);

-- name: watch
-- After a start or an outage no lease expires for one lease length: its worker could not renew.
UPDATE watch
SET quiet_until = CASE WHEN looked_at < squero_now() - make_interval(secs => %(gap_seconds)s)
        THEN squero_now() + make_interval(secs => %(lease_seconds)s) ELSE quiet_until END,
    looked_at = squero_now()
RETURNING quiet_until <= squero_now() AS may_expire;

-- name: hush
-- A start: whoever renders must have the time to find the server again. Not when it was quiet less
-- than a lease ago: one of many servers that starts over and over would keep every lease for ever.
UPDATE watch
SET looked_at = squero_now(),
    quiet_until = squero_now() + make_interval(secs => %(lease_seconds)s)
WHERE quiet_until + make_interval(secs => %(lease_seconds)s) <= squero_now();

-- name: lost
-- Attempts whose lease has run out.
SELECT queue_id, attempt FROM generations
WHERE state = 'rendering' AND lease_until <= squero_now()
ORDER BY lease_until LIMIT 100;

-- name: rendered_by
-- The attempts of a server's own worker that is known to be dead, or of all of them.
SELECT g.queue_id, g.attempt FROM generations g JOIN workers w ON w.id = g.worker_id
WHERE g.state = 'rendering' AND w.server = %(server)s
  AND (%(worker_id)s::uuid IS NULL OR w.id = %(worker_id)s);

-- name: readable
-- Of these, the ones whose media can still be read, and by what: anything else is an orphan.
SELECT queue_id, state FROM generations
WHERE queue_id = ANY(%(queue_ids)s) AND wrapped_key IS NOT NULL;

-- name: timing
-- The P80 of the measured render of this kind of job, once there are ten of them.
SELECT percentile_disc(0.8) WITHIN GROUP (ORDER BY render_us) AS p80_us
FROM (
    SELECT render_us FROM generations
    WHERE model = %(model)s AND resolution = %(resolution)s AND frames = %(frames)s
      AND state = 'completed'
    ORDER BY finished_at DESC LIMIT 100) AS latest
HAVING count(*) >= 10;

-- name: rendering
-- What is left of the renders of a lane, by their estimates.
SELECT coalesce(sum(greatest(0, estimate_us
           - extract(epoch FROM squero_now() - started_at) * 1000000)), 0)::bigint AS left_us
FROM generations WHERE lane = %(lane)s AND state = 'rendering';

-- name: states
-- How many jobs are queued and rendering in each lane, from the shares' counts.
SELECT lane, state, sum(jobs)::bigint AS count
FROM shares CROSS JOIN LATERAL (VALUES ('queued', queued), ('rendering', running))
    AS counts (state, jobs)
WHERE jobs > 0 GROUP BY lane, state;

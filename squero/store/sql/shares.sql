-- Fair queueing by virtual time: it is charged when work starts, not when it is queued.

-- name: open
-- An account's share of a lane, before its first job there. Waits for whoever changes its terms, and
-- they for it: `accounts.set_share` reaches every share there is.
INSERT INTO shares (lane, account_id, weight, cap)
SELECT %(lane)s, id, weight, cap FROM accounts WHERE id = %(account_id)s FOR SHARE
ON CONFLICT (lane, account_id) DO NOTHING;

-- name: leave
-- A job that waited waits no more, and never started.
UPDATE shares SET queued = queued - 1, waiting_us = waiting_us - %(estimate_us)s
WHERE lane = %(lane)s AND account_id = %(account_id)s;

-- name: settle
-- An attempt is over: its estimate gives way to the time that it took.
UPDATE shares
SET running = running - 1,
    virtual_us = virtual_us + (%(render_us)s - %(estimate_us)s) / weight
WHERE lane = %(lane)s AND account_id = %(account_id)s;

-- name: requeue
-- As settle, and the job waits again.
UPDATE shares
SET running = running - 1, queued = queued + 1, waiting_us = waiting_us + %(estimate_us)s,
    virtual_us = virtual_us + (%(render_us)s - %(estimate_us)s) / weight
WHERE lane = %(lane)s AND account_id = %(account_id)s;

-- name: waiting
-- What waits in a lane, by account.
SELECT account_id, queued, waiting_us FROM shares WHERE lane = %(lane)s AND queued > 0;

-- name: differences
-- Every share whose counts are not those of its generations, and those that have no share at all.
SELECT lane, a.name AS account,
       coalesce(s.queued, 0) AS queued, coalesce(s.running, 0) AS running,
       coalesce(s.waiting_us, 0) AS waiting_us,
       coalesce(g.queued, 0) AS queued_rows, coalesce(g.running, 0) AS running_rows,
       coalesce(g.waiting_us, 0) AS waiting_us_rows
FROM shares s
FULL JOIN (
    SELECT lane, account_id, count(*) FILTER (WHERE state = 'queued') AS queued,
           count(*) FILTER (WHERE state = 'rendering') AS running,
           coalesce(sum(estimate_us) FILTER (WHERE state = 'queued'), 0)::bigint AS waiting_us
    FROM generations WHERE state IN ('queued', 'rendering') GROUP BY lane, account_id
) g USING (lane, account_id)
JOIN accounts a ON a.id = account_id
WHERE (coalesce(s.queued, 0), coalesce(s.running, 0), coalesce(s.waiting_us, 0))
   <> (coalesce(g.queued, 0), coalesce(g.running, 0), coalesce(g.waiting_us, 0))
ORDER BY lane, a.name;

-- name: room
-- How many jobs of an account wait in a lane, and whether its money would do for another: to refuse
-- early what `generations.queue` would refuse, never to take it.
SELECT coalesce(s.queued, 0) AS queued,
       (a.diem_micros >= %(price_micros)s AND NOT EXISTS (
           SELECT FROM balances WHERE account_id = a.id AND epoch = squero_today()))
       OR EXISTS (
           SELECT FROM balances b
           WHERE b.account_id = a.id AND b.epoch IN ('epoch', squero_today())
             AND squero_covers(a, b, %(price_micros)s)) AS funded
FROM accounts a
LEFT JOIN shares s ON s.account_id = a.id AND s.lane = %(lane)s
WHERE a.id = %(account_id)s;

-- name: queued
-- How many jobs wait in a lane.
SELECT coalesce(sum(queued), 0)::bigint FROM shares
WHERE lane = %(lane)s AND (queued > 0 OR running > 0);

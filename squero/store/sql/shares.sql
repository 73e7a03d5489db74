-- Fair queueing by virtual time: it is charged when work starts, not when it is queued.

-- name: enqueue
-- An account that had nothing queued or running comes back at the larger of its own virtual time
-- and the least of the active ones, so that it neither owes for its absence nor profits from it.
INSERT INTO shares AS s (lane, account_id, weight, cap, queued, waiting_us, virtual_us)
VALUES (%(lane)s, %(account_id)s, %(weight)s, %(cap)s, 1, %(estimate_us)s, coalesce(
    (SELECT min(virtual_us) FROM shares WHERE lane = %(lane)s AND (queued > 0 OR running > 0)), 0))
ON CONFLICT (lane, account_id) DO UPDATE SET
    queued = s.queued + 1, waiting_us = s.waiting_us + excluded.waiting_us,
    weight = excluded.weight, cap = excluded.cap,
    virtual_us = CASE WHEN s.queued > 0 OR s.running > 0 THEN s.virtual_us
                 ELSE greatest(s.virtual_us, excluded.virtual_us) END;

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
-- Every share whose counts are not those of its generations.
SELECT s.lane, a.name AS account, s.queued, s.running,
       count(*) FILTER (WHERE g.state = 'queued') AS queued_rows,
       count(*) FILTER (WHERE g.state = 'rendering') AS running_rows
FROM shares s
JOIN accounts a ON a.id = s.account_id
LEFT JOIN generations g ON g.lane = s.lane AND g.account_id = s.account_id
    AND g.state IN ('queued', 'rendering')
GROUP BY s.lane, s.account_id, a.name, s.queued, s.running
HAVING s.queued <> count(*) FILTER (WHERE g.state = 'queued')
    OR s.running <> count(*) FILTER (WHERE g.state = 'rendering')
ORDER BY s.lane, a.name;

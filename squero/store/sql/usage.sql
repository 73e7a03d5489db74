-- Usage: an account's entries, which are its holds and what became of those that were released. A
-- capture is no entry: the customer was charged when the job was queued.

-- name: balance
-- What an account may spend now. DIEM of a day that has not begun for it is what that begins with.
SELECT a.billing,
       coalesce(usd.available_micros, 0) AS usd_micros,
       coalesce(bundled.available_micros, 0) AS bundled_micros,
       coalesce(diem.available_micros, a.diem_micros) AS diem_micros,
       coalesce(refill.amount_micros, a.diem_micros) AS allocation_micros
FROM accounts a
LEFT JOIN balances usd ON usd.account_id = a.id AND usd.currency = 'USD'
LEFT JOIN balances bundled ON bundled.account_id = a.id AND bundled.currency = 'BUNDLED_CREDITS'
LEFT JOIN balances diem ON diem.account_id = a.id AND diem.epoch = squero_today()
LEFT JOIN transfers refill ON refill.id = 'refill:' || a.id || ':' || squero_today()
WHERE a.id = %(account_id)s;

-- name: count
SELECT count(*) FROM transfers
WHERE account_id = %(account_id)s
  AND 'held' IN (from_book, to_book) AND to_book <> 'revenue'
  AND created_at >= coalesce(%(start)s, '-infinity'::timestamptz)
  AND created_at < coalesce(%(until)s, 'infinity'::timestamptz)
  AND (%(currency)s::text IS NULL OR currency = %(currency)s);

-- name: newest
-- Each job is looked up by itself, whatever the planner thinks of the number of entries.
WITH entries AS (
    SELECT id, created_at, currency, to_book, amount_micros, queue_id FROM transfers
    WHERE account_id = %(account_id)s
      AND 'held' IN (from_book, to_book) AND to_book <> 'revenue'
      AND created_at >= coalesce(%(start)s, '-infinity'::timestamptz)
      AND created_at < coalesce(%(until)s, 'infinity'::timestamptz)
      AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    ORDER BY created_at DESC, id DESC
    LIMIT %(limit)s OFFSET %(offset)s
)
SELECT e.*, g.model, g.resolution, g.frames, g.fps, g.render_us
FROM entries e
CROSS JOIN LATERAL (
    SELECT model, resolution, frames, fps, render_us FROM generations
    WHERE queue_id = e.queue_id LIMIT 1) g
ORDER BY e.created_at DESC, e.id DESC;

-- name: oldest
-- The same in the order in which they came to be; also those after a given one.
WITH entries AS (
    SELECT id, created_at, currency, to_book, amount_micros, queue_id FROM transfers
    WHERE account_id = %(account_id)s
      AND 'held' IN (from_book, to_book) AND to_book <> 'revenue'
      AND (created_at, id) > (coalesce(%(start)s, '-infinity'::timestamptz), %(after)s::text)
      AND created_at < coalesce(%(until)s, 'infinity'::timestamptz)
      AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    ORDER BY created_at, id
    LIMIT %(limit)s OFFSET %(offset)s
)
SELECT e.*, g.model, g.resolution, g.frames, g.fps, g.render_us
FROM entries e
CROSS JOIN LATERAL (
    SELECT model, resolution, frames, fps, render_us FROM generations
    WHERE queue_id = e.queue_id LIMIT 1) g
ORDER BY e.created_at, e.id;

-- name: horizon
-- Before this moment no entry comes any more. An entry bears the time at which its transaction
-- began, so the oldest that is open bounds it; one that has been so for long counts only if it
-- writes, or waits to: a backup would stop the history. The grace is for what has only just begun.
SELECT squero_now() - greatest(make_interval(secs => %(grace_seconds)s), now() - (
    SELECT min(xact_start) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (backend_xid IS NOT NULL OR wait_event_type = 'Lock'
           OR xact_start > now() - make_interval(secs => %(young_seconds)s))));

-- name: totals
-- Charges by day, model and key; what was given back does not lessen them.
SELECT s.*, k.description, k.last6
FROM (
    SELECT (t.created_at AT TIME ZONE 'UTC')::date AS day, g.model, t.key_id,
           coalesce(sum(t.amount_micros) FILTER (WHERE t.currency <> 'DIEM'), 0)::bigint
               AS usd_micros,
           coalesce(sum(t.amount_micros) FILTER (WHERE t.currency = 'DIEM'), 0)::bigint
               AS diem_micros,
           sum(g.frames * 1000::bigint / g.fps)::bigint AS video_ms
    FROM transfers t
    CROSS JOIN LATERAL (
        SELECT model, frames, fps FROM generations WHERE queue_id = t.queue_id LIMIT 1) g
    WHERE t.account_id = %(account_id)s AND t.to_book = 'held'
      AND t.created_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'
      AND t.created_at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1, 2, 3) s
JOIN keys k ON k.id = s.key_id
ORDER BY s.day, s.model, k.created_at, k.id;

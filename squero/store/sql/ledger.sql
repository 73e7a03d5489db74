-- The ledger: transfers between books, and the balances that they add up to. A transfer's id is
-- made from what it settles, so that doing it twice does nothing.

-- name: credit
-- Money from outside, or a credit line: into a balance that has no epoch.
WITH credited AS (
    INSERT INTO balances AS b (account_id, currency, available_micros)
    VALUES (%(account_id)s, %(currency)s, %(amount_micros)s)
    ON CONFLICT (account_id, currency, epoch)
    DO UPDATE SET available_micros = b.available_micros + excluded.available_micros
    RETURNING account_id
)
INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros)
SELECT %(id)s, account_id, %(currency)s, %(book)s, 'available', %(amount_micros)s FROM credited;

-- name: debit
-- A credit line that is lowered; no row when less than that is available.
WITH debited AS (
    UPDATE balances SET available_micros = available_micros - %(amount_micros)s
    WHERE account_id = %(account_id)s AND currency = %(currency)s AND epoch = 'epoch'
      AND available_micros >= %(amount_micros)s
    RETURNING account_id
)
INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros)
SELECT %(id)s, account_id, %(currency)s, 'available', %(book)s, %(amount_micros)s FROM debited;

-- name: line
-- An account's credit line: what it was given of it.
SELECT coalesce(sum(CASE from_book WHEN 'line' THEN amount_micros ELSE -amount_micros END), 0)::bigint
FROM transfers
WHERE account_id = %(account_id)s AND 'line' IN (from_book, to_book);

-- name: refill
-- An epoch begins for an account: its DIEM. Nothing happens when it has begun before.
WITH begun AS (
    INSERT INTO balances (account_id, currency, epoch, available_micros)
    SELECT id, 'DIEM', squero_today(), diem_micros FROM accounts
    WHERE id = %(account_id)s AND diem_micros > 0
    ON CONFLICT DO NOTHING
    RETURNING account_id, epoch, available_micros
)
INSERT INTO transfers (id, account_id, currency, epoch, from_book, to_book, amount_micros)
SELECT 'refill:' || account_id || ':' || epoch, account_id, 'DIEM', epoch, 'funding', 'available',
       available_micros
FROM begun;

-- name: capture
-- Settles the hold as revenue; nothing happens when it was settled before.
WITH settled AS (
    INSERT INTO transfers
        (id, account_id, currency, epoch, from_book, to_book, amount_micros, queue_id, key_id)
    SELECT 'settle:' || %(queue_id)s::text, account_id, currency, epoch, 'held', 'revenue',
           amount_micros, queue_id, key_id
    FROM transfers WHERE id = 'hold:' || %(queue_id)s::text
    ON CONFLICT (id) DO NOTHING
    RETURNING account_id, currency, epoch, amount_micros
)
UPDATE balances b SET held_micros = held_micros - s.amount_micros
FROM settled s
WHERE b.account_id = s.account_id AND b.currency = s.currency AND b.epoch = s.epoch;

-- name: release
-- Gives the hold back to where it came from, and to the key's limit; DIEM of an epoch that is over
-- lapses. Nothing happens when it was settled before.
WITH settled AS (
    INSERT INTO transfers
        (id, account_id, currency, epoch, from_book, to_book, amount_micros, queue_id, key_id,
         counted_on)
    SELECT 'settle:' || %(queue_id)s::text, account_id, currency, epoch, 'held',
           CASE WHEN currency = 'DIEM' AND epoch < squero_today() THEN 'lapsed' ELSE from_book END,
           amount_micros, queue_id, key_id, counted_on
    FROM transfers WHERE id = 'hold:' || %(queue_id)s::text
    ON CONFLICT (id) DO NOTHING
    RETURNING account_id, currency, epoch, amount_micros, to_book, key_id, counted_on
), released AS (
    UPDATE balances b
    SET held_micros = held_micros - s.amount_micros,
        available_micros = available_micros
            + CASE s.to_book WHEN 'available' THEN s.amount_micros ELSE 0 END
    FROM settled s
    WHERE b.account_id = s.account_id AND b.currency = s.currency AND b.epoch = s.epoch
    RETURNING s.key_id, b.currency, s.amount_micros, s.counted_on
)
UPDATE spending s
SET day_micros = day_micros - CASE WHEN r.counted_on = s.day THEN r.amount_micros ELSE 0 END,
    month_micros = month_micros
        - CASE WHEN to_char(r.counted_on, 'YYYYMM') = to_char(s.day, 'YYYYMM')
          THEN r.amount_micros ELSE 0 END,
    lifetime_micros = lifetime_micros - r.amount_micros
FROM released r
WHERE s.key_id = r.key_id AND s.currency = CASE r.currency WHEN 'DIEM' THEN 'DIEM' ELSE 'USD' END;

-- name: differences
-- Every balance that is not the sum of its transfers, also one that is missing: it has no amounts.
SELECT a.name AS account, currency, epoch, b.available_micros, b.held_micros,
       coalesce(t.available_micros, 0) AS available_sum, coalesce(t.held_micros, 0) AS held_sum
FROM balances b
FULL JOIN (
    SELECT account_id, currency, epoch,
           sum(CASE 'available' WHEN to_book THEN amount_micros
               WHEN from_book THEN -amount_micros ELSE 0 END)::bigint AS available_micros,
           sum(CASE 'held' WHEN to_book THEN amount_micros
               WHEN from_book THEN -amount_micros ELSE 0 END)::bigint AS held_micros
    FROM transfers GROUP BY account_id, currency, epoch
) t USING (account_id, currency, epoch)
JOIN accounts a ON a.id = account_id
WHERE (b.available_micros, b.held_micros) IS DISTINCT FROM
      (coalesce(t.available_micros, 0), coalesce(t.held_micros, 0))
ORDER BY a.name, currency, epoch;

-- name: miscounted
-- Every count of a key's spending that is not the sum of its holds that were not released, by the
-- day in which they were made; and every one that is missing, which has no amount. A day of spending
-- that has not come yet, and in which nothing was held, hides nothing of those before it.
WITH spent AS (
    SELECT key_id, CASE currency WHEN 'DIEM' THEN 'DIEM' ELSE 'USD' END AS currency, counted_on,
           sum(CASE to_book WHEN 'held' THEN amount_micros ELSE -amount_micros END) AS micros
    FROM transfers
    WHERE key_id IS NOT NULL AND 'held' IN (from_book, to_book) AND to_book <> 'revenue'
    GROUP BY 1, 2, 3
), latest AS (
    SELECT key_id, currency, greatest(max(counted_on), squero_today()) AS day
    FROM spent GROUP BY key_id, currency
), summed AS (
    SELECT t.key_id, t.currency, sum(t.micros)::bigint AS lifetime_micros,
           coalesce(sum(t.micros) FILTER (
               WHERE t.counted_on >= least(s.day, l.day)), 0)::bigint AS day_micros,
           coalesce(sum(t.micros) FILTER (
               WHERE t.counted_on >= date_trunc('month', least(s.day, l.day))), 0)::bigint
               AS month_micros
    FROM spent t
    JOIN latest l USING (key_id, currency)
    LEFT JOIN spending s USING (key_id, currency)
    GROUP BY t.key_id, t.currency
)
SELECT a.name AS account, k.last6, known.currency, counts.period, counts.spent_micros,
       coalesce(counts.spent_sum, 0) AS spent_sum
FROM keys k
JOIN accounts a ON a.id = k.account_id
CROSS JOIN (VALUES ('DIEM'), ('USD')) AS known (currency)
LEFT JOIN spending s ON s.key_id = k.id AND s.currency = known.currency
LEFT JOIN summed t ON t.key_id = k.id AND t.currency = known.currency
CROSS JOIN LATERAL (VALUES
    (1, 'latest day', s.day_micros, t.day_micros),
    (2, 'latest month', s.month_micros, t.month_micros),
    (3, 'lifetime', s.lifetime_micros, t.lifetime_micros)
) AS counts (place, period, spent_micros, spent_sum)
WHERE counts.spent_micros <> coalesce(counts.spent_sum, 0)
   OR (s.key_id IS NULL AND counts.period = 'lifetime')
ORDER BY a.name, k.last6, known.currency, counts.place;

-- name: unsettled
-- Jobs whose end and whose money disagree, the first hundred, and what is wrong with each: the first
-- that applies. Holds and settlements are known by their books, so that none hides behind its id.
SELECT queue_id, state, fault FROM (
    SELECT job AS queue_id, g.state,
           coalesce(g.created_at, h.created_at, s.created_at) AS created_at, CASE
        WHEN g.job IS NULL THEN 'it has money, but there is no such job'
        WHEN h.id IS NULL THEN 'nothing was held for it'
        WHEN h.id <> 'hold:' || g.job OR h.from_book NOT IN ('available', 'funding')
            OR h.to_book <> 'held'
            OR (h.queue_id, h.account_id, h.key_id, h.currency, h.amount_micros)
                IS DISTINCT FROM
                (g.queue_id, g.account_id, g.key_id, g.currency, g.price_micros)
            THEN 'its hold is not of its price, currency, account and key'
        WHEN s.id IS NULL
            THEN CASE WHEN g.state NOT IN ('queued', 'rendering') THEN 'its hold was not settled' END
        WHEN g.state IN ('queued', 'rendering')
            THEN 'its money went to ' || s.to_book || ' before its end'
        WHEN (s.to_book = 'revenue') <> (g.state = 'completed')
            OR s.to_book NOT IN ('revenue', 'lapsed', h.from_book)
            OR (s.to_book = 'lapsed' AND s.currency <> 'DIEM')
            THEN 'its money went to ' || s.to_book
        WHEN s.id <> 'settle:' || g.job OR s.from_book <> 'held'
            OR (s.queue_id, s.account_id, s.key_id, s.currency, s.epoch, s.amount_micros)
                IS DISTINCT FROM
                (h.queue_id, h.account_id, h.key_id, h.currency, h.epoch, h.amount_micros)
            OR (s.to_book <> 'revenue' AND s.counted_on IS DISTINCT FROM h.counted_on)
            THEN 'its settlement is not of what was held'
        END AS fault
    FROM (SELECT *, queue_id::text AS job FROM generations) g
    FULL JOIN (
        SELECT *, CASE WHEN starts_with(id, 'hold:') THEN substr(id, 6) ELSE id END AS job
        FROM transfers
        WHERE starts_with(id, 'hold:') OR to_book = 'held'
    ) h USING (job)
    FULL JOIN (
        SELECT *, CASE WHEN starts_with(id, 'settle:') THEN substr(id, 8) ELSE id END AS job
        FROM transfers
        WHERE starts_with(id, 'settle:') OR from_book = 'held'
    ) s USING (job)
) jobs
WHERE fault IS NOT NULL
ORDER BY created_at, queue_id
LIMIT 100;

-- name: totals
-- What there is of each currency that anybody has, and of USD.
SELECT currency, coalesce(b.balances, 0) AS balances, coalesce(t.transfers, 0) AS transfers,
       coalesce(t.revenue_micros, 0) AS revenue_micros, coalesce(b.held_micros, 0) AS held_micros
FROM unnest('{DIEM,BUNDLED_CREDITS,USD}'::text[]) WITH ORDINALITY AS known (currency, place)
LEFT JOIN (
    SELECT currency, count(*) AS balances, sum(held_micros)::bigint AS held_micros
    FROM balances GROUP BY currency) b USING (currency)
LEFT JOIN (
    SELECT currency, count(*) AS transfers,
           sum(amount_micros) FILTER (WHERE to_book = 'revenue')::bigint AS revenue_micros
    FROM transfers GROUP BY currency) t USING (currency)
WHERE currency = 'USD' OR b.balances > 0
ORDER BY place;

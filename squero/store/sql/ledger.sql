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
-- Every balance that is not the sum of its transfers.
SELECT a.name AS account, b.currency, b.epoch, b.available_micros, b.held_micros,
       t.available_micros AS available_sum, t.held_micros AS held_sum
FROM balances b
JOIN accounts a ON a.id = b.account_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE 'available' WHEN to_book THEN amount_micros
                        WHEN from_book THEN -amount_micros ELSE 0 END), 0)::bigint
               AS available_micros,
           coalesce(sum(CASE 'held' WHEN to_book THEN amount_micros
                        WHEN from_book THEN -amount_micros ELSE 0 END), 0)::bigint
               AS held_micros
    FROM transfers
    WHERE account_id = b.account_id AND currency = b.currency AND epoch = b.epoch
) t
WHERE (b.available_micros, b.held_micros) <> (t.available_micros, t.held_micros)
ORDER BY a.name, b.currency, b.epoch;

-- name: miscounted
-- Every key whose spending is not the sum of its holds that were not released.
SELECT a.name AS account, k.last6, s.currency, s.lifetime_micros AS spent_micros,
       t.micros AS spent_sum
FROM spending s
JOIN keys k ON k.id = s.key_id
JOIN accounts a ON a.id = k.account_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(h.amount_micros), 0)::bigint AS micros
    FROM transfers h
    WHERE h.key_id = s.key_id AND h.to_book = 'held' AND (h.currency = 'DIEM') = (s.currency = 'DIEM')
      AND NOT EXISTS (SELECT FROM transfers r
                      WHERE r.id = 'settle:' || h.queue_id AND r.to_book <> 'revenue')
) t
WHERE s.lifetime_micros <> t.micros
ORDER BY a.name, k.last6;

-- name: unsettled
-- Generations whose end and whose money disagree: an end without its settlement, a settlement
-- without its end, a completed one released, a failed one captured, a price that was not held.
SELECT g.queue_id, g.state, s.to_book AS settled_to
FROM generations g
LEFT JOIN transfers h ON h.id = 'hold:' || g.queue_id
LEFT JOIN transfers s ON s.id = 'settle:' || g.queue_id
WHERE h.id IS NULL OR h.amount_micros <> g.price_micros
   OR (g.state IN ('queued', 'rendering')) <> (s.id IS NULL)
   OR (g.state = 'completed' AND s.to_book <> 'revenue')
   OR (g.state IN ('failed', 'cancelled') AND s.to_book = 'revenue')
ORDER BY g.created_at
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

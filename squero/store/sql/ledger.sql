-- The ledger: transfers between books, and the balances that they add up to. A transfer's id is
-- made from what it settles, so that doing it twice does nothing.

-- name: credit
WITH credited AS (
    UPDATE balances SET available_micros = available_micros + %(amount_micros)s
    WHERE account_id = %(account_id)s AND currency = %(currency)s
    RETURNING account_id
)
INSERT INTO transfers (id, account_id, currency, from_book, to_book, amount_micros)
SELECT %(id)s, account_id, %(currency)s, 'funding', 'available', %(amount_micros)s FROM credited;

-- name: capture
-- Settles the hold as revenue; nothing happens when it was settled before.
WITH settled AS (
    INSERT INTO transfers
        (id, account_id, currency, from_book, to_book, amount_micros, queue_id, key_id)
    SELECT 'settle:' || %(queue_id)s::text, account_id, currency, 'held', 'revenue',
           amount_micros, queue_id, key_id
    FROM transfers WHERE id = 'hold:' || %(queue_id)s::text
    ON CONFLICT (id) DO NOTHING
    RETURNING account_id, currency, amount_micros
)
UPDATE balances b SET held_micros = held_micros - s.amount_micros
FROM settled s WHERE b.account_id = s.account_id AND b.currency = s.currency;

-- name: release
-- Gives the hold back to where it came from; nothing happens when it was settled before.
WITH settled AS (
    INSERT INTO transfers
        (id, account_id, currency, from_book, to_book, amount_micros, queue_id, key_id)
    SELECT 'settle:' || %(queue_id)s::text, account_id, currency, 'held', from_book,
           amount_micros, queue_id, key_id
    FROM transfers WHERE id = 'hold:' || %(queue_id)s::text
    ON CONFLICT (id) DO NOTHING
    RETURNING account_id, currency, amount_micros, to_book
)
UPDATE balances b
SET held_micros = held_micros - s.amount_micros,
    available_micros = available_micros
        + CASE s.to_book WHEN 'available' THEN s.amount_micros ELSE 0 END
FROM settled s WHERE b.account_id = s.account_id AND b.currency = s.currency;

-- name: differences
-- Every balance that is not the sum of its transfers.
SELECT a.name AS account, b.currency, b.available_micros, b.held_micros,
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
    FROM transfers WHERE account_id = b.account_id AND currency = b.currency
) t
WHERE (b.available_micros, b.held_micros) <> (t.available_micros, t.held_micros)
ORDER BY a.name;

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
SELECT count(*) AS transfers,
       coalesce(sum(amount_micros) FILTER (WHERE to_book = 'revenue'), 0)::bigint
           AS revenue_micros,
       (SELECT coalesce(sum(held_micros), 0)::bigint FROM balances) AS held_micros,
       (SELECT count(*) FROM balances) AS balances
FROM transfers;

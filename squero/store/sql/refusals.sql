-- Refusals: calls that were refused for their number.

-- name: add
-- Those of accounts that are still there.
INSERT INTO refusals (account_id, key_id, model, tier, type, created_at)
SELECT account_id, key_id, model, tier, type, squero_now() - make_interval(secs => seconds_ago)
FROM unnest(%(account_ids)s::uuid[], %(key_ids)s::uuid[], %(models)s::text[], %(tiers)s::text[],
            %(types)s::text[], %(seconds_ago)s::double precision[])
    WITH ORDINALITY AS new (account_id, key_id, model, tier, type, seconds_ago, place)
WHERE EXISTS (SELECT FROM keys k WHERE k.id = new.key_id AND k.account_id = new.account_id)
ORDER BY place;

-- name: last
-- The newest of an account, newest first.
SELECT key_id, model, tier, type, created_at FROM refusals
WHERE account_id = %(account_id)s
ORDER BY id DESC LIMIT %(most)s;

-- name: trim
-- Of every account only the newest stay.
DELETE FROM refusals r USING accounts a
WHERE r.account_id = a.id AND r.id <= (
    SELECT id FROM refusals WHERE account_id = a.id ORDER BY id DESC OFFSET %(most)s LIMIT 1);

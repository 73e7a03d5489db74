-- Prices: what upstreams ask for a clip, reported by workers.

-- name: of
SELECT seconds, resolution, nullif(aspect_ratio, '') AS aspect_ratio, audio, price_micros
FROM upstream_prices
WHERE model = %(model)s AND terms = %(terms)s
  AND reported_at > squero_now() - make_interval(secs => %(kept_seconds)s);

-- name: lately
-- Whose upstreams have lately been asked.
SELECT DISTINCT model, terms FROM upstream_prices
WHERE reported_at > squero_now() - make_interval(secs => %(asked_seconds)s);

-- name: report
INSERT INTO upstream_prices (model, terms, seconds, resolution, aspect_ratio, audio, price_micros)
SELECT %(model)s, %(terms)s, clips.* FROM unnest(
    %(seconds)s::integer[], %(resolutions)s::text[], %(aspect_ratios)s::text[],
    %(audios)s::boolean[], %(prices_micros)s::bigint[]) AS clips
ORDER BY 3, 4, 5, 6
ON CONFLICT (model, terms, seconds, resolution, aspect_ratio, audio)
DO UPDATE SET price_micros = excluded.price_micros, reported_at = squero_now();

-- name: forget
-- What is too old to be a price.
DELETE FROM upstream_prices
WHERE reported_at <= squero_now() - make_interval(secs => %(kept_seconds)s);

-- What upstreams ask for a clip, as workers report it.

CREATE TABLE upstream_prices (
    model text NOT NULL,
    terms text NOT NULL,
    seconds integer NOT NULL,
    resolution text NOT NULL,
    aspect_ratio text NOT NULL,
    audio boolean NOT NULL,
    price_micros bigint NOT NULL CHECK (price_micros >= 0),
    reported_at timestamptz NOT NULL DEFAULT squero_now(),
    PRIMARY KEY (model, terms, seconds, resolution, aspect_ratio, audio)
);
COMMENT ON COLUMN upstream_prices.terms
    IS 'the engine and its options, hashed: of another upstream the price is no use';
COMMENT ON COLUMN upstream_prices.aspect_ratio IS 'empty: as the picture is';

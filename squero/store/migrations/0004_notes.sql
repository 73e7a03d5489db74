-- What an engine tells the next attempt.

ALTER TABLE generations ADD COLUMN note bytea;
COMMENT ON COLUMN generations.note IS 'sealed like the prompt, and gone with it';

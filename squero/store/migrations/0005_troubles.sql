-- What a worker cannot render, and whose turn it is with a job that failed.

ALTER TABLE workers ADD COLUMN troubles jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN workers.troubles IS 'by model, why it does not render it, as it told last';
CREATE INDEX generations_struck ON generations (worker_id) WHERE state = 'queued' AND strikes > 0;

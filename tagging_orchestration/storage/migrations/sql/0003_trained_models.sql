-- Models trained from an organisation's own labels. A training adds a candidate; the quality gate or a person
-- makes it active; the one before is retired and can be put back.

CREATE TABLE tagging.trained_models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    kind text NOT NULL CHECK (kind IN ('classifier', 'ranker')),
    version text NOT NULL CHECK (version <> ''),
    status text NOT NULL DEFAULT 'candidate' CHECK (status IN ('candidate', 'active', 'retired')),
    trained_on jsonb NOT NULL DEFAULT '{}',
    metrics jsonb NOT NULL DEFAULT '{}',
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    activated_at timestamptz,
    activated_by text,
    retired_at timestamptz,
    UNIQUE (organization_id, kind, version),
    CHECK (status <> 'active' OR activated_at IS NOT NULL)
);
-- Payloads are compressed already.
ALTER TABLE tagging.trained_models ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX trained_models_active ON tagging.trained_models (organization_id, kind)
    WHERE status = 'active';
COMMENT ON COLUMN tagging.trained_models.version IS
    'Fingerprint of the labels, settings and code it was trained from: an equal one is not trained again.';
COMMENT ON COLUMN tagging.trained_models.trained_on IS 'Numbers of texts, tags and labels it has seen.';
COMMENT ON COLUMN tagging.trained_models.metrics IS
    'Scores on the held-out contents, beside those of the model that was active then.';

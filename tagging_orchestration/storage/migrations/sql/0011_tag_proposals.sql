-- Tags that a language model proposed. The table stands in the schema `tagging` because the tagger reads it, and
-- nothing of the base reads the schema `ai`. Without rows the tagger is what it is without a model.

CREATE TABLE tagging.llm_proposals (
    content_id bigint PRIMARY KEY REFERENCES tagging.contents (id) ON DELETE CASCADE,
    organization_id text NOT NULL DEFAULT 'default',
    text_hash text NOT NULL,
    fingerprint text NOT NULL,
    status text NOT NULL CHECK (status IN ('done', 'failed')),
    reason text NOT NULL DEFAULT '',
    proposals jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(proposals) = 'array'),
    refused jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(refused) = 'object'),
    provider text,
    model text,
    prompt_version text,
    tokens integer NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    cost_usd numeric(12, 6) NOT NULL DEFAULT 0 CHECK (cost_usd >= 0),
    attempts smallint NOT NULL DEFAULT 1 CHECK (attempts > 0),
    failed_fingerprint text,
    retry_at timestamptz,
    in_use boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (status = 'done' OR reason <> ''),
    CHECK ((reason <> '') = (failed_fingerprint IS NOT NULL)),
    CHECK ((reason <> '') = (retry_at IS NOT NULL))
);
CREATE INDEX llm_proposals_in_use ON tagging.llm_proposals (organization_id) WHERE in_use;
COMMENT ON COLUMN tagging.llm_proposals.fingerprint IS
    'of the prompt, the models that may answer, and the settings: with text_hash it says what was asked, so that '
    'a content is asked about again when either changed';
COMMENT ON COLUMN tagging.llm_proposals.reason IS
    'why the last question got no answer; proposals made before from the same text stand meanwhile';
COMMENT ON COLUMN tagging.llm_proposals.failed_fingerprint IS
    'the question that failed: it is asked again after retry_at, another one at once';
COMMENT ON COLUMN tagging.llm_proposals.refused IS 'proposals that were not kept, counted by why';
COMMENT ON COLUMN tagging.llm_proposals.in_use IS 'the content was made pending for the tagger with these proposals';

-- An erasure takes what was said to and by a model about the content along, and what quotes it.
CREATE FUNCTION ai.erase_content_traces() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM ai.ai_enhancements AS e
    WHERE
        e.organization_id = new.organization_id
        AND (
            e.subject_type = 'content' AND new.content_id::text = ANY (string_to_array(e.subject_id, ','))
            OR e.variables::text ~ ('\mcontent:' || new.content_id || '\M')
        );
    UPDATE ai.ai_usage_logs AS l
    SET prompt = NULL
    WHERE
        l.organization_id = new.organization_id AND l.prompt IS NOT NULL
        AND (
            l.subject_type = 'content' AND new.content_id::text = ANY (string_to_array(l.subject_id, ','))
            OR l.prompt ~ ('\mcontent:' || new.content_id || '\M')
        );
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ai.erase_content_traces() FROM PUBLIC;
CREATE TRIGGER erasures_reach_ai AFTER INSERT ON tagging.erasures
    FOR EACH ROW EXECUTE FUNCTION ai.erase_content_traces();

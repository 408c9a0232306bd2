-- Proposals about the structure of the vocabulary that wait for a person: a broader tag, or a split into narrower ones.

CREATE TABLE tagging.structure_proposals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id text NOT NULL DEFAULT 'default',
    kind text NOT NULL CHECK (kind IN ('broader', 'split')),
    tag_id bigint NOT NULL REFERENCES tagging.tags (id),
    parent_id bigint REFERENCES tagging.tags (id),
    parts jsonb NOT NULL DEFAULT '[]',
    score real NOT NULL CHECK (score BETWEEN 0 AND 1),
    signals jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'accepted', 'refused', 'undone')),
    operation_id uuid,
    decided_by text,
    decided_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'broader') = (parent_id IS NOT NULL)),
    CHECK (parent_id <> tag_id)
);
-- A question is asked once; what a person refused or took back is never asked again.
CREATE UNIQUE INDEX structure_proposals_question
    ON tagging.structure_proposals (kind, tag_id, coalesce(parent_id, 0));
CREATE INDEX structure_proposals_open ON tagging.structure_proposals (organization_id, score DESC)
    WHERE status = 'open';
COMMENT ON TABLE tagging.structure_proposals IS
    'A broader tag or a split that a machine proposes; operation_id is the change that accepting it made.';

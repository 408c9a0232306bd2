-- What an optional language model needs and leaves behind, in a schema of its own: nothing of the base reads it.
-- Tables and columns carry the names people already use in their operations SQL.

CREATE SCHEMA ai;

-- ------------------------------------------------------------------------------------------------- providers

CREATE TABLE ai.ai_providers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(50) NOT NULL UNIQUE,
    display_name varchar(100) NOT NULL,
    provider_type varchar(20) NOT NULL CHECK (provider_type IN ('cloud', 'local', 'hybrid')),
    adapter varchar(20) NOT NULL DEFAULT 'ollama' CHECK (adapter IN ('ollama', 'openai', 'anthropic')),
    base_url varchar(500),
    default_model varchar(100),
    api_key_env varchar(100) CHECK (api_key_env ~ '^[A-Z][A-Z0-9_]*$'),
    price_in_per_million numeric(12, 6) NOT NULL DEFAULT 0 CHECK (price_in_per_million >= 0),
    price_out_per_million numeric(12, 6) NOT NULL DEFAULT 0 CHECK (price_out_per_million >= 0),
    max_concurrency integer NOT NULL DEFAULT 1 CHECK (max_concurrency > 0),
    is_active boolean NOT NULL DEFAULT true,
    is_default boolean NOT NULL DEFAULT false,
    health_status varchar(20) NOT NULL DEFAULT 'unknown' CHECK (
        health_status IN ('unknown', 'healthy', 'degraded', 'unhealthy')
    ),
    health_detail text NOT NULL DEFAULT '',
    last_health_check timestamptz,
    consecutive_failures integer NOT NULL DEFAULT 0 CHECK (consecutive_failures >= 0),
    circuit_opened_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ai_providers_one_default ON ai.ai_providers (is_default) WHERE is_default;
COMMENT ON COLUMN ai.ai_providers.api_key_env IS
    'name of the environment variable with the key; the key itself is in no table';
COMMENT ON COLUMN ai.ai_providers.circuit_opened_at IS
    'set after consecutive failures: the provider is left alone for a while, then tried by one call';

-- Each look at a provider's health: what its availability is computed from.
CREATE TABLE ai.ai_provider_probes (
    provider_id uuid NOT NULL REFERENCES ai.ai_providers (id) ON DELETE CASCADE,
    probed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status varchar(20) NOT NULL CHECK (status IN ('healthy', 'degraded', 'unhealthy')),
    detail text NOT NULL DEFAULT '',
    response_time_ms integer CHECK (response_time_ms >= 0),
    PRIMARY KEY (provider_id, probed_at)
);

-- --------------------------------------------------------------------------------------------------- prompts

-- One row a key: what is in use, in the language of the business. All texts, of every language, version and
-- group, are in ai_prompt_template_versions.
CREATE TABLE ai.ai_prompt_templates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_key varchar(50) NOT NULL UNIQUE CHECK (template_key ~ '^[a-z][a-z0-9_]*$'),
    template_name varchar(100) NOT NULL,
    category varchar(50) NOT NULL,
    description text,
    prompt_template text NOT NULL,
    max_tokens integer NOT NULL DEFAULT 300,
    temperature numeric(3, 2) NOT NULL DEFAULT 0.3,
    required_variables jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(required_variables) = 'array'),
    optional_variables jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(optional_variables) = 'array'),
    version varchar(20) NOT NULL DEFAULT '1.0' CHECK (version ~ '^[0-9]+(\.[0-9]+){0,3}$'),
    locale varchar(10) NOT NULL DEFAULT 'zh-TW' CHECK (locale IN ('zh-TW', 'en')),
    ab_group varchar(10) NOT NULL DEFAULT 'A' CHECK (ab_group ~ '^[A-Z]$'),
    output_schema varchar(100),
    content_sha256 char(64),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT valid_temperature CHECK (temperature >= 0 AND temperature <= 2.0),
    CONSTRAINT valid_max_tokens CHECK (max_tokens > 0 AND max_tokens <= 4096)
);
CREATE INDEX idx_prompt_templates_category_active ON ai.ai_prompt_templates (category, is_active);
CREATE INDEX idx_prompt_templates_key ON ai.ai_prompt_templates (template_key) WHERE is_active;
COMMENT ON COLUMN ai.ai_prompt_templates.output_schema IS
    'name of the JSON Schema of the answer, such as alert_enhancement.v1; without one the answer is text';

-- Every text that ever was a prompt, for ever: stored answers are rendered again from it.
CREATE TABLE ai.ai_prompt_template_versions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_key varchar(50) NOT NULL REFERENCES ai.ai_prompt_templates (template_key) ON UPDATE CASCADE,
    locale varchar(10) NOT NULL CHECK (locale IN ('zh-TW', 'en')),
    ab_group varchar(10) NOT NULL DEFAULT 'A',
    version varchar(20) NOT NULL,
    template_name varchar(100) NOT NULL,
    category varchar(50) NOT NULL,
    description text NOT NULL DEFAULT '',
    prompt_template text NOT NULL,
    system_message text NOT NULL DEFAULT '',
    max_tokens integer NOT NULL,
    temperature numeric(3, 2) NOT NULL,
    required_variables jsonb NOT NULL,
    optional_variables jsonb NOT NULL,
    output_schema varchar(100),
    content_sha256 char(64) NOT NULL,
    weight integer NOT NULL DEFAULT 100 CHECK (weight BETWEEN 0 AND 100),
    source varchar(10) NOT NULL CHECK (source IN ('file', 'database')),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT session_user,
    UNIQUE (template_key, locale, ab_group, version)
);
CREATE UNIQUE INDEX prompt_template_versions_one_active
    ON ai.ai_prompt_template_versions (template_key, locale, ab_group) WHERE is_active;
COMMENT ON COLUMN ai.ai_prompt_template_versions.weight IS 'share of the subjects this group gets, beside others';

-- ---------------------------------------------------------------------------------------- the choice, the system

CREATE TABLE ai.ai_prompt_provider_configs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    template_id uuid NOT NULL REFERENCES ai.ai_prompt_templates (id) ON DELETE CASCADE,
    provider_id uuid NOT NULL REFERENCES ai.ai_providers (id) ON DELETE CASCADE,
    provider_specific_params jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(provider_specific_params) = 'object'),
    performance_score numeric(3, 2) NOT NULL DEFAULT 0.5 CHECK (performance_score BETWEEN 0 AND 1),
    cost_efficiency_score numeric(3, 2) NOT NULL DEFAULT 0.5 CHECK (cost_efficiency_score BETWEEN 0 AND 1),
    quality_score numeric(3, 2) NOT NULL DEFAULT 0.5 CHECK (quality_score BETWEEN 0 AND 1),
    overall_score numeric(4, 3) GENERATED ALWAYS AS (
        round(performance_score * 0.4 + cost_efficiency_score * 0.3 + quality_score * 0.3, 3)
    ) STORED,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT unique_template_provider UNIQUE (template_id, provider_id)
);
CREATE INDEX idx_prompt_provider_configs_template ON ai.ai_prompt_provider_configs (template_id, is_active);
CREATE INDEX idx_prompt_provider_configs_provider ON ai.ai_prompt_provider_configs (provider_id, is_active);

CREATE TABLE ai.ai_system_config (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    config_name varchar(50) NOT NULL UNIQUE,
    config_description text,
    ai_enabled boolean NOT NULL DEFAULT false,
    default_provider_id uuid REFERENCES ai.ai_providers (id),
    system_settings jsonb NOT NULL DEFAULT '{
        "auto_enhancement_enabled": true,
        "enhancement_timeout_ms": 30000,
        "fallback_behavior": "graceful",
        "rate_limiting": {"requests_per_minute": 60, "burst_limit": 10},
        "security": {"content_filtering": true, "response_validation": true},
        "monitoring": {"log_requests": false, "track_performance": true}
    }' CHECK (jsonb_typeof(system_settings) = 'object'),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid
);
COMMENT ON TABLE ai.ai_system_config IS
    'One row an environment (development, staging, production); tagging.yaml says which one a process uses.';

-- What a person wants to see, beside what is switched on: the row of user_name '' is everybody's.
CREATE TABLE ai.ai_user_settings (
    organization_id text NOT NULL DEFAULT 'default',
    user_name text NOT NULL DEFAULT '',
    settings jsonb NOT NULL CHECK (jsonb_typeof(settings) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_name)
);
COMMENT ON TABLE ai.ai_user_settings IS
    'The document ai-enhancement-settings: {enabled, alerts, insights, recommendations, executiveSummary, autoEnhance}.';

-- ------------------------------------------------------------------------------------- budgets, calls, results

-- Reserved before a call, settled after it. `day` counts tokens, `hour` and `minute` requests, `cost` millionths of
-- a US dollar a day.
CREATE TABLE ai.ai_token_budgets (
    organization_id text NOT NULL DEFAULT 'default',
    scope varchar(10) NOT NULL CHECK (scope IN ('day', 'hour', 'minute', 'cost')),
    window_start timestamptz NOT NULL,
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    used bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
    "limit" bigint NOT NULL CHECK ("limit" >= 0),
    PRIMARY KEY (organization_id, scope, window_start)
);

-- One row an attempt: calls, refusals, and answers from the cache (which cost nothing). Append-only, by UTC month.
CREATE TABLE ai.ai_usage_logs (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    organization_id text NOT NULL DEFAULT 'default',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id uuid NOT NULL,
    attempt integer NOT NULL DEFAULT 1 CHECK (attempt > 0),
    template_key varchar(50) NOT NULL,
    template_version varchar(20) NOT NULL,
    template_locale varchar(10),
    ab_group varchar(10),
    prompt_sha256 char(64),
    context_hash char(64),
    enhancement_type varchar(50) NOT NULL,
    severity varchar(20) CHECK (severity IN ('info', 'warning', 'critical')),
    subject_type varchar(20) NOT NULL CHECK (
        subject_type IN ('alert', 'insight', 'recommendation', 'summary', 'content', 'custom')
    ),
    subject_id text NOT NULL,
    provider_id uuid,
    provider_name varchar(50),
    model varchar(100),
    model_digest text,
    params jsonb NOT NULL DEFAULT '{}',
    cache_status varchar(10) NOT NULL CHECK (cache_status IN ('hit', 'stale', 'miss', 'bypass')),
    called boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    response_time_ms integer NOT NULL CHECK (response_time_ms >= 0),
    status varchar(10) NOT NULL CHECK (status IN ('success', 'error', 'rejected')),
    error_type varchar(20) CHECK (error_type IN ('rate_limit', 'auth_error', 'timeout', 'general_error')),
    error_subtype varchar(30),
    http_status integer,
    tokens_prompt integer NOT NULL DEFAULT 0 CHECK (tokens_prompt >= 0),
    tokens_completion integer NOT NULL DEFAULT 0 CHECK (tokens_completion >= 0),
    tokens_total integer GENERATED ALWAYS AS (tokens_prompt + tokens_completion) STORED,
    tokens_estimated boolean NOT NULL DEFAULT false,
    estimated_cost_usd numeric(12, 6) NOT NULL DEFAULT 0 CHECK (estimated_cost_usd >= 0),
    confidence numeric(3, 2) CHECK (confidence BETWEEN 0 AND 1),
    schema_valid boolean,
    evidence_valid boolean,
    prompt text,
    run_id text,
    PRIMARY KEY (id, created_at),
    CHECK ((status = 'success') = (error_type IS NULL))
) PARTITION BY RANGE (created_at);
CREATE INDEX ai_usage_logs_performance ON ai.ai_usage_logs (provider_id, created_at, response_time_ms);
CREATE INDEX ai_usage_logs_cost ON ai.ai_usage_logs (created_at, estimated_cost_usd);
CREATE INDEX ai_usage_logs_time ON ai.ai_usage_logs USING brin (created_at);
CREATE INDEX ai_usage_logs_subject ON ai.ai_usage_logs (organization_id, subject_type, subject_id, created_at);
COMMENT ON COLUMN ai.ai_usage_logs.called IS 'whether a request left for the provider';
COMMENT ON COLUMN ai.ai_usage_logs.prompt IS 'only where monitoring.log_requests asks for it; personal data is masked';

-- Answers: the cache of 24 hours, and the record that lets each be rendered and asked again.
CREATE TABLE ai.ai_enhancements (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id text NOT NULL DEFAULT 'default',
    cache_key char(64) NOT NULL,
    context_hash char(64) NOT NULL,
    subject_type varchar(20) NOT NULL CHECK (
        subject_type IN ('alert', 'insight', 'recommendation', 'summary', 'content', 'custom')
    ),
    subject_id text NOT NULL,
    enhancement_type varchar(50) NOT NULL,
    severity varchar(20) CHECK (severity IN ('info', 'warning', 'critical')),
    template_key varchar(50) NOT NULL,
    template_version varchar(20) NOT NULL,
    template_locale varchar(10) NOT NULL,
    ab_group varchar(10) NOT NULL DEFAULT 'A',
    requested_key varchar(50) NOT NULL,
    prompt_sha256 char(64) NOT NULL,
    variables jsonb NOT NULL,
    provider_id uuid REFERENCES ai.ai_providers (id) ON DELETE SET NULL,
    provider_name varchar(50) NOT NULL,
    model varchar(100) NOT NULL,
    model_digest text,
    params jsonb NOT NULL DEFAULT '{}',
    status varchar(10) NOT NULL CHECK (status IN ('loading', 'success', 'error')),
    error_type varchar(20),
    error_subtype varchar(30),
    result jsonb,
    raw_text text,
    raw_sha256 char(64),
    parse_level varchar(10) CHECK (parse_level IN ('exact', 'fenced', 'repaired', 'headings')),
    degraded boolean NOT NULL DEFAULT false,
    flags jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(flags) = 'array'),
    evidence jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(evidence) = 'array'),
    confidence numeric(3, 2) CHECK (confidence BETWEEN 0 AND 1),
    processing_time_ms integer CHECK (processing_time_ms >= 0),
    request_id uuid NOT NULL,
    run_id text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    fresh_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CHECK (fresh_until <= expires_at),
    CHECK ((status = 'success') = (result IS NOT NULL)),
    CHECK ((status = 'error') = (error_type IS NOT NULL))
);
CREATE INDEX ai_enhancements_cache ON ai.ai_enhancements (cache_key, created_at DESC);
-- Who holds this row makes the call; everybody else waits for it.
CREATE UNIQUE INDEX ai_enhancements_one_call ON ai.ai_enhancements (cache_key) WHERE status = 'loading';
CREATE INDEX ai_enhancements_subject ON ai.ai_enhancements (organization_id, subject_type, subject_id, created_at DESC);
CREATE INDEX ai_enhancements_created_at ON ai.ai_enhancements (created_at);
COMMENT ON COLUMN ai.ai_enhancements.requested_key IS
    'the key asked for; another one than template_key where that one was missing or inactive';
COMMENT ON COLUMN ai.ai_enhancements.variables IS 'what the prompt was rendered from; personal data is masked';
COMMENT ON COLUMN ai.ai_enhancements.expires_at IS
    'never shown from this moment on; while loading: when the call counts as lost';

-- What people thought of an answer.
CREATE TABLE ai.ai_enhancement_votes (
    enhancement_id uuid NOT NULL REFERENCES ai.ai_enhancements (id) ON DELETE CASCADE,
    organization_id text NOT NULL DEFAULT 'default',
    actor text NOT NULL,
    useful boolean NOT NULL,
    comment text NOT NULL DEFAULT '',
    voted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (enhancement_id, actor)
);

-- ------------------------------------------------------------------------------------------- marks on alerts

-- That an alert was looked at by AI is a mark, no event of the alert.
CREATE OR REPLACE TRIGGER record_alert_updated AFTER UPDATE ON analytics.dashboard_alerts
    FOR EACH ROW WHEN (
        to_jsonb(OLD) - ARRAY['ai_confidence', 'ai_generated_at', 'ai_provider']
        IS DISTINCT FROM to_jsonb(NEW) - ARRAY['ai_confidence', 'ai_generated_at', 'ai_provider']
    ) EXECUTE FUNCTION analytics.record_alert_event();

-- Databases of the embedded server say where psql and other tools look for tables; those made before look here, too.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_db_role_setting AS s
        JOIN pg_database AS d ON d.oid = s.setdatabase
        WHERE
            d.datname = current_database() AND s.setrole = 0
            AND 'search_path=tagging, analytics, public' = ANY (s.setconfig)
    ) THEN
        EXECUTE format('ALTER DATABASE %I SET search_path = tagging, analytics, ai, public', current_database());
    END IF;
END
$$;

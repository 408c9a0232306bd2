{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['organization_id', 'provider_name', 'model', 'hour'],
    on_schema_change='fail',
    indexes=[
        {'columns': ['organization_id', 'provider_name', 'model', 'hour'], 'unique': true},
        {'columns': ['organization_id', 'hour']},
    ],
) }}
-- Hours since the last build, and a few before it for rows that were written late. Older ones stay as they are, also
-- when the calls they were summed from are deleted after their retention.

WITH span AS (
    SELECT
        {% if is_incremental() -%}
        coalesce(max(hour) - interval '{{ var("ai_late_hours") }} hours', '-infinity') AS since
        FROM {{ this }}
        {%- else -%}
        '-infinity'::timestamptz AS since
        {%- endif %}
),

calls AS (
    SELECT
        *,
        coalesce(provider_name, '') AS provider,
        coalesce(model, '') AS asked_model,
        date_trunc('hour', created_at, 'UTC') AS hour
    FROM {{ source('ai', 'ai_usage_logs') }}
    WHERE created_at >= (SELECT since FROM span)
),

use AS (
    SELECT
        organization_id,
        provider AS provider_name,
        asked_model AS model,
        hour,
        count(DISTINCT request_id) AS requests,
        count(DISTINCT request_id) FILTER (WHERE cache_status <> 'bypass') AS cacheable,
        count(DISTINCT request_id) FILTER (WHERE cache_status IN ('hit', 'stale') AND status = 'success') AS cache_hits,
        count(*) FILTER (WHERE called) AS calls,
        count(*) FILTER (WHERE called AND status = 'success') AS successes,
        round(avg(response_time_ms) FILTER (WHERE called), 4) AS avg_response_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE called) AS p50_response_ms,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY response_time_ms) FILTER (WHERE called) AS p95_response_ms,
        sum(tokens_prompt) AS tokens_prompt,
        sum(tokens_completion) AS tokens_completion,
        sum(tokens_total) AS tokens,
        sum(estimated_cost_usd) AS cost_usd,
        count(*) FILTER (WHERE status = 'rejected') AS refused,
        {%- for kind in ['rate_limit', 'auth_error', 'timeout', 'general_error'] %}
        count(*) FILTER (WHERE called AND error_type = '{{ kind }}') AS errors_{{ kind | replace('_error', '') }},
        {%- endfor %}
        -- answers from the cache were counted when they were made
        count(*) FILTER (WHERE called AND confidence >= 0.8) AS high_confidence,
        count(*) FILTER (WHERE called AND confidence >= 0.6 AND confidence < 0.8) AS medium_confidence,
        count(*) FILTER (WHERE called AND confidence < 0.6) AS low_confidence
    FROM calls
    GROUP BY 1, 2, 3, 4
),

votes AS (
    SELECT
        e.organization_id,
        e.provider_name,
        e.model,
        date_trunc('hour', v.voted_at, 'UTC') AS hour,
        count(*) FILTER (WHERE v.useful) AS votes_up,
        count(*) FILTER (WHERE NOT v.useful) AS votes_down
    FROM {{ source('ai', 'ai_enhancement_votes') }} AS v
    INNER JOIN {{ source('ai', 'ai_enhancements') }} AS e ON v.enhancement_id = e.id
    WHERE v.voted_at >= (SELECT since FROM span)
    GROUP BY 1, 2, 3, 4
)

SELECT
    organization_id::text AS organization_id,
    provider_name::varchar(50) AS provider_name,
    model::varchar(100) AS model,
    hour::timestamptz AS hour,
    coalesce(u.requests, 0)::bigint AS requests,
    coalesce(u.calls, 0)::bigint AS calls,
    coalesce(u.successes, 0)::bigint AS successes,
    round(u.successes::numeric / nullif(u.calls, 0), 4)::numeric(6, 4) AS success_rate,
    u.avg_response_ms::numeric(18, 4) AS avg_response_ms,
    u.p50_response_ms::numeric(18, 4) AS p50_response_ms,
    u.p95_response_ms::numeric(18, 4) AS p95_response_ms,
    coalesce(u.tokens_prompt, 0)::bigint AS tokens_prompt,
    coalesce(u.tokens_completion, 0)::bigint AS tokens_completion,
    coalesce(u.tokens, 0)::bigint AS tokens,
    coalesce(u.cost_usd, 0)::numeric(18, 6) AS cost_usd,
    round(u.cost_usd / nullif(u.successes, 0), 6)::numeric(18, 6) AS cost_per_success_usd,
    coalesce(u.cache_hits, 0)::bigint AS cache_hits,
    round(u.cache_hits::numeric / nullif(u.cacheable, 0), 4)::numeric(6, 4) AS cache_hit_rate,
    coalesce(u.refused, 0)::bigint AS refused,
    coalesce(u.errors_rate_limit, 0)::bigint AS errors_rate_limit,
    coalesce(u.errors_auth, 0)::bigint AS errors_auth,
    coalesce(u.errors_timeout, 0)::bigint AS errors_timeout,
    coalesce(u.errors_general, 0)::bigint AS errors_general,
    coalesce(u.high_confidence, 0)::bigint AS high_confidence,
    coalesce(u.medium_confidence, 0)::bigint AS medium_confidence,
    coalesce(u.low_confidence, 0)::bigint AS low_confidence,
    coalesce(v.votes_up, 0)::bigint AS votes_up,
    coalesce(v.votes_down, 0)::bigint AS votes_down
FROM use AS u
FULL OUTER JOIN votes AS v USING (organization_id, provider_name, model, hour)

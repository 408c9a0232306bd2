{#
  Metrics that begin on the same day and look back equally far are a family. A day of a family is computed again
  when a fact of `source` changed on a day from `from` to `to` days earlier.
  Metrics made of metrics read no facts. `first_day` is SQL; `starts` is how many days the family needs before its first value means something.
#}
{% macro metric_families() %}
    {%- set completion = var("completion_days") | int -%}
    {%- set first_order = "SELECT min(ordered_on) FROM " ~ ref("stg_orders") -%}
    {%- set first_item = "SELECT min(ordered_on) FROM " ~ ref("stg_order_items") -%}
    {%- set first_session = "SELECT min(started_on) FROM " ~ ref("stg_sessions") -%}
    {{ return([
        {"name": "orders", "first_day": first_order, "starts": 0,
         "metrics": ["daily_revenue", "daily_orders", "average_order_value", "return_rate",
                     "foreign_currency_orders"],
         "reads": [{"source": "orders", "from": 0, "to": 0}]},
        {"name": "payments", "first_day": first_order ~ " WHERE payment_status IS NOT NULL", "starts": 0,
         "metrics": ["payment_failure_rate"],
         "reads": [{"source": "orders", "from": 0, "to": 0}]},
        {"name": "deliveries", "first_day": "SELECT min(delivered_on) FROM " ~ ref("stg_orders"), "starts": 0,
         "metrics": ["average_delivery_days"],
         "reads": [{"source": "orders", "from": 0, "to": 0}]},
        {"name": "promises", "starts": 0,
         "first_day": "SELECT min(least(delivered_on, promised_on + 1)) FROM " ~ ref("stg_orders")
             ~ " WHERE promised_on IS NOT NULL",
         "metrics": ["late_delivery_rate"],
         "reads": [{"source": "orders", "from": 0, "to": var("promise_days") | int + 1}]},
        {"name": "completion", "first_day": first_order, "starts": completion + 6,
         "metrics": ["order_completion_rate"],
         "reads": [{"source": "orders", "from": 0, "to": 6},
                   {"source": "orders", "from": completion, "to": completion + 6}]},
        {"name": "open_orders", "first_day": first_order, "starts": completion,
         "metrics": ["pending_orders"],
         "reads": [{"source": "orders", "from": 0, "to": completion}]},
        {"name": "active_customers", "first_day": first_order ~ " WHERE customer_id IS NOT NULL", "starts": 29,
         "metrics": ["active_customers"],
         "reads": [{"source": "orders", "from": 0, "to": 29}]},
        {"name": "high_value_customers", "first_day": first_order ~ " WHERE customer_id IS NOT NULL", "starts": 120,
         "metrics": ["high_value_customers"],
         "reads": [{"source": "orders", "from": 0, "to": 121}]},
        {"name": "churn", "first_day": first_order ~ " WHERE customer_id IS NOT NULL", "starts": 179,
         "metrics": ["customer_churn_rate"],
         "reads": [{"source": "orders", "from": 0, "to": 179}]},
        {"name": "items", "first_day": first_item, "starts": 0,
         "metrics": ["units_sold"],
         "reads": [{"source": "orders", "from": 0, "to": 0}, {"source": "order_items", "from": 0, "to": 0},
                   {"source": "products", "from": 0, "to": 0}]},
        {"name": "prices", "first_day": first_item, "starts": 0,
         "metrics": ["price_deviation"],
         "reads": [{"source": "orders", "from": 0, "to": 28}, {"source": "order_items", "from": 0, "to": 28},
                   {"source": "products", "from": 0, "to": 0}]},
        {"name": "tickets", "first_day": "SELECT min(created_on) FROM " ~ ref("stg_support_tickets"), "starts": 0,
         "metrics": ["ticket_volume", "avg_response_time"],
         "reads": [{"source": "support_tickets", "from": 0, "to": var("ticket_days") | int}]},
        {"name": "reviews", "first_day": "SELECT min(created_on) FROM " ~ ref("stg_reviews"), "starts": 0,
         "metrics": ["review_volume", "bad_reviews", "customer_satisfaction_rate"],
         "reads": [{"source": "reviews", "from": 0, "to": 0}]},
        {"name": "visits", "first_day": first_session, "starts": 0,
         "metrics": ["visits"],
         "reads": [{"source": "sessions", "from": 0, "to": 0}]},
        {"name": "conversion", "starts": 0,
         "first_day": "SELECT greatest((" ~ first_session ~ "), (" ~ first_order ~ "))"
             ~ " WHERE EXISTS (SELECT FROM " ~ ref("stg_orders") ~ ")"
             ~ " AND EXISTS (SELECT FROM " ~ ref("stg_sessions") ~ ")",
         "metrics": ["conversion_rate"],
         "reads": [{"source": "sessions", "from": 0, "to": 0}, {"source": "orders", "from": 0, "to": 0}]},
        {"name": "api", "first_day": first_session ~ " WHERE api_response_ms IS NOT NULL", "starts": 0,
         "metrics": ["api_response_time"],
         "reads": [{"source": "sessions", "from": 0, "to": 0}]},
        {"name": "inventory", "first_day": "SELECT min(day) FROM " ~ ref("stg_inventory"), "starts": 0,
         "metrics": ["stockouts"],
         "reads": [{"source": "inventory", "from": 0, "to": 0}]},
        {"name": "revenue_trend", "first_day": first_order, "starts": 13, "metrics": ["revenue_trend_pct"],
         "reads": []},
        {"name": "volatility", "first_day": first_order, "starts": 34, "metrics": ["volatility"], "reads": []},
        {"name": "customer_trend", "first_day": first_order ~ " WHERE customer_id IS NOT NULL", "starts": 42,
         "metrics": ["customer_trend_pct"], "reads": []},
        {"name": "efficiency_trend", "starts": 13,
         "first_day": "SELECT least((SELECT min(delivered_on) FROM " ~ ref("stg_orders")
             ~ "), (SELECT min(created_on) FROM " ~ ref("stg_support_tickets") ~ "), (" ~ first_order ~ ") + "
             ~ (completion + 6) ~ ")",
         "metrics": ["efficiency_trend_pct"], "reads": []},
    ]) }}
{% endmacro %}


{# What beside the facts decides the values: the definitions and the variables. When it changes, all days are due. #}
{% macro metric_signature() %}
    {%- set parts = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() | sort(attribute="name") -%}
            {%- if node.resource_type == "model" and (node.name.startswith("int_metrics_") or node.name.startswith("stg_")) -%}
                {%- do parts.append(node.checksum.checksum) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for name in [
        "business_timezone", "currency", "completion_days", "promise_days", "ticket_days", "min_churn_customers",
        "min_high_value_customers", "min_price_lines",
    ] -%}
        {%- do parts.append(var(name) | string) -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join("|"))) }}
{% endmacro %}


{# The days of a family that are due, as a subquery. #}
{% macro days_due(family) -%}
    (SELECT metric_date FROM {{ ref("int_days_due") }} WHERE family = '{{ family }}')
{%- endmacro %}


{# A condition that keeps facts older than any day due needs, served by the index on the moment. #}
{% macro not_before_due(moment, family, look_back=0) -%}
    {{ moment }} >= (
        SELECT (min(metric_date) - {{ look_back }})::timestamp AT TIME ZONE '{{ var("business_timezone") }}'
        FROM {{ ref("int_days_due") }} WHERE family = '{{ family }}'
    )
{%- endmacro %}


{# The last complete business day. #}
{% macro as_of() -%}
    (SELECT analytics.as_of_day({{ organization() }}))
{%- endmacro %}

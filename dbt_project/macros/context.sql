{# What a value means for the business. The formulas are SQL functions, so that every caller counts alike. #}

{% macro is_business_hours(moment) -%}
    analytics.is_business_hours({{ moment }}, {{ organization() }})
{%- endmacro %}


{# Holidays and promotions by the calendar; else the revenue of four weeks against that of the year. #}
{% macro get_seasonal_factor(is_holiday, is_promotion, four_weeks, year) -%}
    CASE
        WHEN {{ is_holiday }} THEN 'holiday'
        WHEN {{ is_promotion }} THEN 'promotion'
        WHEN {{ four_weeks }} >= 1.2 * {{ year }} THEN 'high'
        WHEN {{ four_weeks }} <= 0.8 * {{ year }} THEN 'low'
        WHEN {{ year }} IS NOT NULL THEN 'normal'
    END
{%- endmacro %}


{% macro estimate_affected_customers(metric, value, cases) -%}
    analytics.estimate_affected_customers({{ metric }}, {{ value }}, {{ cases }})
{%- endmacro %}


{% macro estimate_revenue_impact(metric, value, cases, expected, order_value) -%}
    analytics.estimate_revenue_impact({{ metric }}, {{ value }}, {{ cases }}, {{ expected }}, {{ order_value }})
{%- endmacro %}


{% macro get_operational_impact_level(severity) -%}
    CASE {{ severity }} WHEN 'critical' THEN 'high' WHEN 'warning' THEN 'medium' WHEN 'info' THEN 'low' END
{%- endmacro %}

{# A value as people read it. #}
{% macro format_value(value, unit, locale) -%}
    analytics.format_value({{ value }}, {{ unit }}, '{{ var("currency") }}', '{{ locale }}')
{%- endmacro %}


{# What a series is called in a sentence; columns display_name(_zh), dimension, dimension_label. #}
{% macro series_name(locale) -%}
    {%- if locale == "en" -%}
    CASE
        WHEN dimension = 'all' THEN display_name
        WHEN dimension LIKE 'tag:%' THEN display_name || ' “' || dimension_label || '”'
        WHEN dimension LIKE 'product:%' THEN display_name || ' of “' || dimension_label || '”'
        ELSE display_name || ' in “' || dimension_label || '”'
    END
    {%- else -%}
    CASE
        WHEN dimension = 'all' THEN display_name_zh
        WHEN dimension LIKE 'tag:%' THEN '「' || dimension_label || '」' || display_name_zh
        ELSE '「' || dimension_label || '」的' || display_name_zh
    END
    {%- endif -%}
{%- endmacro %}


{# How far one value is from another: percentage points of shares, else in the metric's unit. #}
{% macro format_difference(difference, unit, locale) -%}
    CASE
        WHEN {{ unit }} = 'share'
            THEN to_char(100 * abs({{ difference }}), 'FM999,990.0')
                || '{{ " points" if locale == "en" else " 個百分點" }}'
        ELSE {{ format_value("abs(" ~ difference ~ ")", unit, locale) }}
    END
{%- endmacro %}

{# The one business this build is about, as a literal. #}
{% macro organization() -%}
    '{{ var("organization_id") | replace("'", "''") }}'
{%- endmacro %}


{# The business day of a moment. #}
{% macro business_day(moment) -%}
    ({{ moment }} AT TIME ZONE '{{ var("business_timezone") | replace("'", "''") }}')::date
{%- endmacro %}


{# The moment at which a business day ends. #}
{% macro day_end(day) -%}
    (({{ day }} + 1)::timestamp AT TIME ZONE '{{ var("business_timezone") | replace("'", "''") }}')
{%- endmacro %}


{# By how many per cent `present` differs from `past`; NULL where there is nothing to compare with. #}
{% macro pct_change(present, past) -%}
    round(100 * ({{ present }} - {{ past }}) / nullif(abs({{ past }}), 0), 4)
{%- endmacro %}


{# A share is beyond a limit with 99.9 % certainty when this end of its interval is (Wilson's score, one-sided): safe
   for small numbers. #}
{% macro share_bound(share, trials, side) -%}
    {%- set z = 3 -%}
    (
        ({{ share }} + {{ z }}^2 / (2 * {{ trials }})
        {{ "-" if side == "lower" else "+" }} {{ z }} * sqrt(
            greatest({{ share }} * (1 - {{ share }}), 0) / {{ trials }} + {{ z }}^2 / (4 * {{ trials }}::numeric ^ 2)
        )) / (1 + {{ z }}^2 / {{ trials }})
    )
{%- endmacro %}

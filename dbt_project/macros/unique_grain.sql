{# A model has one row per these columns. #}
{% test unique_grain(model, columns) %}
    SELECT {{ columns | join(", ") }}
    FROM {{ model }}
    GROUP BY {{ columns | join(", ") }}
    HAVING count(*) > 1
{% endtest %}

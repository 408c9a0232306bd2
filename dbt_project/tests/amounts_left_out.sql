{{ config(severity='warn', tags=['metrics']) }}
-- Days of the last month with orders in other currencies: their amounts are in no metric of money.

SELECT
    metric_date,
    current_value AS orders
FROM {{ ref('fct_business_metrics_daily') }}
WHERE
    organization_id = {{ organization() }}
    AND metric_name = 'foreign_currency_orders'
    AND current_value > 0
    AND metric_date > {{ as_of() }} - 30

"""The facts of the business, loaded into `raw`: what dbt reads as its sources."""

from collections.abc import Iterator

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import table
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.settings import get_settings

FACTS = {
    "calendar": "Holidays, promotions, maintenance: days on which other things are normal.",
    "customers": "Customers with the day they came, their segment and region.",
    "products": "Products with category and list price.",
    "orders": "Orders with status, payment, money, and when they were paid, shipped, delivered and promised.",
    "order_items": "Lines of orders: product, quantity, unit price.",
    "support_tickets": "Requests to customer service, when they were answered and solved, and their texts.",
    "reviews": "Ratings of one to five, and which content is their text.",
    "inventory": "Stock of each product at the end of each day.",
    "sessions": "Visits, checkouts and response times of the shop, by channel and piece of time.",
}


@dg.multi_asset(
    name="business_facts",
    specs=[
        dg.AssetSpec(
            ["raw", name],
            description=f"{description} One of the business's facts, upserted by key; an unchanged row touches no "
            "day, a changed one every day it belongs to, and bad rows go to `rejected_rows` with their reason.",
            kinds={"python", "postgres"},
            group_name="facts",
            owners=[get_settings().runs.owner],
            code_version="1",
            skippable=True,
        )
        for name, description in FACTS.items()
    ],
    retry_policy=TRANSIENT_RETRIES,
    can_subset=False,
)
def business_facts(context: dg.AssetExecutionContext, tagging: Tagging) -> Iterator[dg.MaterializeResult]:
    """Load every source of the section `business`, each table in a transaction of its own."""
    from tagging_orchestration.business.load import load_business

    with retry_only_transient():
        project = tagging.project
        loads = load_business(project.pool, project.settings, run_id=context.run_id)
        for name in FACTS:
            of_table = [load for load in loads if load.table == name]
            if not of_table:
                continue
            yield dg.MaterializeResult(
                asset_key=["raw", name],
                metadata={
                    **{
                        figure: sum(getattr(load, figure) for load in of_table)
                        for figure in ("rows_read", "rejected", "inserted", "updated", "unchanged")
                    },
                    "remarks": table(["remark"], [[remark] for load in of_table for remark in load.remarks]),
                },
            )


# Tables beside the facts that dbt reads too; written by triggers, by the loader and by dbt itself.
LEDGERS = [
    dg.AssetSpec(
        key,
        deps=[["raw", name] for name in FACTS] if key[1] == "touched_days" else [],
        description=description,
        kinds={"postgres"},
        group_name="facts",
        owners=[get_settings().runs.owner],
    )
    for key, description in (
        (
            ["raw", "touched_days"],
            "When the facts of each business day last changed; triggers write it.",
        ),
        (["analytics", "computed_days"], "When the metrics of each business day were last computed."),
        (["analytics", "business_profile"], "Time zone, currency and opening hours, from tagging.yaml."),
    )
]

"""Which column of a source feeds which column of a table of `raw`, and what people call things."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tagging_orchestration.core.business.facts import FactTable

# Best name first; compared without case, spaces and punctuation. The names of our own columns come before all.
COMMON_NAMES: Mapping[str, tuple[str, ...]] = {
    "customer_id": ("customer", "customer_no", "customer_number", "client_id", "user_id", "buyer_id", "member_id",
                    "客戶編號", "會員編號", "顧客編號"),
    "product_id": ("product", "sku", "product_sku", "product_code", "item_id", "item_code", "stock_code",
                   "商品編號", "產品編號", "貨號", "料號"),
    "order_id": ("order", "order_no", "order_number", "invoice_no", "invoice", "transaction_id",
                 "訂單編號", "訂單號碼"),
    "ticket_id": ("ticket", "ticket_no", "case_id", "case_number", "request_id", "complaint_id",
                  "工單編號", "案件編號"),
    "review_id": ("review", "review_no", "rating_id", "評論編號"),
    "created_at": ("created", "creation_date", "created_on", "date_created", "opened_at", "opened", "submitted_at",
                   "review_creation_date", "date", "建立時間", "建立日期", "日期"),
    "updated_at": ("updated", "modified_at", "last_modified", "更新時間"),
    "ordered_at": ("order_date", "ordered", "order_time", "purchased_at", "order_purchase_timestamp",
                   "invoice_date", "created_at", "date", "訂購時間", "訂單日期", "下單時間"),
    "approved_at": ("order_approved_at", "paid_at", "payment_date", "付款時間"),
    "shipped_at": ("shipped", "ship_date", "shipping_date", "dispatched_at", "order_delivered_carrier_date",
                   "出貨時間"),
    "delivered_at": ("delivered", "delivery_date", "order_delivered_customer_date", "送達時間", "到貨時間"),
    "promised_at": ("promised", "estimated_delivery", "estimated_delivery_date", "order_estimated_delivery_date",
                    "due_at", "due_date", "預計送達"),
    "status": ("order_status", "ticket_status", "state", "狀態", "訂單狀態"),
    "payment_status": ("payment_state", "付款狀態"),
    "total_amount": ("total", "amount", "order_total", "grand_total", "order_amount", "revenue", "payment_value",
                     "總金額", "訂單金額", "金額"),
    "currency": ("currency_code", "幣別", "貨幣"),
    "channel": ("sales_channel", "source", "platform", "通路", "管道"),
    "line_number": ("line", "line_no", "item_number", "order_item_id", "position", "項次"),
    "quantity": ("qty", "units", "count", "數量"),
    "unit_price": ("price", "item_price", "price_each", "單價"),
    "name": ("product_name", "title", "description", "event", "holiday", "品名", "商品名稱", "名稱"),
    "name_zh": ("名稱",),
    "category": ("product_category", "product_category_name", "department", "類別", "分類"),
    "list_price": ("price", "msrp", "regular_price", "定價", "牌價", "售價"),
    "segment": ("customer_segment", "tier", "客群", "會員等級"),
    "region": ("state", "country", "customer_state", "province", "area", "city", "地區", "縣市", "國家"),
    "first_response_at": ("first_reply_at", "responded_at", "first_answered_at", "answered_at", "首次回覆時間"),
    "resolved_at": ("closed_at", "solved_at", "completed_at", "結案時間"),
    "rating": ("score", "stars", "review_score", "評分", "星等"),
    "day": ("date", "stock_date", "snapshot_date", "日期"),
    "on_hand": ("stock", "stock_on_hand", "inventory", "quantity", "qty", "庫存", "庫存量"),
    "reorder_point": ("reorder_level", "min_stock", "safety_stock", "再訂購點", "安全庫存"),
    "started_at": ("start", "hour", "timestamp", "datetime", "date", "day", "時間", "日期"),
    "visits": ("sessions", "visitors", "users", "pageviews", "造訪", "訪客數"),
    "checkouts": ("begin_checkout", "checkout", "結帳"),
    "api_requests": ("requests",),
    "api_response_ms": ("response_time_ms", "latency_ms", "response_ms", "avg_response_ms"),
    "event_type": ("type", "kind", "類型"),
}  # fmt: skip

# What shops and helpdesks say for our words; what is not here is told in the source's `values`.
COMMON_WORDS: Mapping[str, Mapping[str, str]] = {
    "status": {
        "canceled": "cancelled", "voided": "cancelled", "void": "cancelled", "complete": "delivered",
        "completed": "delivered", "closed": "delivered", "fulfilled": "delivered", "refunded": "returned",
        "return": "returned", "in transit": "shipped", "sent": "shipped", "dispatched": "shipped",
        "new": "created", "pending": "created", "open": "created", "paid": "approved", "confirmed": "approved",
        "invoiced": "processing", "packed": "processing", "in progress": "processing",
        "已取消": "cancelled", "取消": "cancelled", "已完成": "delivered", "完成": "delivered",
        "已送達": "delivered",
        "已退貨": "returned", "退貨": "returned", "已退款": "returned", "已出貨": "shipped", "配送中": "shipped",
        "處理中": "processing", "備貨中": "processing", "待付款": "created", "已付款": "approved",
        "已成立": "created",
    },
    "payment_status": {
        "unpaid": "pending", "authorized": "pending", "authorised": "pending", "captured": "paid",
        "succeeded": "paid", "success": "paid", "complete": "paid", "completed": "paid", "declined": "failed",
        "error": "failed", "failure": "failed", "voided": "failed", "refund": "refunded", "chargeback": "refunded",
        "待付款": "pending", "未付款": "pending", "已付款": "paid", "付款成功": "paid", "付款失敗": "failed",
        "已退款": "refunded", "退款": "refunded",
    },
    "event_type": {"public holiday": "holiday", "promo": "promotion", "sale": "promotion", "假日": "holiday",
                   "國定假日": "holiday", "促銷": "promotion", "檔期": "promotion", "維護": "maintenance",
                   "公休": "closed"},
}  # fmt: skip


def column_names(table: FactTable) -> list[str]:
    """Columns of ours that a source can fill; `updated_at` only tells which of two rows is the newer one."""
    return [*table.columns, "updated_at"]


def guess(table: FactTable, found: Sequence[str], settled: Mapping[str, object]) -> dict[str, str]:
    """Column of theirs for each of ours that is not settled and has a known name among those found. A column
    serves one of ours only; an `id` is the table's own."""
    free: dict[str, str] = {}
    for column in found:
        free.setdefault(_folded(column), column)
    guessed: dict[str, str] = {}
    for ours in column_names(table):
        if ours in settled:
            continue
        own = ("id", "編號") if table.key == (ours,) else ()
        for name in (ours, *COMMON_NAMES.get(ours, ()), *own):
            if (theirs := free.get(_folded(name))) is not None:
                guessed[ours] = theirs
                del free[_folded(name)]
                break
    return guessed


def _folded(column: str) -> str:
    return re.sub(r"[\W_]+", "", column).casefold()

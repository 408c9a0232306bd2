"""Figures of the AI's use: sums of the log, budgets, and what front ends and plots show of them."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from psycopg_pool import ConnectionPool

from tagging_orchestration.clients.report import ai_plots
from tagging_orchestration.core.enhancement.figures import BudgetShare, ErrorCount, UsagePoint
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage.ai_figures import (
    budget_use,
    enhancement_metrics,
    error_counts,
    usage_series,
    usage_totals,
)
from tests.ai.usage import add_answer, add_call, open_ai, use_budget, vote

HOUR = timedelta(hours=1)
TEN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=20)


@pytest.fixture
def used(pool: ConnectionPool, settings: Settings) -> Settings:
    """Two hours of two providers: successes, a retry, cache hits, a refusal, another organisation."""
    ai = open_ai(pool, settings)
    request = add_call(
        pool, TEN, response_time_ms=9000, error_type="timeout", error_subtype="deadline", tokens_prompt=100
    )
    add_call(pool, TEN, request_id=request, attempt=2, response_time_ms=1000, tokens_prompt=100,
             tokens_completion=50, estimated_cost_usd=0.5, confidence=0.8)  # fmt: skip
    add_call(pool, TEN + HOUR, response_time_ms=3000, tokens_prompt=200, estimated_cost_usd=0.25, confidence=0.6)
    add_call(pool, TEN + HOUR, called=False, cache_status="hit", response_time_ms=2, confidence=0.9)
    add_call(pool, TEN + HOUR, called=False, cache_status="stale", response_time_ms=2, confidence=0.9)
    add_call(pool, TEN + HOUR, "openai", template_key="trend_analysis", subject_type="content", confidence=0.5,
             cache_status="bypass", tokens_estimated=True, tokens_completion=10, response_time_ms=500)  # fmt: skip
    add_call(pool, TEN + HOUR, None, called=False, status="rejected", error_type="rate_limit",
             error_subtype="budget", response_time_ms=0)  # fmt: skip
    add_call(pool, TEN, organization_id="other", tokens_prompt=1_000_000)
    return ai


def test_use_is_summed_by_hour_and_provider(pool: ConnectionPool, used: Settings):
    points = usage_series(pool, "default", since=TEN)
    assert [(point.at, point.provider) for point in points] == [
        (TEN, "local"), (TEN + HOUR, ""), (TEN + HOUR, "local"), (TEN + HOUR, "openai"),
    ]  # fmt: skip
    first, refused, second, other = points
    assert first == UsagePoint(TEN, "local", 1, 1, 0, 2, 1, 250, 0.5, 5000, 8600, 1, 0, 0)
    assert (refused.requests, refused.answered, refused.calls, refused.p95_response_ms) == (1, 0, 0, None)
    assert (second.requests, second.cached, second.calls, second.medium_confidence) == (3, 2, 1, 1)
    assert (other.tokens, other.low_confidence, other.cached) == (10, 1, 0)
    days = usage_series(pool, "default", since=TEN, bucket="day")
    assert sum(point.tokens for point in days) == sum(point.tokens for point in points) == 460
    assert usage_series(pool, "default", since=TEN + 2 * HOUR) == []


def test_use_is_summed_by_what_is_asked_for(pool: ConnectionPool, used: Settings):
    totals = {row.name: row for row in usage_totals(pool, "default", since=TEN, by="provider")}
    local = totals["local"]
    assert (local.requests, local.calls, local.success_rate) == (4, 3, pytest.approx(2 / 3))
    assert (local.cache_hit_rate, local.tokens, local.cost_usd) == (0.5, 450, 0.75)
    assert (local.cost_per_success_usd, local.avg_response_ms) == (0.375, pytest.approx(13_000 / 3))
    assert (totals["openai"].cache_hit_rate, totals["openai"].tokens_estimated) == (None, True)
    assert (totals[""].success_rate, totals[""].calls) == (None, 0)
    assert [row.name for row in usage_totals(pool, "default", since=TEN, by="template")] == [
        "alert_enhancement", "trend_analysis",
    ]  # fmt: skip
    by_day = usage_totals(pool, "default", since=TEN, by="day")
    assert by_day[0].name == f"{TEN:%Y-%m-%d}"
    (everything,) = usage_totals(pool, "default", since=TEN)
    assert (everything.name, everything.requests, everything.tokens) == ("all", 6, 460)
    assert usage_totals(pool, "nobody", since=TEN) == []


def test_errors_are_counted_by_type(pool: ConnectionPool, used: Settings):
    add_call(pool, TEN, error_type="timeout", error_subtype="deadline")
    assert error_counts(pool, "default", since=TEN) == [
        ErrorCount("timeout", "deadline", 2), ErrorCount("rate_limit", "budget", 1),
    ]  # fmt: skip


def test_budgets_are_those_of_the_present_windows(pool: ConnectionPool, settings: Settings):
    ai = open_ai(pool, settings, daily_token_limit=1000, daily_cost_limit_usd=2.0, hourly_request_limit=10).ai
    now = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    use_budget(pool, "day", 800, midnight)
    use_budget(pool, "cost", 2_000_000, midnight)
    use_budget(pool, "hour", 4, now.replace(minute=0))
    use_budget(pool, "day", 999, midnight - timedelta(days=1))
    use_budget(pool, "hour", 9, now.replace(hour=11, minute=0))
    tokens, cost, requests = budget_use(pool, ai, now)
    assert (tokens.used, tokens.limit, tokens.share, tokens.left) == (800, 1000, 0.8, 200)
    assert (cost.scope, cost.used, cost.left, cost.share) == ("cost", 2.0, 0, 1)
    assert (requests.scope, requests.used, requests.limit) == ("hour", 4, 10)
    assert [budget.used for budget in budget_use(pool, ai, now + timedelta(days=5))] == [0, 0, 0]
    assert BudgetShare("cost", 0, 0, 0).share == 1


def test_the_metrics_of_front_ends(pool: ConnectionPool, used: Settings):
    at = TEN + 2 * HOUR
    useful = add_answer(pool, TEN, confidence=0.8)
    add_answer(pool, TEN, confidence=0.79)
    add_answer(pool, TEN, confidence=0.59)
    add_answer(pool, TEN, confidence=0.1, subject_type="content")
    add_answer(pool, TEN - 30 * HOUR, confidence=0.1)
    vote(pool, useful)
    vote(pool, useful, "lin", useful=False)
    metrics = enhancement_metrics(pool, "default", 4, at).document()
    assert metrics == {
        "requestsPerHour": 1.5,
        "averageResponseTime": (9000 + 1000 + 3000 + 500) / 4,
        # of five questions that could come from the cache; one asked past it
        "cacheHitRate": 0.4,
        "enhancementSuccessRate": pytest.approx(5 / 6),
        "userEngagementRate": pytest.approx(1 / 3),
        "aiConfidenceDistribution": {"high": 1, "medium": 1, "low": 1},
    }


def test_the_metrics_of_nothing_are_unknown_not_zero(pool: ConnectionPool, settings: Settings):
    metrics = enhancement_metrics(pool, "default").document()
    assert metrics["requestsPerHour"] == 0
    for name in ("averageResponseTime", "cacheHitRate", "enhancementSuccessRate", "userEngagementRate"):
        assert metrics[name] is None
    assert metrics["aiConfidenceDistribution"] == {"high": 0, "medium": 0, "low": 0}


# ------------------------------------------------------------------------------------------------------ plots

POINT = UsagePoint(TEN, "local", 4, 3, 1, 3, 2, 500, 0.5, 1000.0, 3000.0, 1, 1, 0)
POINTS = [
    POINT,
    replace(POINT, provider="openai", tokens=300, cost_usd=0.25),
    replace(POINT, at=TEN + HOUR, provider="openai", tokens=100),
    replace(POINT, at=TEN + HOUR, provider="", calls=0, successes=0, p50_response_ms=None, p95_response_ms=None),
]


def test_bars_of_providers_stand_on_one_another():
    cost, tokens = drawn_by(ai_plots.draw_use, POINTS)
    bars = sorted(
        (bar.get_y(), bar.get_height()) for bar in tokens.patches if bar.get_x() < date2num(TEN + HOUR) - 1e-6
    )
    assert bars == [(0, 500), (500, 300)]
    assert {text.get_text() for text in cost.get_legend().get_texts()} == {
        "local", "openai", "no provider",
    }  # fmt: skip


def test_response_times_are_in_seconds_and_leave_out_what_was_not_called():
    (axes,) = drawn_by(ai_plots.draw_response_times, POINTS)
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn["local"] == [1.0]
    assert drawn["openai"] == [1.0, 1.0]
    assert "" not in drawn


def test_rates_are_shares_of_all_providers():
    (axes,) = drawn_by(ai_plots.draw_rates, POINTS)
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert drawn == {
        "calls that succeeded": [pytest.approx(2 / 3), pytest.approx(2 / 3)],
        "answered from the cache": [0.25, 0.25],
    }


def test_budgets_beyond_their_limit_are_seen():
    (axes,) = drawn_by(ai_plots.draw_budgets, [BudgetShare("day", 500, 250, 1000), BudgetShare("cost", 5, 0, 5)])
    within, full, *reserved = axes.patches
    assert [bar.get_width() for bar in (within, full, *reserved)] == [0.5, 1.0, 0.25, 0.0]
    assert within.get_facecolor() != full.get_facecolor()


@pytest.mark.parametrize(
    "draw",
    [
        ai_plots.draw_use, ai_plots.draw_response_times, ai_plots.draw_rates, ai_plots.draw_confidence,
        ai_plots.draw_budgets, ai_plots.draw_errors,
    ],
)  # fmt: skip
def test_nothing_is_drawn_as_nothing(draw: Any):
    assert drawn_by(draw, [])


def test_answers_and_errors_are_bars():
    (answers,) = drawn_by(ai_plots.draw_confidence, POINTS)
    assert [bar.get_height() for bar in answers.patches] == [2, 2, 2, 2, 0, 0]
    (errors,) = drawn_by(
        ai_plots.draw_errors, [ErrorCount("timeout", "deadline", 3), ErrorCount("auth_error", "", 1)]
    )
    assert [bar.get_width() for bar in errors.patches] == [1, 3]
    assert [label.get_text() for label in errors.get_yticklabels()] == ["auth_error", "timeout · deadline"]


def drawn_by(draw: Any, figures: Any) -> Any:
    """The axes of a figure that was drawn and can be saved as a picture."""
    figure = Figure()
    draw(figure, figures)
    figure.savefig(io.BytesIO(), format="png")
    return figure.axes

"""dbt on the embedded Postgres: one build of a small shop, copied for tests that change it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.artifacts.schemas.results import NodeStatus
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from pydantic import SecretStr

from tagging_orchestration.business.dbt import dbt_environment, dbt_vars, project_dir
from tagging_orchestration.postgres.server import EmbeddedServer
from tagging_orchestration.settings import BusinessSettings, Settings
from tests.conftest import fresh_database
from tests.dbt.builders import OUTAGE, Order, load_shop


@dataclass(frozen=True, slots=True)
class Business:
    """A database with facts, and dbt on it."""

    url: str
    manifest: Manifest
    target: Path
    orders: tuple[Order, ...] = ()

    def dbt(self, *arguments: str, expect: bool = True) -> list[str]:
        """Run dbt; the names of the nodes that failed."""
        settings = shop_settings(self.url)
        environment = dbt_environment(settings) | {
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.target),
            "DBT_LOG_LEVEL": "none",
            "DBT_LOG_LEVEL_FILE": "none",
        }
        if any("test_type:unit" in argument for argument in arguments):
            # A command that ran in this process before may have left it in the environment, too.
            environment["DBT_EXCLUDE_RESOURCE_TYPES"] = ""
        move(self.manifest, environment["DBT_DATABASE"])
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            done: dbtRunnerResult = dbtRunner(manifest=self.manifest).invoke(
                [*arguments, "--vars", json.dumps(dbt_vars(settings)), "--quiet"]
            )
        if done.exception:
            raise done.exception
        results: Any = done.result
        bad = {NodeStatus.Fail, NodeStatus.Error, NodeStatus.Skipped}
        failed = [f"{result.node.name}: {result.message}" for result in results if result.status in bad]
        assert not (expect and failed), failed
        assert len(results.results) > 0
        return failed

    def build(self, *steps: str) -> None:
        """Build steps of the pipeline: metrics, alerts, insights."""
        for step in steps:
            self.dbt("build", "--select", f"tag:{step}")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query, or none of a statement."""
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []


def move(manifest: Manifest, database: str) -> None:
    """Point the manifest to another database: parsing again for each would take most of these tests' time."""
    for node in (*manifest.nodes.values(), *manifest.sources.values()):
        if node.relation_name:
            node.relation_name = node.relation_name.replace(f'"{node.database}".', f'"{database}".')
        node.database = database


def shop_settings(url: str) -> Settings:
    """Settings of the shop."""
    business = BusinessSettings(timezone="Asia/Taipei", currency="TWD", locale="zh-Hant")
    return Settings(database_url=SecretStr(url), business=business)


@pytest.fixture(scope="session")
def manifest(postgres_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The project, parsed once."""
    target = tmp_path_factory.mktemp("dbt")
    settings = shop_settings(postgres_server.url())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dbt_environment(settings).items():
            patch.setenv(name, value)
        done = dbtRunner().invoke(
            [
                "parse", "--vars", json.dumps(dbt_vars(settings)), "--quiet", "--project-dir", str(project_dir()),
                "--target-path", str(target), "--log-path", str(target),
            ]
        )  # fmt: skip
    assert done.success, done.exception
    assert isinstance(done.result, Manifest)
    return done.result


@pytest.fixture(scope="session")
def built(
    postgres_server: EmbeddedServer,
    template_database: str,
    manifest: Manifest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Business]:
    """The shop with all three steps built, detectors and alerts played by hand. Tests only read it."""
    for url in fresh_database(postgres_server, template_database):
        with psycopg.connect(url) as connection:
            orders = load_shop(connection)
        shop = Business(url, manifest, tmp_path_factory.mktemp("target"), tuple(orders))
        shop.build("metrics")
        play_detectors(shop)
        shop.build("alerts")
        play_alerts(shop)
        shop.build("insights")
        yield shop


@pytest.fixture
def changeable(built: Business, postgres_server: EmbeddedServer, tmp_path: Path) -> Iterator[Business]:
    """A copy of the built shop that a test may change."""
    for url in fresh_database(postgres_server, built.url.rpartition("/")[2].partition("?")[0]):
        yield Business(url, built.manifest, tmp_path, built.orders)


@pytest.fixture
def empty(database_url: str, manifest: Manifest, tmp_path: Path) -> Business:
    """A migrated database without any fact."""
    return Business(database_url, manifest, tmp_path)


@pytest.fixture
def functions() -> Callable[[Business, str], list[tuple[Any, ...]]]:
    """Call a function of analytics."""
    return lambda shop, call: shop.rows(f"SELECT * FROM analytics.{call}")


def play_detectors(shop: Business) -> None:
    """Scores as the detectors would write them: revenue dropped and the tag surged on the day of the outage."""
    shop.rows(
        """
        INSERT INTO analytics.anomaly_scores
            (metric_name, dimension, metric_date, value, expected, lower, upper, score, threshold, is_anomaly,
             kind, direction, detector_version)
        SELECT f.metric_name, f.dimension, f.metric_date, f.current_value, s.expected, s.lower, s.upper, s.score,
            3.0, true, s.kind, s.direction, 'test'
        FROM analytics.fct_business_metrics_daily AS f
        INNER JOIN (VALUES
            ('daily_revenue', 'all', 2400.0, 1800.0, 3000.0, 7.0, 'drop', 'down'),
            ('daily_orders', 'all', 5.0, 2.0, 9.0, 8.0, 'spike', 'up'),
            ('tag_volume', 'tag', 0.1, 0.0, 1.0, 9.0, 'spike', 'up'),
            ('avg_response_time', 'all', 60.0, 0.0, 90.0, 4.0, 'missing', 'none'),
            ('visits', 'all', 200.0, 150.0, 250.0, 4.0, 'missing', 'none')
        ) AS s (metric_name, dimension, expected, lower, upper, score, kind, direction)
            ON f.metric_name = s.metric_name AND split_part(f.dimension, ':', 1) = s.dimension
        WHERE f.metric_date = %s
        """,
        OUTAGE,
    )


def play_alerts(shop: Business) -> None:
    """Alerts as the alert engine would write them; the payment alert is moved to the last day, so it is open."""
    shop.rows(
        """
        INSERT INTO analytics.dashboard_alerts
            (id, alert_type, alert_subtype, severity, priority, metric_name, direction, fingerprint, title,
             message, texts, current_value, threshold_value, business_context, evidence_refs, metric_date,
             last_metric_date, detected_at)
        SELECT
            '00000000-0000-0000-0000-000000000001', a.alert_type, a.alert_subtype, a.severity, 'urgent',
            a.metric_name, a.direction, 'f1', a.title_zh, a.message_zh,
            jsonb_build_object(
                'en', jsonb_build_object('title', a.title_en, 'message', a.message_en),
                'zh-Hant', jsonb_build_object('title', a.title_zh, 'message', a.message_zh)
            ),
            a.current_value, a.threshold_value, c.business_context,
            jsonb_build_object('top_tags', jsonb_build_array(jsonb_build_object(
                'tag_id', t.id, 'tag', t.name, 'count', 8, 'baseline', 1, 'lift', 20.5, 'p_value', 0.0001,
                'q_value', 0.001, 'sample_ids', '[1]'::jsonb
            ))),
            '2024-07-27', '2024-07-28', '2024-07-28 16:00+00'
        FROM analytics.alerts_threshold AS a
        INNER JOIN analytics.business_context AS c USING (metric_name, dimension, metric_date)
        CROSS JOIN tagging.tags AS t
        WHERE a.metric_name = 'payment_failure_rate' AND a.dimension = 'all'
        """
    )

"""What the alerts find of the incidents planted in the simulated shop, and what explains them.

    python benchmarks/incidents.py [--seeds 7,1,2] [--json]
    python benchmarks/incidents.py --home .tagging        # judge what `make run` found (seed 7)

For each seed a fresh home: the shop of that seed is simulated (incidents on dates of their own, contents dated to
match), its facts go into `raw`, and `tagging run` does the rest, as a user would. Then, for each planted incident:
was there an alert, how many days late, how severe, and is a tag that names the cause among the first three of the
evidence? Alerts that begin outside of every incident are false alarms.

An incident is detected by an alert of a metric it moves (or of a tag that names its cause) that begins between
its first day and GRACE_DAYS after its last one. A metric still moves for a while after an incident: alerts that
begin up to AFTERMATH_DAYS after its end, and trends up to TREND_DAYS, are no false alarms.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

from tagging_orchestration.business.dbt import ensure_manifest
from tagging_orchestration.business.load import load_shop
from tagging_orchestration.demo.catalogue import FIRST_DAY, LAST_DAY
from tagging_orchestration.demo.incidents import DEFAULT_SEED, SAMPLE_INCIDENTS, PlantedIncident
from tagging_orchestration.demo.shop import CURRENCY, Shop, simulate
from tagging_orchestration.settings import Settings, get_settings
from tagging_orchestration.wiring import Project

CLONE = Path(__file__).resolve().parents[1]
GRACE_DAYS = 3
AFTERMATH_DAYS = 7
TREND_DAYS = 30
# The detectors know nothing before; days on which nothing could be alerted make no rate better.
WARM_UP_DAYS = 28
TOP = 3
OTHERS = len(SAMPLE_INCIDENTS) - 1

CONFIGURATION = f"""
sources:
  - name: sample
    path: contents.jsonl
    timezone: Asia/Taipei
    columns: {{id: id, title: title, body: text, url: url, language: language, created_at: created_at,
      updated_at: updated_at, content_type: kind, tags: tags, metadata: [product_sku, rating, channel]}}
business:
  timezone: Asia/Taipei
  currency: {CURRENCY}
"""

ALERTS = """
    SELECT
        metric_name, dimension, dimension_label, alert_type, severity, metric_date, last_metric_date, title,
        coalesce(evidence_refs -> 'top_tags', '[]')
    FROM analytics.dashboard_alerts
    WHERE resolution IS DISTINCT FROM 'corrected'
    ORDER BY metric_date, metric_name, dimension
"""

SERIES = """
    SELECT f.metric_name, f.dimension
    FROM analytics.fct_business_metrics_daily AS f
    INNER JOIN analytics.metric_thresholds AS t ON t.metric_name = f.metric_name
    WHERE t.enabled
    GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands in dashboard_alerts, with the names of its top tags, best first."""

    metric: str
    dimension: str
    label: str
    kind: str
    severity: str
    first_day: date
    last_day: date
    title: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one planted incident. `days_late` and what follows are None if nothing was.

    `top_tags` are those of the alert that speaks for the incident: the severest of the earliest. Of how many other
    incidents they name the causes as well tells how easily a cause is named by chance.
    """

    kind: str
    start: date
    end: date
    detected: bool
    days_late: int | None
    severity: str | None
    metrics: tuple[str, ...]
    title: str | None
    top_tags: tuple[str, ...]
    cause_on_top: bool
    cause_in_top: bool
    other_causes_in_top: int
    alerts_with_cause: int
    alerts: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """One seed's findings, and its false alarms: alerts, and their rate a series and 30 days."""

    seed: int
    findings: tuple[Finding, ...]
    false_alarms: tuple[str, ...]
    false_alarms_by_metric: dict[str, float]
    false_alarms_per_series_30_days: float
    series: int
    alerts: int
    seconds: float


def judge(
    seed: int,
    incidents: Sequence[PlantedIncident],
    alerts: Sequence[Alert],
    series: Sequence[tuple[str, str]],
    seconds: float = 0.0,
) -> Judgement:
    """Compare the alerts with the truth."""
    findings = [_finding(incident, incidents, alerts) for incident in incidents]
    false = [
        alert
        for alert in alerts
        if alert.first_day >= FIRST_DAY + timedelta(days=WARM_UP_DAYS)
        and not any(_belongs(alert, incident) for incident in incidents)
    ]
    days = [FIRST_DAY + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 1)]
    calm = [
        day
        for day in days[WARM_UP_DAYS:]
        if not any(
            _first_day(item) <= day <= _last_day(item) + timedelta(days=AFTERMATH_DAYS) for item in incidents
        )
    ]
    per_30_days = 30 / max(1, len(calm))
    names = sorted({name for name, dimension in series if dimension == "all"})
    return Judgement(
        seed=seed,
        findings=tuple(findings),
        false_alarms=tuple(
            f"{alert.first_day} {alert.metric} {alert.label or alert.dimension} {alert.kind}" for alert in false
        ),
        false_alarms_by_metric={
            name: round(sum(a.metric == name and a.dimension == "all" for a in false) * per_30_days, 3)
            for name in names
        },
        false_alarms_per_series_30_days=round(len(false) * per_30_days / max(1, len(series)), 4),
        series=len(series),
        alerts=len(alerts),
        seconds=round(seconds, 1),
    )


def _finding(incident: PlantedIncident, incidents: Sequence[PlantedIncident], alerts: Sequence[Alert]) -> Finding:
    first, last = _first_day(incident), _last_day(incident)
    hits = [
        alert for alert in alerts if _lies_in(alert.first_day, incident, GRACE_DAYS) and _is_about(alert, incident)
    ]
    order = {"critical": 0, "warning": 1, "info": 2}
    hits.sort(key=lambda alert: (alert.first_day, order[alert.severity], alert.dimension != "all"))
    speaker = hits[0] if hits else None
    tags = speaker.tags if speaker else ()
    return Finding(
        kind=incident.kind,
        start=first,
        end=last,
        detected=bool(hits),
        days_late=(speaker.first_day - first).days if speaker else None,
        severity=min((alert.severity for alert in hits), key=order.__getitem__, default=None),
        metrics=tuple(dict.fromkeys(alert.metric for alert in hits)),
        title=speaker.title if speaker else None,
        top_tags=tags[:TOP],
        cause_on_top=_names_cause(tags[:1], incident),
        cause_in_top=_names_cause(tags[:TOP], incident),
        other_causes_in_top=sum(_names_cause(tags[:TOP], other) for other in incidents if other is not incident),
        alerts_with_cause=sum(_names_cause(alert.tags[:TOP], incident) for alert in hits),
        alerts=len(hits),
    )


def _is_about(alert: Alert, incident: PlantedIncident) -> bool:
    if alert.dimension.startswith("tag:"):
        return _names_cause((alert.label,), incident)
    if alert.dimension.startswith("product:"):
        return alert.metric in incident.metrics and alert.dimension == f"product:{incident.product}"
    return alert.metric in incident.metrics


def _belongs(alert: Alert, incident: PlantedIncident) -> bool:
    after = TREND_DAYS if alert.kind == "trend_analysis" else AFTERMATH_DAYS
    return _lies_in(alert.first_day, incident, after, incident.lead_days)


def _lies_in(day: date, incident: PlantedIncident, days_after: int, days_before: int = 0) -> bool:
    return (
        _first_day(incident) - timedelta(days=days_before)
        <= day
        <= _last_day(incident) + timedelta(days=days_after)
    )


def _names_cause(tags: Sequence[str], incident: PlantedIncident) -> bool:
    causes = {_folded(cause) for cause in incident.causes}
    return any(_folded(tag) in causes for tag in tags)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _first_day(incident: PlantedIncident) -> date:
    return incident.start.date()


def _last_day(incident: PlantedIncident) -> date:
    return (incident.end - timedelta(microseconds=1)).date()


# ------------------------------------------------------------------------------------------------- runs


def run(seed: int) -> Judgement:
    """Simulate, load, run as a user does, and judge."""
    shop = simulate(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)  # the embedded server's user must reach its data
        (root / "tagging.yaml").write_text(CONFIGURATION, encoding="utf-8")
        (root / "rules.yaml").write_bytes((CLONE / "rules.yaml").read_bytes())
        # Of its own, so that several runs at once do not write to one folder.
        shutil.copytree(
            CLONE / "dbt_project", root / "dbt_project", ignore=shutil.ignore_patterns("target", "logs")
        )
        lines = [json.dumps(content.document, ensure_ascii=False) + "\n" for content in shop.contents]
        (root / "contents.jsonl").write_text("".join(lines), encoding="utf-8")
        environment = {**os.environ, "TAGGING_HOME": str(root / "home")}
        started = time.perf_counter()
        try:
            tagging("db", "start", folder=root, environment=environment)
            load_facts(shop, root)
            tagging("run", folder=root, environment=environment)
            seconds = time.perf_counter() - started
            return judge(seed, shop.incidents, *found(root / "home", root), seconds)
        finally:
            tagging("db", "stop", folder=root, environment=environment)


def tagging(*arguments: str, folder: Path, environment: dict[str, str]) -> None:
    """One call of the command line in a project folder; its output is shown when it fails."""
    command = [str(Path(sys.executable).with_name("tagging")), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def load_facts(shop: Shop, root: Path) -> None:
    """Put a simulated shop's facts into the database of a project folder, and parse its dbt project."""
    with open_project(root / "home", root) as project:
        ensure_manifest(project.settings)
        load_shop(project.pool, project.settings, shop, location=f"simulation {shop.seed}", run_id=None)


def found(home: Path, root: Path) -> tuple[list[Alert], list[tuple[str, str]]]:
    """The alerts of a home's database, and the series that could have alerted."""
    with open_project(home, root) as project, project.pool.connection() as connection:
        alerts = [
            Alert(*row[:8], tags=tuple(tag["tag"] for tag in row[8]))
            for row in connection.execute(ALERTS).fetchall()
        ]
        series = [(name, dimension) for name, dimension in connection.execute(SERIES).fetchall()]
    return alerts, series


@contextmanager
def open_project(home: Path, root: Path) -> Iterator[Project]:
    """The project of a folder, with its own home; the working directory is the folder meanwhile."""
    with chdir(root):
        get_settings.cache_clear()
        with Project(Settings(home=home)) as project:
            yield project


# ---------------------------------------------------------------------------------------------- printing


def summary(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """The figures over all seeds."""
    findings = [finding for judgement in judgements for finding in judgement.findings]
    detected = [finding for finding in findings if finding.detected]
    alerts = sum(finding.alerts for finding in detected)
    by_metric = {
        name: round(mean(judgement.false_alarms_by_metric.get(name, 0.0) for judgement in judgements), 3)
        for name in sorted({name for judgement in judgements for name in judgement.false_alarms_by_metric})
    }
    return {
        "incidents": len(findings),
        "detected": len(detected),
        "missed": len(findings) - len(detected),
        "mean_days_late": round(mean(item.days_late or 0 for item in detected), 2) if detected else None,
        "evidence_hit_rate": round(sum(item.cause_in_top for item in findings) / len(findings), 3),
        "other_causes_hit_rate": round(mean(item.other_causes_in_top / OTHERS for item in findings), 3),
        "evidence_on_top_rate": round(sum(item.cause_on_top for item in findings) / len(findings), 3),
        "alerts_with_cause_rate": round(sum(item.alerts_with_cause for item in detected) / max(1, alerts), 3),
        "false_alarms_per_series_30_days": round(
            mean(judgement.false_alarms_per_series_30_days for judgement in judgements), 4
        ),
        "false_alarms_per_metric_30_days": by_metric,
    }


def text(judgements: Sequence[Judgement]) -> str:
    """The findings for people."""
    lines = []
    for judgement in judgements:
        lines.append(
            f"seed {judgement.seed}: {judgement.alerts} alerts of {judgement.series} series,"
            f" {judgement.seconds:.0f} s"
        )
        for item in judgement.findings:
            said = f"{item.days_late:+d} days {item.severity:8} {item.title}" if item.detected else "missed"
            mark = "on top" if item.cause_on_top else f"in top {TOP}" if item.cause_in_top else "no"
            lines += [
                f"  {item.kind:16} {item.start} {said}",
                f"  {'':16} cause {mark}; {item.alerts_with_cause} of {item.alerts} alerts;"
                f" {', '.join(item.top_tags)}",
            ]
        lines += [f"  false alarm: {said}" for said in judgement.false_alarms]
    figures = summary(judgements)
    rates = figures.pop("false_alarms_per_metric_30_days")
    lines += [f"{name:34} {value}" for name, value in figures.items()]
    lines += [f"  {name:32} {rate:.3f} false alarms per 30 days" for name, rate in rates.items()]
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default=f"{DEFAULT_SEED},1,2", help="comma between them")
    parser.add_argument("--home", type=Path, help="judge the alerts in this home instead of running anything")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.home:
        shop = simulate()
        judgements = [judge(shop.seed, shop.incidents, *found(options.home.absolute(), Path.cwd()))]
    else:
        judgements = [run(int(seed)) for seed in options.seeds.split(",")]
    if options.json:
        print(
            json.dumps(
                {"summary": summary(judgements), "seeds": [*map(asdict, judgements)]}, default=str, indent=2
            )
        )
    else:
        print(text(judgements))


if __name__ == "__main__":
    main()

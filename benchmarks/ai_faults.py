"""What the base looks like after each of the 33 faults of a language model's server: the same.

    python benchmarks/ai_faults.py --home .tagging [--faults hang,busy] [--json]

For each fault the local server of `tagging dev-llm` misbehaves for every request; the job `ai_enhancement_job`
asks about everything that can be enhanced, then the base's own job `refresh_alerts` runs beside the fault. Every
row of every table of the base is hashed before and after. Told are, for each fault: whether the base is byte for
byte the same, whether both runs succeeded, what was shown of the answers, whether every reference of it resolves,
and whether the log of calls has as many rows as the server saw calls.

The home must hold a finished `make run`. Its AI tables are emptied between the faults; its base is not touched.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg_pool import ConnectionPool

from tagging_orchestration.dev_llm.faults import Fault
from tagging_orchestration.dev_llm.server import DevLlm

CLONE = Path(__file__).resolve().parents[1]
TIMEOUT_MS = 1500
ALERTS = 3
# What makes a fault last longer than the deadline, or shows its kinds one after the other.
DETAILS: dict[Fault, Sequence[dict]] = {
    Fault.COLD_LOAD: [{"delay": 0.2}, {"delay": 3.0}],
    Fault.SLOW_DRIP: [{"delay": 0.2}],
    Fault.PARALLEL: [{"delay": 0.1}],
    Fault.WRONG_SCHEMA: [
        {"kind": kind}
        for kind in ("missing_key", "percent_confidence", "string_for_list", "extra_keys", "too_few")
    ],
}
# Facts of the refresh itself, which every refresh writes anew.
VOLATILE = ("computed_at", "run_id", "judged_at", "updated_at", "made_at")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault. `changed` are tables of the base whose hash differs; `failures` counts calls by error."""

    number: int
    fault: str
    details: dict
    changed: list[str]
    base_run: bool
    ai_run: bool
    calls_seen: int
    rows_of_calls: int
    shown: int
    references: int
    broken: int
    failures: dict[str, int]

    @property
    def harmless(self) -> bool:
        """Whether the base stands, its run succeeded, and all that is shown of AI resolves."""
        return not self.changed and self.base_run and not self.broken and self.calls_seen == self.rows_of_calls


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--home", type=Path, required=True)
    arguments.add_argument("--faults", default="", help="names, comma separated; all without")
    arguments.add_argument("--json", action="store_true")
    said = arguments.parse_args()
    faults = [Fault(name) for name in said.faults.split(",") if name] or list(Fault)
    with DevLlm() as server:
        os.environ |= {
            "TAGGING_HOME": str(said.home.resolve()),
            "TAGGING_AI__ENABLED": "true",
            "TAGGING_AI__PROVIDERS": json.dumps({"local": {"base_url": server.base_url, "active": True}}),
            "TAGGING_AI__ALERTS_PER_RUN": str(ALERTS),
            "TAGGING_AI__DAILY_TOKEN_LIMIT": "100000000",
            "TAGGING_AI__HOURLY_REQUEST_LIMIT": "100000",
        }
        outcomes = []
        for fault in faults:
            for details in DETAILS.get(fault, [{}]):
                outcomes.append(try_fault(server, fault, details))
                print(line(outcomes[-1]), file=sys.stderr, flush=True)
    harmless = {fault for fault in faults if all(o.harmless for o in outcomes if o.fault == fault)}
    summary = {
        "faults": len(faults),
        "harmless": len(harmless),
        "base_runs_failed": sum(not outcome.base_run for outcome in outcomes),
        "ai_runs_failed": sum(not outcome.ai_run for outcome in outcomes),
        "shown": sum(outcome.shown for outcome in outcomes),
        "references": sum(outcome.references for outcome in outcomes),
        "broken_references": sum(outcome.broken for outcome in outcomes),
        "calls_seen": sum(outcome.calls_seen for outcome in outcomes),
        "rows_of_calls": sum(outcome.rows_of_calls for outcome in outcomes),
    }
    print(json.dumps(summary | ({"outcomes": [asdict(o) for o in outcomes]} if said.json else {}), indent=2))
    return 0 if len(harmless) == len(faults) else 1


def try_fault(server: DevLlm, fault: Fault, details: dict) -> Outcome:
    """Both jobs beside one fault."""
    from tagging_orchestration.ai.audit import audit_answers
    from tagging_orchestration.ai.sync import sync_ai
    from tagging_orchestration.business.dbt import dbt_environment, ensure_manifest
    from tagging_orchestration.commands.runs import open_desk
    from tagging_orchestration.settings import get_settings
    from tagging_orchestration.storage.ai_parity import base_fingerprints

    server.reset()
    get_settings.cache_clear()
    with open_desk() as desk:
        project = desk.project
        ensure_manifest(project.settings, dbt_environment(project.settings))
        sync_ai(project.pool, project.settings)
        began = forget_answers(project.pool)
        before = base_fingerprints(project.pool, leave_out=VOLATILE)
        server.script(fault, **details)
        ai_run = desk.runner.run_job("ai_enhancement_job", location="business")
        base_run = desk.runner.run_job("refresh_alerts", location="business")
        after = base_fingerprints(project.pool, leave_out=VOLATILE)
        audit = audit_answers(project.pool)
        outcomes = calls_since(project.pool, began)
    return Outcome(
        number=fault.number,
        fault=str(fault),
        details=details,
        changed=sorted(name for name in before if before[name] != after[name]),
        base_run=base_run.success,
        ai_run=ai_run.success,
        calls_seen=len(server.calls),
        rows_of_calls=sum(outcomes.values()),
        shown=audit.answers,
        references=audit.references,
        broken=len(audit.faults),
        failures={name: count for name, count in outcomes.items() if name != "success"},
    )


def forget_answers(pool: ConnectionPool) -> datetime:
    """Empty the cache, close the circuits and shorten the deadline; the moment from which calls are counted."""
    with pool.connection() as connection:
        connection.execute("DELETE FROM ai.ai_enhancements")
        connection.execute("UPDATE ai.ai_providers SET consecutive_failures = 0, circuit_opened_at = NULL")
        connection.execute("UPDATE ai.ai_providers SET health_status = 'unknown'")
        connection.execute(
            "UPDATE ai.ai_system_config SET system_settings ="
            " jsonb_set(system_settings, '{enhancement_timeout_ms}', to_jsonb(%s::integer))",
            [TIMEOUT_MS],
        )
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    return row[0] if row else datetime.now(UTC)


def calls_since(pool: ConnectionPool, moment: datetime) -> Counter[str]:
    """Calls that left for the provider, by what came of them."""
    with pool.connection() as connection:
        rows = connection.execute(
            """
            SELECT coalesce(l.error_subtype, l.status), count(*)
            FROM ai.ai_usage_logs AS l
            WHERE l.called AND l.created_at >= %s
            GROUP BY 1
            """,
            [moment],
        ).fetchall()
    return Counter(dict(rows))


def line(outcome: Outcome) -> str:
    """One fault for people."""
    failures = ", ".join(f"{count} {name}" for name, count in outcome.failures.items())
    said = "" if not outcome.details else " " + json.dumps(outcome.details)
    base = f"CHANGED {outcome.changed}" if outcome.changed else "unchanged"
    runs = f"base run {_word(outcome.base_run)}, AI run {_word(outcome.ai_run)}"
    calls = f"{outcome.calls_seen} calls seen, {outcome.rows_of_calls} logged"
    shown = f"{outcome.shown} shown with {outcome.references} references, {outcome.broken} broken"
    head = f"{outcome.number:2d} {outcome.fault}{said}: base {base}, {runs}, {calls}, {shown}"
    return head + (f"; {failures}" if failures else "")


def _word(success: bool) -> str:
    return "ok" if success else "FAILED"


if __name__ == "__main__":
    sys.exit(main())

"""The project's automation conditions: few, explicit, tested by ticking."""

from __future__ import annotations

import dagster as dg


def after_upstream() -> dg.AutomationCondition:
    """Run once upstream has new results, is no longer running, and its blocking checks passed.

    `eager()` would wait for every partition upstream to exist, and most periods of history hold no content.
    Blocking checks stop downstream steps of their own run only; the last term carries them across runs.
    """
    return (
        dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
    ).with_label("after_upstream")

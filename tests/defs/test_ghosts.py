"""A killed run must not keep its place in a pool."""

from __future__ import annotations

import dagster as dg
import pytest

from tagging_orchestration.defs.ghosts import free_places_of_ghosts
from tagging_orchestration.storage.run_locks import hold_run_lock


@pytest.fixture
def place(instance: dg.DagsterInstance) -> str:
    """The only place in the pool `llm`, taken by a run; the id of that run."""
    storage, run_id = instance.event_log_storage, "0b5b9d44-66c0-4f3e-9a5e-4f6d7b1c2a3d"
    storage.set_concurrency_slots("llm", 1)
    assert storage.claim_concurrency_slot("llm", run_id, "alert_enhancements").is_claimed
    return run_id


def test_a_killed_run_gives_its_place_back(instance, project, place: str):
    assert free_places_of_ghosts(instance, project.pool) == 1
    assert instance.event_log_storage.claim_concurrency_slot("llm", "another", "alert_enhancements").is_claimed
    assert free_places_of_ghosts(instance, project.pool) == 1


def test_a_run_at_work_keeps_its_place(instance, project, place: str):
    with hold_run_lock(project.pool, place):
        assert free_places_of_ghosts(instance, project.pool) == 0
        assert not instance.event_log_storage.claim_concurrency_slot(
            "llm", "another", "alert_enhancements"
        ).is_claimed

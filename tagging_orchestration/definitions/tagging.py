"""The code location `tagging`: contents, tags, vocabulary, checks, and what drives them."""

from __future__ import annotations

import dagster as dg

from tagging_orchestration.defs.checks import ALL_CHECKS
from tagging_orchestration.defs.classifier import tag_models
from tagging_orchestration.defs.embeddings import content_embeddings
from tagging_orchestration.defs.executor import job_executor
from tagging_orchestration.defs.feedback import confidence_calibration, feedback_statistics, review_queue
from tagging_orchestration.defs.jobs import ALL_JOBS
from tagging_orchestration.defs.metrics import tagging_metrics
from tagging_orchestration.defs.raw_content import raw_content
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.schedules import ALL_SCHEDULES
from tagging_orchestration.defs.sensors import ALL_SENSORS
from tagging_orchestration.defs.tag_proposals import llm_tag_proposals, propose_tags_job, propose_tags_when_due
from tagging_orchestration.defs.tags import content_tags, generated_tags
from tagging_orchestration.defs.vocabulary import merged_vocabulary, tag_relationships, tag_weights

defs = dg.Definitions(
    assets=[
        raw_content,
        content_embeddings,
        generated_tags,
        merged_vocabulary,
        content_tags,
        tag_weights,
        tag_relationships,
        tagging_metrics,
        review_queue,
        feedback_statistics,
        confidence_calibration,
        tag_models,
        llm_tag_proposals,
    ],
    asset_checks=ALL_CHECKS,
    jobs=[*ALL_JOBS, propose_tags_job],
    schedules=[*ALL_SCHEDULES, propose_tags_when_due],
    sensors=ALL_SENSORS,
    resources={"tagging": Tagging()},
    executor=job_executor(),
)

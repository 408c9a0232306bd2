"""Parameters of the pure core: bounds, thresholds and periods. `settings.py` fills them for a process."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """A settings block that refuses unknown keys, so that a typing error is not silently a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaggerSettings(Strict):
    """Bounds and thresholds of one content's tags."""

    min_tags: int = Field(default=2, ge=0)
    max_tags: int = Field(default=10, gt=0)
    min_confidence: float = Field(default=0.03, ge=0, le=1)
    generosity: float = Field(default=2.0, ge=0, description="tags people give beside those proposed, as a share")
    proposals_kept: int = Field(default=30, gt=0, description="ranked proposals stored a content")
    neighbours: int = Field(default=10, ge=0)
    max_tag_words: int = Field(default=4, gt=0)
    diversity: float = Field(default=0.7, ge=0, le=1, description="1: confidence only, 0: spread only")
    new_tag_min_support: int = Field(default=2, ge=1, description="contents that must carry a new tag's words")
    new_tags_per_1000: float = Field(default=500, gt=0, description="machine tags that 1,000 contents may add")
    tag_language: Literal["content", "en", "zh-Hant", "zh-Hans"] = "content"
    corpus_sample: int = Field(default=20_000, gt=0)
    closed_vocabulary: bool = Field(default=False, description="propose tags of the vocabulary only")

    @model_validator(mode="after")
    def _bounds(self) -> TaggerSettings:
        if self.min_tags > self.max_tags:
            raise ValueError(f"tagger.min_tags ({self.min_tags}) is above tagger.max_tags ({self.max_tags})")
        return self


class VocabularySettings(Strict):
    """Care of the vocabulary."""

    merge_automatic: float = Field(default=0.75, ge=0, le=1)
    merge_review: float = Field(default=0.25, ge=0, le=1)
    fold_chinese_script: bool = Field(default=True, description="match Traditional and Simplified as one")
    retire_after_days: int = Field(default=365, gt=0)
    decay_per_day: float = Field(default=0.005, ge=0)
    usage_gain: float = Field(default=0.15, ge=0)
    weight_tolerance: float = Field(
        default=0.05, gt=0, description="relative change below which no event is written"
    )

    @model_validator(mode="after")
    def _thresholds(self) -> VocabularySettings:
        if self.merge_review > self.merge_automatic:
            raise ValueError("vocabulary.merge_review is above vocabulary.merge_automatic")
        return self


class GateSettings(Strict):
    """Limits of the quality gates (asset checks)."""

    min_coverage: float = Field(default=0.95, ge=0, le=1)
    max_single_use_share: float = Field(default=0.5, ge=0, le=1)
    max_new_tags_per_1000: float = Field(default=600, gt=0)
    max_drift: float = Field(default=0.2, gt=0, description="population stability index of confidences")
    max_pending_hours: float = Field(default=24, gt=0)
    max_rejected_share: float = Field(default=0.2, ge=0, le=1)


class PartitionSettings(Strict):
    """Time partitions of contents by creation; rows outside go to the nearest partition."""

    period: Literal["monthly", "weekly", "daily"] = "monthly"
    start: date = date(2010, 1, 1)

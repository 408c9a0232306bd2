"""The shipped ranker weights, or others from a file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.tagging.ranking import RankerWeights

SHIPPED = "ranker_weights.json"


def load_ranker_weights(path: Path | None = None) -> RankerWeights:
    """Weights from `path`, or those that ship with the package (trained by benchmarks/train_ranker.py).

    Raises ConfigurationError when the file is missing or is not for this version's features.
    """
    source = path or resources.files("tagging_orchestration.core.tagging").joinpath(SHIPPED)
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{source}: cannot read ranker weights ({error})") from None
    return RankerWeights.from_mapping(data, str(source))

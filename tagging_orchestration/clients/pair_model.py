"""The shipped pair model of vocabulary merging."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources

from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.vocabulary.pair_model import PairModel

SHIPPED = "pair_model.json"


@lru_cache(maxsize=1)
def load_pair_model() -> PairModel:
    """The model that ships with the package (trained by benchmarks/train_merge.py), read once a process.

    Raises ConfigurationError when the file is missing or is not for this version's features.
    """
    source = resources.files("tagging_orchestration.core.vocabulary").joinpath(SHIPPED)
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{source}: cannot read the pair model ({error})") from None
    return PairModel.from_mapping(data, str(source))

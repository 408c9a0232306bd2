"""Which language a content is treated in: what was stated about it, else what is detected."""

from __future__ import annotations

import re

from tagging_orchestration.core.ports import LanguageTools

_TRADITIONAL_REGIONS = frozenset({"tw", "hk", "mo", "hant"})
_SIMPLIFIED_REGIONS = frozenset({"cn", "sg", "my", "hans"})
_CODE = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]+)*", re.IGNORECASE)


def language_of(stated: str | None, text: str, tools: LanguageTools) -> str:
    """BCP 47 code as `LanguageTools.detect` gives it. A statement that is no language code is ignored."""
    if stated and _CODE.fullmatch(stated.strip()):
        primary, *regions = re.split("[-_]", stated.strip().lower())
        if primary != "zh":
            return primary
        if _TRADITIONAL_REGIONS & set(regions):
            return "zh-Hant"
        if _SIMPLIFIED_REGIONS & set(regions):
            return "zh-Hans"
    return tools.detect(text)

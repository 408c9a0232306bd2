"""Which field people mean by the words of a heading or a key, in English or Chinese."""

from __future__ import annotations

import re

from tagging_orchestration.core.enhancement.forms import WEAK_LABELS, Form, key_form
from tagging_orchestration.core.tagging.scripts import has_han

_BRACKETED = re.compile(r"[(（\[【〔].*?[)）\]】〕]")
_FILLERS = re.compile(
    r"具體|可執行|預估|預計|解決|簡要|簡潔|問題|主要|潛在|商業|業務|調整後|關鍵|根本|可能|初步|相關|整體|說明|評估|需求|執行"
    r"|具体|可执行|预估|解决|问题|潜在|商业|业务|关键|分析|內容|方案|策略|列表|清單|指數|度|的|與|和|及|點|项|項"
    r"|\b(?:the|and|or|of|for|to|a|an|in|key|main|possible|potential|estimated|proposed|suggested|recommended|brief"
    r"|specific|concrete|overall|detailed|immediate|list|section|analysis|assessment|level|score|our|business"
    r"|problem|issue|executive|probable|likely|actionable|resolution|expected|improvement|corrective)\b",
    re.IGNORECASE,
)


def labelled(head: str, form: Form) -> tuple[str, bool]:
    """The path whose label a heading is, and whether it is nothing else; ("", False) for other words."""
    if len(head) > 200:
        return "", False
    bare = _BRACKETED.sub("", head).strip(" *_#：:.。")
    if not bare or len(bare) > 60 or re.search(r"[(（\[【]", bare):
        return "", False
    for path in form.labels:
        if key_form(bare) == key_form(path.rpartition(".")[2]):
            return path, True
    best: tuple[tuple[bool, int], str, bool] | None = None
    for path, labels in form.labels.items():
        for label in labels:
            rest = _without(bare, label)
            if rest is None:
                continue
            rest = _FILLERS.sub("", rest)
            for other in labels:
                shorter = _without(rest, other)
                rest = rest if shorter is None else shorter
            left = rest.split() if not has_han(bare) else list(re.sub(r"[\W_]", "", rest))
            if len(left) > (1 if not has_han(bare) else 2):
                continue
            exact = not left
            rank = (label not in WEAK_LABELS, len(label))
            if best is None or rank > best[0]:
                best = (rank, path, exact)
    return (best[1], best[2]) if best else ("", False)


def _without(text: str, label: str) -> str | None:
    """The text without one label, None where the label does not stand in it (in English: as a word)."""
    pattern = re.escape(label) if has_han(label) else rf"(?<![a-z]){re.escape(label)}(?![a-z])"
    found = re.search(pattern, text, re.IGNORECASE)
    return None if found is None else f"{text[: found.start()]} {text[found.end() :]}"

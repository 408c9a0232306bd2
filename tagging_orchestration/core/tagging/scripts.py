"""Character classes of the scripts that are not written with spaces, for use inside regular expressions."""

from __future__ import annotations

import re

# CJK unified ideographs, extension A and the compatibility ideographs.
HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
KANA = "\u3040-\u30ff\u31f0-\u31ff"
HANGUL = "\uac00-\ud7af\u1100-\u11ff"

_HAN = re.compile(f"[{HAN}]")


def has_han(text: str) -> bool:
    """Whether the text holds a Chinese character."""
    return _HAN.search(text) is not None

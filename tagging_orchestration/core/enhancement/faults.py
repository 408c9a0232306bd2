"""What was wrong with an answer, said to the model that is asked once more."""

from __future__ import annotations

from collections.abc import Sequence

from tagging_orchestration.core.enhancement.shaping import Fault

_MOST_FAULTS = 10
_MOST_CHARACTERS = 300

# By kind of fault: (English, Traditional Chinese). {path} is a field, {detail} the figures or values.
_TEXTS = {
    "cut": (
        "The answer was cut off before its end. Keep every text shorter.",
        "回答在結束前被截斷。請縮短每一段文字。",
    ),
    "not_json": ("The answer was not one complete JSON object.", "回答不是一個完整的 JSON 物件。"),
    "missing": ('The field "{path}" is missing.', "缺少欄位「{path}」。"),
    "empty": ('The field "{path}" says nothing.', "欄位「{path}」沒有內容。"),
    "twice": ('The field "{path}" is given more than once.', "欄位「{path}」重複出現。"),
    "not_object": ('The field "{path}" must be an object.', "欄位「{path}」必須是物件。"),
    "not_list": ('The field "{path}" must be a list.', "欄位「{path}」必須是陣列。"),
    "not_text": ('The field "{path}" must hold text only.', "欄位「{path}」只能是文字。"),
    "not_number": ('The field "{path}" must be a number.', "欄位「{path}」必須是數字。"),
    "confidence": (
        'The field "confidence" must be a number from 0 to 1.',
        "欄位「confidence」必須是 0 到 1 之間的數字。",
    ),
    "too_few": (
        'The list "{path}" has too few different items ({detail}).',
        "陣列「{path}」的不同項目太少（{detail}）。",
    ),
    "not_allowed": (
        'The field "{path}" must be one of: {detail}.',
        "欄位「{path}」必須是下列其中之一：{detail}。",
    ),
    "form": ('The field "{path}" does not keep to its form.', "欄位「{path}」不符合格式。"),
    "unknown_title": (
        "A title is none of the given ones: use each given title exactly as it is written.",
        "有標題不在給定的清單中：請一字不差地使用給定的標題。",
    ),
    "title_twice": ('The title "{detail}" stands more than once.', "標題「{detail}」重複出現。"),
    "title_missing": ('The title "{detail}" is missing.', "缺少標題「{detail}」。"),
    "uncited": (
        'Claim {detail} (in "{path}") cites none of the given evidence. Copy references exactly as given.',
        "第 {detail} 項主張（在「{path}」中）沒有引用給定的證據。請照原樣引用證據代號。",
    ),
    "group_uncited": (
        'The list "{path}" needs at least one item that cites the given evidence.',
        "陣列「{path}」至少要有一項引用給定的證據。",
    ),
    "unsafe_link": ('The field "{path}" holds a link; leave links out.', "欄位「{path}」含有連結；請勿放入連結。"),
    "unsafe_mail_address": (
        'The field "{path}" holds an e-mail address; leave it out.',
        "欄位「{path}」含有電子郵件地址；請移除。",
    ),
    "unsafe_markup": (
        'The field "{path}" holds HTML or script; write plain text.',
        "欄位「{path}」含有 HTML 或程式碼；請只寫純文字。",
    ),
    "unsafe_template": (
        'The field "{path}" holds template marks such as {{ }}; write plain text.',
        "欄位「{path}」含有 {{ }} 之類的樣板符號；請只寫純文字。",
    ),
    "unsafe_control_token": (
        'The field "{path}" holds control marks; write plain text.',
        "欄位「{path}」含有控制符號；請只寫純文字。",
    ),
    "unsafe_secret": ('The field "{path}" holds what looks like a key.', "欄位「{path}」含有類似金鑰的內容。"),
    "unsafe_canned_text": (
        'The field "{path}" says nothing about this case; analyse the given data.',
        "欄位「{path}」沒有針對此案例；請分析給定的資料。",
    ),
    "unsafe_instructions": (
        "The answer repeats its instructions; write about the data only.",
        "回答重複了指示內容；請只針對資料撰寫。",
    ),
}


def fault_text(fault: Fault, locale: str) -> str:
    """A fault as a sentence in the language of the prompt."""
    english, chinese = _TEXTS[fault.kind]
    text = chinese if locale.startswith("zh") else english
    return text.replace("{path}", fault.path).replace("{detail}", fault.detail)[:_MOST_CHARACTERS]


def repair_prompt(faults: Sequence[str], locale: str) -> str:
    """What to ask a model once more after AnswerRejected with these `faults`. The form and the evidence stand in
    the first prompt, which goes along with it."""
    lines = [" ".join(fault.split())[:_MOST_CHARACTERS] for fault in faults[:_MOST_FAULTS]]
    if locale.startswith("zh"):
        head = "你上一次的回答無法使用，原因如下：" if lines else "你上一次的回答無法使用。"
        tail = (
            "請根據相同的資料重新回答一次：只輸出一個完整的 JSON 物件，符合指定的欄位與數量，"
            "每一項主張都引用給定的證據代號，前後不要加任何其他文字。"
        )
    else:
        head = "Your last answer could not be used:" if lines else "Your last answer could not be used."
        tail = (
            "Answer again from the same data: one complete JSON object only, with the fields and counts that were "
            "asked for, every claim citing references from the given evidence, and no text before or after it."
        )
    return "\n".join([head, *(f"- {line}" for line in lines), tail])

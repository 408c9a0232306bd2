"""Sentences of a text that speak to a language model instead of saying something: what they ask for is no tag.

No list of phrases stops every attack. What stops them is that an answer is data: its form is checked, names and
quotes must stand in the text they are said to be of, and nothing in it is ever called. This list keeps what an
attack itself says from counting as text that a tag may rest on.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

# Letters of other scripts that look like Latin ones, the commonest of Unicode's confusables.
_LOOKALIKES = str.maketrans(
    dict(
        zip(
            "аеіјорсухѕһԁԛԝӏвкмнтАВЕІЈКМНОРСТУХЅαεικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
            "aeijopcyxshdqwlbkmhtABEIJKMHOPCTYXSaeiknoptuxABEZHIKMNOPTYX",
            strict=True,
        )
    )
)
LEFT_OUT = "[…]"
# Characters of no use in a text but to hide one: the invisible "tag" letters, overrides of the writing direction.
_HIDDEN = re.compile("[\U000e0000-\U000e007f\u202d\u202e\u2066-\u2068]")
_BLOB = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_SHOUTED = re.compile(r"\b[A-Z]{4,}\b|\b[A-Za-z]+_\w+")

Document = TypeVar("Document")

_SENTENCE = re.compile(r"(?:[^.!?。！？;；\n]|[.!?;](?![\s\"'”’)\]]|$))*(?:[.!?。！？;；]+[\"'”’)\]]*|\n|$)")

_RULES = (
    r"(?:instruction|direction|prompt|guideline|guardrail|(?:system|safety|your|these|those|previous"
    r"|earlier|above) rule"
    r"|(?:system|developer) message|training|constraint|polic(?:y|ies)|programming)"
)
_ORDERS = (
    rf"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|bypass|discard|skip|neglect|violate|drop)\b"
    rf".{{0,50}}\b{_RULES}",
    r"\b(?:ignore|disregard|forget)\b.{0,20}\b(?:above|everything|all (?:of )?(?:the )?(?:previous|prior|before))",
    rf"\b(?:new|updated|real|actual|secret|hidden|following|additional) (?:system )?{_RULES}s?\b\s{{0,8}}[:：]",
    r"\bsystem (?:prompt|instruction|override|mode)|\b(?:prompt|instruction) (?:above|injection)"
    r"|\byour (?:system )?(?:prompt|instructions)\b|\b(?:developer|admin|debug|god|dan|jailbreak"
    r"|maintenance) mode",
    r"\byou (?:are|were) (?:now (?:an?|the|in|free|called|dan)|no longer|going to (?:act|be))\b"
    r"|\byou are an? (?:ai|assistant|language|model|chatbot|tagger|helpful|unrestricted|evil)"
    r"|\bpretend (?:to be|that you|you are)"
    r"|\brole-?play\b|\bjailbreak"
    r"|\bact as (?:an?|the|if)\b.{0,20}\b(?:ai|assistant|model|admin|system|root|developer)",
    r"(?:^|\n|[>\"'\]])\s{0,8}(?:\*\*|#+ ?|<)?(?:system|assistant|developer|human|user|tool)"
    r"(?:\*\*|>)?\s{0,8}[:：]"
    r"|\[/?(?:inst|system)\]|<[|｜]|</?(?:system|assistant|user|instructions?|data|prompt|contents?|tool_call)\b"
    r"|#{2,}\s{0,8}(?:system|instruction|new task|response|end of)|\b(?:begin|end) of (?:the )?(?:data"
    r"|content|text|prompt"
    r"|input|document|user)|^\s{0,8}`{3,}|\{\s{0,8}\{|\}\s{0,8}\}",
    r"\b(?:ai|llm|gpt|chatgpt|claude|llama|(?:language )?model|assistant|tagger|chatbot"
    r"|bot)\b\s{0,8}[,:：]\s{0,8}(?:please|you|do"
    r"|must|ignore|add|tag|output|the)|\b(?:note|message|instruction|attention|hint)s? (?:to"
    r"|for) (?:the |an? |any )?"
    r"(?:ai|llm|language model|model|assistant|tagger|bot)",
    r"[\"'](?:name|tags|contents|number|is_new|confidence|quote)[\"']\s{0,8}[:：]|\bis_new\b",
    r"\bexamples?\b\s{0,8}\d*\s{0,8}[:：].{0,80}(?:\btags?\b|\blabels?\b|[-=]>)",
    r"!\[[^\]]{0,200}\]\([^)]{0,300}\)|<(?:img|script|iframe|a|svg|style)\b|javascript:|\bon(?:error|load)\s{0,8}=",
    r"\b(?:drop|truncate|delete from|insert into|update)\s{1,8}(?:table|tagging|contents?|tags)\b",
    r"\b(?:set aside|do not (?:read|follow|obey|use)|stop (?:reading|following|obeying))\b.{0,40}\b(?:guidance"
    r"|remaining (?:data|text)|rest of the (?:data|text)|the (?:data|text) (?:above|below)|" + _RULES + ")",
    r"\bwhen (?:summari[sz]ing|tagging|analy[sz]ing|classifying|labell?ing)\b.{0,40}\b(?:say|state|mention|write"
    r"|add|claim|report|recommend|use|output)\b"
    r"|\bwho(?:ever|mever)? (?:summari[sz]es|tags|analy[sz]es|labels) (?:this|it)\b",
    r"[\"']role[\"']\s{0,8}[:：]\s{0,8}[\"'](?:system|assistant|developer|tool|user)"
    r"|\b(?:begin|start|end) (?:of )?(?:data|instructions?|prompt|context)\b\s{0,8}(?:[:：%#=>\-]|$|\n)",
    r"\b(?:ignor(?:e[zr]?|a[rd]?|iere[nt]?|ino)|oublie[zr]?|olvida[rd]?|vergiss|vergessen|missachte|n[ée]glige[zr]?)\b"
    r".{0,50}\b(?:instruc\w{2,8}|anweisung\w{0,3}|consignes?|vorgaben|regeln|r[èe]gles|reglas|istruzioni|regole)\b",
    r"(?:指示|命令|プロンプト|ルール)(?:を|は)?.{0,12}(?:無視|忘れ|破棄)"
    r"|(?:지시|명령|프롬프트|규칙).{0,12}(?:무시|잊)",
    r"(?:先前|之前|前面|上面|以上|上述).{0,10}(?:說明|说明|指示|指令|規則|规则|要求).{0,6}(?:作廢|作废|無效|无效|失效|取消)"
    r"|不[必用要](?:管|理).{0,8}(?:前面|上面|以上|先前|之前).{0,8}(?:說|说|指|要求|規|规)",
    r"(?:摘要|分析|分類|分类|標記|标记|總結|总结)(?:這|这|此|本)?.{0,6}(?:時|时|的(?:AI|人工智[慧能]|模型)).{0,12}"
    r"(?:務必|务必|必須|必须|一定要|應該|应该|請|请).{0,12}(?:寫|写|說|说|加|提|回報|回报|輸出|输出|標|标)",
    r"(?:忽略|無視|无视|忘記|忘记|忘掉|不要理[會会]|不[用必要]遵[守循從从]|別理|别理|跳過|跳过|覆蓋|覆盖"
    r"|違反|违反|推翻|繞過|绕过)"
    r".{0,25}(?:指令|指示|規則|规则|提示|設定|设定|限制|命令|上述|以上|前面|先前|之前)",
    r"系[統统](?:提示[詞词]|指令|指示|命令)|提示[詞词]|開發者模式|开发者模式|管理員模式"
    r"|管理员模式|越獄|越狱",
    r"你(?:現在|现在)(?:是|要|將|将|開始|开始|必須|必须)|你(?:不再|其實|其实)是|你是(?:一[個个]|名"
    r"|位)?(?:AI|人工智[慧能]|助[理手]|機器人|机器人|模型|語言)"
    r"|(?:扮演|假裝|假装|裝作|装作).{0,12}(?:是|成|為|为|角色|你|AI|模型|管理)",
    r"(?:^|\n|[「『>\]])\s{0,8}(?:系[統统]|助[理手]|使用者|用[戶户]|開發者|开发者)\s{0,8}[:：]",
    r"(?:致|給|给|注意)[,，:：]?(?:AI|人工智[慧能]|語言模型|语言模型|模型|助[理手]|機器人|机器人)|(?:AI"
    r"|語言模型|语言模型|模型)[,，:：]?請",
    r"\b(?:list|tell|reveal|repeat|print|show)\b.{0,20}\beverything you (?:know|have|remember|were)\b",
    r"(?:\b(?:decode|base64|rot13)\b|解碼|解码).{0,80}(?:[A-Za-z0-9+/]{20,}|\bobey\b|\bdo (?:it|so)\b|照做)",
)
# What people ask of people, too: an order only where the text speaks of what a model works with.
_REQUESTS = (
    r"\b(?:reveal|print|repeat|show|output|leak|disclose|dump|display|tell me|return|list|exfiltrat\w{0,12}"
    r"|expose|quote"
    r"|include|copy|append|give me|send)\b.{0,60}\b(?:prompt|instructions|system message|api.?keys?"
    r"|secrets?|passwords?"
    r"|credentials?|environment variables?|(?:other|another|all|every|neighbou?ring|previous"
    r"|next) (?:contents?|tickets?"
    r"|documents?|customers?'?|texts?|records?|messages?|users?'?)|configuration|conversation|everything above)",
    r"\b(?:tag|label|classify|categori[sz]e|mark|annotate)\b.{0,30}\b(?:everything|every|all|each|this|it|any|both"
    r"|the (?:other|rest|next|following)|content \d)\b.{0,60}(?:\bas\b|\bwith\b|\bto be\b|[:：]|\")",
    r"\b(?:respond|reply|answer|output|return|write|emit|produce|generate|say|print"
    r"|use)\b.{0,12}\b(?:only|just|with"
    r"|exactly|nothing but|the (?:following|word|tag|json|string))\b.{0,60}[\"'{\[:“「]",
    r"\b(?:add|assign|apply|use|include|insert|give|set|create|propose|output|emit)\b.{0,25}\b(?:the |a "
    r"|this )?(?:new )?"
    r"(?:tags?|labels?|confidence|is_new)\b",
    r"\b(?:call|fetch|visit|open|browse|get|post|request|navigate|curl|wget|download|load|render|send"
    r"|submit|click)\b"
    r".{0,60}(?:https?:|www\.|\bapi\b|\btool\b|\bfunction\b|\bendpoint\b|\bwebhook\b|\burl\b)",
    r"\b(?:execute|invoke|run|use|call)\b.{0,20}\b(?:tools?|functions?|commands?|shell|code|sql|script|plugin)\b",
    r"\b(?:decode|base64|rot13|hex-?decode|unescape)\b",
    r"(?:新|真正|實際|实际|以下|隱藏|隐藏|額外|额外)的?(?:指令|指示|任務|任务|命令|規則|规则)",
    r"(?:顯示|显示|透露|洩漏|泄漏|泄露|洩露|列出|印出|列印|輸出|输出|重複|重复|告訴我|告诉我|說出|说出"
    r"|揭露|公開|公开|附上|複製|复制|引用)"
    r".{0,25}(?:提示|指令|金[鑰钥]|密[鑰钥碼码]|憑證|凭证|環境變數|环境变量|其他|別的|别的|另一|上一"
    r"|下一|所有|內部|内部|機密|机密)",
    r"(?:所有|全部|每[一個个篇則则筆笔]|一律|其他|這[個篇則些]|这[个篇则些]|本[篇文則]"
    r"|下[一列]).{0,16}(?:標|标|貼|贴|打|加|分類|分类|歸類|归类)"
    r".{0,8}(?:上|為|为|成|到|記|记|籤|签)|(?:標[記籤]|标[记签])(?:為|为|成|上)|(?:加上|新增|使用|輸出"
    r"|输出|加入|貼上|打上).{0,12}(?:標籤|标签)",
    r"(?:只|僅|仅|直接|必須|必须|請|请)(?:要|能|可|需)?(?:回答|回覆|回复|輸出|输出|回傳|返回|產生|生成"
    r"|寫).{0,20}[「『\"'{:：]",
    r"(?:呼叫|調用|调用|存取|訪問|访问|造訪|打開|打开|連到|连到|開啟|开启|傳送|传送|發送|发送|點擊|点击"
    r"|下載|下载|執行|执行).{0,30}"
    r"(?:https?:|網址|网址|連結|链接|工具|函[式數数]|API|端點|指令|命令|程式|代碼|代码|腳本|脚本)",
    r"解碼|解码",
)
_ADDRESSED = (
    r"\b(?:ai|llm|gpt|chatgpt|model|assistant|chatbot|tagger|prompt|instructions?|tags?|json|confidence|base64"
    r"|rot13|contents|function|tool_?calls?)\b"
    r"|(?:呼叫|調用|调用|執行|执行)(?:工具|函[式數数])|人工智[慧能]|模型|助[理手]|機器人|机器人|提示[詞词]|指令|標籤|标签"
)
_QUOTED = re.compile(
    r"\"([^\"\n]{2,80})\"|“([^”\n]{2,80})”|「([^」\n]{2,80})」|『([^』\n]{2,80})』|'([^'\n]{2,80})'"
)
_HAN_LETTER = re.compile("[\u3400-\u9fff]")
_PIECE, _CHINESE_PIECE, _LEAST_QUOTED = 28, 10, 4
# An order may be spread over so many sentences or lines on either side.
_NEAR = 4
# "I g n o r e" and 「忽 略」: single letters or characters with a space between each.
_SPACED = re.compile(r"(?<!\w)\w(?:[ \t]\w(?!\w)){4,}")
# One by one: each has a beginning to look for, all in one would be tried at every place (20 times as long).
_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in _ORDERS)
_REQUEST_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE | re.DOTALL) for pattern in _REQUESTS)
_ADDRESS = re.compile(_ADDRESSED, re.IGNORECASE)


def gives_orders(text: str) -> bool:
    """Whether a text tells a model what to do, or hides something from people's eyes."""
    if _HIDDEN.search(text):
        return True
    read = plain(text)
    closed = _SPACED.sub(lambda found: re.sub(r"[ \t]", "", found.group()), read)
    return any(pattern.search(form) for form in dict.fromkeys((read, closed)) for pattern in _patterns_for(form))


def _patterns_for(text: str) -> tuple[re.Pattern[str], ...]:
    """What counts as an order in a text: requests do only where it speaks to, or of, a model and its work."""
    return (*_PATTERNS, *_REQUEST_PATTERNS) if _ADDRESS.search(text) else _PATTERNS


def without_orders(text: str) -> str:
    """The text without sentences that give orders, and without what follows one in its paragraph."""
    if not gives_orders(text):
        return text
    return "".join(sentence for sentence, is_order in _told_apart(text) if not is_order)


def leave_out_orders(document: Document) -> Document:
    """The document in the same shape, with a mark in its texts where orders to a model stood."""
    if isinstance(document, str):
        return _marked(document)  # pyright: ignore[reportReturnType]
    if isinstance(document, Mapping):
        return {key: leave_out_orders(item) for key, item in document.items()}  # pyright: ignore[reportReturnType]
    if isinstance(document, list | tuple):
        return type(document)(leave_out_orders(item) for item in document)  # pyright: ignore[reportReturnType]
    return document


def _marked(text: str) -> str:
    if not gives_orders(text):
        return text
    parts: list[str] = []
    for sentence, is_order in _told_apart(text):
        if not is_order:
            parts.append(sentence)
        elif not parts or parts[-1] != LEFT_OUT:
            parts.append(LEFT_OUT)
    return "".join(parts)


def _told_apart(text: str) -> list[tuple[str, bool]]:
    """The sentences of a text, and whether each gives orders or comes after one in its paragraph."""
    sentences = [sentence for sentence in _SENTENCE.findall(text) if sentence]
    found: list[tuple[str, bool]] = []
    ordered = False
    for number, sentence in enumerate(sentences):
        near = "".join(sentences[max(0, number - _NEAR) : number + _NEAR + 1])
        ordered = ordered or gives_orders(sentence) or _crosses(near, sentence)
        found.append((sentence, ordered))
        # A fake turn of a conversation goes on over its line; an order to people's ears ends with it.
        ordered = ordered and not sentence.endswith("\n")
    return found


def plain(text: str) -> str:
    """The text as it reads: without invisible characters, compatibility forms and lookalike letters resolved."""
    folded = unicodedata.normalize("NFKC", text)
    return "".join(c for c in folded if c in "\n\t" or unicodedata.category(c)[0] != "C").translate(_LOOKALIKES)


def _crosses(around: str, sentence: str) -> bool:
    """Whether an order in the sentences around begins or ends inside this one."""
    whole, part = plain(around), plain(sentence)
    place = whole.find(part)
    return any(
        found.start() < place + len(part) and found.end() > place
        for pattern in _patterns_for(whole)
        for found in pattern.finditer(whole)
    )


def repeats_orders(texts: Iterable[str], data: str) -> bool:
    """Whether texts pass on what an order in the data wants said: a long piece of the order, or what it quotes,
    shouts or names like a function, where that stands nowhere else in the data. Orders in invisible letters,
    base64 or ROT13 are read too."""
    if not gives_orders(data):
        return False
    apart = _told_apart(data)
    orders = "".join(sentence for sentence, is_order in apart if is_order)
    allowed = _letters("".join(sentence for sentence, is_order in apart if not is_order))
    pieces: set[str] = set()
    for order in (orders, *_decoded(orders)):
        read = plain(order)
        pieces |= {_letters(quoted) for found in _QUOTED.finditer(read) for quoted in found.groups("")}
        pieces |= {_letters(word) for word in _SHOUTED.findall(read)}
        whole = _letters(order)
        size = _CHINESE_PIECE if _HAN_LETTER.search(whole) else _PIECE
        pieces |= {whole[at : at + size] for at in range(len(whole) - size + 1)}
    telling = {piece for piece in pieces if len(piece) >= _LEAST_QUOTED and piece not in allowed}
    said = [_letters(text) for text in texts]
    return any(piece in text for text in said for piece in telling)


def _decoded(text: str) -> list[str]:
    """What stands in a text in invisible letters or in base64, and all of it in ROT13."""
    hidden = "".join(chr(ord(c) - 0xE0000) for c in text if 0xE0020 <= ord(c) <= 0xE007E)
    found = [hidden, codecs.encode(plain(text), "rot13")]
    for blob in _BLOB.findall(text):
        try:
            found.append(base64.b64decode(blob + "=" * (-len(blob) % 4)).decode())
        except (binascii.Error, UnicodeDecodeError):
            continue
    return found


def _letters(text: str) -> str:
    """Letters and digits only, as they are read."""
    return "".join(c for c in plain(text).casefold() if c.isalnum())

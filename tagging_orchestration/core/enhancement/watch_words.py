"""What alerts about the AI say, in English and Traditional Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TITLE_CHARACTERS = 200
DETAIL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Words:
    """Title and message of one kind of finding in both languages, with the names of figures in braces."""

    title: str
    message: str
    title_zh: str
    message_zh: str

    def say(self, **figures: Any) -> dict[str, dict[str, str]]:
        """The texts of an alert by locale."""
        texts = {"en": (self.title, self.message), "zh-Hant": (self.title_zh, self.message_zh)}
        return {
            locale: {
                "title": title.format(**figures)[:TITLE_CHARACTERS],
                "message": message.format(**figures),
            }
            for locale, (title, message) in texts.items()
        }


FAILING_CALLS = Words(
    "AI calls to {name} keep failing",
    "{successes:,} of {calls:,} calls of the last {hours:g} hours succeeded ({value:.1%}); the limit is "
    "{limit:.1%}.",
    "{name} 的 AI 呼叫經常失敗",
    "最近 {hours:g} 小時的 {calls:,} 次呼叫中有 {successes:,} 次成功（{value:.1%}），門檻為 {limit:.1%}。",
)
FAILING_CALLS_BY = Words(
    FAILING_CALLS.title,
    FAILING_CALLS.message + " The most frequent error is {error}.",
    FAILING_CALLS.title_zh,
    FAILING_CALLS.message_zh + "最常見的錯誤是 {error}。",
)
SLOW_ANSWERS = Words(
    "AI answers from {name} are slow",
    "One call in twenty of the last {hours:g} hours took {seconds:.1f} seconds or more; the limit is "
    "{limit_seconds:.1f} seconds.",
    "{name} 的 AI 回應緩慢",
    "最近 {hours:g} 小時，每二十次呼叫就有一次耗時 {seconds:.1f} 秒以上，門檻為 {limit_seconds:.1f} 秒。",
)
POOR_ANSWERS = Words(
    "Many AI answers from {name} are unusable",
    "{valid:,} of {answers:,} answers of the last {hours:g} hours kept to their form and cited evidence that "
    "exists ({value:.1%}); the limit is {limit:.1%}.",
    "{name} 的 AI 回答品質不佳",
    "最近 {hours:g} 小時的 {answers:,} 則回答中，有 {valid:,} 則格式正確且引用有據（{value:.1%}），"
    "門檻為 {limit:.1%}。",
)
AWAY_ALONE = Words(
    "AI provider {name} is not available",
    "{reasons}There will be no new AI texts until it answers again; everything else goes on.",
    "AI 服務「{name}」無法使用",
    "{reasons_zh}恢復之前不會有新的 AI 內容，其他功能不受影響。",
)
AWAY = Words(
    AWAY_ALONE.title,
    "{reasons}Other providers answer meanwhile.",
    AWAY_ALONE.title_zh,
    "{reasons_zh}期間改由其他 AI 服務回答。",
)
UNWELL = Words(
    "AI provider {name} is not well",
    "{reasons}Until that is mended AI texts may be missing; everything else goes on.",
    "AI 服務「{name}」狀態異常",
    "{reasons_zh}排除之前可能缺少 AI 內容，其他功能不受影響。",
)
OFTEN_AWAY = Words(
    "AI provider {name} is often away",
    "It was well in {good:,} of {probes:,} looks of the last 24 hours ({value:.1%}); the limit is {limit:.1%}.",
    "AI 服務「{name}」時常中斷",
    "最近 24 小時的 {probes:,} 次檢查中有 {good:,} 次正常（{value:.1%}），門檻為 {limit:.1%}。",
)
MUCH_OF_COST = Words(
    "The AI has used {value:.0%} of its daily cost limit",
    "USD {used:,.2f} of USD {whole:,.2f} are used today (UTC). At the limit the AI rests until the next day; "
    "everything else goes on.",
    "AI 已使用每日費用上限的 {value:.0%}",
    "今日（UTC）已使用 {used:,.2f} 美元，上限為 {whole:,.2f} 美元。達到上限後 AI 會暫停到隔天，其他功能不受影響。",
)
MUCH_OF_TOKENS = Words(
    "The AI has used {value:.0%} of its daily tokens",
    "{used:,.0f} of {whole:,.0f} tokens are used today (UTC). At the limit the AI rests until the next day; "
    "everything else goes on.",
    "AI 已使用每日 Token 上限的 {value:.0%}",
    "今日（UTC）已使用 {used:,.0f} 個 Token，上限為 {whole:,.0f} 個。達到上限後 AI 會暫停到隔天，"
    "其他功能不受影響。",
)
UNUSUAL_COST = Words(
    "The AI costs unusually much today",
    "USD {used:,.2f} so far: {times:.1f} times the usual day of the past week (USD {usual:,.2f}).",
    "今日 AI 費用異常偏高",
    "目前已使用 {used:,.2f} 美元，是過去一週平常一天（{usual:,.2f} 美元）的 {times:.1f} 倍。",
)
UNUSUAL_TOKENS = Words(
    "The AI uses unusually many tokens today",
    "{used:,.0f} tokens so far: {times:.1f} times the usual day of the past week ({usual:,.0f}).",
    "今日 AI 的 Token 用量異常偏高",
    "目前已使用 {used:,.0f} 個 Token，是過去一週平常一天（{usual:,.0f} 個）的 {times:.1f} 倍。",
)


def reasons_away(failures: int, detail: str) -> Mapping[str, str]:
    """Why a provider is not available, as sentences to begin a message with."""
    detail = " ".join(detail.split())[:DETAIL_CHARACTERS].rstrip(".。 ")
    said = [f"{failures:,} calls in a row failed." if failures else "", f"Last look: {detail}." if detail else ""]
    said_zh = [
        f"已連續 {failures:,} 次呼叫失敗。" if failures else "",
        f"最近一次檢查：{detail}。" if detail else "",
    ]
    return {
        "reasons": "".join(f"{sentence} " for sentence in said if sentence),
        "reasons_zh": "".join(said_zh),
    }

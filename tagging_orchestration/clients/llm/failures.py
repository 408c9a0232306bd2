"""What went wrong with a call, in the words of this project: by status and by what the connection did, never by
what a server writes. Messages hold neither keys nor prompts: of a server's text only what repeats nothing of the
request.
"""

from __future__ import annotations

from collections.abc import Sequence

from tagging_orchestration.clients.llm.guarded_http import CONNECT_SECONDS, MAX_REPLY_BYTES, GuardedCall
from tagging_orchestration.core.enhancement.models import ErrorSubtype, ErrorType, LlmFailure

EXCERPT_CHARACTERS = 160
REPEATED_CHARACTERS = 12
_BUSY = (503, 529)
_GATEWAYS = (502, 504, 520, 521, 522, 523, 524)


def stopped(call: GuardedCall, where: str) -> LlmFailure | None:
    """The failure of a call that was ended from this side; None where it was not."""
    if call.stopped_by == "cancelled":
        return LlmFailure(
            f"{where}: the call was cancelled",
            subtype=ErrorSubtype.CANCELLED,
            http_status=call.status,
            sent=call.sent,
        )
    if call.stopped_by == "deadline":
        return timed_out(call, where)
    if call.stopped_by == "too_large":
        return LlmFailure(
            f"{where}: the reply is larger than {MAX_REPLY_BYTES // 1024**2} MB; it was dropped",
            subtype=ErrorSubtype.SERVER_ERROR,
            http_status=call.status,
        )
    if call.stopped_by == "encoded":
        return LlmFailure(
            f"{where}: the reply is compressed although none was asked for: look at the proxy in between",
            subtype=ErrorSubtype.UNSUPPORTED,
            http_status=call.status,
        )
    return None


def timed_out(call: GuardedCall, where: str) -> LlmFailure:
    """No whole answer in time. Another try can help only where not even the first byte came."""
    what = "the answer was not complete" if call.answered else "no answer came"
    return LlmFailure(
        f"{where}: {what} within {call.seconds:g} s; loading a model takes longer (enhancement_timeout_ms)",
        type=ErrorType.TIMEOUT,
        subtype=ErrorSubtype.DEADLINE,
        http_status=call.status,
        may_retry=not call.answered,
        sent=call.sent,
    )


def unreachable(where: str) -> LlmFailure:
    """Nobody listens there."""
    return LlmFailure(
        f"{where}: no connection within {CONNECT_SECONDS:g} s: is the server running, is base_url right?",
        subtype=ErrorSubtype.UNAVAILABLE,
        may_retry=True,
        sent=False,
    )


def lost(call: GuardedCall, where: str) -> LlmFailure:
    """The connection ended before the answer did."""
    if call.answered:
        return LlmFailure(
            f"{where}: the connection ended in the middle of the reply",
            subtype=ErrorSubtype.INCOMPLETE,
            http_status=call.status,
        )
    return LlmFailure(
        f"{where}: the connection ended before a reply came", subtype=ErrorSubtype.UNAVAILABLE, may_retry=True
    )


def no_reply_of_its_kind(call: GuardedCall, where: str, kind: str) -> LlmFailure:
    """Something answered that does not speak the protocol."""
    return LlmFailure(
        f"{where}: what came back is no reply of {kind}: does base_url name one, or a proxy's page?",
        subtype=ErrorSubtype.UNSUPPORTED,
        http_status=call.status,
    )


def by_status(status: int, call: GuardedCall, where: str, model: str, said: str = "") -> LlmFailure:
    """The failure that an HTTP status means. `said` is what of the server's text may be shown."""
    words = f" ({said})" if said else ""
    if status in (401, 403):
        return LlmFailure(
            f"{where}: access refused (HTTP {status}): look at the key in the provider's environment variable",
            type=ErrorType.AUTH_ERROR,
            subtype=ErrorSubtype.BAD_REQUEST,
            http_status=status,
        )
    if status == 429:
        return LlmFailure(
            f"{where}: too many requests or no quota left (HTTP 429){words}",
            type=ErrorType.RATE_LIMIT,
            subtype=ErrorSubtype.BUSY,
            http_status=status,
            may_retry=True,
        )
    if status == 404 and "json" not in call.content_type:
        return LlmFailure(
            f"{where}: the server has no such endpoint (HTTP 404): does base_url name the right one?",
            subtype=ErrorSubtype.UNSUPPORTED,
            http_status=status,
        )
    if status == 404:
        return LlmFailure(
            f"{where}: there is no model {model} (HTTP 404): get it (`ollama pull {model}`), or name another",
            subtype=ErrorSubtype.MODEL_NOT_FOUND,
            http_status=status,
        )
    if status in _BUSY:
        return LlmFailure(
            f"{where}: the server is busy (HTTP {status}){words}",
            subtype=ErrorSubtype.BUSY,
            http_status=status,
            may_retry=True,
        )
    if status in _GATEWAYS or status == 408:
        return LlmFailure(
            f"{where}: the server behind the gateway does not answer (HTTP {status})",
            type=ErrorType.TIMEOUT if status in (408, 504, 524) else ErrorType.GENERAL_ERROR,
            subtype=ErrorSubtype.UNAVAILABLE,
            http_status=status,
            may_retry=True,
        )
    if status >= 500:
        return LlmFailure(
            f"{where}: the server failed (HTTP {status}){words}",
            subtype=ErrorSubtype.SERVER_ERROR,
            http_status=status,
        )
    if 300 <= status < 400:
        return LlmFailure(
            f"{where}: the server redirects (HTTP {status}), which is not followed: name the right base_url",
            subtype=ErrorSubtype.UNSUPPORTED,
            http_status=status,
        )
    return LlmFailure(
        f"{where}: the request was refused (HTTP {status}){words}",
        subtype=ErrorSubtype.BAD_REQUEST,
        http_status=status,
    )


def excerpt(text: object, secrets: Sequence[str]) -> str:
    """The beginning of a server's text on one line; nothing where it repeats a piece of what must not be told."""
    line = " ".join("".join(character if character.isprintable() else " " for character in str(text)).split())
    line = line[:EXCERPT_CHARACTERS]
    for secret in filter(None, secrets):
        whole = " ".join(secret.split())
        size = min(REPEATED_CHARACTERS, len(whole))
        if any(line[start : start + size] in whole for start in range(len(line) - size + 1)):
            return ""
    return line


def without_credentials(url: str) -> str:
    """The URL without a user's name and password."""
    scheme, separator, rest = url.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]

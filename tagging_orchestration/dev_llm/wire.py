"""What Ollama makes of a request before a model sees it: types, names, options, durations, and its own texts.

The texts and figures are in ollama_facts.json, with the source they come from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

FOREVER = float("inf")
DEFAULT_KEEP_ALIVE = 300.0
_NAME = re.compile(
    r"(?:(?:[\w.-]+(?::\d+)?/)?[\w-][\w.-]{0,79}/)?[A-Za-z0-9_][\w.-]{0,79}(?::[A-Za-z0-9_][\w.-]{0,79})?",
    re.ASCII,
)
_DURATION = re.compile(r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_INTEGERS = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "repeat_last_n",
]
_FLOATS = ["top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"]
OPTION_TYPES = {
    **dict.fromkeys(_INTEGERS, "integer"),
    **dict.fromkeys(_FLOATS, "float32"),
    "use_mmap": "boolean",
    "stop": "array",
}

_GO_NAMES = {
    "string": str,
    "bool": bool,
    "int": int,
    "map[string]interface {}": dict,
    "[]api.Message": list,
    "[]api.Tool": list,
    "[]api.ImageData": list,
    "[]api.ToolCall": list,
    "[]int": list,
}
_SHARED = {
    "model": "string",
    "stream": "bool",
    "options": "map[string]interface {}",
    "truncate": "bool",
    "shift": "bool",
    "logprobs": "bool",
    "top_logprobs": "int",
}
_MESSAGE_FIELDS = {
    "role": "string",
    "content": "string",
    "thinking": "string",
    "images": "[]api.ImageData",
    "tool_calls": "[]api.ToolCall",
}
REQUEST_FIELDS = {
    "ChatRequest": {**_SHARED, "messages": "[]api.Message", "tools": "[]api.Tool"},
    "GenerateRequest": {
        **_SHARED,
        "prompt": "string",
        "system": "string",
        "template": "string",
        "suffix": "string",
        "raw": "bool",
        "context": "[]int",
        "images": "[]api.ImageData",
    },
    "EmbedRequest": {
        "model": "string",
        "options": "map[string]interface {}",
        "truncate": "bool",
        "dimensions": "int",
    },
    "EmbeddingRequest": {"model": "string", "prompt": "string", "options": "map[string]interface {}"},
    "ShowRequest": {"model": "string", "name": "string", "verbose": "bool"},
}


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@cache
def facts() -> Mapping[str, Any]:
    """The texts, figures and models of the server that this one imitates."""
    return json.loads(Path(__file__).with_name("ollama_facts.json").read_text(encoding="utf-8"))


def text(key: str, **values: str) -> str:
    """One of the server's texts."""
    return facts()["texts"][key].format(**values)


@dataclass(frozen=True, slots=True)
class DevModel:
    """A model this server says it has."""

    name: str
    capabilities: tuple[str, ...] = ("completion",)
    context_length: int = 131072
    embedding_length: int | None = None
    family: str = "llama"
    parameter_size: str = "1.2B"
    quantization_level: str = "Q4_K_M"
    size: int = 1_321_098_329

    @property
    def digest(self) -> str:
        """Made of the name, so that it is the same every time."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    def details(self) -> dict[str, Any]:
        """The object `details` of lists and of `show`."""
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization_level,
        }


def default_models() -> tuple[DevModel, ...]:
    """Two that chat, one that thinks and one that embeds."""
    return tuple(
        DevModel(**{**model, "capabilities": tuple(model["capabilities"])}) for model in facts()["models"]
    )


def full_name(name: str) -> str:
    """The name with its tag: `phi4-mini` is `phi4-mini:latest`."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def is_model_name(name: str) -> bool:
    """Whether Ollama would take it for a name."""
    return _NAME.fullmatch(name) is not None


def decode(raw: bytes, request: str) -> dict[str, Any]:
    """The fields of a request body, named in lower case as Go reads them; unknown ones stay, ignored.

    Raises Refusal(400) with the words of Go's decoder. What follows the first value is not looked at.
    """
    body = raw.decode("utf-8", errors="replace").lstrip(" \t\r\n")
    if not body:
        raise Refusal(400, text("missing_body"))
    try:
        value, _ = json.JSONDecoder(parse_constant=_no_constant).raw_decode(body)
    except json.JSONDecodeError as error:
        raise Refusal(400, _syntax_error(body, error)) from None
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise Refusal(400, f"json: cannot unmarshal {_go_kind(value)} into Go value of type api.{request}")
    fields = {key.lower(): item for key, item in value.items() if item is not None}
    for name, go_type in REQUEST_FIELDS[request].items():
        if name in fields:
            _check_type(fields[name], go_type, f"{request}.{name}")
    for message in fields.get("messages", []) if request == "ChatRequest" else []:
        if not isinstance(message, dict):
            raise Refusal(400, _unmarshal(message, f"{request}.messages", "api.Message"))
        for name, go_type in _MESSAGE_FIELDS.items():
            if message.get(name) is not None:
                _check_type(message[name], go_type, f"{request}.messages.{name}")
    return fields


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError("Expecting value", name, 0)


def _syntax_error(body: str, error: json.JSONDecodeError) -> str:
    if error.doc is not body:
        return f"invalid character '{error.doc[0]}' looking for beginning of value"
    rest = body[error.pos :].lstrip(" \t\r\n")
    if not rest or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    where = {
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
        "Illegal trailing comma before end of object": "looking for beginning of object key string",
        "Expecting ':' delimiter": "after object key",
        "Expecting ',' delimiter": "after array element"
        if _in_array(body[: error.pos])
        else "after object key:value pair",
    }.get(error.msg, "looking for beginning of value")
    return f"invalid character '{rest[0]}' {where}"


def _in_array(before: str) -> bool:
    """Whether the innermost open bracket is that of an array."""
    open_brackets: list[str] = []
    in_string = escaped = False
    for character in before:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            open_brackets.append(character)
        elif character in "]}" and open_brackets:
            open_brackets.pop()
    return bool(open_brackets) and open_brackets[-1] == "["


def _go_kind(value: Any) -> str:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def _check_type(value: Any, go_type: str, where: str) -> None:
    wanted = _GO_NAMES[go_type]
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise Refusal(400, _unmarshal(value, where, go_type))


def _unmarshal(value: Any, where: str, go_type: str) -> str:
    return f"json: cannot unmarshal {_go_kind(value)} into Go struct field {where} of type {go_type}"


def keep_alive_seconds(value: Any) -> float:
    """How long a model stays loaded: a number is seconds, a string a Go duration, negative for ever."""
    if value is None:
        return DEFAULT_KEEP_ALIVE
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Refusal(400, f"Unsupported type: '{_go_reflect(value)}'")
    seconds = _go_duration(value) if isinstance(value, str) else float(value)
    return FOREVER if seconds < 0 else seconds


def _go_reflect(value: Any) -> str:
    return {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]


def _go_duration(value: str) -> float:
    if not _DURATION.fullmatch(value):
        bare = re.fullmatch(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)", value)
        reason = "missing unit in duration" if bare else "invalid duration"
        raise Refusal(400, f"time: {reason} {go_quote(value)}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(value))
    return -seconds if value.startswith("-") else seconds


def go_quote(value: str) -> str:
    """As Go's %q writes a string."""
    return json.dumps(value, ensure_ascii=False)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse an option of a wrong type, with 500 as Ollama does; unknown options are ignored."""
    for name, value in options.items():
        wanted = OPTION_TYPES.get(name)
        if wanted is None or value is None:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = {
            "integer": number,
            "float32": number,
            "boolean": isinstance(value, bool),
            "array": isinstance(value, list),
        }[wanted]
        if not fits:
            raise Refusal(500, text("option_type", option=name, type=wanted))
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise Refusal(500, text("option_type", option=name, type="array of strings"))


def check_format(value: Any) -> Mapping[str, Any] | str | None:
    """The schema, "json", or None where the answer's form is free. Raises Refusal(500) for anything else."""
    if value is None or value == "":
        return None
    if value == "json" or isinstance(value, dict):
        return value
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    raise Refusal(500, text("invalid_format", quoted=go_quote(written)))


def check_think(fields: Mapping[str, Any], model: DevModel) -> bool:
    """Whether the model thinks first. Raises Refusal(400) for one that is told to and cannot."""
    think = fields.get("think")
    able = "thinking" in model.capabilities
    if think is None:
        return able
    if not isinstance(think, bool) and think not in ("high", "medium", "low"):
        raise Refusal(400, text("think_type"))
    if think and not able:
        raise Refusal(400, text("no_capability", quoted=go_quote(fields["model"]), what="thinking"))
    return bool(think)


def check_logprobs(fields: Mapping[str, Any]) -> None:
    """Refuse a number of alternatives out of range."""
    if not 0 <= fields.get("top_logprobs", 0) <= 20:
        raise Refusal(400, text("top_logprobs"))


def created_at(moment: datetime | None = None, nanoseconds: int = 0) -> str:
    """RFC 3339 in UTC with up to nine digits, trailing zeros cut, as Go writes times.

    `nanoseconds` (0-999) are added to the microseconds Python knows.
    """
    moment = (moment or datetime.now(UTC)).astimezone(UTC)
    digits = f"{moment.microsecond * 1000 + nanoseconds:09d}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + digits if digits else ''}Z"


def token_count(words: str) -> int:
    """About as many tokens as a model would count: four letters, or one character of Chinese."""
    wide = sum(1 for character in words if ord(character) > 0x2E7F)
    return wide + (len(words) - wide + 3) // 4

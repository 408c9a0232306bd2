"""The canned server, and a real one where OLLAMA_CONTRACT_HOST names it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tagging_orchestration.clients.llm.ollama import OllamaClient
from tagging_orchestration.core.enhancement.models import LlmFailure, LlmRequest
from tagging_orchestration.dev_llm.server import DevLlm

REAL_HOST = os.environ.get("OLLAMA_CONTRACT_HOST", "")
REAL_MODEL = os.environ.get("OLLAMA_CONTRACT_MODEL", "")
SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "causes": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        "confidence": {"type": "number"},
    },
    "required": ["summary", "causes", "confidence"],
    "additionalProperties": False,
}
PROMPT = "Why did orders fall? Answer as JSON with summary, causes and confidence.\n- metric:orders — Orders a day"


@pytest.fixture(scope="module")
def running() -> Iterator[DevLlm]:
    """One server for the tests of a file."""
    with DevLlm() as server:
        yield server


@pytest.fixture
def server(running: DevLlm) -> Iterator[DevLlm]:
    """The server without scripts and records."""
    running.reset()
    yield running
    running.reset()


@pytest.fixture
def client(server: DevLlm) -> OllamaClient:
    """A fresh client of the canned server."""
    return OllamaClient(server.base_url)


@dataclass(frozen=True)
class Host:
    """An Ollama server of either kind, and a model it has."""

    url: str
    model: str
    seconds: float

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=self.seconds, trust_env=False)

    @property
    def client(self) -> OllamaClient:
        return OllamaClient(self.url)


@pytest.fixture(params=["canned", "real"])
def host(request: pytest.FixtureRequest) -> Host:
    """The canned server, then the real one: what holds of one must hold of the other."""
    if request.param == "canned":
        return Host(request.getfixturevalue("server").base_url, "phi4-mini", 5.0)
    if not (REAL_HOST and REAL_MODEL):
        pytest.skip("no real Ollama: set OLLAMA_CONTRACT_HOST and OLLAMA_CONTRACT_MODEL")
    return Host(REAL_HOST, REAL_MODEL, 300.0)


def a_request(**changes: Any) -> LlmRequest:
    """A request that the canned server answers at once."""
    fields: dict[str, Any] = {
        "model": "phi4-mini",
        "system": "You analyse a shop.",
        "prompt": PROMPT,
        "max_tokens": 300,
        "temperature": 0.0,
        "timeout_seconds": 5.0,
        "schema": SCHEMA,
    }
    return LlmRequest(**{**fields, **changes})


def failure_of(call: Callable[[], object]) -> LlmFailure:
    """The failure a call raises."""
    with pytest.raises(LlmFailure) as caught:
        call()
    return caught.value

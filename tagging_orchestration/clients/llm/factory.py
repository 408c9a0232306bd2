"""The client that goes with a row of `ai_providers`."""

from __future__ import annotations

import os
import threading

from tagging_orchestration.core.enhancement.choice import ProviderRow
from tagging_orchestration.core.enhancement.models import (
    ErrorSubtype,
    ErrorType,
    LlmClient,
    LlmFailure,
    LlmReply,
    LlmRequest,
    Probe,
)


def make_client(provider: ProviderRow) -> LlmClient:
    """The provider's client. The key is read from the environment at each call, so nothing is raised here, and a
    key set later is used; without one, calls fail with the type `auth_error` and no request leaves."""
    return _KeyedClient(provider)


class _KeyedClient:
    """`LlmClient` that hands each call to the adapter's client for the key of the moment."""

    def __init__(self, provider: ProviderRow) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._key: str | None = None
        self._client: LlmClient | None = None
        self._closed = False

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        """As `LlmClient.complete`."""
        return self._current().complete(request, cancel)

    def probe(self, model: str) -> Probe:
        """As `LlmClient.probe`; without the key it needs, a provider is unhealthy."""
        try:
            return self._current().probe(model)
        except LlmFailure as failure:
            return Probe("unhealthy", str(failure))

    def close(self) -> None:
        """As `LlmClient.close`."""
        with self._lock:
            self._closed = True
            if self._client is not None:
                self._client.close()

    def _current(self) -> LlmClient:
        provider = self._provider
        key = os.environ.get(provider.api_key_env or "", "").strip() or None
        if key is None and (provider.api_key_env or provider.adapter != "ollama"):
            variable = provider.api_key_env
            what = f"the variable {variable} is not set" if variable else "api_key_env names no variable"
            raise LlmFailure(
                f"provider {provider.name}: {what}; put the key there, or deactivate the provider",
                type=ErrorType.AUTH_ERROR,
                subtype=ErrorSubtype.BAD_REQUEST,
                sent=False,
            )
        with self._lock:
            if self._closed:
                raise LlmFailure(
                    f"provider {provider.name}: the client is closed", subtype=ErrorSubtype.CANCELLED, sent=False
                )
            if self._client is None or key != self._key:
                self._client, self._key = _adapter_client(provider, key), key
            return self._client


def _adapter_client(provider: ProviderRow, key: str | None) -> LlmClient:
    from tagging_orchestration.clients.llm.anthropic import AnthropicClient
    from tagging_orchestration.clients.llm.ollama import OllamaClient
    from tagging_orchestration.clients.llm.openai import OpenAiClient

    if provider.adapter == "ollama":
        return OllamaClient(provider.base_url, key)
    cloud = provider.provider_type == "cloud"
    adapters = {"openai": OpenAiClient, "anthropic": AnthropicClient}
    return adapters[provider.adapter](provider.base_url, key or "", use_proxy=cloud)

"""What the clients of cloud providers share: their SDKs are extras, built on one HTTP library or another."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tagging_orchestration.clients.llm import failures
from tagging_orchestration.clients.llm.guarded_http import GuardedCall, http_library, proxy_for
from tagging_orchestration.core.enhancement.models import ErrorSubtype, LlmFailure, LlmReply, LlmRequest, Probe

PROBE_SECONDS = 5.0


class SdkClient(ABC):
    """`LlmClient` over an SDK. What differs between providers is in the methods at the end."""

    package: str
    kind: str
    default_url: str

    def __init__(self, base_url: str | None, api_key: str, *, use_proxy: bool = False) -> None:
        self._url = base_url or self.default_url
        self._key = api_key
        self._use_proxy = use_proxy
        self._where = f"{self.kind} at {failures.without_credentials(self._url)}"
        self._closed = threading.Event()
        self._without_temperature: set[str] = set()

    def close(self) -> None:
        """Refuse further calls; connections live no longer than calls do."""
        self._closed.set()

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        """The model's reply, by exactly one request. Raises LlmFailure and nothing else.

        Where a model refuses a temperature, as newer ones do, the failure may be retried: the next has none.
        """
        if self._closed.is_set():
            raise LlmFailure(f"{self._where}: the client is closed", subtype=ErrorSubtype.CANCELLED, sent=False)
        call = GuardedCall(request.timeout_seconds, cancel)
        says_temperature = request.model not in self._without_temperature
        try:
            with self._client(call) as client:
                # The first use of an SDK imports for seconds; those are not the provider's.
                create = self._create(client)
                with call:
                    return self._reply(create(**self._arguments(request)), request, call)
        except Exception as error:
            failure = self._failure(error, request, call)
            if failure.http_status == 400 and says_temperature and "temperature" in str(error):
                self._without_temperature.add(request.model)
                failure.may_retry = True
        # Raised here, it does not carry the SDK's error with it, which may hold the key.
        raise failure

    def probe(self, model: str) -> Probe:
        """Whether the provider answers, takes the key and has the model; nothing is generated or raised."""
        call = GuardedCall(PROBE_SECONDS)
        started = time.monotonic()
        try:
            with self._client(call) as client:
                models = client.models
                started = time.monotonic()
                with call:
                    self._find_model(models, model)
        except Exception as error:
            failure = self._failure(error, None, call, model)
            elapsed = round((time.monotonic() - started) * 1000) if call.answered else None
            missing = failure.subtype is ErrorSubtype.MODEL_NOT_FOUND
            return Probe("degraded" if missing else "unhealthy", str(failure), response_time_ms=elapsed)
        elapsed = round((time.monotonic() - started) * 1000)
        return Probe("healthy", response_time_ms=elapsed, models=(model,), cold=False)

    @contextmanager
    def _client(self, call: GuardedCall) -> Iterator[Any]:
        """The SDK's client, for one call."""
        sdk = self._sdk()
        library = http_library(sdk)
        proxy = proxy_for(self._url) if self._use_proxy else None
        http = library.Client(
            transport=call.transport(library, authorization="keep", proxy=proxy),
            timeout=call.timeout(library),
            follow_redirects=False,
            trust_env=False,
        )
        with http:
            yield self._make(sdk, http, call.timeout(library))

    def _sdk(self) -> ModuleType:
        try:
            sdk = importlib.import_module(self.package)
        except ImportError:
            raise LlmFailure(
                f"{self.kind} needs the extra {self.package}: pip install 'tagging-orchestration[{self.package}]'",
                subtype=ErrorSubtype.UNSUPPORTED,
                sent=False,
            ) from None
        # At the level DEBUG the SDKs log whole requests, prompts included.
        logger = logging.getLogger(self.package)
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)
        return sdk

    def _failure(
        self, error: Exception, request: LlmRequest | None, call: GuardedCall, model: str = ""
    ) -> LlmFailure:
        """The failure behind whatever the SDK raised. SDKs of both kinds name their errors alike."""
        if isinstance(error, LlmFailure):
            return error
        if failure := failures.stopped(call, self._where):
            return failure
        sdk = self._sdk()
        if isinstance(error, sdk.APIStatusError):
            return self._by_status(error, request, call, model)
        if isinstance(error, sdk.APITimeoutError):
            return failures.timed_out(call, self._where) if call.sent else failures.unreachable(self._where)
        if isinstance(error, sdk.APIConnectionError):
            return failures.lost(call, self._where) if call.sent else failures.unreachable(self._where)
        if not call.sent:
            return LlmFailure(
                f"{self._where}: the request cannot be made: look at base_url, model and parameters",
                subtype=ErrorSubtype.BAD_REQUEST,
                sent=False,
            )
        if call.status is not None and call.status >= 300:
            return failures.by_status(call.status, call, self._where, model)
        return failures.no_reply_of_its_kind(call, self._where, self.kind)

    def _by_status(self, error: Any, request: LlmRequest | None, call: GuardedCall, model: str) -> LlmFailure:
        secrets = (self._key, *((request.system, request.prompt) if request else ()))
        said = failures.excerpt(_message(error.body), secrets)
        failure = failures.by_status(
            error.status_code, call, self._where, request.model if request else model, said
        )
        self._look_closer(error, failure)
        return failure

    def _rejected(
        self, call: GuardedCall, why: str, subtype: ErrorSubtype, prompt: Any, completion: Any
    ) -> LlmFailure:
        """A reply that holds no usable answer, with what it cost."""
        return LlmFailure(
            f"{self._where}: {why}",
            subtype=subtype,
            http_status=call.status,
            tokens_prompt=prompt,
            tokens_completion=completion,
        )

    def _temperature(self, request: LlmRequest) -> dict[str, float]:
        """The temperature as an argument, for models that take one."""
        return {} if request.model in self._without_temperature else {"temperature": request.temperature}

    # ----------------------------------------------------------------------------------- of each provider

    @abstractmethod
    def _make(self, sdk: ModuleType, http: Any, timeout: Any) -> Any:
        """The SDK's own client."""

    @abstractmethod
    def _create(self, client: Any) -> Callable[..., Any]:
        """The method that makes a reply."""

    @abstractmethod
    def _arguments(self, request: LlmRequest) -> dict[str, Any]:
        """What that method is called with."""

    @abstractmethod
    def _reply(self, made: Any, request: LlmRequest, call: GuardedCall) -> LlmReply:
        """What it made, as this project says it. Raises LlmFailure where that holds no answer."""

    @abstractmethod
    def _find_model(self, models: Any, model: str) -> None:
        """Raises where the provider does not have the model."""

    def _look_closer(self, error: Any, failure: LlmFailure) -> None:  # noqa: B027 (most need no correction)
        """Correct what the status alone does not tell."""


def _message(body: Any) -> str:
    """The message in the body of an error, which either is the error or holds it."""
    while isinstance(body, dict) and "error" in body:
        body = body["error"]
    said = body.get("message") if isinstance(body, dict) else None
    return said if isinstance(said, str) else ""

"""The one way to a language model: cache, single flight, choice, limits, breaker and log are in here.

A question goes through: mask, render, choose a provider, look into the cache, wait for who is asking the same
already, wait for a turn, reserve, call, parse, settle and log, store. Where a provider fails, the next one is
asked. No connection to the database is held while a model works.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import UUID, uuid4

from psycopg_pool import ConnectionPool

from tagging_orchestration.ai.turns import Turns
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.core.enhancement.answers import output_schema, repair_prompt
from tagging_orchestration.core.enhancement.choice import ProviderChoice, ProviderRow, parse_params
from tagging_orchestration.core.enhancement.injection import leave_out_orders
from tagging_orchestration.core.enhancement.keys import cache_key, context_hash
from tagging_orchestration.core.enhancement.limits import (
    OLLAMA_CONTEXT_TOKENS,
    AICostControl,
    LimitReached,
    Spend,
    cost_micro_usd,
    exceeds_context,
    failure_spend,
    lease,
    prompt_bound,
    reply_spend,
)
from tagging_orchestration.core.enhancement.masking import mask_document
from tagging_orchestration.core.enhancement.models import (
    Answer,
    AnswerRejected,
    Ask,
    CacheStatus,
    ErrorSubtype,
    ErrorType,
    LlmClient,
    LlmFailure,
    LlmReply,
    LlmRequest,
    Masker,
    ParsedAnswer,
    RenderedPrompt,
)
from tagging_orchestration.core.enhancement.prompts import normalise_variables, render
from tagging_orchestration.core.enhancement.system_settings import SystemSettings
from tagging_orchestration.core.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    TaggingError,
    TransientError,
)
from tagging_orchestration.settings import Settings
from tagging_orchestration.storage import ai_enhancements, ai_providers
from tagging_orchestration.storage.ai_budgets import AIRateLimiter, NotCallable, Reservation, settle
from tagging_orchestration.storage.ai_enhancements import Claim, StoredAnswer
from tagging_orchestration.storage.ai_usage import UsageRow, append_usage, log_usage
from tagging_orchestration.storage.connection import transaction

LOG = logging.getLogger(__name__)

RETRY_SECONDS = 0.25
# How long ask_many waits where only the requests of the moment are used up.
PATIENCE_SECONDS = 60.0
_POLL_SECONDS = (0.02, 0.5)
_MOST_THREADS = 16
_PRIORITIES: Mapping[str | None, int] = {"critical": 0, "warning": 1, "info": 2}
_REPAIRABLE = (ErrorSubtype.SCHEMA_MISMATCH, ErrorSubtype.UNSUPPORTED, ErrorSubtype.INVALID_JSON)
# Failures that say nothing about whether the provider is up.
_HARMLESS = (
    ErrorSubtype.CANCELLED,
    ErrorSubtype.BAD_REQUEST,
    ErrorSubtype.CONTENT_FILTERED,
    ErrorSubtype.MODEL_NOT_FOUND,
    ErrorSubtype.TRUNCATED,
)
Result = TypeVar("Result")


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Question:
    """An ask, masked and rendered. `attempts` numbers the rows it leaves in the log."""

    ask: Ask
    settings: SystemSettings
    variables: Mapping[str, Any]
    rendered: RenderedPrompt
    context_hash: str
    control: AICostControl
    started: float
    request_id: UUID = field(default_factory=uuid4)
    attempts: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def timeout_seconds(self) -> float:
        return self.settings.enhancement_timeout_ms / 1000

    @property
    def lease(self) -> timedelta:
        return lease(self.timeout_seconds)

    @property
    def priority(self) -> int:
        return _PRIORITIES.get(self.ask.severity, 2) if self.settings.rate_limiting.priority_queue else 0

    def elapsed_ms(self) -> int:
        return round((time.monotonic() - self.started) * 1000)


@dataclass(frozen=True, slots=True)
class _Call:
    """A question to one provider."""

    choice: ProviderChoice
    request: LlmRequest
    params: Mapping[str, Any]
    cache_key: str

    @property
    def provider(self) -> ProviderRow:
        return self.choice.provider


@dataclass(frozen=True, slots=True)
class _Rejected:
    """A reply that cannot be shown, and whether the model may be told its faults."""

    failure: LlmFailure
    faults: tuple[str, ...] = ()
    repairable: bool = False


class LlmGateway:
    """Asks whichever provider is best and keeps to every limit. Safe for use by several threads and processes."""

    def __init__(
        self,
        pool: ConnectionPool,
        settings: Settings,
        *,
        masker: Masker,
        clients: Callable[[ProviderRow], LlmClient] = make_client,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._masker = masker
        self._make_client = clients
        self._now = now
        self._limiter = AIRateLimiter(pool)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._clients: dict[ProviderRow, LlmClient] = {}
        self._turns: dict[UUID, Turns] = {}
        self._flights: dict[Hashable, Future[Any]] = {}
        self._refreshes: dict[str, Future[None]] = {}
        self._refresher: ThreadPoolExecutor | None = None

    # ------------------------------------------------------------------------------------------------- public

    def ask(self, ask: Ask) -> Answer:
        """The answer, from the cache or a provider. Failures are answers too; raises DatabaseUnavailable."""
        started = time.monotonic()
        outcome = self._outcome(ask, started)
        return outcome if isinstance(outcome, Answer) else _failed(ask, outcome, started)

    def ask_many(self, asks: Sequence[Ask], progress: Callable[[int, int], None] | None = None) -> list[Answer]:
        """The answers in the order of the questions; critical ones are asked first, then warnings.

        Where only the requests of the minute or of a burst are used up, it waits a while for the next ones.
        `progress(done, total)` after each.
        """
        if not asks:
            return []
        done = count(1)
        progress_lock = threading.Lock()

        def one(ask: Ask) -> Answer:
            answer = self._ask_patiently(ask)
            if progress is not None:
                with progress_lock:
                    progress(next(done), len(asks))
            return answer

        order = sorted(range(len(asks)), key=lambda place: _PRIORITIES.get(asks[place].severity, 2))
        with ThreadPoolExecutor(min(len(asks), self._threads()), thread_name_prefix="llm") as threads:
            answers = {place: threads.submit(one, asks[place]) for place in order}
            return [answers[place].result() for place in range(len(asks))]

    def context_hash(self, ask: Ask) -> str:
        """The hash under which the context of an ask is stored."""
        return context_hash(self._masked(ask))

    def refresh_stale(self) -> int:
        """Wait for the refreshes of stale answers that run in the background; how many were waited for."""
        with self._lock:
            running = list(self._refreshes.values())
        for refresh in running:
            refresh.result()
        return len(running)

    def close(self) -> None:
        """Cancel running calls and give connections back."""
        self._closing.set()
        with self._lock:
            refresher, clients = self._refresher, list(self._clients.values())
            self._refresher = None
            self._clients.clear()
            turns = list(self._turns.values())
        for queue in turns:
            queue.close()
        if refresher is not None:
            refresher.shutdown(wait=True, cancel_futures=True)
        for client in clients:
            client.close()

    # ----------------------------------------------------------------------------------------------- questions

    def _outcome(self, ask: Ask, started: float, accept_stale: bool = True) -> Answer | LlmFailure:
        try:
            return self._answer(ask, started, accept_stale)
        except TransientError as error:
            raise DatabaseUnavailable(
                f"the answers of language models cannot be read or stored: {error}"
            ) from error

    def _answer(self, ask: Ask, started: float, accept_stale: bool) -> Answer | LlmFailure:
        if self._closing.is_set():
            return _cancelled()
        try:
            system = ai_providers.system_settings(self._pool, self._settings.ai.environment)
        except ConfigurationError as error:
            LOG.warning("AI is off: %s", error)
            return _disabled(ask, str(error))
        enabled = self._settings.ai.enabled
        if not (system.ai_enabled if enabled is None else enabled):
            return _disabled(ask)
        variables = self._masked(ask)
        try:
            rendered = render(ask.template, variables, self._settings.business.timezone)
        except ConfigurationError as error:
            return LlmFailure(str(error), subtype=ErrorSubtype.BAD_REQUEST, sent=False)
        question = _Question(
            ask,
            system.settings,
            variables,
            rendered,
            context_hash(variables),
            self._control(system.settings),
            started,
        )
        return self._ask_providers(question, accept_stale)

    def _masked(self, ask: Ask) -> dict[str, Any]:
        """What the prompt is rendered from, as JSON holds it, without personal data and orders to a model."""
        variables = {"evidence": ask.evidence, **ask.variables}
        plain = normalise_variables(variables, self._settings.business.timezone)
        return mask_document(leave_out_orders(plain), self._masker, ask.language)

    def _control(self, settings: SystemSettings) -> AICostControl:
        ai = self._settings.ai
        return AICostControl(
            daily_token_limit=ai.daily_token_limit,
            hourly_request_limit=ai.hourly_request_limit,
            cost_threshold=ai.daily_cost_limit_usd,
            requests_per_minute=settings.rate_limiting.requests_per_minute,
            burst_limit=settings.rate_limiting.burst_limit,
            critical_alert_priority=ai.critical_first,
        )

    def _ask_patiently(self, ask: Ask) -> Answer:
        started = time.monotonic()
        while True:
            before = self._now()
            outcome = self._outcome(ask, started)
            if isinstance(outcome, Answer):
                return outcome
            momentary = isinstance(outcome, LimitReached) and outcome.scope in ("minute", "burst")
            if not momentary or time.monotonic() - started > PATIENCE_SECONDS or self._closing.wait(1):
                return _failed(ask, outcome, started)
            if self._now() <= before:
                # A clock that stands still refills no bucket.
                return _failed(ask, outcome, started)

    def _threads(self) -> int:
        active = [found.max_concurrency for found in ai_providers.list_providers(self._pool) if found.is_active]
        return max(1, min(sum(active), _MOST_THREADS))

    # ----------------------------------------------------------------------------------------------- providers

    def _ask_providers(self, question: _Question, accept_stale: bool) -> Answer | LlmFailure:
        """Ask the best provider, and the next one where it fails."""
        failure: LlmFailure | None = None
        tried: set[tuple[UUID, str]] = set()
        while True:
            choices = self._choices(question)
            callable_now = [
                choice
                for choice in choices
                if choice.skipped is None and (choice.provider.id, choice.model) not in tried
            ]
            if not callable_now:
                break
            choice = callable_now[0]
            tried.add((choice.provider.id, choice.model))
            try:
                call = self._call(question, choice)
            except ConfigurationError as error:
                failure = LlmFailure(str(error), subtype=ErrorSubtype.BAD_REQUEST, sent=False)
                self._log(question, "rejected", failure, choice=choice)
                continue
            outcome = self._ask_provider(question, call, accept_stale)
            if isinstance(outcome, Answer):
                return outcome
            failure = outcome
            if self._closing.is_set():
                return failure
            if isinstance(failure, LimitReached) and failure.scope in ("hour", "minute", "burst"):
                # The same for all providers.
                break
            if failure.subtype is ErrorSubtype.MODEL_NOT_FOUND:
                # Once it is known which models there are, another one of the same provider may answer.
                self._look(choice)
        if accept_stale and self._uses_cache(question):
            for choice in choices:
                if choice.switched_on and choice.model and (answer := self._shelved(question, choice)):
                    return answer
        if failure is None:
            failure = self._nobody(question, choices)
            self._log(question, "rejected", failure)
        return failure

    def _choices(self, question: _Question) -> list[ProviderChoice]:
        """Who may be asked. Questions that come at the same moment share one look."""
        ask = question.ask
        choices = self._together(
            ("choices", ask.template.template_key, ask.preferred_provider_id, question.settings.strategy),
            lambda: ai_providers.rank_choices(
                self._pool,
                ask.template.template_key,
                ask.preferred_provider_id,
                question.settings.strategy,
                self._now(),
                question.control.limits(),
            ),
        )[0]
        if ask.model is None:
            return choices
        # Asked for by name: this model of this provider, and no other.
        return [
            replace(choice, model=ask.model)
            for choice in choices
            if choice.provider.id == ask.preferred_provider_id
        ]

    def _call(self, question: _Question, choice: ProviderChoice) -> _Call:
        """The call of a question to a provider. Raises ConfigurationError for wrong parameters of its config."""
        template, rendered = question.ask.template, question.rendered
        stated = parse_params(choice.params, choice.provider.adapter)
        options = dict(stated.options)
        if choice.provider.adapter == "ollama":
            options.setdefault("num_ctx", OLLAMA_CONTEXT_TOKENS)
        prefix = stated.system_prompt_prefix
        request = LlmRequest(
            model=choice.model,
            system=f"{prefix}\n\n{rendered.system}".strip() if prefix else rendered.system,
            prompt=rendered.prompt,
            max_tokens=stated.max_tokens or template.max_tokens,
            temperature=template.temperature if stated.temperature is None else stated.temperature,
            timeout_seconds=question.timeout_seconds,
            schema=output_schema(template.output_schema) if template.output_schema else None,
            options=options,
        )
        params: dict[str, Any] = {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "options": options,
        }
        if prefix:
            params["system_prompt_prefix"] = prefix
        key = cache_key(
            organization_id=question.ask.organization_id,
            subject_type=question.ask.subject_type,
            subject_id=question.ask.subject_id,
            context_hash=question.context_hash,
            template=template,
            provider=choice.provider.name,
            model=choice.model,
            params=params,
            masker_fingerprint=self._masker.fingerprint,
        )
        return _Call(choice, request, params, key)

    def _nobody(self, question: _Question, choices: Sequence[ProviderChoice]) -> LlmFailure:
        """Why nobody may be asked."""
        key = question.ask.template.template_key
        if not choices:
            said = f"no provider has a config for the template {key}: `tagging ai sync` makes them"
            return LlmFailure(said, subtype=ErrorSubtype.UNAVAILABLE, sent=False)
        for use in self._limiter.use(self._now()):
            if use.scope == "day" and use.used + use.reserved >= question.control.limits()["day"]:
                return LimitReached("day")
        said = "; ".join(f"{choice.provider.name}: {choice.skipped}" for choice in choices)
        return LlmFailure(
            f"no provider may be called for {key}: {said}", subtype=ErrorSubtype.UNAVAILABLE, sent=False
        )

    def _look(self, choice: ProviderChoice) -> None:
        probe = self._client(choice.provider).probe(choice.provider.default_model or choice.model)
        ai_providers.record_probe(self._pool, choice.provider.id, probe, self._now())

    # ---------------------------------------------------------------------------------- cache and single flight

    def _ask_provider(self, question: _Question, call: _Call, accept_stale: bool) -> Answer | LlmFailure:
        """The answer of the cache, of somebody who is asking the same, or of the provider."""
        if not self._uses_cache(question):
            # A row of its own that nobody else finds.
            alone = replace(call, cache_key=hashlib.sha256(question.request_id.bytes).hexdigest())
            return self._when_its_turn(question, alone)
        if answer := self._from_cache(question, call, accept_stale):
            return answer
        outcome, led = self._together(
            call.cache_key, lambda: self._once(question, call, accept_stale), fresh=accept_stale
        )
        if led:
            return outcome
        if isinstance(outcome, Answer):
            self._log_hit(question, call.choice, "hit", outcome.confidence)
            return replace(outcome, cache_status="hit", tokens_total=0, cost_usd=0.0)
        return outcome

    def _once(self, question: _Question, call: _Call, accept_stale: bool) -> Answer | LlmFailure:
        """Make the call, unless another process is making it or has just made it."""
        waited = 0.0
        while True:
            outcome = self._when_its_turn(question, call)
            if outcome is not None:
                return outcome
            claim = ai_enhancements.find_claim(self._pool, call.cache_key)
            pause = _POLL_SECONDS[0]
            while claim is not None:
                if self._closing.wait(pause):
                    return _cancelled()
                waited += pause
                pause = min(pause * 2, _POLL_SECONDS[1])
                state = ai_enhancements.call_state(self._pool, claim)
                if state is None or (state.status == "loading" and state.expires_at <= self._now()):
                    break
                if state.status == "success":
                    if answer := self._from_cache(question, call, accept_stale=True):
                        return answer
                    break
                if state.status == "error":
                    return LlmFailure(
                        f"{call.provider.name} failed when somebody else asked the same",
                        type=ErrorType(state.error_type or ErrorType.GENERAL_ERROR),
                        subtype=ErrorSubtype(state.error_subtype or ErrorSubtype.UNAVAILABLE),
                        sent=False,
                    )
                if waited > question.lease.total_seconds():
                    return LlmFailure(
                        f"{call.provider.name}: somebody else asked the same and got no answer in time",
                        type=ErrorType.TIMEOUT,
                        subtype=ErrorSubtype.DEADLINE,
                        sent=False,
                    )

    def _when_its_turn(self, question: _Question, call: _Call) -> Any:
        """Claim the call when it is its turn, and make it. None where another process holds the claim."""
        with self._lock:
            if self._closing.is_set():
                return _cancelled()
            turns = self._turns.setdefault(call.provider.id, Turns())
        with turns.turn(call.provider.max_concurrency, question.priority) as ready:
            if not ready:
                return _cancelled()
            claimed = ai_enhancements.claim(self._pool, self._claim(question, call), self._now(), question.lease)
            if claimed is None:
                return None
            # Somebody may have been answered between the look into the cache and the claim.
            if self._uses_cache(question) and (answer := self._from_cache(question, call, accept_stale=False)):
                ai_enhancements.drop_claim(self._pool, claimed)
                return answer
            return self._make_call(question, call, claimed)

    def _claim(self, question: _Question, call: _Call) -> Claim:
        return Claim(
            ask=question.ask,
            cache_key=call.cache_key,
            context_hash=question.context_hash,
            prompt_sha256=question.rendered.sha256,
            variables=question.variables,
            provider_id=call.provider.id,
            provider_name=call.provider.name,
            model=call.choice.model,
            params=call.params,
            request_id=question.request_id,
        )

    def _uses_cache(self, question: _Question) -> bool:
        return question.ask.use_cache and question.settings.caching.enable_prompt_cache

    def _from_cache(self, question: _Question, call: _Call, accept_stale: bool) -> Answer | None:
        at = self._now()
        stored = ai_enhancements.find_answer(self._pool, call.cache_key, at)
        if stored is None:
            return None
        if at < stored.fresh_until:
            return self._served(question, call.choice, stored, "hit")
        if not accept_stale:
            return None
        self._refresh(question.ask, call.cache_key)
        return self._served(question, call.choice, stored, "stale")

    def _shelved(self, question: _Question, choice: ProviderChoice) -> Answer | None:
        """An earlier answer of a provider that may not be called now."""
        try:
            call = self._call(question, choice)
        except ConfigurationError:
            return None
        at = self._now()
        stored = ai_enhancements.find_answer(self._pool, call.cache_key, at)
        if stored is None:
            return None
        return self._served(question, choice, stored, "hit" if at < stored.fresh_until else "stale")

    def _served(
        self, question: _Question, choice: ProviderChoice, stored: StoredAnswer, status: CacheStatus
    ) -> Answer:
        self._log_hit(question, choice, status, stored.confidence)
        return Answer(
            status="success",
            cache_status=status,
            enhancement_id=stored.id,
            document=stored.result,
            confidence=stored.confidence,
            degraded=stored.degraded,
            flags=tuple(stored.flags),
            evidence=tuple(stored.evidence),
            template_key=question.ask.template.template_key,
            template_version=question.ask.template.version,
            provider_name=stored.provider_name,
            model=stored.model,
            context_hash=stored.context_hash,
            generated_at=stored.created_at,
            processing_time_ms=question.elapsed_ms(),
        )

    def _refresh(self, ask: Ask, key: str) -> None:
        """Ask again in the background, once for each stale answer."""
        with self._lock:
            if self._closing.is_set() or key in self._refreshes:
                return
            if self._refresher is None:
                self._refresher = ThreadPoolExecutor(1, thread_name_prefix="llm-refresh")
            self._refreshes[key] = self._refresher.submit(self._refresh_now, ask, key)

    def _refresh_now(self, ask: Ask, key: str) -> None:
        try:
            outcome = self._outcome(ask, time.monotonic(), accept_stale=False)
            if isinstance(outcome, LlmFailure):
                LOG.info("a stale answer stays as it is: %s", outcome)
        except TaggingError as error:
            LOG.warning("a stale answer could not be refreshed: %s", error)
        finally:
            with self._lock:
                self._refreshes.pop(key, None)

    def _together(self, key: Hashable, work: Callable[[], Result], fresh: bool = True) -> tuple[Result, bool]:
        """The result of work that threads with the same key do once, and whether this thread did it."""
        with self._lock:
            flight = self._flights.get((key, fresh))
            leads = flight is None
            if flight is None:
                flight = self._flights[(key, fresh)] = Future()
        if not leads:
            return flight.result(), False
        try:
            result = work()
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(result)
        finally:
            with self._lock:
                del self._flights[(key, fresh)]
        return result, True

    # --------------------------------------------------------------------------------------------------- calls

    def _make_call(self, question: _Question, call: _Call, claimed: UUID) -> Answer | LlmFailure:
        """Call the provider: once more where that helps, and once more to have an answer's form corrected."""
        outcome: Answer | _Rejected = _Rejected(LlmFailure("", subtype=ErrorSubtype.INCOMPLETE))
        try:
            outcome = self._attempts(question, call, claimed)
        finally:
            if isinstance(outcome, _Rejected):
                failure = outcome.failure
                ai_enhancements.store_failure(
                    self._pool, claimed, failure.type, failure.subtype, question.elapsed_ms()
                )
        return outcome if isinstance(outcome, Answer) else outcome.failure

    def _attempts(self, question: _Question, call: _Call, claimed: UUID) -> Answer | _Rejected:
        retried = repaired = False
        earlier: _Rejected | None = None
        while True:
            outcome = self._attempt(question, call, claimed)
            if isinstance(outcome, Answer):
                return outcome
            if earlier is not None and not outcome.failure.sent:
                # That the second attempt was refused explains nothing; the first one does.
                return earlier
            earlier = outcome
            if outcome.failure.may_retry and not retried:
                retried = True
                if self._closing.wait(RETRY_SECONDS):
                    return outcome
            elif outcome.repairable and not repaired:
                repaired = True
                faults = repair_prompt(outcome.faults, question.ask.template.locale)
                request = replace(call.request, prompt=f"{question.rendered.prompt}\n\n{faults}")
                call = replace(call, request=request)
            else:
                return outcome
            ai_enhancements.extend_claim(self._pool, claimed, self._now() + question.lease)

    def _attempt(self, question: _Question, call: _Call, claimed: UUID) -> Answer | _Rejected:
        context = call.request.options.get("num_ctx")
        if context is not None and exceeds_context(call.request, context):
            said = (
                f"the prompt of {question.ask.template.template_key} and its answer do not fit the {context} "
                f"tokens of {call.choice.model}: raise num_ctx in ollama_specific, or send less"
            )
            return self._refused(question, call, LlmFailure(said, subtype=ErrorSubtype.TRUNCATED, sent=False))
        reserved = self._reserve(question, call)
        if isinstance(reserved, LlmFailure):
            return self._refused(question, call, reserved)
        started_at, started = self._now(), time.monotonic()
        try:
            client = self._client(call.provider)
            reply = client.complete(call.request, self._closing)
        except LlmFailure as failure:
            self._settle_failure(question, call, reserved, failure, started_at, started)
            return _Rejected(failure)
        except TaggingError as error:
            failure = LlmFailure(str(error), subtype=ErrorSubtype.BAD_REQUEST, sent=False)
            self._settle_failure(question, call, reserved, failure, started_at, started)
            return _Rejected(failure)
        except BaseException:
            unknown = LlmFailure("the call ended unexpectedly", subtype=ErrorSubtype.INCOMPLETE)
            self._settle_failure(question, call, reserved, unknown, started_at, started)
            raise
        return self._take(question, call, claimed, reserved, reply, started_at, started)

    def _reserve(self, question: _Question, call: _Call) -> Reservation | LlmFailure:
        bound = Spend(prompt_bound(call.request), call.request.max_tokens)
        reserved = self._limiter.reserve(
            question.control,
            provider_id=call.provider.id,
            template_key=question.ask.template.template_key,
            tokens=bound.tokens,
            micro_usd=self._cost(call, bound),
            past_hourly=question.control.past_hourly(question.ask.severity),
            at=self._now(),
            lease=question.lease,
        )
        if isinstance(reserved, Reservation):
            return reserved
        if isinstance(reserved, NotCallable):
            said = f"{call.provider.name} may not be called: {reserved.reason}"
            return LlmFailure(said, subtype=ErrorSubtype.UNAVAILABLE, sent=False)
        return LimitReached(reserved)

    def _take(
        self,
        question: _Question,
        call: _Call,
        claimed: UUID,
        reserved: Reservation,
        reply: LlmReply,
        started_at: datetime,
        started: float,
    ) -> Answer | _Rejected:
        """Settle, log and store a reply."""
        spend = reply_spend(reply, call.request)
        parsed: ParsedAnswer | None = None
        rejected = AnswerRejected("the reply could not be read", ErrorSubtype.INCOMPLETE)
        try:
            parsed = question.ask.check(reply.text, reply.finish)
        except AnswerRejected as error:
            rejected = error
        finally:
            # Also where the check itself is broken: the tokens are spent.
            row = self._row(question, call, started_at, started, "error" if parsed is None else "success", spend)
            at = row.finished_at
            if parsed is None:
                row = replace(
                    row,
                    error_type=ErrorType.GENERAL_ERROR,
                    error_subtype=rejected.subtype,
                    schema_valid=rejected.subtype is ErrorSubtype.UNSUPPORTED,
                    evidence_valid=False if rejected.subtype is ErrorSubtype.UNSUPPORTED else None,
                )
                flags: tuple[str, ...] = ()
            else:
                flags = self._flags(question, parsed)
                row = replace(
                    row,
                    confidence=round(parsed.confidence, 2),
                    schema_valid=parsed.level != "headings",
                    evidence_valid=parsed.evidence_valid,
                )
            row = replace(row, model_digest=reply.model_digest, http_status=reply.http_status)
            with transaction(self._pool) as connection:
                ai_providers.record_outcome(connection, call.provider.id, True, "", at)
                settle(connection, reserved.id, spend.tokens, row.cost_micro_usd)
                append_usage(connection, row)
                if parsed is not None:
                    ai_enhancements.store_answer(
                        connection,
                        claimed,
                        parsed,
                        reply,
                        raw_sha256=hashlib.sha256(reply.text.encode("utf-8", "surrogatepass")).hexdigest(),
                        flags=flags,
                        processing_time_ms=question.elapsed_ms(),
                        at=at,
                    )
        if parsed is None:
            failure = LlmFailure(str(rejected), subtype=rejected.subtype)
            return _Rejected(failure, rejected.faults, rejected.subtype in _REPAIRABLE)
        return Answer(
            status="success",
            cache_status="miss" if self._uses_cache(question) else "bypass",
            enhancement_id=claimed,
            document=parsed.document,
            confidence=parsed.confidence,
            degraded=parsed.degraded,
            flags=flags,
            evidence=parsed.evidence,
            template_key=question.ask.template.template_key,
            template_version=question.ask.template.version,
            provider_name=call.provider.name,
            model=call.choice.model,
            context_hash=question.context_hash,
            generated_at=at,
            processing_time_ms=question.elapsed_ms(),
            tokens_total=spend.tokens,
            cost_usd=row.cost_micro_usd / 1_000_000,
        )

    def _flags(self, question: _Question, parsed: ParsedAnswer) -> tuple[str, ...]:
        unsure = parsed.confidence < question.settings.quality_control.confidence_threshold
        return (*parsed.flags, "low_confidence") if unsure else parsed.flags

    def _settle_failure(
        self,
        question: _Question,
        call: _Call,
        reserved: Reservation,
        failure: LlmFailure,
        started_at: datetime,
        started: float,
    ) -> None:
        spend = failure_spend(failure, call.request, streams=call.provider.adapter == "ollama")
        row = replace(
            self._row(question, call, started_at, started, "error", spend),
            called=failure.sent,
            error_type=failure.type,
            error_subtype=failure.subtype,
            http_status=failure.http_status,
        )
        with transaction(self._pool) as connection:
            if failure.type is ErrorType.AUTH_ERROR or failure.subtype not in _HARMLESS:
                ai_providers.record_outcome(connection, call.provider.id, False, str(failure), row.finished_at)
            settle(connection, reserved.id, spend.tokens, row.cost_micro_usd, requests=int(failure.sent))
            append_usage(connection, row)

    def _refused(self, question: _Question, call: _Call, failure: LlmFailure) -> _Rejected:
        """A call that may not leave."""
        self._log(question, "rejected", failure, choice=call.choice, params=call.params)
        return _Rejected(failure)

    def _client(self, provider: ProviderRow) -> LlmClient:
        """The client of a provider as its row is now; health changes nothing about it."""
        same = replace(provider, health_status="unknown", is_default=False)
        with self._lock:
            client = self._clients.get(same)
            if client is None:
                client = self._clients[same] = self._make_client(provider)
        return client

    @staticmethod
    def _cost(call: _Call, spend: Spend) -> int:
        return cost_micro_usd(call.provider.price_in_per_million, call.provider.price_out_per_million, spend)

    # ----------------------------------------------------------------------------------------------------- log

    def _row(
        self, question: _Question, call: _Call, started_at: datetime, started: float, status: Any, spend: Spend
    ) -> UsageRow:
        """The row of a call that left."""
        prompt = f"{call.request.system}\n\n{call.request.prompt}"
        return UsageRow(
            **self._common(question, call.choice),
            cache_status="miss" if self._uses_cache(question) else "bypass",
            status=status,
            called=True,
            started_at=started_at,
            finished_at=self._now(),
            response_time_ms=round((time.monotonic() - started) * 1000),
            params=call.params,
            tokens_prompt=spend.tokens_prompt,
            tokens_completion=spend.tokens_completion,
            tokens_estimated=spend.estimated,
            cost_micro_usd=self._cost(call, spend),
            prompt=prompt if question.settings.monitoring.log_requests else None,
        )

    def _log_hit(
        self, question: _Question, choice: ProviderChoice, status: CacheStatus, confidence: float | None
    ) -> None:
        at = self._now()
        row = UsageRow(
            **self._common(question, choice),
            cache_status=status,
            status="success",
            started_at=at,
            finished_at=at,
            response_time_ms=question.elapsed_ms(),
            confidence=None if confidence is None else round(confidence, 2),
        )
        log_usage(self._pool, row)

    def _log(
        self,
        question: _Question,
        status: Any,
        failure: LlmFailure,
        choice: ProviderChoice | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """A row of something that did not leave."""
        at = self._now()
        row = UsageRow(
            **self._common(question, choice),
            cache_status="miss" if self._uses_cache(question) else "bypass",
            status=status,
            started_at=at,
            finished_at=at,
            response_time_ms=question.elapsed_ms(),
            params=params or {},
            error_type=failure.type,
            error_subtype=failure.subtype,
        )
        log_usage(self._pool, row)

    @staticmethod
    def _common(question: _Question, choice: ProviderChoice | None) -> dict[str, Any]:
        ask = question.ask
        return {
            "organization_id": ask.organization_id,
            "request_id": question.request_id,
            "attempt": next(question.attempts),
            "template": ask.template,
            "enhancement_type": ask.enhancement_type,
            "severity": ask.severity,
            "subject_type": ask.subject_type,
            "subject_id": ask.subject_id,
            "prompt_sha256": question.rendered.sha256,
            "context_hash": question.context_hash,
            "provider_id": choice.provider.id if choice else None,
            "provider_name": choice.provider.name if choice else None,
            "model": choice.model or None if choice else None,
            "run_id": ask.run_id,
        }


def _failed(ask: Ask, failure: LlmFailure, started: float) -> Answer:
    return Answer(
        status="error",
        template_key=ask.template.template_key,
        template_version=ask.template.version,
        error_type=failure.type,
        error_subtype=failure.subtype,
        error=str(failure),
        processing_time_ms=round((time.monotonic() - started) * 1000),
    )


def _disabled(ask: Ask, why: str = "") -> Answer:
    return Answer(
        status="disabled",
        template_key=ask.template.template_key,
        template_version=ask.template.version,
        error=why,
    )


def _cancelled() -> LlmFailure:
    return LlmFailure("the question was cancelled", subtype=ErrorSubtype.CANCELLED, sent=False)

"""What AI adds to alerts, insights, recommendations and periods, beside what the base says of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from tagging_orchestration.ai.switch import read_switch
from tagging_orchestration.core.business.report import build_report
from tagging_orchestration.core.enhancement.answers import parse_answer
from tagging_orchestration.core.enhancement.envelopes import EnhanceReport, Envelope, ServiceHealth
from tagging_orchestration.core.enhancement.models import (
    Answer,
    Ask,
    ErrorType,
    EvidenceItem,
    ParsedAnswer,
    PromptTemplate,
    Severity,
    SubjectType,
)
from tagging_orchestration.core.enhancement.prompts import MissingVariable, pick_key
from tagging_orchestration.core.enhancement.subjects import (
    RECOMMENDATIONS,
    AlertSubject,
    BusinessFacts,
    CustomSubject,
    InsightSubject,
    Kind,
    Period,
    RecommendationsSubject,
    SummarySubject,
)
from tagging_orchestration.core.enhancement.variables import (
    Subject,
    build_prompt_variables,
    citable,
    evidence_of,
    evidence_of_variables,
    expected_titles,
    prompt_locale,
    used_variables,
)
from tagging_orchestration.core.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    TaggingError,
    TransientError,
    UnknownName,
)
from tagging_orchestration.storage.ai_prompts import load_template
from tagging_orchestration.storage.ai_providers import CIRCUIT_LASTS, provider_health, system_settings
from tagging_orchestration.storage.ai_results import asked_lately, newest_results
from tagging_orchestration.storage.ai_subjects import (
    mark_alert,
    read_alerts,
    read_as_of,
    read_business,
    read_insights,
    read_recommendations,
)
from tagging_orchestration.storage.report import read_facts

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from tagging_orchestration.ai.gateway import LlmGateway
    from tagging_orchestration.ai.switch import Switch
    from tagging_orchestration.settings import Settings
    from tagging_orchestration.storage.ai_providers import ProviderHealth
    from tagging_orchestration.storage.ai_results import Enhancement

Progress = Callable[[int, int], None]
Item = TypeVar("Item")

LOG = logging.getLogger(__name__)

ASKED_LATELY = timedelta(minutes=15)
ENHANCEMENT_TYPES = ("alert_enhancement", "trend_analysis", "anomaly_analysis")
_OFF = {
    "configuration": "AI is switched off: tagging ai on",
    "person": "switched off in the settings of what to see",
    "automatic": "enhancing without being asked is switched off",
    "health": "no provider of a language model is healthy: tagging ai status",
}


class EnhancementService:
    """Enhances what the base made and stores what came of it; changes no base row but the marks on alerts.

    Methods of one subject answer with an Envelope whose status is success, error or disabled; that a model failed
    is never raised.
    """

    def __init__(self, pool: ConnectionPool, settings: Settings, gateway: LlmGateway) -> None:
        self.pool = pool
        self.settings = settings
        self.gateway = gateway

    # ------------------------------------------------------------------------------------------- the switch

    def is_enabled(self, kind: Kind | None = None) -> bool:
        """Whether this kind is switched on, by the configuration and by people. Health is another matter."""
        switch = self._switch()
        return switch is not None and switch.configured and switch.wanted.wants(kind)

    def check_health(self) -> ServiceHealth:
        """Whether AI is configured, wanted and healthy, by the last look at each provider; calls none."""
        switch, now = self._switch(), datetime.now(UTC)
        providers = [health for health in provider_health(self.pool) if health.provider.is_active]
        return ServiceHealth(
            configured=switch is not None and switch.configured,
            wanted=switch is not None and switch.wanted.enabled,
            healthy=any(_may_be_tried(health, now) for health in providers),
            providers={health.provider.name: health.provider.health_status for health in providers},
            checked_at=max(filter(None, (health.last_health_check for health in providers)), default=None),
        )

    def _switch(self) -> Switch | None:
        """The switch as it stands; None, so that AI is off, where somebody wrote what cannot be read."""
        try:
            return read_switch(self.pool, self.settings)
        except ConfigurationError as error:
            LOG.warning("AI is off: %s", error)
            return None

    def _why_off(self, kind: Kind | None, automatic: bool = False) -> str:
        """Why nothing may be asked now; empty where it may."""
        switch = self._switch()
        if switch is None or not switch.configured:
            return _OFF["configuration"]
        if not switch.wanted.wants(kind):
            return _OFF["person"]
        if automatic and not switch.unattended:
            return _OFF["automatic"]
        return "" if self.check_health().healthy else _OFF["health"]

    # ------------------------------------------------------------------------------------------- one subject

    def enhance_alert(
        self,
        alert_id: UUID | str,
        *,
        enhancement_type: str = "alert_enhancement",
        preferred_provider_id: UUID | None = None,
        run_id: str | None = None,
    ) -> Envelope:
        """An alert's analysis. `trend_analysis` looks at its trend, whatever kind of alert it is.

        Raises UnknownName for an alert that does not exist, ConfigurationError for another kind of analysis.
        """
        if enhancement_type not in ENHANCEMENT_TYPES:
            raise ConfigurationError(
                f"{enhancement_type!r} is no kind of analysis: there are {', '.join(ENHANCEMENT_TYPES)}"
            )
        if off := self._why_off("alerts"):
            return Envelope("alert", str(alert_id), "disabled", reason=off)
        found = read_alerts(self.pool, self.settings.organization_id, ids=[UUID(str(alert_id))])
        if not found:
            raise UnknownName(f"there is no alert {alert_id}: tagging alerts list --all shows the ids")
        if found[0].is_about_ai:
            return Envelope("alert", found[0].id, "disabled", reason="it tells of the AI itself")
        make = partial(
            self._ask_about_alert,
            business=self._business(),
            enhancement_type=enhancement_type,
            preferred_provider_id=preferred_provider_id,
            run_id=run_id,
        )
        return self._one("alert", found[0].id, lambda: make(found[0]))

    def deepen_insight(self, insight_id: str, *, run_id: str | None = None) -> Envelope:
        """An insight's analysis. Raises UnknownName for an insight that does not exist."""
        if off := self._why_off("insights"):
            return Envelope("insight", insight_id, "disabled", reason=off)
        found = read_insights(self.pool, self.settings.organization_id, [insight_id])
        if not found:
            raise UnknownName(
                f"there is no insight {insight_id!r} at present: tagging report --json shows the ids"
            )
        business = self._business()
        return self._one("insight", insight_id, lambda: self._ask_about_insight(found[0], business, run_id))

    def optimize_recommendations(self, *, run_id: str | None = None) -> Envelope:
        """Another order of the present recommendations, with reasons."""
        if off := self._why_off("recommendations"):
            return Envelope("recommendation", RECOMMENDATIONS, "disabled", reason=off)
        subject = read_recommendations(self.pool, self.settings.organization_id)
        if not subject.items:
            return Envelope("recommendation", RECOMMENDATIONS, "error", reason="nothing is recommended at present")
        business = self._business()
        return self._one(
            "recommendation", RECOMMENDATIONS, lambda: self._ask_about_recommendations(subject, business, run_id)
        )

    def generate_executive_summary(self, period: Period, day: date, *, run_id: str | None = None) -> Envelope:
        """The summary of a day, or of the seven days that end with it, as far as they have facts.

        Raises UnknownName for a day before the first metric.
        """
        id = f"{period}:{day}"
        if off := self._why_off("executive_summary"):
            return Envelope("summary", id, "disabled", reason=off)
        subject, reason = self._period(period, day)
        if subject is None:
            return Envelope("summary", id, "error", reason=reason)
        business = self._business()
        return self._one("summary", id, lambda: self._ask_about_period(subject, business, run_id))

    def analyse(
        self,
        template_key: str,
        variables: Mapping[str, Any] | None = None,
        subject_id: str | None = None,
        *,
        preferred_provider_id: UUID | None = None,
    ) -> Envelope:
        """An analysis by any template. Without `variables` they are read from the business, about the metric
        `subject_id` where it names one; with some, these come first.

        Raises UnknownName for a template that does not exist.
        """
        id = subject_id or template_key
        if off := self._why_off(None):
            return Envelope("custom", id, "disabled", reason=off)
        business = self._business()
        template, requested = load_template(self.pool, template_key, prompt_locale(business.locale), id)
        report = build_report(read_facts(self.pool, self.settings.organization_id))
        subject = CustomSubject(template_key, report, subject_id)

        def make() -> Ask:
            given = dict(variables or {})
            missing = set(template.required_variables) - given.keys()
            known = build_prompt_variables(subject, business, business.locale) if missing or not given else {}
            used = used_variables(template, known | given)
            evidence = evidence_of_variables(given) if given else ()
            if known:
                evidence = (*evidence, *evidence_of(subject, used, business.locale))
            return self._ask(
                template,
                requested,
                used,
                evidence,
                subject_type="custom",
                subject_id=id,
                enhancement_type=template_key,
                severity=None,
                preferred_provider_id=preferred_provider_id,
            )

        return self._one("custom", id, make)

    # ------------------------------------------------------------------------------------------ many subjects

    def pending_alerts(self, critical_only: bool = False) -> int:
        """How many open alerts there is something to ask about at once: they have no unexpired analysis of what is
        known of them now, and nobody asked just that within the last quarter of an hour. None where nothing may be
        asked unattended.

        Who starts runs by this number starts none for nothing while a provider is down or answers rubbish, a limit
        is used up, or alerts are switched off.
        """
        if self._why_off("alerts", automatic=True):
            return 0
        asks = self._pending_alerts(critical_only)[0]
        known = asked_lately(
            self.pool, self.settings.organization_id, "alert", [ask.subject_id for ask in asks], ASKED_LATELY
        )
        return sum((ask.subject_id, self.gateway.context_hash(ask)) not in known for ask in asks)

    def enhance_alerts(
        self,
        progress: Progress | None = None,
        limit: int | None = None,
        only_critical: bool = False,
        run_id: str | None = None,
        automatic: bool = True,
    ) -> EnhanceReport:
        """Enhance the pending alerts, critical ones first, at most `limit` (settings: `ai.alerts_per_run`).

        `automatic`: nobody asked for it just now, so that it does nothing where that is switched off.
        """
        if off := self._why_off("alerts", automatic):
            return EnhanceReport(status="disabled", reason=off)
        asks, failed, current = self._pending_alerts(only_critical, run_id)
        chosen = asks[: limit or self.settings.ai.alerts_per_run]
        return self._many(chosen, failed, current + len(asks) - len(chosen), progress)

    def deepen_insights(
        self, progress: Progress | None = None, run_id: str | None = None, automatic: bool = True
    ) -> EnhanceReport:
        """Enhance the pending insights."""
        if off := self._why_off("insights", automatic):
            return EnhanceReport(status="disabled", reason=off)
        found = read_insights(self.pool, self.settings.organization_id)
        business = self._business()
        asks, failed, current = self._pending(
            found, "insight", lambda insight: self._ask_about_insight(insight, business, run_id)
        )
        return self._many(asks, failed, current, progress)

    def optimize_all(
        self, progress: Progress | None = None, run_id: str | None = None, automatic: bool = True
    ) -> EnhanceReport:
        """Weigh the recommendations, where that is pending."""
        if off := self._why_off("recommendations", automatic):
            return EnhanceReport(status="disabled", reason=off)
        subject = read_recommendations(self.pool, self.settings.organization_id)
        if not subject.items:
            return EnhanceReport(reason="nothing is recommended at present")
        business = self._business()
        asks, failed, current = self._pending(
            [subject], "recommendation", lambda one: self._ask_about_recommendations(one, business, run_id)
        )
        return self._many(asks, failed, current, progress)

    def summarise(
        self,
        period: Period,
        day: date,
        progress: Progress | None = None,
        run_id: str | None = None,
        automatic: bool = True,
    ) -> EnhanceReport:
        """Summarise a period, where that is pending. A period without facts is skipped."""
        if off := self._why_off("executive_summary", automatic):
            return EnhanceReport(status="disabled", reason=off)
        try:
            subject, reason = self._period(period, day)
        except UnknownName as error:
            subject, reason = None, str(error)
        if subject is None:
            return EnhanceReport(skipped=1, reason=reason)
        business = self._business()
        asks, failed, current = self._pending(
            [subject], "summary", lambda one: self._ask_about_period(one, business, run_id)
        )
        return self._many(asks, failed, current, progress)

    def last_day(self) -> date:
        """The business's last complete day with facts; today's date for one without any."""
        return read_as_of(self.pool, self.settings.organization_id) or datetime.now(UTC).date()

    def _pending_alerts(
        self, critical_only: bool, run_id: str | None = None
    ) -> tuple[list[Ask], list[Answer], int]:
        found = read_alerts(self.pool, self.settings.organization_id, critical_only=critical_only)
        business = self._business()
        return self._pending(
            found,
            "alert",
            lambda alert: self._ask_about_alert(
                alert, business, enhancement_type=ENHANCEMENT_TYPES[0], run_id=run_id
            ),
        )

    def _pending(
        self, subjects: Sequence[Item], subject_type: SubjectType, make: Callable[[Item], Ask]
    ) -> tuple[list[Ask], list[Answer], int]:
        """The questions whose answer is not known, failures of making one, and how many answers are current.

        Pending is a comparison, not a queue: an answer is current while it may be shown and was made from the same
        context by the same version of the prompt.
        """
        known = newest_results(self.pool, self.settings.organization_id, subject_type) if subjects else {}
        asks: list[Ask] = []
        failed: list[Answer] = []
        for subject in subjects:
            try:
                ask = make(subject)
            except (DatabaseUnavailable, TransientError):
                raise
            except TaggingError as error:
                failed.append(_failure(error))
                continue
            if not self._is_current(ask, known.get(ask.subject_id)):
                asks.append(ask)
        return asks, failed, len(subjects) - len(asks) - len(failed)

    def _is_current(self, ask: Ask, known: Enhancement | None) -> bool:
        if known is None:
            return False
        template = ask.template
        made_by = (known.template_key, known.template_version, known.template_locale, known.ab_group)
        return made_by == (
            template.template_key,
            template.version,
            template.locale,
            template.ab_group,
        ) and known.context_hash == self.gateway.context_hash(ask)

    def _many(
        self, asks: Sequence[Ask], failed: Sequence[Answer], skipped: int, progress: Progress | None
    ) -> EnhanceReport:
        answers = self.gateway.ask_many(asks, progress) if asks else []
        # Who asks in bulk closes the gateway next, and would cancel what replaces stale answers.
        self.gateway.refresh_stale()
        envelopes = [self._envelope(ask, answer) for ask, answer in zip(asks, answers, strict=True)]
        envelopes += [Envelope("custom", "", "error", answer, answer.error) for answer in failed]
        return EnhanceReport.of(envelopes, skipped)

    # ---------------------------------------------------------------------------------------------- questions

    def _business(self) -> BusinessFacts:
        return read_business(self.pool, self.settings.organization_id)

    def _ask_about_alert(
        self,
        subject: AlertSubject,
        business: BusinessFacts,
        *,
        enhancement_type: str,
        preferred_provider_id: UUID | None = None,
        run_id: str | None = None,
    ) -> Ask:
        # An anomaly has no template of its own.
        keys = {"trend_analysis": "alert_enhancement_trend", "anomaly_analysis": "alert_enhancement"}
        key = keys.get(enhancement_type) or pick_key("alert", subject.severity, subject.alert_type)
        return self._ask_about(
            subject,
            business,
            key,
            subject_type="alert",
            subject_id=subject.id,
            enhancement_type=enhancement_type,
            severity=subject.severity,
            preferred_provider_id=preferred_provider_id,
            run_id=run_id,
        )

    def _ask_about_insight(self, subject: InsightSubject, business: BusinessFacts, run_id: str | None) -> Ask:
        return self._ask_about(
            subject,
            business,
            pick_key("insight", category=subject.category, impact=subject.impact),
            subject_type="insight",
            subject_id=subject.id,
            enhancement_type="insight_deepening",
            severity="warning" if subject.impact == "high" else "info",
            run_id=run_id,
        )

    def _ask_about_recommendations(
        self, subject: RecommendationsSubject, business: BusinessFacts, run_id: str | None
    ) -> Ask:
        return self._ask_about(
            subject,
            business,
            pick_key("recommendation"),
            subject_type="recommendation",
            subject_id=RECOMMENDATIONS,
            enhancement_type="recommendation_optimization",
            severity="info",
            run_id=run_id,
            expected={"titles": expected_titles(subject, business.locale)},
        )

    def _ask_about_period(self, subject: SummarySubject, business: BusinessFacts, run_id: str | None) -> Ask:
        # The longer prompt is for a business whose metrics are known; `load_template` falls back on the other one.
        key = "executive_summary_enhanced" if subject.report.key_metrics else pick_key("summary")
        return self._ask_about(
            subject,
            business,
            key,
            subject_type="summary",
            subject_id=subject.id,
            enhancement_type="executive_summary",
            severity="info",
            run_id=run_id,
        )

    def _period(self, period: Period, day: date) -> tuple[SummarySubject | None, str]:
        report = build_report(read_facts(self.pool, self.settings.organization_id, day))
        reach = 7 if period == "weekly" else 1
        if report.as_of is None or not report.computed:
            return None, "no business metrics have been computed"
        if (day - report.as_of).days >= reach:
            return None, f"there are no facts of that time yet: the last day with some is {report.as_of}"
        return SummarySubject(period, day, report, self._highlights(report)), ""

    def _highlights(self, report: Any) -> tuple[str, ...]:
        """What AI said of the open alerts and the insights, worst first, where it was sure enough."""
        system = system_settings(self.pool, self.settings.ai.environment)
        least = system.settings.quality_control.confidence_threshold
        organization = self.settings.organization_id
        alerts = [alert.id for situation in report.situations for alert in situation.alerts]
        insights = [insight.id for insight in report.insights]
        known = [
            (newest_results(self.pool, organization, "alert", alerts), alerts, "summary"),
            (newest_results(self.pool, organization, "insight", insights), insights, "deepAnalysis"),
        ]
        return tuple(
            text
            for found, ids, name in known
            for id in ids
            if (one := found.get(id)) and (one.confidence or 0) >= least and (text := (one.result or {}).get(name))
        )

    def _ask_about(
        self,
        subject: Subject,
        business: BusinessFacts,
        key: str,
        *,
        subject_type: SubjectType,
        subject_id: str,
        enhancement_type: str,
        severity: Severity,
        preferred_provider_id: UUID | None = None,
        run_id: str | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> Ask:
        template, requested = load_template(self.pool, key, prompt_locale(business.locale), subject_id)
        variables = used_variables(template, build_prompt_variables(subject, business, business.locale))
        return self._ask(
            template,
            requested,
            variables,
            evidence_of(subject, variables, business.locale),
            subject_type=subject_type,
            subject_id=subject_id,
            enhancement_type=enhancement_type,
            severity=severity,
            preferred_provider_id=preferred_provider_id,
            run_id=run_id,
            expected=expected,
        )

    def _ask(
        self,
        template: PromptTemplate,
        requested: str,
        variables: Mapping[str, Any],
        evidence: Sequence[EvidenceItem],
        *,
        subject_type: SubjectType,
        subject_id: str,
        enhancement_type: str,
        severity: Severity | None,
        preferred_provider_id: UUID | None = None,
        run_id: str | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> Ask:
        shown = {**variables, "evidence": [f"{item.ref} — {item.label}" for item in citable(evidence)]}
        return Ask(
            template=template,
            requested_key=requested,
            variables=shown,
            evidence=tuple(evidence),
            subject_type=subject_type,
            subject_id=subject_id,
            enhancement_type=enhancement_type,
            check=answer_check(template, shown, evidence, expected or {}),
            severity=severity,
            organization_id=self.settings.organization_id,
            preferred_provider_id=preferred_provider_id,
            language="zh" if template.locale == "zh-TW" else "en",
            run_id=run_id,
        )

    # ------------------------------------------------------------------------------------------------ answers

    def _one(self, subject_type: SubjectType, subject_id: str, make: Callable[[], Ask]) -> Envelope:
        try:
            ask = make()
            return self._envelope(ask, self.gateway.ask(ask))
        except MissingVariable as error:
            return Envelope(subject_type, subject_id, "error", _failure(error), str(error))

    def _envelope(self, ask: Ask, answer: Answer) -> Envelope:
        if answer.status == "success" and ask.subject_type == "alert" and answer.generated_at:
            mark_alert(
                self.pool, ask.subject_id, answer.confidence, answer.generated_at, answer.provider_name or ""
            )
        elif answer.status == "error":
            LOG.info("no AI analysis of %s %s: %s", ask.subject_type, ask.subject_id, answer.error_subtype)
        return Envelope(ask.subject_type, ask.subject_id, answer.status, answer, answer.error)


def answer_check(
    template: PromptTemplate,
    variables: Mapping[str, Any],
    evidence: Sequence[EvidenceItem],
    expected: Mapping[str, Any],
) -> Callable[[str, str], ParsedAnswer]:
    """What decides whether a reply may be shown: it has the template's form, cites only this evidence, and flags
    numbers that are in none of these variables."""

    def check(text: str, finish: str) -> ParsedAnswer:
        return parse_answer(
            text,
            finish,
            schema_name=template.output_schema,
            evidence=evidence,
            variables=variables,
            locale=template.locale,
            expected={"system_message": template.system_message, **expected},
        )

    return check


def _may_be_tried(health: ProviderHealth, now: datetime) -> bool:
    """Whether the gateway would call a provider: one that failed repeatedly is left alone for a while."""
    if health.circuit_opened_at is not None:
        return now - health.circuit_opened_at >= CIRCUIT_LASTS
    return health.provider.health_status != "unhealthy"


def _failure(error: TaggingError) -> Answer:
    return Answer("error", error_type=ErrorType.GENERAL_ERROR, error=str(error))

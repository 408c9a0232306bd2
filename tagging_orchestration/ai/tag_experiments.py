"""Language models in experiments: what one would propose under other settings, asked anew each time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tagging_orchestration.ai.tag_proposals import proposals_for
from tagging_orchestration.clients.llm.factory import make_client
from tagging_orchestration.core.enhancement.models import LlmClient, LlmReply, LlmRequest, Probe
from tagging_orchestration.core.models import Content, LlmProposals

if TYPE_CHECKING:
    from tagging_orchestration.core.enhancement.choice import ProviderRow
    from tagging_orchestration.experiments import Proposer
    from tagging_orchestration.settings import Settings
    from tagging_orchestration.wiring import Project


def proposer(project: Project, run_id: str | None = None) -> Proposer:
    """What `run_experiment` asks. Answers never come from the cache, so that the cost is the true one. Nothing is
    written but the log of calls. A model stated in ai.providers is used though the tables say another one."""

    def propose(settings: Settings, contents: Sequence[Content]) -> Mapping[int, LlmProposals]:
        from tagging_orchestration.ai.gateway import LlmGateway

        models = {name: stated.model for name, stated in settings.ai.providers.items() if stated.model}

        def client(provider: ProviderRow) -> LlmClient:
            made = make_client(provider)
            model = models.get(provider.name)
            return made if model in (None, provider.default_model) else OtherModel(made, model)

        gateway = LlmGateway(project.pool, settings, masker=project.masker, clients=client)
        try:
            return proposals_for(project, gateway, settings, contents, run_id=run_id)
        finally:
            gateway.close()

    return propose


class OtherModel:
    """A client that asks another model of the same provider."""

    def __init__(self, client: LlmClient, model: str) -> None:
        self._client = client
        self._model = model

    def complete(self, request: LlmRequest, cancel: threading.Event | None = None) -> LlmReply:
        """As `LlmClient`, by this model."""
        return self._client.complete(replace(request, model=self._model), cancel)

    def probe(self, model: str) -> Probe:
        """As `LlmClient`, of this model."""
        return self._client.probe(self._model)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

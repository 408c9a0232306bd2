"""The gateway and the enhancement service of a project, opened and closed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tagging_orchestration.ai.gateway import LlmGateway
    from tagging_orchestration.ai.service import EnhancementService
    from tagging_orchestration.wiring import Project


@contextmanager
def llm_gateway(project: Project) -> Iterator[LlmGateway]:
    """The way to the project's language models. Leaving the block cancels what still runs."""
    from tagging_orchestration.ai.gateway import LlmGateway
    from tagging_orchestration.clients.llm.factory import make_client

    gateway = LlmGateway(project.pool, project.settings, masker=project.masker, clients=make_client)
    try:
        yield gateway
    finally:
        gateway.close()


@contextmanager
def enhancement_service(project: Project) -> Iterator[EnhancementService]:
    """The service that enhances alerts, insights, recommendations and summaries of the project."""
    from tagging_orchestration.ai.service import EnhancementService

    with llm_gateway(project) as gateway:
        yield EnhancementService(project.pool, project.settings, gateway)

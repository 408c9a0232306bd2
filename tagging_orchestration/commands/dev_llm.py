"""`tagging dev-llm`: a server that looks like Ollama and answers with canned texts."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import verbose_option
from tagging_orchestration.commands.output import note
from tagging_orchestration.core.errors import TaggingError

if TYPE_CHECKING:
    from tagging_orchestration.dev_llm.server import RecordedRequest

OLLAMA_PORT = 11434


class DevLlmFailed(TaggingError):
    """The server cannot be started."""


@click.command("dev-llm")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=OLLAMA_PORT, show_default=True, help="0: a free one."
)
@click.option("--model", "models", multiple=True, help="A model it says it has, beside its own; may be repeated.")
@click.option("--fault", help="Behave wrongly in this way; `--faults` lists the ways.")
@click.option(
    "--delay", type=click.FloatRange(0), default=0.0, show_default=True, help="Seconds before an answer begins."
)
@click.option("--log", is_flag=True, help="Print one line a request (no texts).")
@click.option("--faults", is_flag=True, help="List the faults and end.")
@verbose_option
def dev_llm(port: int, models: tuple[str, ...], fault: str | None, delay: float, log: bool, faults: bool) -> None:
    """Serve canned answers in Ollama's way: AI without a model.

    For trying the flow. The texts are marked as canned, keep to the form asked for and cite what the prompt shows.
    Ctrl-C ends it.
    """
    from tagging_orchestration.commands.ui import stop_signals
    from tagging_orchestration.dev_llm.faults import Fault
    from tagging_orchestration.dev_llm.server import DevLlm
    from tagging_orchestration.dev_llm.wire import DevModel, default_models, is_model_name

    if faults:
        for one in Fault:
            click.echo(f"{one.number:2}  {one.value:20} {one.description}")
        return
    if fault is not None and fault not in list(Fault):
        raise click.BadParameter(f"{fault!r} is none of {', '.join(Fault)}", param_hint="--fault")
    if wrong := [name for name in models if not is_model_name(name)]:
        raise click.BadParameter(f"{wrong[0]!r} is no model name", param_hint="--model")
    added = tuple(DevModel(name, ("completion", "tools")) for name in models)
    server = DevLlm(port, (*added, *default_models()), log=_print_request if log else None)
    try:
        server.start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise DevLlmFailed(
            f"port {port} is taken or forbidden on 127.0.0.1 (by Ollama itself?): name another with --port, "
            "and as base_url of the provider in tagging.yaml"
        ) from None
    with stop_signals() as stopped:
        address = server.base_url
        if fault is not None or delay:
            _behave(server, Fault(fault or Fault.HAPPY), delay)
        said = f", with the fault {fault}" if fault else ""
        click.echo(f"Canned answers (no language model) at {address}{said}. Ctrl-C stops it.")
        while not stopped:
            time.sleep(0.1)
        server.stop()
        note(f"{len(server.calls)} generations were asked for")


def _behave(server: Any, fault: Any, delay: float) -> None:
    """From now on, for all requests for a generation."""
    if fault == "connection_refused":
        server.script(fault)
    else:
        # A drip without a pause would be no drip.
        server.script(fault, delay=delay or (1.0 if fault == "slow_drip" else 0.0))


def _print_request(request: RecordedRequest) -> None:
    number = f"  generation {request.number}" if request.number else ""
    model = request.body.get("model", "") if isinstance(request.body, dict) else ""
    click.echo(f"{request.method} {request.path}  {model}{number}")

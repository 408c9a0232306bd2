"""`tagging models`: what was trained from people's tags, which of it is in use, and the way back."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from tagging_orchestration.commands.options import json_option, limit_option, verbose_option
from tagging_orchestration.commands.output import note, plain, print_json, show, table
from tagging_orchestration.core.models import ModelKind, ModelStatus

if TYPE_CHECKING:
    from tagging_orchestration.core.models import TrainedModel
    from tagging_orchestration.wiring import Project

KINDS = click.Choice([str(kind) for kind in ModelKind])
TAGS_SHOWN = 30
# Contents of another tagger version are re-tagged by themselves, or by this.
RETAG = "the contents are re-tagged in the background; now: tagging run"


@click.group
def models() -> None:
    """List, show, promote and roll back trained models.

    They are trained from people's tags by the assets tag_models and confidence_calibration, every week and in
    `tagging ui`. ID is a model's number.
    """


@contextmanager
def _project() -> Iterator[Project]:
    from tagging_orchestration.wiring import Project

    with Project() as project:
        yield project


def _actor() -> str:
    return f"user:{getpass.getuser()}"


@models.command("list")
@click.option("--kind", type=KINDS, help="Only models of this kind.")
@limit_option(30, "models")
@json_option
@verbose_option
def list_models(kind: str | None, limit: int, as_json: bool) -> None:
    """Trained models, newest first."""
    with _project() as project:
        found = project.stores.trained_models.all(
            project.settings.organization_id, ModelKind(kind) if kind else None
        )
    if as_json:
        print_json([_brief(model) for model in found[:limit]])
        return
    view = table(
        None, "id", "kind", "status", "trained (UTC)", "trained on", "held out", right=["id"], wide=["held out"]
    )
    for model in found[:limit]:
        view.add_row(
            str(model.id),
            str(model.kind),
            str(model.status),
            plain(model.created_at),
            plain(", ".join(f"{count:,} {what}" for what, count in model.trained_on.items())),
            plain(_held_out(model)),
        )
    show(view if found else "  no model was trained yet: people's tags are what one learns from")
    if len(found) > limit:
        note(f"{len(found) - limit:,} more: --limit {len(found)}")


@models.command("show")
@click.argument("model_id", metavar="ID", type=int)
@json_option
@verbose_option
def show_model(model_id: int, as_json: bool) -> None:
    """One model: what it learned from, and its scores beside those of the model before."""
    with _project() as project:
        model = project.stores.trained_models.get(model_id)
    if as_json:
        print_json(model)
        return
    facts = table(None, "", "", wide=[""])
    for name, value in (
        ("model", f"{model.id}, {model.kind}, {model.status}"),
        ("version", model.version),
        ("trained", model.created_at),
        ("trained on", ", ".join(f"{count:,} {what}" for what, count in model.trained_on.items())),
        ("size", f"{model.size / 1e6:.1f} MB"),
        ("promoted", f"{plain(model.activated_at)} by {model.activated_by}" if model.activated_at else "never"),
        ("retired", model.retired_at),
        ("held out", _held_out(model)),
    ):
        facts.add_row(name, plain(value))
    show(facts)
    rows = model.metrics.get("new", {}).get("tags", [])
    if rows:
        before = {row["tag"]: row["f1"] for row in model.metrics.get("old", {}).get("tags", [])}
        view = table("Held-out contents", "tag", "texts", "F1", "before", right=["texts", "F1", "before"])
        for row in rows[:TAGS_SHOWN]:
            view.add_row(plain(row["tag"]), plain(row["support"]), plain(row["f1"]), plain(before.get(row["tag"])))
        show(view)


@models.command
@click.argument("model_id", metavar="ID", type=int)
@json_option
@verbose_option
def promote(model_id: int, as_json: bool) -> None:
    """Put a model to use, whatever the quality gate said; the one before is kept."""
    with _project() as project:
        model = project.stores.trained_models.promote(model_id, _actor())
    _tell(model, as_json, f"{model.kind} {model.id} is in use; {RETAG}")


@models.command
@click.option("--kind", type=KINDS, default="classifier", show_default=True)
@json_option
@verbose_option
def rollback(kind: str, as_json: bool) -> None:
    """Put the model back that was in use before; without one, the tagger works as shipped."""
    with _project() as project:
        model = project.stores.trained_models.rollback(project.settings.organization_id, ModelKind(kind), _actor())
    told = f"{kind} {model.id} is in use again" if model else f"no {kind} is in use any more"
    _tell(model, as_json, f"{told}; {RETAG}")


def _tell(model: TrainedModel | None, as_json: bool, message: str) -> None:
    if as_json:
        print_json(_brief(model) if model else None)
    note(message)


def _brief(model: TrainedModel) -> dict[str, Any]:
    """A model without the scores of single tags."""
    return {
        "id": model.id,
        "kind": model.kind,
        "version": model.version,
        "status": model.status,
        "in_use": model.status is ModelStatus.ACTIVE,
        "trained_on": model.trained_on,
        "size": model.size,
        "created_at": model.created_at,
        "activated_at": model.activated_at,
        "activated_by": model.activated_by,
        "held_out": _held_out(model),
    }


def _held_out(model: TrainedModel) -> str:
    """How a model did on held-out contents, in one line, whatever its kind."""
    new, old = model.metrics.get("new", {}), model.metrics.get("old", {})
    if "micro_f1" in new:
        before = f" (before: {old['micro_f1']:.3f}, {old['macro_f1']:.3f})" if old else ""
        return f"micro F1 {new['micro_f1']:.3f}, macro {new['macro_f1']:.3f}{before}"
    if "log_loss" in model.metrics:
        return f"log loss {model.metrics['log_loss']:.3f} (before: {model.metrics['log_loss_before']:.3f})"
    return str(model.metrics.get("reason", ""))

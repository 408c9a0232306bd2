"""`tag_models`: what is trained from people's tags, judged on held-out contents, and put to use if no worse."""

import dagster as dg

from tagging_orchestration.defs.errors import TRANSIENT_RETRIES, retry_only_transient
from tagging_orchestration.defs.metadata import new_figure, plot, table
from tagging_orchestration.defs.progress import step_progress
from tagging_orchestration.defs.resources import Tagging
from tagging_orchestration.defs.tags import content_tags
from tagging_orchestration.settings import get_settings

SHOWN = 30


@dg.asset(
    deps=[content_tags],
    group_name="learning",
    kinds={"python", "scikitlearn", "postgres"},
    owners=[get_settings().runs.owner],
    code_version="1",
    retry_policy=TRANSIENT_RETRIES,
    description="Models trained from the tags people gave and the machine's tags they accepted or rejected: the "
    "classifier of known tags. Trained on nine tenths of the labelled contents; it takes over only if it is no "
    "worse on the others. The ones before are kept: `tagging models` lists them and puts them back.",
)
@retry_only_transient()
def tag_models(context: dg.AssetExecutionContext, tagging: Tagging) -> dg.MaterializeResult:
    """Train, judge, promote."""
    from tagging_orchestration.core.model_training import TRAINERS

    project = tagging.project
    labelled = project.stores.trained_models.labelled_organizations()
    organizations = sorted({project.settings.organization_id, *labelled})
    actor = tagging.context(context).actor
    progress = step_progress(context, "Training")
    trainings = [
        train(project.engine, organization_id, actor, progress)
        for organization_id in organizations
        for train in TRAINERS
    ]
    own = [training for training in trainings if training.organization_id == project.settings.organization_id]
    scores = own[0].model.metrics if own[0].model else {}
    new, old = scores.get("new", {}), scores.get("old", {})
    before = {row["tag"]: row["f1"] for row in old.get("tags", [])}
    per_tag = [[row["tag"], row["support"], row["f1"], before.get(row["tag"], "")] for row in new.get("tags", [])]
    return dg.MaterializeResult(
        metadata={
            "trained": sum(training.is_new for training in trainings),
            "promoted": sum(training.is_new and training.promoted for training in trainings),
            "models": table(
                ["organization", "kind", "version", "texts", "in use", "what happened"],
                [
                    [
                        training.organization_id,
                        training.kind,
                        training.model.version if training.model else "",
                        training.model.trained_on.get("texts", "") if training.model else "",
                        training.promoted,
                        training.reason,
                    ]
                    for training in trainings
                ],
            ),
            "scores": table(
                ["figure", "new", "before"],
                [[name, new.get(name, ""), old.get(name, "")] for name in ("texts", "micro_f1", "macro_f1")],
            ),
            "tags": table(["tag", "held-out texts", "F1", "before"], per_tag[:SHOWN]),
            "f1_by_support": plot(_support_figure(new.get("tags", []))),
        }
    )


@dg.asset_check(
    asset=tag_models,
    blocking=True,
    description="The models trained last are no worse on held-out contents than those in use then.",
)
def tag_models_no_worse(tagging: Tagging) -> dg.AssetCheckResult:
    """The gate of promotion: a model that does worse is kept as a candidate and never used."""
    from tagging_orchestration.core.models import ModelKind

    project = tagging.project
    kinds = (ModelKind.CLASSIFIER, ModelKind.RANKER)
    organization_id = project.settings.organization_id
    newest = [models[0] for kind in kinds if (models := project.stores.trained_models.all(organization_id, kind))]
    worse = [model for model in newest if not model.metrics.get("no_worse", True)]
    told = "; ".join(f"{model.kind} {model.version}: {model.metrics.get('reason', '')}" for model in newest)
    return dg.AssetCheckResult(
        passed=not worse,
        severity=dg.AssetCheckSeverity.ERROR,
        description=told or "no model was trained yet: people's tags are too few",
        metadata={"worse": [model.version for model in worse]},
    )


def _support_figure(rows):
    """F1 of each tag over the number of held-out texts that carry it."""
    figure = new_figure()
    axes = figure.add_subplot()
    axes.scatter([row["support"] for row in rows], [row["f1"] for row in rows], alpha=0.5)
    axes.set_xscale("log")
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("held-out texts with the tag")
    axes.set_ylabel("F1")
    axes.set_title("Known tags: F1 by support")
    return figure

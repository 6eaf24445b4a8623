"""Settings of a job's labeler, as those of the library; and labelers that there are."""

from __future__ import annotations

from typing import Any

from core.errors import LabelerError, Problem
from core.generators.files import parse_description
from core.label_sets.classes import ClassMap
from core.label_sets.collapse import collapse_table
from core.labeling.config import LabelerConfig
from core.labeling.files import load_labeler
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.interpreter.config import METHOD, InterpreterConfig
from core.labeling.labeler import TrainedLabeler, VotedCollapse
from core.labeling.methods import MethodConfig
from store.requests.labeler import LabelerSpec, LabelingSpec
from store.resources.generators import get_generator
from worker.runtime.step_context import StepContext
from worker.steps.label_sets.class_collapse import collapse_after_voting, delivered_classes

#: Fewer images teach nothing.
LEAST_IMAGES = 2
#: Fields of the request that are the library's own, where they are not null.
_SAME = {
    "preset", "members", "hidden", "layers", "max_channels", "max_steps", "class_balance", "balance_by", "precision",
    "aggregation", "score", "min_class_pixels", "keypoint_size", "train_on_all",
}  # fmt: skip


def labeler_config(asked: LabelerSpec, classes: ClassMap, images: int) -> MethodConfig:
    """Return the settings of a labeler that learns `classes` from so many images."""
    held_out = max(0, min(round(asked.held_out * images), images - LEAST_IMAGES))
    if asked.method == METHOD:
        named = {"heads": asked.members, "steps": asked.max_steps, "head": asked.head, "score": asked.score}
        given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        return InterpreterConfig(
            **given, aggregation=asked.aggregation, ignore_index=classes.ignore_index, held_out=held_out,
            train_on_all=asked.train_on_all,
        )  # fmt: skip
    values = asked.model_dump(include=_SAME, exclude_none=True)
    return LabelerConfig.from_json({**values, "ignore_index": classes.ignore_index, "held_out": held_out})


def check_labeler(context: StepContext, asked: LabelingSpec) -> None:
    """Raise LabelerError for what the job's generator cannot give its labeler, before anything costly is begun."""
    row = get_generator(context.db, asked.generator, tenant=context.tenant)
    layers = parse_description(row.info).description.layers
    config = labeler_config(asked.labeler, ClassMap({}), LEAST_IMAGES)
    if isinstance(config, LabelerConfig):
        SelectedLayers(layers, config)
    keep = asked.labeler.keep_members
    if keep is not None and keep > config.members:
        problem = Problem(f"only {config.members} are trained", "/labeler/keep_members")
        raise LabelerError("cannot keep that many members", [problem])


def finished_labeler(labeler: TrainedLabeler, asked: LabelerSpec, classes: ClassMap) -> TrainedLabeler:
    """The trained labeler as it will label: with the members that are kept, and votes collapsed. `classes`: those that
    it has learnt.
    """
    if asked.keep_members is not None:
        labeler = labeler.pruned(asked.keep_members)
    collapse = collapse_after_voting(classes, asked.collapse)
    if collapse is None:
        return labeler
    table = collapse_table(classes, collapse)[: classes.count].tolist()
    return labeler.collapsed(VotedCollapse(tuple(table), delivered_classes(classes, asked.collapse).count))


def stored_labeler(context: StepContext, labeler_id: str, device: str) -> TrainedLabeler:
    """A labeler of the tenant's, kept in the child while it fits."""

    def load() -> TrainedLabeler:
        folder = context.folder / labeler_id
        context.fetch_all(labeler_id, folder)
        return load_labeler(folder, device).labeler

    return context.models.get(f"labeler {labeler_id} {device}", load)

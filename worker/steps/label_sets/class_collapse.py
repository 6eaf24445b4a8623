"""Classes of a job: those that its labeler learns, and those that its dataset shows."""

from __future__ import annotations

from core.label_sets.classes import ClassMap
from core.label_sets.collapse import collapse_by_name, collapse_labels, collapsed_classes
from core.label_sets.label_set import LabelSet
from core.tasks.presets import COLLAPSES, Collapse
from store.requests.labeler import CollapseSpec


def taught(labels: LabelSet, asked: CollapseSpec | None) -> LabelSet:
    """Return the labels as the labeler learns them. Raises LabelSetError for a collapse that cannot be."""
    if asked is None or asked.when == "after_voting":
        return labels
    return collapse_labels(labels, _collapse(asked, labels.classes))


def delivered(labels: LabelSet, asked: CollapseSpec | None) -> LabelSet:
    """Return the labels with the classes that the job's dataset has; labels that have them already are left as they
    are. Raises LabelSetError.
    """
    if asked is None or tuple(labels.classes.names.values()) == _names(asked):
        return labels
    return collapse_labels(labels, _collapse(asked, labels.classes))


def delivered_classes(classes: ClassMap, asked: CollapseSpec | None) -> ClassMap:
    """Return the classes of the job's dataset, of the labels' `classes`. Raises LabelSetError."""
    return classes if asked is None else collapsed_classes(classes, _collapse(asked, classes))


def collapse_after_voting(classes: ClassMap, asked: CollapseSpec | None) -> Collapse | None:
    """Return what happens to the labeler's votes, or None."""
    return None if asked is None or asked.when != "after_voting" else _collapse(asked, classes)


def _names(asked: CollapseSpec) -> tuple[str, ...]:
    return COLLAPSES[asked.preset].names if asked.preset else tuple(one.name for one in asked.classes)


def _collapse(asked: CollapseSpec, classes: ClassMap) -> Collapse:
    if asked.preset:
        return COLLAPSES[asked.preset]
    return collapse_by_name(classes, [(one.name, one.of) for one in asked.classes])

"""Fewer classes: the labels of a set with several of its classes taken together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelSetError, Problem
from core.label_sets.classes import DEFAULT_IGNORE_INDEX, ClassMap
from core.label_sets.label_set import LabelSet
from core.tasks.presets import Collapse


def collapse_by_name(classes: ClassMap, table: Sequence[tuple[str, Sequence[str]]]) -> Collapse:
    """The collapse of ``table``, rows of a new class and the names of those that it takes in; ids follow its order.

    Raises :class:`LabelSetError` naming every name that ``classes`` does not have.
    """
    ids = {name: class_id for class_id, name in classes.names.items()}
    unknown = [Problem(_unknown(name, ids), target) for target, sources in table for name in sources if name not in ids]
    if unknown:
        raise LabelSetError("invalid class collapse", unknown)
    names = tuple(target for target, _ in table)
    return Collapse(names, tuple(frozenset(ids[name] for name in sources) for _, sources in table))


def collapsed_classes(classes: ClassMap, collapse: Collapse) -> ClassMap:
    """The class map that is left: ids by position; the ignore index stays unless it has become a class.

    Raises :class:`LabelSetError` naming every class that ``collapse`` leaves without a place, or for no classes.
    """
    targets = collapse.targets
    lost = [Problem("has no target class", classes.name(one)) for one in classes.ids if one not in targets]
    if not classes.names:
        lost = [Problem("the labels have no masks", "classes")]
    if lost:
        raise LabelSetError("invalid class collapse", lost)
    ignore_index = classes.ignore_index if classes.ignore_index >= len(collapse.names) else DEFAULT_IGNORE_INDEX
    return ClassMap(dict(enumerate(collapse.names)), ignore_index)


def collapse_table(classes: ClassMap, collapse: Collapse) -> NDArray[np.uint8]:
    """uint8 [256]: the new id of every id in a mask; what is no class becomes the new ignore index."""
    left = collapsed_classes(classes, collapse)
    table = np.full(256, left.ignore_index, np.uint8)
    for source, target in collapse.targets.items():
        if source in classes.names:
            table[source] = target
    return table


def collapse_labels(labels: LabelSet, collapse: Collapse) -> LabelSet:
    """The set with collapsed masks and class map; images, keypoints and depth are those that it had."""
    table = collapse_table(labels.classes, collapse)
    items = tuple(replace(item, mask=table[item.mask]) for item in labels.items)
    return replace(labels, items=items, classes=collapsed_classes(labels.classes, collapse))


def _unknown(name: str, ids: dict[str, int]) -> str:
    return f"no class {name!r}; there are {', '.join(ids) or 'none'}"

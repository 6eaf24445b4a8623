"""Segmentation: a label is a map of class ids. How well two agree, and how many classes become few.

mIoU pools intersections and unions over a whole set of images. Classes absent from both prediction and truth are left
out of the mean and listed; ``absent_as_zero`` counts them as 0, as the released code of HandsOff does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], class_count: int, ignore_index: int = 255
) -> NDArray[np.int64]:
    """int64 [class_count, class_count + 1]: pixels by true (row) and predicted (column) class.

    ``truth``, ``predicted``: ids of any equal shape. Pixels whose truth is ``ignore_index`` are not counted; the last
    column is for predictions that are no class (the ignore index among them). Matrices of several images add up.

    Raises ValueError for different shapes or a true id outside the classes.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has the shape {truth.shape}, prediction {predicted.shape}")
    counted = truth != ignore_index
    rows = truth[counted].astype(np.int64)
    columns = predicted[counted].astype(np.int64)
    if rows.size and rows.max() >= class_count:
        raise ValueError(f"the truth holds the class id {rows.max()}, and there are {class_count} classes")
    columns[columns >= class_count] = class_count
    flat = np.bincount(rows * (class_count + 1) + columns, minlength=class_count * (class_count + 1))
    return flat.reshape(class_count, class_count + 1)


@dataclass(frozen=True)
class Agreement:
    """Scores of predictions against truth, pooled over all pixels that were counted.

    ``iou``: by class id, 0..1; absent classes are missing. ``absent``: classes in neither prediction nor truth.
    ``mean_iou`` and ``pixel_accuracy`` are 0..1, NaN when nothing was counted.
    """

    iou: dict[int, float]
    absent: tuple[int, ...]
    mean_iou: float
    pixel_accuracy: float


def agreement(
    confusion: NDArray[np.int64], classes: tuple[int, ...] | None = None, absent_as_zero: bool = False
) -> Agreement:
    """Scores from the (summed) :func:`confusion_matrix`, over ``classes`` (default: all that it has)."""
    class_count = confusion.shape[0]
    square = confusion[:, :class_count]
    hits = np.diagonal(square)
    union = confusion.sum(1) + square.sum(0) - hits
    wanted = tuple(range(class_count)) if classes is None else classes
    absent = tuple(one for one in wanted if union[one] == 0)
    iou = {one: float(hits[one] / union[one]) for one in wanted if union[one]}
    counted = len(wanted) if absent_as_zero else len(iou)
    total = int(confusion.sum())
    return Agreement(
        iou=iou,
        absent=absent,
        mean_iou=sum(iou.values()) / counted if counted else float("nan"),
        pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
    )


def collapse(mask: NDArray[np.uint8], targets: Mapping[int, int]) -> NDArray[np.uint8]:
    """The mask with every id replaced by ``targets[id]``; ids that are not named stay as they are."""
    table = np.arange(256, dtype=np.uint8)
    for source, target in targets.items():
        table[source] = target
    return table[mask]

"""Registration: labelled images brought into a generator's frame by their own boxes or keypoints.

Generators of aligned images draw their subject in one place only (faces with the eyes at the same height, say); a
photograph that shows it elsewhere has no code. Image, mask, keypoints and depth go through the same
:class:`core.label_sets.warp.Warp`, which stays with the item, so that reports can say what was done.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.errors import LabelSetError, Problem
from core.label_sets.boxes import Box
from core.label_sets.label_set import LabelItem, LabelSet, Note
from core.label_sets.resize import BORDER, Fit, check_target, with_lost_classes
from core.label_sets.warp import Points, Warp, fit_affine, fit_similarity

Freedom = Literal["similarity", "affine"]
"""What keypoints may do to an image: turn, scale and shift it; or shear it as well and scale both axes apart."""


@dataclass(frozen=True)
class BoxAlignment:
    """Each image is cut to its box. ``margin``: what stays around it on each side, in widths and heights of the box."""

    margin: float = 0.0


@dataclass(frozen=True, eq=False)
class KeypointAlignment:
    """Each image is brought to where its keypoints lie at ``keypoints``: by name, (x, y) as shares of the frame's width
    and height from its top left corner. Points that an image does not show are left out of its fit.
    """

    keypoints: Mapping[str, tuple[float, float]]
    freedom: Freedom = "similarity"


Alignment = BoxAlignment | KeypointAlignment


def align_to(label_set: LabelSet, height: int, width: int, alignment: Alignment, fit: Fit = "crop") -> LabelSet:
    """The label set with every image uint8 [height, width, 3], every mask and depth [height, width], and all keypoints,
    moved by ``alignment``; each item's ``warp`` says how.

    ``fit`` is for boxes of another shape than the frame: ``crop`` keeps the box's middle, ``pad`` all of it with what
    surrounds it, ``stretch`` all of it, its shape not kept. Where the frame reaches beyond the image it is mid-grey,
    the mask ignored, the depth 0; keypoints outside of the frame become unlabelled.

    Raises :class:`core.errors.LabelSetError` naming every image without the box or the points that are needed.
    """
    warps = find_warps(label_set, height, width, alignment, fit)
    ignore_index = label_set.classes.ignore_index
    items = tuple(_warped(item, warp, ignore_index) for item, warp in zip(label_set.items, warps, strict=True))
    what = "boxes" if isinstance(alignment, BoxAlignment) else "keypoints"
    note = Note(f"{len(items)} images brought to {width} x {height} by their {what}")
    return with_lost_classes(label_set, replace(label_set, items=items, notes=(*label_set.notes, note)))


def find_warps(label_set: LabelSet, height: int, width: int, alignment: Alignment, fit: Fit = "crop") -> list[Warp]:
    """How :func:`align_to` would move each item; its errors."""
    check_target(height, width, fit)
    warps, problems = [], list(_unknown_keypoints(label_set, alignment))
    for item in () if problems else label_set.items:
        try:
            warp = _warp(item, label_set, (height, width), alignment, fit)
            if not warp.covered.any():
                raise ValueError("no part of it would be in the frame")
            warps.append(warp)
        except ValueError as error:
            problems.append(Problem(str(error), item.name))
    if problems:
        raise LabelSetError("these labelled images cannot be aligned", problems)
    return warps


def _unknown_keypoints(label_set: LabelSet, alignment: Alignment) -> list[Problem]:
    if isinstance(alignment, BoxAlignment):
        return []
    known = label_set.keypoints.names if label_set.keypoints else ()
    there = f"they have {', '.join(known[:20])}" if known else "they have no keypoints.json"
    return [
        Problem(f"the labelled images have no keypoint {name!r}: {there}", f"align.keypoints.{name}")
        for name in alignment.keypoints
        if name not in known
    ]


def _warp(item: LabelItem, label_set: LabelSet, size: tuple[int, int], alignment: Alignment, fit: Fit) -> Warp:
    """Raises :class:`ValueError`, in words, where the item lacks what is needed."""
    if isinstance(alignment, BoxAlignment):
        if item.box is None:
            raise ValueError("has no box: boxes.json does not name it")
        return _box_warp(item, item.box, size, alignment.margin, fit)
    assert label_set.keypoints is not None
    assert item.keypoints is not None
    shown = {
        name: point[:2].astype(np.float64)
        for name, point in zip(label_set.keypoints.names, item.keypoints, strict=True)
        if name in alignment.keypoints and point[2] > 0
    }
    source: Points = np.array(list(shown.values())).reshape(-1, 2)
    target: Points = np.array([alignment.keypoints[name] for name in shown]).reshape(-1, 2) * (size[1], size[0])
    try:
        matrix = (fit_similarity if alignment.freedom == "similarity" else fit_affine)(source, target)
    except ValueError as error:
        raise ValueError(f"it shows the keypoints {', '.join(shown) or 'none'}: {error}") from None
    warp = Warp(matrix, item.size, size)
    misfit = float(np.sqrt(np.square(warp.points(source) - target).sum(1).mean()))
    return replace(warp, misfit=misfit)


def _box_warp(item: LabelItem, box: Box, size: tuple[int, int], margin: float, fit: Fit) -> Warp:
    x, y, width, height = box
    scales = np.array([size[1] / width, size[0] / height]) / (1 + 2 * margin)
    if fit != "stretch":
        scales = np.full(2, scales.max() if fit == "crop" else scales.min())
    shift = np.array([size[1] / 2, size[0] / 2]) - scales * (x + width / 2, y + height / 2)
    return Warp(np.concatenate([np.diag(scales), shift[:, None]], axis=1), item.size, size)


def _warped(item: LabelItem, warp: Warp, ignore_index: int) -> LabelItem:
    moved = None
    if item.keypoints is not None:
        height, width = warp.size
        points = warp.points(item.keypoints[:, :2].astype(np.float64))
        kept = (item.keypoints[:, 2] > 0) & (points >= 0).all(1) & (points <= (width, height)).all(1)
        moved = np.where(kept[:, None], np.concatenate([points, item.keypoints[:, 2:]], 1), 0).astype(np.float32)
    return LabelItem(
        item.name,
        warp.picture(item.image, BORDER),
        warp.nearest(item.mask, ignore_index),
        moved,
        None if item.depth is None else warp.nearest(item.depth, 0.0),
        warp=warp,
        image_class=item.image_class,
    )

"""Real against generated: images by features of named extractors, labels by what they show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.downstream.networks import SmallUNet
from core.evaluation.downstream.training import Trained
from core.evaluation.metrics.comparison import MetricSettings, compare_images
from core.evaluation.metrics.extractors import (
    NAMED_EXTRACTORS,
    Extractor,
    domain_extractor,
    named_extractor,
    pixel_extractor,
)
from core.evaluation.metrics.features import FeatureSet, space_of
from core.evaluation.metrics.geometry import mask_geometry
from core.evaluation.metrics.label_statistics import (
    LabelStatistics,
    background_of,
    compare_classes,
    label_shown,
    label_statistics,
)
from core.evaluation.metrics.memorization import picture_features
from core.evaluation.metrics.published_weights import PublishedWeights
from core.label_sets.classes import ClassMap
from core.run import Run
from core.tasks.keypoints import VISIBLE

_OUTLINED = 60
"""Masks of each side whose outlines are looked at."""
_PAIRS = 10
_GREY = 128


def extractors(
    proxy: Trained, real_images: int, weights: PublishedWeights, device: torch.device | str
) -> tuple[list[Extractor], list[str]]:
    """The domain's own features first, then those of published nets whose weights are present; and the names of those
    whose weights are not.
    """
    found = [
        domain_extractor(proxy.network.maps, f"{real_images} real images with labels", device)
        if isinstance(proxy.network, SmallUNet)
        else pixel_extractor()
    ]
    absent: list[str] = []
    for name in NAMED_EXTRACTORS:
        path = weights.find(name)
        if path is None:
            absent.append(name)
        else:
            found.append(named_extractor(name, path, device))
    return found, absent


@dataclass(frozen=True, eq=False)
class MaskPair:
    """Masks of the real and the generated images, uint8 [N, H, W] and [M, H, W], and their classes."""

    real: NDArray[np.uint8]
    generated: NDArray[np.uint8]
    classes: ClassMap


def image_distances(
    extractor: Extractor,
    real: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    masks: MaskPair | None = None,
    run: Run | None = None,
) -> dict[str, Any]:
    """Distances between images uint8 [N, H, W, 3], as JSON values.

    With masks, distances between the images that show each class as well, and all of it again with the background
    masked by grey, where a class is named background.
    """
    found = _distances(extractor, real, generated, masks, run)
    background = None if masks is None else background_of(masks.classes)
    if masks is not None and background is not None:
        sides = ((real, masks.real), (generated, masks.generated))
        one, other = (_without(images, labels == background) for images, labels in sides)
        found["background_masked"] = _distances(extractor, one, other, masks, run)
    return found


def _distances(
    extractor: Extractor,
    real: NDArray[np.uint8],
    generated: NDArray[np.uint8],
    masks: MaskPair | None,
    run: Run | None,
) -> dict[str, Any]:
    one, other = _feature_set(extractor, real), _feature_set(extractor, generated)
    if masks is not None:
        one, other = _with_classes(one, masks.real, masks.classes), _with_classes(other, masks.generated, masks.classes)
    settings = MetricSettings(kid_subsets=20)
    document = compare_images(one, other, settings, run).to_json()
    half = len(real) // 2
    first, second = (replace(one, rows=rows, shows=None) for rows in (one.rows[:half], one.rows[half:]))
    document["fid_real_against_real"] = compare_images(first, second, settings, run).fid if half > 1 else None
    return document


def _with_classes(side: FeatureSet, masks: NDArray[np.uint8], classes: ClassMap) -> FeatureSet:
    names = tuple(classes.name(one) for one in classes.ids)
    return replace(side, classes=names, shows=label_shown(masks, classes.count)[:, list(classes.ids)])


def _feature_set(extractor: Extractor, images: NDArray[np.uint8]) -> FeatureSet:
    rows = extractor(images).astype(np.float32)
    return FeatureSet(space_of(extractor, rows.shape[1]), rows)


def _without(images: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Images with grey in place of hidden pixels, bool [N, H, W]."""
    return np.where(hidden[..., None], np.uint8(_GREY), images)


def mask_statistics(
    real: NDArray[np.uint8], generated: NDArray[np.uint8], classes: ClassMap
) -> tuple[dict[str, Any], LabelStatistics, LabelStatistics]:
    """Classes one by one with their geometry, and the pairs whose common frequency differs most, as JSON values; and
    the counts behind them. Masks uint8 [N, H, W].
    """
    one, other = (label_statistics(masks, classes.count) for masks in (real, generated))
    rows = []
    for row in compare_classes(one, other, classes):
        shapes = {
            side: mask_geometry(masks[:_OUTLINED], row.class_id).to_json()
            for side, masks in (("real", real), ("generated", generated))
        }
        rows.append({**row.to_json(), "geometry": shapes})
    return {"classes": rows, "together": _together(one, other, classes)}, one, other


def _together(real: LabelStatistics, generated: LabelStatistics, classes: ClassMap) -> list[dict[str, Any]]:
    """Pairs of classes by how often images show both, the greatest differences first."""
    pairs = [(a, b) for a in classes.ids for b in classes.ids if a < b]
    rows: list[dict[str, Any]] = [
        {
            "classes": [classes.name(a), classes.name(b)],
            "real": float(real.together[a, b] / max(1, real.images)),
            "generated": float(generated.together[a, b] / max(1, generated.images)),
        }
        for a, b in pairs
    ]
    return sorted(rows, key=lambda row: -abs(row["real"] - row["generated"]))[:_PAIRS]


def point_statistics(
    real: NDArray[np.float32], generated: NDArray[np.float32], names: Sequence[str]
) -> list[dict[str, Any]]:
    """How often each keypoint is visible, from points float32 [N, K, 3]; JSON values."""
    seen = [(points[..., 2] >= VISIBLE).mean(0) for points in (real, generated)]
    return [{"name": name, "real": float(seen[0][i]), "generated": float(seen[1][i])} for i, name in enumerate(names)]


def depth_statistics(real: NDArray[np.float32], generated: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Quantiles of the depth that is known, from depths float32 [N, H, W]; JSON values."""

    def quantile(depths: NDArray[np.float32], share: float) -> float | None:
        known = depths[depths > 0]
        return float(np.quantile(known, share)) if known.size else None

    return [
        {"name": f"{share:.0%} are nearer than", "real": quantile(real, share), "generated": quantile(generated, share)}
        for share in (0.05, 0.5, 0.95)
    ]


def small(images: Callable[[NDArray[np.int64]], NDArray[np.uint8]], count: int, side: int = 64) -> NDArray[np.uint8]:
    """All of ``count`` images, no side above ``side``: copies may hide anywhere, and need no detail to be seen."""
    parts = []
    for start in range(0, count, 256):
        part = images(np.arange(start, min(start + 256, count)))
        parts.append(part if max(part.shape[1:3]) <= side else _shrunk(part, side))
    return np.concatenate(parts)


def _shrunk(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    features = picture_features(images, side) * np.sqrt(side * side * 3)
    return np.asarray(np.rint(255 * features.reshape(len(images), side, side, 3)), np.uint8)

"""Labeler quality, from its labels of labelled images that it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.overlap import image_confusions, image_miou
from core.evaluation.rejection import augrc, rejection_curve
from core.label_sets.label_set import LabelSet
from core.labeling.calibration import reliability
from core.labeling.cross_validation import HeldOutLabel
from core.labeling.rare_classes import rare_classes
from core.tasks.depth import DepthSums, depth_sums
from core.tasks.keypoints import keypoint_hits
from core.tasks.segmentation import agreement
from core.tasks.task import Task

ALPHAS = (0.1, 0.05, 0.02)
"""Of PCK; the first one judges single images."""
_MEASURED_BY: Mapping[Task, str] = {
    "segmentation": "mean IoU of the image",
    "keypoints": f"share of its keypoints found within {ALPHAS[0]:g} of its extent",
    "depth": "1 - squared error over squared depth",
}


@dataclass(frozen=True)
class Reconstruction:
    """Reconstruction of a labelled image. psnr: dB; flags: why it counts as poor, empty for a good one."""

    name: str
    psnr: float
    perceptual: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelerQuality:
    """``document``: everything as JSON values, NaN as None. ``worst``: places of the images by quality, worst first."""

    document: dict[str, Any]
    worst: tuple[int, ...]


def labeler_quality(
    labels: LabelSet, found: Sequence[HeldOutLabel], inversion: Sequence[Reconstruction], folds: int
) -> LabelerQuality:
    """Scores of every task, how well uncertainty ranks the images, reliability, and what inversion lost.

    labels: the truth, N images of one size. found: what was said of each. inversion: reconstruction of each image;
    images that have none are left out.
    """
    parts: dict[Task, dict[str, Any]] = {}
    qualities: dict[Task, NDArray[np.float64]] = {}
    if labels.classes.names:
        parts["segmentation"], qualities["segmentation"] = _segmentation(labels, found)
    if labels.keypoints is not None:
        parts["keypoints"], qualities["keypoints"] = _keypoints(labels, found)
    if labels.depth is not None:
        parts["depth"], qualities["depth"] = _depth(labels, found)
    task = labels.tasks[0]
    quality = qualities[task]
    score = np.array([float(one.score[0]) for one in found])
    names = [item.name for item in labels.items]
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "uncertainty": _finite(score[at]),
            "quality": {each: _finite(of_task[at]) for each, of_task in qualities.items()},
        }
        for at, name in enumerate(names)
    ]
    known = np.flatnonzero(np.isfinite(quality))
    failures = [
        {
            "name": row.name,
            "psnr": _finite(row.psnr),
            "perceptual": _finite(row.perceptual),
            "why": "; ".join(row.flags),
        }
        for row in inversion
        if row.flags
    ]
    rare: list[str] = []
    if "segmentation" in parts:
        iou = {row["id"]: row["iou"] for row in parts["segmentation"]["classes"] if row["iou"] is not None}
        rare = rare_classes(labels.classes, labels.shares, len(names), iou, "cross-validated")
    document: dict[str, Any] = {
        "version": 1,
        "images": len(names),
        "folds": folds,
        "tasks": list(parts),
        **{str(each): part for each, part in parts.items()},
        "uncertainty": _uncertainty(task, quality[known], score[known]),
        "reliability": _reliability(found),
        "inversion": {"images": len(inversion), "failures": failures},
        "per_image": rows,
        "rare_classes": rare,
        "warnings": [*rare, *_warnings(failures, len(inversion))],
    }
    return LabelerQuality(document, tuple(int(one) for one in known[np.argsort(quality[known], kind="stable")]))


def _segmentation(labels: LabelSet, found: Sequence[HeldOutLabel]) -> tuple[dict[str, Any], NDArray[np.float64]]:
    classes = labels.classes
    confusions = image_confusions(
        (item.mask for item in labels.items), (one.mask for one in found), classes.count, classes.ignore_index
    )
    pooled = agreement(confusions.sum(0), classes.ids)
    shares = labels.shares
    rows = [
        {
            "id": one, "name": classes.name(one), "iou": pooled.iou.get(one),
            "images": shares[one].images, "pixels": shares[one].pixels,
        }
        for one in classes.ids
    ]  # fmt: skip
    scores = {"mean_iou": _finite(pooled.mean_iou), "pixel_accuracy": _finite(pooled.pixel_accuracy), "classes": rows}
    return scores, image_miou(confusions)


def _keypoints(labels: LabelSet, found: Sequence[HeldOutLabel]) -> tuple[dict[str, Any], NDArray[np.float64]]:
    assert labels.keypoints is not None
    truth = np.stack([item.keypoints for item in labels.items if item.keypoints is not None])
    predicted = np.stack([one.keypoints for one in found])
    hits = keypoint_hits(truth, predicted, ALPHAS)
    rows = [
        {
            "name": name, "visible": int(hits.counted[at]),
            "pck": {f"{alpha:g}": _finite(share) for alpha, share in zip(ALPHAS, hits.per_point[:, at], strict=True)},
        }
        for at, name in enumerate(labels.keypoints.names)
    ]  # fmt: skip
    scores = {"pck": {f"{alpha:g}": _finite(share) for alpha, share in hits.pck.items()}, "points": rows}
    each = [keypoint_hits(truth[at : at + 1], predicted[at : at + 1], ALPHAS[:1]) for at in range(len(truth))]
    return scores, np.array([one.pck[ALPHAS[0]] for one in each])


def _depth(labels: LabelSet, found: Sequence[HeldOutLabel]) -> tuple[dict[str, Any], NDArray[np.float64]]:
    assert labels.depth is not None
    each = [
        depth_sums(item.depth, one.depth)
        for item, one in zip(labels.items, found, strict=True)
        if item.depth is not None
    ]
    pooled = sum(each, DepthSums())
    scores = {name: _finite(getattr(pooled, name)) for name in ("mnmse", "rmse", "rmse_log")}
    return {**scores, "unit": labels.depth.unit, "pixels": pooled.pixels}, 1 - np.array([one.mnmse for one in each])


def _uncertainty(task: Task, quality: NDArray[np.float64], score: NDArray[np.float64]) -> dict[str, Any] | None:
    """None where no image can be judged."""
    if not len(quality):
        return None
    curve = rejection_curve(quality, score)
    return {"measured_by": _MEASURED_BY[task], "augrc": augrc(1 - quality, score), "curve": curve.to_json()}


def _reliability(found: Sequence[HeldOutLabel]) -> dict[str, Any] | None:
    confidence = np.concatenate([one.confidence for one in found])
    if not len(confidence):
        return None
    correct = np.concatenate([one.correct for one in found])
    return reliability(torch.from_numpy(confidence), torch.from_numpy(correct)).to_json()


def _warnings(failures: Sequence[Any], inverted: int) -> list[str]:
    return [f"Reconstructed badly: {len(failures)} of {inverted} labelled images. See below."] if failures else []


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

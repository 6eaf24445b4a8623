"""What a dataset is worth: trained nets against baselines, copies, uncertainty, distribution, and a verdict by gates.

Held-out labelled images decide; they must have had no part in making the dataset. All arms share seeds, recipe and test
images. Finished arms are handed out as a checkpoint, so that an interrupted evaluation does not train them twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop
from core.datasets.classes import ClassMap
from core.evaluation.arms import GENERATED, MIXED, Arms, EvaluationConfig, EvaluationData
from core.evaluation.distribution import frechet_distance, kernel_distance, manifold_scores
from core.evaluation.downstream.baselines import BASELINES
from core.evaluation.downstream.networks import SmallUNet
from core.evaluation.downstream.training import Trained, predict_masks
from core.evaluation.extractors import Extractor, domain_extractor
from core.evaluation.gates import (
    ArmScores,
    Gate,
    Regeneration,
    every_class,
    no_copies,
    regenerates,
    uncertainty_tells,
    useful,
    verdict,
)
from core.evaluation.geometry import mask_geometry
from core.evaluation.intervals import bootstrap
from core.evaluation.label_statistics import compare_classes, label_statistics, plain_findings
from core.evaluation.memorisation import Memorisation, memorisation, picture_features
from core.evaluation.overlap import image_confusions, image_miou
from core.evaluation.rejection import augrc, auroc, rejection_curve

_LOOKED_AT = 500
"""Generated images that distances, label quality and statistics look at, spread evenly over the dataset."""
_OUTLINED = 60
_BAD_SHARE = 0.25
_SHOWN = 8


@dataclass(frozen=True)
class Shown:
    """Generated images for the report: a heading, places in the dataset, a caption each."""

    heading: str
    places: tuple[int, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """``document``: everything as JSON values. ``shown``: pictures. ``copies``: for pictures of what was copied."""

    document: dict[str, Any]
    shown: tuple[Shown, ...]
    copies: Memorisation


def evaluate(
    data: EvaluationData,
    config: EvaluationConfig,
    *,
    regeneration: Regeneration | None = None,
    why_not_regenerated: str = "",
    device: torch.device | str = "cpu",
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
    checkpoint: Callable[[bytes], None] | None = None,
    resume_from: bytes | None = None,
) -> Evaluation:
    """Train every arm, compare, and decide. ``progress`` counts trained nets."""
    arms = Arms(data, config, device, should_stop, checkpoint, resume_from, progress)
    scores = arms.run()
    generated = next(arm for arm in scores if arm.name == GENERATED)
    baselines = [arm for arm in scores if arm.name in config.baselines]
    look = np.linspace(0, len(data.generated) - 1, min(_LOOKED_AT, len(data.generated))).astype(np.int64)
    images, masks = data.generated.take(look)
    proxy = arms.proxy()
    quality = _label_quality(proxy, images, masks, data)
    uncertainty = data.uncertainty[look]
    copies = memorisation(*(picture_features(one) for one in (data.labelled.images, data.held_out.images, _all(data))))
    labels, label_gate = _labels(quality, uncertainty)
    gates = [
        useful(generated, baselines),
        every_class(generated, baselines, data.classes),
        label_gate,
        no_copies(copies, data.labelled_names),
        regenerates(regeneration, why_not_regenerated),
    ]
    decided, sentence = verdict(gates)
    real_masks = np.concatenate([data.labelled.targets, data.held_out.targets])
    statistics, findings = _statistics(real_masks, masks, data.classes)
    distribution = _distribution(proxy, data, images, device)
    document = {
        "version": 1,
        "verdict": decided,
        "sentence": sentence,
        "gates": [gate.to_json() for gate in gates],
        "warnings": _warnings(config, scores, findings, distribution),
        "arms": [_arm_json(arm, data.classes) for arm in scores],
        "labels": labels,
        "distribution": distribution,
        "classes": statistics,
        "images": {
            "generated": len(data.generated), "looked_at": len(look),
            "labelled": len(data.labelled), "held_out": len(data.held_out),
        },
        "settings": {
            "repeats": config.repeats, "seed": config.seed, "downstream": config.downstream.to_json(),
            "pretrained": arms.pretrained_name,
        },
    }  # fmt: skip
    return Evaluation(document, _shown(look, quality, uncertainty), copies)


def _all(data: EvaluationData) -> NDArray[np.uint8]:
    """Every generated image, small: copies may hide anywhere."""
    side = 16
    parts = []
    for start in range(0, len(data.generated), 256):
        images, _ = data.generated.take(np.arange(start, min(start + 256, len(data.generated))))
        parts.append(images if max(images.shape[1:3]) <= 4 * side else _shrunk(images, 4 * side))
    return np.concatenate(parts)


def _shrunk(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    features = picture_features(images, side) * np.sqrt(side * side * 3)
    return np.asarray(np.rint(255 * features.reshape(len(images), side, side, 3)), np.uint8)


def _label_quality(
    proxy: Trained, images: NDArray[np.uint8], masks: NDArray[np.uint8], data: EvaluationData
) -> NDArray[np.float64]:
    """Agreement of each generated label with the proxy's, mIoU of the image by itself."""
    predicted = predict_masks(proxy, images)
    return image_miou(image_confusions(masks, predicted, data.classes.count, data.classes.ignore_index))


def _labels(quality: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> tuple[dict[str, Any], Gate]:
    known = np.isfinite(quality) & np.isfinite(uncertainty)
    quality, uncertainty = quality[known], uncertainty[known]
    curve = rejection_curve(quality, uncertainty)
    bad = quality <= np.quantile(quality, _BAD_SHARE)
    found = auroc(bad, uncertainty)
    gain = bootstrap(lambda pick: rejection_curve(quality[pick], uncertainty[pick]).gain, len(quality), draws=500)
    document = {
        "measured_by": "agreement (mIoU an image) with a net trained on all labelled and held-out real images",
        "curve": curve.to_json(),
        "augrc": augrc(1 - quality, uncertainty),
        "auroc": found if np.isfinite(found) else None,
        "bad": f"the {_BAD_SHARE:.0%} of least agreement",
    }
    return document, uncertainty_tells(gain, found)


def _statistics(
    real: NDArray[np.uint8], generated: NDArray[np.uint8], classes: ClassMap
) -> tuple[list[dict[str, Any]], list[str]]:
    one, other = (label_statistics(masks, classes.count) for masks in (real, generated))
    rows = []
    for row in compare_classes(one, other, classes):
        shapes = {
            side: mask_geometry(masks[:_OUTLINED], row.class_id).to_json()
            for side, masks in (("real", real), ("generated", generated))
        }
        rows.append({**row.to_json(), "geometry": shapes})
    return rows, plain_findings(one, other, classes)


def _distribution(
    proxy: Trained, data: EvaluationData, images: NDArray[np.uint8], device: torch.device | str
) -> dict[str, Any]:
    real = np.concatenate([data.labelled.images, data.held_out.images])
    extractor = (
        domain_extractor(proxy.network.maps, f"{len(real)} real images with labels", device)
        if isinstance(proxy.network, SmallUNet)
        else Extractor("averages of 16 x 16 patches", lambda x: torch.from_numpy(_patches(x)), "cpu")
    )
    a, b = extractor(real), extractor(images)
    scale = a.std(0) + 1e-6
    a, b = a / scale, b / scale
    half = len(a) // 2
    mean, spread = kernel_distance(a, b, subsets=20)
    result: dict[str, Any] = {
        "extractor": extractor.name,
        "real": len(a),
        "generated": len(b),
        "dimensions": a.shape[1],
        "fid": frechet_distance(a, b),
        "fid_real_against_real": frechet_distance(a[:half], a[half:]) if half > 1 else None,
        "kid": mean,
        "kid_std": spread,
    }
    if min(len(a), len(b)) > 5:
        result |= vars(manifold_scores(a, b))
    return result


def _patches(images: torch.Tensor) -> NDArray[np.float64]:
    return picture_features(images.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _warnings(
    config: EvaluationConfig, scores: Sequence[ArmScores], findings: Sequence[str], distribution: dict[str, Any]
) -> list[str]:
    words = list(findings)
    if config.repeats < 3:
        words.append(f"Only {config.repeats} repeats: the intervals are wide or unknown. Three or more are needed.")
    if config.trunk_weights is None and set(config.baselines) - {"from_scratch"}:
        words.append(
            "No published weights were at hand: transfer starts from a trunk pretrained here on the generated images."
        )
    left_out = [name for name in BASELINES if name not in config.baselines]
    if left_out:
        words.append(f"Baselines not tried: {', '.join(left_out)}.")
    by_name = {arm.name: arm.mean for arm in scores}
    gain = by_name[MIXED] - by_name[GENERATED]
    if gain > 0.01:
        words.append(f"Fine-tuning on the labelled images at the end adds {100 * gain:.1f} points of mIoU.")
    if min(distribution["real"], distribution["generated"]) < 2 * distribution["dimensions"]:
        words.append(
            f"Distances between distributions rest on {distribution['real']} real images with "
            f"{distribution['dimensions']} features each: compare them with each other, not with other reports."
        )
    return words


def _arm_json(arm: ArmScores, classes: ClassMap) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        means = [arm.iou[:, one][np.isfinite(arm.iou[:, one])] for one in classes.ids]
    per_class = {
        classes.name(one): float(v.mean()) if len(v) else None for one, v in zip(classes.ids, means, strict=True)
    }
    return {"name": arm.name, "miou": arm.mean, "repeats": arm.miou, "iou": per_class}


def _shown(
    look: NDArray[np.int64], quality: NDArray[np.float64], uncertainty: NDArray[np.float64]
) -> tuple[Shown, ...]:
    order = np.argsort(-np.nan_to_num(quality, nan=-1.0), kind="stable")
    unsure = np.argsort(-uncertainty, kind="stable")

    def shown(heading: str, rows: NDArray[np.int64]) -> Shown:
        captions = tuple(f"{look[i]}   agreement {quality[i]:.2f}, uncertainty {uncertainty[i]:.3g}" for i in rows)
        return Shown(heading, tuple(int(look[i]) for i in rows), captions)

    return (
        shown("Best by agreement with the proxy", order[:_SHOWN]),
        shown("Worst by agreement with the proxy", order[::-1][:_SHOWN]),
        shown("Most uncertain of those kept", unsure[:_SHOWN]),
    )

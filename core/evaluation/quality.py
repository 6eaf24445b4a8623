"""Dataset evaluation: trained networks against baselines, copies, uncertainty, distribution, and a verdict by gates.

Held-out labelled images decide; they must have had no part in making the dataset. All arms share seeds, recipe and test
images. Finished arms are handed out as a checkpoint, so that an interrupted evaluation does not train them twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.arm_comparison import ArmScores, compare
from core.evaluation.arms import CANDIDATES, GENERATED_LABELS, LEAST_VALIDATED, Arms, EvaluationConfig, EvaluationData
from core.evaluation.gates import (
    Gate,
    Regeneration,
    every_part,
    no_copies,
    regenerates,
    uncertainty_tells,
    useful,
    verdict,
)
from core.evaluation.intervals import bootstrap, mean_interval
from core.evaluation.metrics.label_comparison import (
    MaskPair,
    depth_statistics,
    extractors,
    image_distances,
    mask_statistics,
    point_statistics,
    small,
)
from core.evaluation.metrics.label_statistics import plain_findings
from core.evaluation.metrics.memorization import Memorisation, memorisation, picture_features
from core.evaluation.recommendation import recommend
from core.evaluation.rejection import augrc, auroc, rejection_curve
from core.run import Run

_LOOKED_AT = 500
"""Generated images that distances, label quality and statistics look at, spread evenly over the dataset."""
_BAD_SHARE = 0.25
_SHOWN = 8


@dataclass(frozen=True)
class Shown:
    """Samples for the report: a heading, places in the dataset (or among those dropped), a caption each."""

    heading: str
    places: tuple[int, ...]
    captions: tuple[str, ...]
    dropped: bool = False


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
    run: Run | None = None,
) -> Evaluation:
    """Train every arm, compare, and decide.

    ``run``: its progress counts steps of training, over all networks; the seed is that of ``config``.

    Raises :class:`core.errors.EvaluationError` for data that cannot be compared, :class:`core.errors.ResumeError` where
    ``run.resume_from`` is no state of this evaluation, :class:`core.errors.Stopped`.
    """
    run = run or Run()
    arms = Arms(data, config, run)
    scoring = data.scoring
    scores = arms.run()
    comparison = compare(scores[: len(CANDIDATES)], scores[len(CANDIDATES) :])
    look = np.linspace(0, len(data.generated) - 1, min(_LOOKED_AT, len(data.generated))).astype(np.int64)
    images, labels = data.generated.take(look)
    proxy = arms.proxy()
    quality = scoring.each(labels, scoring.said(proxy, images))
    uncertainty = data.uncertainty[look]
    every_image = small(lambda pick: data.generated.take(pick)[0], len(data.generated))
    copies = memorisation(*(picture_features(one) for one in (data.labelled.images, data.held_out.images, every_image)))
    label_quality, label_gate = _labels(quality, uncertainty, scoring.mean)
    gates = [
        useful(comparison, scoring.mean),
        every_part(comparison, scoring.parts, scoring.metric),
        label_gate,
        no_copies(copies, data.labelled_names),
        regenerates(regeneration, why_not_regenerated),
    ]
    decided, sentence = verdict(gates)
    found, absent = extractors(proxy, len(data.labelled) + len(data.held_out), config.weights, run.device)
    real_images = np.concatenate([data.labelled.images, data.held_out.images])
    real_labels = np.concatenate([data.labelled.targets, data.held_out.targets])
    statistics, findings = _statistics(data, real_labels, labels)
    masks = MaskPair(real_labels, labels, data.classes) if scoring.task == "segmentation" else None
    distributions = [image_distances(one, real_images, images, masks, run) for one in found]
    document = {
        "version": 3,
        "task": scoring.task,
        "metric": scoring.mean,
        "verdict": decided,
        "sentence": sentence,
        "recommended": recommend(decided, comparison, scoring.mean).to_json(),
        "gates": [gate.to_json() for gate in gates],
        "warnings": [
            *findings,
            *_warnings(arms, distributions[0]),
            *_absent(config, data, absent),
        ],
        "arms": [_arm_json(arm, scoring.parts) for arm in scores],
        "labels": label_quality,
        "distributions": distributions,
        **statistics,
        "images": {
            "generated": len(data.generated), "looked_at": len(look), "labelled": len(data.labelled),
            "held_out": len(data.held_out), "validation": len(arms.validated or ()), "test": len(arms.test),
        },
        "settings": {
            "repeats": config.repeats, "seed": config.seed, "downstream": config.downstream.to_json(),
            "start": config.start.trunk_weights.name if config.start.trunk_weights else "random weights",
            "backbone": config.backbone if "frozen_features" in config.tried else None,
            "augmentation": {"chosen": arms.augmentation, "validation": arms.augmentation_scores},
        },
    }  # fmt: skip
    return Evaluation(document, _shown(data, look, quality, uncertainty), copies)


def _labels(quality: NDArray[np.float64], uncertainty: NDArray[np.float64], metric: str) -> tuple[dict[str, Any], Gate]:
    known = np.isfinite(quality) & np.isfinite(uncertainty)
    quality, uncertainty = quality[known], uncertainty[known]
    curve = rejection_curve(quality, uncertainty)
    bad = quality <= np.quantile(quality, _BAD_SHARE)
    found = auroc(bad, uncertainty)
    gain = bootstrap(lambda pick: rejection_curve(quality[pick], uncertainty[pick]).gain, len(quality), draws=500)
    document = {
        "measured_by": f"agreement ({metric} an image) with a net trained on all labelled and held-out real images",
        "curve": curve.to_json(),
        "augrc": augrc(1 - quality, uncertainty),
        "auroc": found if np.isfinite(found) else None,
        "bad": f"the {_BAD_SHARE:.0%} of least agreement",
    }
    return document, uncertainty_tells(gain, found)


def _statistics(data: EvaluationData, real: NDArray[Any], generated: NDArray[Any]) -> tuple[dict[str, Any], list[str]]:
    """What labels show, real against generated, and what a person should know of it."""
    if data.scoring.task == "segmentation":
        rows, one, other = mask_statistics(real, generated, data.classes)
        return rows, plain_findings(one, other, data.classes)
    if data.scoring.task == "depth":
        return {"depth": depth_statistics(real, generated)}, []
    points = point_statistics(real, generated, list(data.scoring.parts.values()))
    words = [
        f"Keypoint '{row['name']}' is never seen in the dataset; {row['real']:.0%} of the real images show it."
        for row in points
        if row["real"] and not row["generated"]
    ]
    return {"points": points}, words


def _warnings(arms: Arms, distribution: dict[str, Any]) -> list[str]:
    words = []
    config = arms.config
    if config.repeats < 3:
        repeats = "one repeat" if config.repeats == 1 else f"{config.repeats} repeats"
        words.append(f"Only {repeats}: the intervals are wide or unknown. Three or more are needed.")
    if arms.validated is None:
        words.append(
            f"The augmentation of the baselines was not tuned ('{arms.augmentation}' was taken): that needs "
            f"{LEAST_VALIDATED} held-out images, and there are {len(arms.data.held_out)}."
        )
    spec = distribution["spec"]
    if min(spec["real"], spec["generated"]) < 2 * spec["dimensions"]:
        words.append(
            f"Distances between distributions rest on {spec['real']} real images with "
            f"{spec['dimensions']} features each: compare them with each other, not with other reports."
        )
    return words


def _absent(config: EvaluationConfig, data: EvaluationData, extractors_absent: Sequence[str]) -> list[str]:
    """Comparisons that were left out for want of weights or labels."""
    words = [f"Baseline '{name}' was not tried: {why}." for name, why in config.left_out.items()]
    if data.relabelled is None:
        words.append(f"'{GENERATED_LABELS}' was not compared: no labelled images of the dataset were given.")
    if extractors_absent:
        words.append(f"No distances by {', '.join(extractors_absent)}: their weights are absent.")
    return words


def _arm_json(arm: ArmScores, parts: Mapping[int, str]) -> dict[str, Any]:
    known = {one: arm.parts[:, one][np.isfinite(arm.parts[:, one])] for one in parts}
    return {
        "name": arm.name,
        "mean": arm.mean,
        "interval": mean_interval(arm.means).to_json(),
        "repeats": arm.means,
        "parts": {parts[one]: float(values.mean()) if len(values) else None for one, values in known.items()},
        "more": {
            name: float(np.mean(values)) if np.isfinite(values).all() else None for name, values in arm.more.items()
        },
    }


def _shown(
    data: EvaluationData, look: NDArray[np.int64], quality: NDArray[np.float64], uncertainty: NDArray[np.float64]
) -> tuple[Shown, ...]:
    order = np.argsort(-np.nan_to_num(quality, nan=-1.0), kind="stable")
    unsure = np.argsort(-uncertainty, kind="stable")

    def shown(heading: str, rows: NDArray[np.int64]) -> Shown:
        captions = tuple(f"{look[i]}   agreement {quality[i]:.2f}, uncertainty {uncertainty[i]:.3g}" for i in rows)
        return Shown(heading, tuple(int(look[i]) for i in rows), captions)

    sections = [
        shown("Best by agreement with the proxy", order[:_SHOWN]),
        shown("Worst by agreement with the proxy", order[::-1][:_SHOWN]),
        shown("Most uncertain of those kept", unsure[:_SHOWN]),
    ]
    if data.dropped is not None and data.dropped_uncertainty is not None:
        places = tuple(range(min(_SHOWN, len(data.dropped))))
        captions = tuple(f"uncertainty {data.dropped_uncertainty[i]:.3g}" for i in places)
        sections.append(Shown("Dropped by the filter", places, captions, dropped=True))
    return tuple(sections)

"""Which arms make which claim. An arm is a function of one trial; every arm of a claim sees the same trial."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.evaluation.metrics.label_statistics import label_shown
from core.evaluation.overlap import image_confusions, image_miou
from core.evaluation.rejection import auroc, rejection_curve
from core.sampling.filtering import candidates_needed, keep_most_certain
from core.tasks.task import Task
from testbed.claims.baselines import Baseline
from testbed.claims.class_balance import add, substitute
from testbed.claims.trial import FEW, Scores, Trial, picked
from testbed.filtering import class_areas, kept_by_classes

Arm = Callable[[Trial], Scores]
MANY = 50
MAIN = ("transfer", "datasetgan", "inversion", "ensemble", "filter", "rare")
"""The claims that `make claims` measures, :data:`MAIN_REPEATS` repeats each."""
MAIN_REPEATS = 5
_TRANSFERRED: tuple[Baseline, ...] = ("head_only", "fine_tuned", "from_scratch")


@dataclass(frozen=True)
class Contrast:
    """``first`` against ``second`` by ``metric``. ``wants``: "above" the bound, or "within" ± the bound of 0."""

    first: str
    second: str
    metric: str = "miou"
    wants: Literal["above", "within"] = "above"
    bound: float = 0.0


@dataclass(frozen=True)
class Claim:
    """``papers``: what they report. ``contrasts``: what has to show, and ``repeats`` planned for it. ``worlds``: where
    it can be measured.
    """

    name: str
    question: str
    papers: str
    arms: dict[str, Arm]
    contrasts: tuple[Contrast, ...]
    repeats: int
    worlds: tuple[str, ...] = ("heads", "streets")


def _usual(trial: Trial) -> Scores:
    return trial.usual


def _transfer(count: int) -> dict[str, Arm]:
    def arm(name: Baseline) -> Arm:
        return lambda trial: trial.score(trial.baseline(name, trial.labelled(count)))

    def generated(trial: Trial) -> Scores:
        return trial.usual if count == FEW else trial.method(trial.labelled(count), trial.codes(count))

    return {f"generated, {count}": generated, **{f"{name}, {count}": arm(name) for name in _TRANSFERRED}}


def _on_generated_images(trial: Trial) -> Scores:
    _, codes, scenes = trial.drawn(FEW)
    return trial.learnt_from(trial.candidates(trial.labeler(codes, scenes)))


def _without_refinement(trial: Trial) -> Scores:
    labelled = trial.labelled()
    return trial.method(labelled, trial.inverted(labelled.images, steps=0))


def _labeler(**settings: Any) -> Arm:
    return lambda trial: trial.method(trial.labelled(), trial.codes(), **settings)


def _half_of_the_channels(trial: Trial) -> Scores:
    """As 3520 of 6080 at 1024 pixels: each layer's first channels, half as many as the widest has."""
    widest = max(layer.channels for layer in trial.generator.feature_layers)
    return _labeler(max_channels=widest // 2)(trial)


def _filtered(drop: float, random: bool = False, protected: bool = False) -> Arm:
    """``drop`` of the candidates gone; the number that stays is the same in every arm. ``protected``: no class loses a
    larger part than the whole does, as in the product, but by the true areas, which the product does not know.
    """

    def run(trial: Trial) -> Scores:
        samples = trial.usual_candidates(candidates_needed(trial.sizes.generated, drop))
        masks, scores = np.stack([one.mask for one in samples]), np.array([one.score for one in samples])
        quality = image_miou(image_confusions(trial.truth_of(samples), masks, len(trial.world.classes)))
        order = np.random.default_rng(trial.repeat).random(len(scores)) if random else scores
        if protected:
            areas = class_areas(trial.truth_of(samples), len(trial.world.classes))
            kept = kept_by_classes(scores, areas, trial.sizes.generated)
        else:
            kept = keep_most_certain(order, trial.sizes.generated)
        bad = quality <= np.quantile(quality, 0.25)
        net = trial.net(np.stack([samples[int(one)].image for one in kept]), masks[kept])
        return {
            **trial.score(net),
            "AUROC": auroc(bad, scores),
            "rejection gain": 100 * rejection_curve(quality, order).gain,
        }

    return run


def _count(share: float) -> Arm:
    def run(trial: Trial) -> Scores:
        if share == 1:
            return trial.usual
        count = max(2, round(share * trial.sizes.generated))
        return trial.learnt_from(trial.usual_candidates(candidates_needed(count, 0.1)), count)

    return run


_POOL, _RARE_ONES = 400, 4


def _rare(replaced: int = 0, added: int = 0, others: int = 0) -> Arm:
    """16 labels without the rare class; some replaced by ones with it, some added, or others added without it."""

    def run(trial: Trial) -> Scores:
        pool = trial.labelled(_POOL)
        rare = trial.world.rare
        shows = label_shown(pool.masks, len(trial.world.classes), least_pixels=8)[:, trial.world.classes.index(rare)]
        chosen = substitute(np.flatnonzero(~shows)[:FEW], shows, replaced)
        chosen = add(add(chosen, shows, added), ~shows, others)
        found = trial.method(picked(pool, chosen))
        rest = [value for name, value in found.items() if name.startswith("iou ") and name != f"iou {rare}"]
        return {**found, "rare class": found.get(f"iou {rare}", 0.0), "others": float(np.mean(rest))}

    return run


def _continuous(task: Task) -> dict[str, Arm]:
    def generated(trial: Trial) -> Scores:
        labeler = trial.labeler(trial.codes(), trial.labelled(), task)
        return trial.learnt_from(trial.candidates(labeler), task=task)

    def arm(name: Baseline) -> Arm:
        return lambda trial: trial.score(trial.baseline(name, trial.labelled(), task), task)

    return {"generated": generated, **{name: arm(name) for name in _TRANSFERRED}}


def _rendered_and_true(trial: Trial) -> Scores:
    """As many rendered scenes as a dataset has, with their truth: what a perfect generator and labeler would give."""
    scenes = trial.world.labelled(500 + trial.repeat, trial.sizes.generated, 0)
    return trial.score(trial.net(scenes.images, scenes.masks))


def _generated_and_true(trial: Trial) -> Scores:
    """Generated images with what the renderer draws from their latents: what a perfect labeler would give."""
    images, _, scenes = trial.drawn(trial.sizes.generated)
    return trial.score(trial.net(images, scenes.masks))


CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        Claim(
            "transfer", "Better than transfer learning with the same labels?",
            "+32 / +17 points at 16 / 50 labels on faces",
            {**_transfer(FEW), **_transfer(MANY)},
            tuple(
                Contrast(f"generated, {count}", f"{name}, {count}", bound=5.0 if name == "head_only" else 0.0)
                for count in (FEW, MANY) for name in _TRANSFERRED
            ), 15,
        ),
        Claim(
            "gaps", "Where are points lost, in the images or in their labels?", "a synthetic-to-real gap of both kinds",
            {
                "rendered, true labels": _rendered_and_true, "generated, true labels": _generated_and_true,
                "generated, predicted labels": _usual,
            },
            (
                Contrast("rendered, true labels", "generated, true labels"),
                Contrast("generated, true labels", "generated, predicted labels"),
            ), 8,
        ),
        Claim(
            "datasetgan", "Better than labels on generated images, at equal labels?", "+8 points",
            {"real images": _usual, "generated images": _on_generated_images},
            (Contrast("real images", "generated images"),), 15,
        ),
        Claim(
            "inversion", "Does refining the inversion help?", "57.4 → 66.8",
            {"encoder alone": _without_refinement, "refined": _usual},
            (Contrast("refined", "encoder alone", bound=3.0),), 8,
        ),
        Claim(
            "ensemble", "How many members?", "a drop at 1",
            {"1 members": _labeler(members=1), "3 members": _labeler(members=3), "10 members": _usual},
            (Contrast("3 members", "1 members"), Contrast("10 members", "3 members", wants="within", bound=1.0)), 19,
        ),
        Claim(
            "channels", "Is half of each wide layer enough?", "3520 of 6080 channels: minimal loss",
            {"all channels": _usual, "half of the widest": _half_of_the_channels},
            (Contrast("half of the widest", "all channels", wants="within", bound=1.0),), 13,
        ),
        Claim(
            "widths", "How wide must members be?", "little difference",
            {
                "64 and 16": _labeler(hidden=(64, 16)), "128 and 32": _labeler(hidden=(128, 32)), "256 and 32": _usual,
                "256 and 128": _labeler(hidden=(256, 128)),
            },
            tuple(
                Contrast(f"{a} and {b}", "256 and 32", wants="within", bound=1.0)
                for a, b in ((64, 16), (128, 32), (256, 128))
            ), 13,
        ),
        Claim(
            "filter", "Does dropping the uncertain help, and does uncertainty find bad labels?", "0 to x %: similar",
            {
                "nothing dropped": _filtered(0.0), "10 % dropped": _filtered(0.1), "30 % dropped": _filtered(0.3),
                "10 % at random": _filtered(0.1, random=True),
                "10 % dropped, classes protected": _filtered(0.1, protected=True),
            },
            (
                Contrast("10 % dropped", "nothing dropped", wants="within", bound=1.0),
                Contrast("30 % dropped", "nothing dropped", wants="within", bound=1.0),
                Contrast("10 % dropped", "10 % at random", metric="rejection gain"),
                Contrast("10 % dropped, classes protected", "10 % dropped", wants="within", bound=1.0),
            ), 13,
        ),
        Claim(
            "count", "How many generated images?", "saturating",
            {f"{share:g} of them": _count(share) for share in (0.05, 0.2, 0.5, 1.0)},
            (Contrast("1 of them", "0.05 of them"), Contrast("1 of them", "0.5 of them", wants="within", bound=1.0)), 7,
        ),
        Claim(
            "rare", "Does a rare class come back by labelling images that show it?", "up to +55 / +71 IoU",
            {
                "none of 16": _rare(), f"{_RARE_ONES} of 16 replaced": _rare(replaced=_RARE_ONES),
                f"{_RARE_ONES} added": _rare(added=_RARE_ONES), f"{_RARE_ONES} others added": _rare(others=_RARE_ONES),
            },
            (
                Contrast(f"{_RARE_ONES} of 16 replaced", "none of 16", "rare class", bound=15.0),
                Contrast(f"{_RARE_ONES} added", f"{_RARE_ONES} others added", "rare class", bound=10.0),
                Contrast(f"{_RARE_ONES} of 16 replaced", "none of 16", "others", "within", 1.0),
            ), 8,
        ),
        Claim(
            "keypoints", "Keypoints against transfer with the same 16 labels?", "better in table 2",
            _continuous("keypoints"),
            (
                *(Contrast("generated", name, "PCK-0.1") for name in _TRANSFERRED),
                Contrast("generated", "head_only", "PCK-0.05"), Contrast("generated", "head_only", "PCK-0.02"),
            ), 8,
            worlds=("heads",),
        ),
        Claim(
            "depth", "Depth against transfer with the same 16 labels?", "better in table 2", _continuous("depth"),
            (
                *(Contrast(name, "generated", "RMSE") for name in _TRANSFERRED),
                Contrast("head_only", "generated", "mNMSE"), Contrast("head_only", "generated", "RMSE-log"),
            ), 8,
        ),
    )
}  # fmt: skip
"""By name."""

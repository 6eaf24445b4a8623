"""Which arms make which claim. An arm is a function of one repeat; every arm of a claim sees the same repeat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from core.evaluation.downstream.baselines import Baseline
from core.evaluation.rejection import auroc, rejection_curve
from core.sampling.filtering import keep_most_certain
from testbed.claims.heads import (
    Heads,
    Scores,
    image_agreement,
    joined,
    maps_of,
    masks_of,
    picked,
    points_of,
    rendered,
    shows,
)
from testbed.world import Rendering

Arm = Callable[[Heads], Scores]


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
    """``papers``: what they report. ``contrasts``: what has to show, and ``repeats`` planned for it."""

    name: str
    question: str
    papers: str
    arms: dict[str, Arm]
    contrasts: tuple[Contrast, ...]
    repeats: int


def method(
    heads: Heads, labelled: Rendering, inversion_steps: int | None = None, labeler: Mapping[str, Any] | None = None
) -> Scores:
    """The whole way: invert, train the labeler, generate, drop a tenth, train the net."""
    codes = heads.inverted(labelled.images, inversion_steps)
    samples = heads.candidates(heads.labeler(codes, labelled, heads.labeler_config(**(labeler or {}))))
    images, masks, scores = masks_of(samples)
    kept = keep_most_certain(scores, heads.sizes.generated)
    return heads.score(heads.net(images[kept], masks[kept]))


def _transfer(count: int) -> dict[str, Arm]:
    def arm(name: Baseline) -> Arm:
        def run(heads: Heads) -> Scores:
            labelled = heads.labelled(count)
            return heads.score(heads.baseline(name, labelled.images, labelled.masks))

        return run

    names: tuple[Baseline, ...] = ("head_only", "fine_tuned", "from_scratch")
    return {
        f"generated, {count}": lambda heads: method(heads, heads.labelled(count)),
        **{f"{name}, {count}": arm(name) for name in names},
    }


def _on_generated_images(heads: Heads) -> Scores:
    images, codes, z = heads.drawn(16)
    labelled = replace(rendered(z), images=images)
    samples = heads.candidates(heads.labeler(codes, labelled))
    drawn, masks, scores = masks_of(samples)
    kept = keep_most_certain(scores, heads.sizes.generated)
    return heads.score(heads.net(drawn[kept], masks[kept]))


def _inversion(steps: int | None) -> Arm:
    return lambda heads: method(heads, heads.labelled(16), inversion_steps=steps)


def _labeler(**settings: Any) -> Arm:
    return lambda heads: method(heads, heads.labelled(16), labeler=settings)


def _half_of_the_channels(heads: Heads) -> Scores:
    """As 3520 of 6080 at 1024 pixels: each layer's first channels, half as many as the widest has."""
    widest = max(layer.channels for layer in heads.generator.feature_layers)
    return method(heads, heads.labelled(16), labeler={"max_channels": widest // 2})


def _filtered(drop: float, random: bool = False) -> Arm:
    """``drop`` of the candidates gone; the number that stays is the same in every arm."""

    def run(heads: Heads) -> Scores:
        labelled = heads.labelled(16)
        labeler = heads.labeler(heads.inverted(labelled.images), labelled)
        candidates = heads.candidates(labeler, drop=drop)
        images, masks, scores = masks_of(candidates)
        quality = image_agreement(heads.truth_of(candidates), masks)
        order = np.random.default_rng(heads.repeat).random(len(scores)) if random else scores
        kept = keep_most_certain(order, heads.sizes.generated)
        bad = quality <= np.quantile(quality, 0.25)
        return {
            **heads.score(heads.net(images[kept], masks[kept])),
            "AUROC": auroc(bad, scores),
            "rejection gain": 100 * rejection_curve(quality, order).gain,
        }

    return run


def _count(share: float) -> Arm:
    def run(heads: Heads) -> Scores:
        count = max(2, round(share * heads.sizes.generated))
        labelled = heads.labelled(16)
        labeler = heads.labeler(heads.inverted(labelled.images), labelled)
        images, masks, scores = masks_of(heads.candidates(labeler, keep=count))
        kept = keep_most_certain(scores, count)
        return heads.score(heads.net(images[kept], masks[kept]))

    return run


RARE = "hat"
_POOL, _FEW = 400, 4


def _rare(replaced: int, added: int, untargeted: int = 0) -> Arm:
    """16 heads without the rare class; some replaced by heads with it, some added, or others added without it."""

    def run(heads: Heads) -> Scores:
        pool = heads.labelled(_POOL)
        with_it, without = (np.flatnonzero(part) for part in (shows(pool, RARE), ~shows(pool, RARE)))
        chosen = [picked(pool, without[: 16 - replaced]), picked(pool, with_it[: replaced + added])]
        if untargeted:
            chosen.append(picked(pool, without[16 : 16 + untargeted]))
        found = method(heads, joined([part for part in chosen if len(part.images)]))
        others = [value for name, value in found.items() if name.startswith("iou ") and name != f"iou {RARE}"]
        return {**found, "others": float(np.mean(others))}

    return run


def _points_and_depth(name: Baseline | None) -> Arm:
    def run(heads: Heads) -> Scores:
        labelled = heads.labelled(16)
        if name is not None:
            maps = maps_of(points_of(labelled), labelled.depth)
            return heads.score_maps(heads.baseline(name, labelled.images, maps))
        codes = heads.inverted(labelled.images)
        samples = heads.candidates(heads.labeler(codes, labelled, tasks="points and depth"))
        kept = keep_most_certain([one.score for one in samples], heads.sizes.generated)
        points, depth = (
            np.stack([part for one in samples if (part := getattr(one, field)) is not None])
            for field in ("keypoints", "depth")
        )
        images = np.stack([one.image for one in samples])
        return heads.score_maps(heads.net(images[kept], maps_of(points[kept], depth[kept])))

    return run


CLAIMS: dict[str, Claim] = {
    claim.name: claim
    for claim in (
        Claim(
            "transfer", "Better than transfer learning with the same labels?",
            "+32 / +17 points at 16 / 50 labels on faces",
            {**_transfer(16), **_transfer(50)},
            tuple(
                Contrast(f"generated, {count}", f"{name}, {count}", bound=5.0 if name == "head_only" else 0.0)
                for count in (16, 50) for name in ("head_only", "fine_tuned", "from_scratch")
            ), 15,
        ),
        Claim(
            "datasetgan", "Better than labels on generated images, at equal labels?", "+8 points",
            {"real images": lambda heads: method(heads, heads.labelled(16)), "generated images": _on_generated_images},
            (Contrast("real images", "generated images"),), 15,
        ),
        Claim(
            "inversion", "Does refining the inversion help?", "57.4 → 66.8",
            {"encoder alone": _inversion(0), "refined": _inversion(None)},
            (Contrast("refined", "encoder alone", bound=3.0),), 8,
        ),
        Claim(
            "ensemble", "How many members?", "a drop at 1",
            {f"{one} members": _labeler(members=one) for one in (1, 3, 10)},
            (Contrast("3 members", "1 members"), Contrast("10 members", "3 members", wants="within", bound=1.0)), 19,
        ),
        Claim(
            "channels", "Is half of each wide layer enough?", "3520 of 6080 channels: minimal loss",
            {"all channels": _labeler(), "half of the widest": _half_of_the_channels},
            (Contrast("half of the widest", "all channels", wants="within", bound=1.0),), 13,
        ),
        Claim(
            "widths", "How wide must members be?", "little difference",
            {f"{a} and {b}": _labeler(hidden=(a, b)) for a, b in ((64, 16), (128, 32), (256, 32), (256, 128))},
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
            },
            (
                Contrast("10 % dropped", "nothing dropped", wants="within", bound=1.0),
                Contrast("30 % dropped", "nothing dropped", wants="within", bound=1.0),
                Contrast("10 % dropped", "10 % at random", metric="rejection gain"),
            ), 13,
        ),
        Claim(
            "count", "How many generated images?", "saturating",
            {f"{share:g} of them": _count(share) for share in (0.05, 0.2, 0.5, 1.0)},
            (Contrast("1 of them", "0.05 of them"), Contrast("1 of them", "0.5 of them", wants="within", bound=1.0)), 7,
        ),
        Claim(
            "rare", f"Does a rare class ('{RARE}') come back by labelling images that show it?", "up to +55 / +71 IoU",
            {
                "none of 16": _rare(0, 0), f"{_FEW} of 16 replaced": _rare(_FEW, 0), f"{_FEW} added": _rare(0, _FEW),
                f"{_FEW} others added": _rare(0, 0, _FEW),
            },
            (
                Contrast(f"{_FEW} of 16 replaced", "none of 16", f"iou {RARE}", bound=15.0),
                Contrast(f"{_FEW} added", f"{_FEW} others added", f"iou {RARE}", bound=10.0),
                Contrast(f"{_FEW} of 16 replaced", "none of 16", "others", "within", 1.0),
            ), 8,
        ),
        Claim(
            "points_and_depth", "Keypoints and depth, against transfer with the same 16 labels?", "better in table 2",
            {
                "generated": _points_and_depth(None), "head_only": _points_and_depth("head_only"),
                "fine_tuned": _points_and_depth("fine_tuned"), "from_scratch": _points_and_depth("from_scratch"),
            },
            (Contrast("generated", "head_only", "PCK-0.1"), Contrast("head_only", "generated", "RMSE")), 8,
        ),
    )
}  # fmt: skip
"""By name."""

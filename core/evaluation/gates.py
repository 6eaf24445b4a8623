"""The gates a dataset passes or is marked by, from numbers alone, with words for people.

A dataset is for use when every gate is passed. ``unknown`` says that a gate could not be tried, and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluation.intervals import Interval, paired_interval, repeats_needed, t_quantile
from core.evaluation.metrics.memorization import Memorisation

State = Literal["passed", "failed", "unknown"]
PART_TOLERANCE = 0.02
"""By how much a class, a keypoint or depth may be worse than with the strongest baseline."""

ROUNDED_LEVELS, ROUNDED_PIXELS = 1, 0.01
"""By how many of 256 levels, and in what share of its pixels, an image that is drawn again may differ."""


@dataclass(frozen=True)
class Gate:
    """``name``: stable, for programs. ``words``: what was found, for people. ``numbers``: what it was decided on."""

    name: str
    state: State
    words: str
    numbers: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"name": self.name, "state": self.state, "words": self.words, "numbers": dict(self.numbers)}


@dataclass(frozen=True)
class ArmScores:
    """One way of training, over paired repeats. ``parts``: float64 [R, K], the score of each class (keypoint, depth),
    NaN where it does not occur. ``more``: further scores by name, one a repeat.
    """

    name: str
    parts: NDArray[np.float64]
    more: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def means(self) -> list[float]:
        """Mean over the parts that occur, by repeat."""
        return [float(one) for one in np.nanmean(self.parts, axis=1)]

    @property
    def mean(self) -> float:
        """Mean over repeats."""
        return float(np.mean(self.means))


def strongest(baselines: Sequence[ArmScores]) -> ArmScores:
    """The baseline of the highest mean."""
    return max(baselines, key=lambda arm: arm.mean)


def useful(generated: ArmScores, baselines: Sequence[ArmScores], metric: str = "mIoU") -> Gate:
    """A net trained on the dataset beats the strongest baseline with the same labels: lower 95 % bound above 0."""
    best = strongest(baselines)
    gap = paired_interval(generated.means, best.means)
    words = (
        f"A net trained on this dataset scores {generated.mean:.3f} {metric} on held-out images; the strongest "
        f"baseline with the same labels ({best.name}) scores {best.mean:.3f}. Difference {_points(gap)}.{_plan(gap)}"
    )
    numbers = {"baseline": best.name, "difference": gap.to_json()}
    return Gate("useful", "passed" if gap.low > 0 else "failed", words, numbers)


def every_part(
    generated: ArmScores, baselines: Sequence[ArmScores], parts: Mapping[int, str], metric: str = "IoU"
) -> Gate:
    """No class (keypoint, depth) is worse than with the strongest baseline by more than 2 points."""
    best = strongest(baselines)
    change = {one: _change(generated.parts[:, one], best.parts[:, one]) for one in parts}
    worse = {one: gap for one, gap in change.items() if gap is not None and gap < -PART_TOLERANCE}
    named = ", ".join(f"'{parts[one]}' {100 * gap:+.1f}" for one, gap in sorted(worse.items(), key=_second))
    words = (
        f"Worse than the baseline by more than 2 points of {metric}: {named}."
        if worse
        else "Nothing is worse by 2 points."
    )
    numbers = {"change": {str(one): gap for one, gap in change.items()}, "worse": sorted(worse)}
    return Gate("classes", "failed" if worse else "passed", words, numbers)


def uncertainty_tells(gain: Interval, auroc: float) -> Gate:
    """Dropping what the labeler is least certain of beats dropping at random: lower 95 % bound of the gain above 0."""
    words = (
        f"Dropping the most uncertain images raises the agreement with the proxy by {_points(gain)} over random "
        f"rejection; AUROC of bad labels {auroc:.2f}."
    )
    state: State = "passed" if gain.low > 0 else "failed"
    return Gate("uncertainty", state, words, {"gain": gain.to_json(), "auroc": auroc if np.isfinite(auroc) else None})


def no_copies(found: Memorisation, names: Sequence[str] = ()) -> Gate:
    """Labelled images are met no more closely than held-out ones."""
    copied = [names[one] if one < len(names) else str(one) for one in found.copies]
    if copied:
        words = f"{len(copied)} labelled images stand in the dataset almost unchanged: {', '.join(copied[:10])}."
    elif not found.clean:
        words = f"Generated images come closer to labelled than to held-out images (by chance: {found.chance:.1g})."
    else:
        words = "Labelled images are met no more closely than held-out ones."
    return Gate("copies", "passed" if found.clean else "failed", words, {**found.to_json(), "copied": copied})


@dataclass(frozen=True)
class Regeneration:
    """Samples drawn again from their stored latents: how many, and how many images and labels came out different.

    ``images_rounded``: images that differ no more than rounding makes them (:func:`rounded_share`), which are not among
    ``images_differ``; ``rounded_share``: the largest share of pixels in one of them that differ.
    """

    checked: int
    images_differ: int
    labels_differ: int
    images_rounded: int = 0
    rounded_share: float = 0.0
    note: str = ""


def rounded_share(drawn: NDArray[np.uint8], stored: NDArray[np.uint8]) -> float | None:
    """The share of pixels of two images uint8 [H, W, 3] that differ, where rounding explains that: by one level, in at
    most 1 % of the pixels. None where more differs.
    """
    if drawn.shape != stored.shape:
        return None
    apart = np.abs(drawn.astype(np.int16) - stored.astype(np.int16)).max(axis=-1)
    share = float((apart > 0).mean())
    return share if apart.max() <= ROUNDED_LEVELS and share <= ROUNDED_PIXELS else None


def regenerates(found: Regeneration | None, why_not: str = "") -> Gate:
    """Labels come out the same when drawn again from the stored latents, and images but for rounding."""
    if found is None or not found.checked:
        why = why_not or "no stored latents"
        return Gate("regeneration", "unknown", f"Not tried: {why}.", {})
    bad = found.images_differ or found.labels_differ
    words = (
        f"Of {found.checked} samples drawn again, {found.images_differ} images and {found.labels_differ} labels differ."
        if bad
        else f"{found.checked} samples drawn again from their latents are the same to the last pixel."
    )
    if found.images_rounded:
        same = "" if bad else f"{found.checked} samples drawn again from their latents have the same labels."
        words = (
            f"{words if bad else same} {found.images_rounded} images differ by one level in up to "
            f"{100 * found.rounded_share:.2g} % of their pixels, which is rounding (up to 1 % is allowed)."
        )
    return Gate("regeneration", "failed" if bad else "passed", f"{words} {found.note}".strip(), vars(found))


def verdict(gates: Sequence[Gate]) -> tuple[Literal["use", "do not use", "not decided"], str]:
    """One word and one sentence: any failed gate means "do not use"."""
    failed = [gate.name for gate in gates if gate.state == "failed"]
    unknown = [gate.name for gate in gates if gate.state == "unknown"]
    if failed:
        return "do not use", f"Do not use this dataset as it is: it fails {_listed(failed)}."
    if unknown:
        return "not decided", f"What could be tried is passed; {_listed(unknown)} could not be tried."
    return "use", "This dataset passes every gate."


def _change(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    known = np.isfinite(first) & np.isfinite(second)
    return float((first - second)[known].mean()) if known.any() else None


def _points(gap: Interval) -> str:
    if not np.isfinite(gap.low):
        return f"{100 * gap.mean:+.1f} points (one repeat: no interval)"
    return f"{100 * gap.mean:+.1f} points (95 %: {100 * gap.low:+.1f} to {100 * gap.high:+.1f})"


def _plan(gap: Interval) -> str:
    """How many repeats would show a gain that these do not, were it and its spread what they seem."""
    if not (np.isfinite(gap.low) and gap.low <= 0 < gap.mean):
        return ""
    spread = (gap.high - gap.mean) * sqrt(gap.repeats) / t_quantile(0.975, gap.repeats - 1)
    return f" If it is as it seems, {repeats_needed(gap.mean, spread)} repeats would show it four times in five."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def _second(pair: tuple[int, float]) -> float:
    return pair[1]

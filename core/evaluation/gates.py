"""The gates a dataset passes or is marked by, from numbers alone, with words for people.

A gate is ``passed``, ``failed``, or ``unknown``: not shown, or it could not be tried. A dataset fails only by what is
shown; docs/adr/0011-verdicts.md has the rule and its error rates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.evaluation.arm_comparison import Comparison, part_intervals
from core.evaluation.intervals import Interval
from core.evaluation.metrics.memorization import Memorisation

State = Literal["passed", "failed", "unknown"]
Verdict = Literal["use", "do not use", "not shown"]
ADVISORY = frozenset({"uncertainty"})
"""Gates that are reported and never decide."""
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


def useful(found: Comparison, metric: str = "mIoU") -> Gate:
    """A net trained on the dataset, alone or then fine-tuned on the labels, beats every baseline with the same labels:
    passed where the whole 95 % interval is above 0, failed where it is below.
    """
    gap, winner, baseline = found.interval, found.winner, found.strongest
    state: State = "passed" if gap.low > 0 else "failed" if gap.high < 0 else "unknown"
    words = (
        f"The best net trained on this dataset ({winner.name}) scores {winner.mean:.3f} {metric} on held-out images; "
        f"the strongest baseline with the same labels ({baseline.name}) scores {baseline.mean:.3f}. "
        f"Difference {_points(gap)}."
    )
    plan = _plan(found) if state == "unknown" else {}
    numbers = {"winner": winner.name, "baseline": baseline.name, "difference": gap.to_json(), **plan}
    return Gate("useful", state, f"{words}{_told(plan, gap)}", numbers)


def every_part(found: Comparison, parts: Mapping[int, str], metric: str = "IoU") -> Gate:
    """No class (keypoint, depth) is shown to be worse than with the strongest baseline by more than 2 points: failed
    where the upper bound of one, corrected for the number of classes, is below -2 points.
    """
    change = part_intervals(found, sorted(parts))
    known = {one: gap for one, gap in change.items() if gap is not None}
    worse = {one: gap for one, gap in known.items() if gap.high < -PART_TOLERANCE}
    open_ = {one: gap for one, gap in known.items() if one not in worse and gap.mean < -PART_TOLERANCE}
    words = (
        f"Worse than the baseline by more than 2 points of {metric}: {_changes(worse, parts)}."
        if worse
        else f"No part is shown to be worse by more than 2 points of {metric}."
    )
    if open_:
        words += f" Not shown, but perhaps worse: {_changes(open_, parts)}."
    numbers = {
        "change": {str(one): None if gap is None else gap.to_json() for one, gap in change.items()},
        "worse": sorted(worse),
        "undecided": sorted(open_),
    }
    return Gate("classes", "failed" if worse else "passed", words, numbers)


def uncertainty_tells(gain: Interval, auroc: float) -> Gate:
    """Dropping what the labeler is least certain of beats dropping at random: the 95 % interval of the gain is above 0;
    failed where it is below.
    """
    words = (
        f"Dropping the most uncertain images raises the agreement with the proxy by {_points(gain)} over random "
        f"rejection; AUROC of bad labels {auroc:.2f}."
    )
    state: State = "passed" if gain.low > 0 else "failed" if gain.high < 0 else "unknown"
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


def verdict(gates: Sequence[Gate]) -> tuple[Verdict, str]:
    """One word and one sentence. A failed gate means "do not use"; "use" requires that each gate is passed. The gate
    ``uncertainty`` never decides: ``useful`` measures the labels as they are.
    """
    deciding = [gate for gate in gates if gate.name not in ADVISORY]
    failed = [gate.name for gate in deciding if gate.state == "failed"]
    if failed:
        return "do not use", f"Do not use this dataset as it is: it fails {_listed(failed)}."
    if not_shown := [gate.name for gate in deciding if gate.state == "unknown"]:
        return "not shown", f"Not shown whether to use this dataset: {_listed(not_shown)} could not be decided."
    return "use", "Use this dataset: it passes every gate that decides."


def _changes(gaps: Mapping[int, Interval], parts: Mapping[int, str]) -> str:
    """Names of parts with their differences, the largest loss first."""
    return ", ".join(f"'{parts[one]}' {_points(gap)}" for one, gap in sorted(gaps.items(), key=_mean))


def _mean(pair: tuple[int, Interval]) -> float:
    return pair[1].mean


def _points(gap: Interval) -> str:
    if not np.isfinite(gap.low) or not np.isfinite(gap.high):
        return f"{100 * gap.mean:+.1f} points (no interval)"
    return f"{100 * gap.mean:+.1f} points (95 %: {100 * gap.low:+.1f} to {100 * gap.high:+.1f})"


def _plan(found: Comparison) -> dict[str, int | None]:
    """Repeats, or else test images, with which a difference of this size would be shown four times in five."""
    if not np.isfinite(found.interval.low):
        return {}
    estimate = found.estimate
    repeats = estimate.repeats_to_show(found.tail)
    images = found.winner.resampled.images if found.winner.resampled is not None else 0
    more = estimate.images_to_show(found.tail, images) if repeats is None and images else None
    return {"repeats_to_show": repeats, "images_to_show": more}


def _told(plan: Mapping[str, int | None], gap: Interval) -> str:
    """The plan in words; empty without one."""
    if not plan:
        return " More than one repeat is needed." if not np.isfinite(gap.low) else ""
    repeats, images = plan["repeats_to_show"], plan["images_to_show"]
    if repeats is not None:
        return f" If it is as it seems, {max(repeats, gap.repeats + 1)} repeats would show it four times in five."
    if images is not None:
        return f" More repeats would not show it; if it is as it seems, {images} held-out images for testing would."
    return " The difference is too small to be shown by more repeats: the dataset is about as good as the labels alone."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))

"""The way of training that an evaluation recommends, in words."""

from dataclasses import asdict, dataclass
from typing import Any

from core.evaluation.arm_comparison import Comparison
from core.evaluation.arms import DESCRIPTIONS, FINE_TUNED_ON_LABELS
from core.evaluation.gates import Verdict


@dataclass(frozen=True)
class Recommendation:
    """``arm``: the arm to train as, its ``score``; None where none is shown to be best. ``words``: for people."""

    arm: str | None
    score: float | None
    words: str

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def recommend(decided: Verdict, found: Comparison, metric: str) -> Recommendation:
    """Return the arm that won: one that uses the dataset, the strongest baseline, or none."""
    winner, baseline, gap = found.winner, found.strongest, found.interval
    if decided == "use":
        more = (
            " train.py, which stands beside the dataset, does both phases."
            if winner.name == FINE_TUNED_ON_LABELS
            else " Fine-tuning on the labelled images did not score higher."
        )
        return Recommendation(winner.name, winner.mean, f"Train {DESCRIPTIONS[winner.name]}.{more}")
    if decided == "do not use" and gap.high < 0:
        words = (
            f"Train {_described(baseline.name)}, without this dataset: it scores {baseline.mean:.3f} {metric}, "
            f"{-100 * gap.mean:.1f} points more than the best net trained on the dataset."
        )
        return Recommendation(baseline.name, baseline.mean, words)
    better = winner if gap.mean > 0 else baseline
    words = (
        f"No way of training is shown to be best. The highest score so far, {better.mean:.3f} {metric}, is that of "
        f"'{better.name}': {_described(better.name)}."
        if decided == "not shown"
        else f"The highest score, {better.mean:.3f} {metric}, is that of '{better.name}', but see the failed gates."
    )
    return Recommendation(None, None, words)


def _described(arm: str) -> str:
    return DESCRIPTIONS.get(arm, f"as '{arm}'")

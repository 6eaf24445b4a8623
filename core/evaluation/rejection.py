"""Does uncertainty find the bad labels? Rejection curve, AUGRC, AUROC.

``quality`` is what a label is truly worth (its IoU with the truth or with a named proxy); ``uncertainty`` is what the
filter sees. Both are one number an image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RejectionCurve:
    """Mean quality of what is kept when the given fractions are dropped, by three orders.

    by_uncertainty: the most uncertain first. ideal: the worst first. random: any order, which changes nothing.
    """

    fractions: tuple[float, ...]
    by_uncertainty: tuple[float, ...]
    ideal: tuple[float, ...]
    random: float

    @property
    def gain(self) -> float:
        """Mean height of the curve over random rejection; above 0 the uncertainty is informative."""
        return float(np.mean(self.by_uncertainty) - self.random)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "fractions": list(self.fractions),
            "by_uncertainty": list(self.by_uncertainty),
            "ideal": list(self.ideal),
            "random": self.random,
            "gain": self.gain,
        }


FRACTIONS = tuple(round(0.05 * step, 2) for step in range(11))


def rejection_curve(
    quality: NDArray[np.float64], uncertainty: NDArray[np.float64], fractions: tuple[float, ...] = FRACTIONS
) -> RejectionCurve:
    """The curve at ``fractions`` dropped (0 ≤ f < 1). Equal uncertainties are taken in order. Raises ValueError."""
    _check(quality, uncertainty)

    def kept(order: NDArray[np.int64]) -> tuple[float, ...]:
        ranked = quality[order]
        return tuple(float(ranked[: max(1, round((1 - one) * len(ranked)))].mean()) for one in fractions)

    return RejectionCurve(
        fractions=fractions,
        by_uncertainty=kept(np.argsort(uncertainty, kind="stable")),
        ideal=kept(np.argsort(-quality, kind="stable")),
        random=float(quality.mean()),
    )


def augrc(loss: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> float:
    """Area under the generalised risk-coverage curve (Traub et al. 2024, equation 5): lower is better.

    The generalised risk at a coverage is the loss of all accepted images, over all images; the area is the mean over
    the N coverages n / N by the trapezium rule. For losses of 0 and 1 with mean r and AUROC a it is
    (1 - a)·r·(1 - r) + r² / 2. Images of equal uncertainty are accepted together.
    """
    _check(loss, uncertainty)
    order = np.argsort(uncertainty, kind="stable")
    accepted = np.concatenate([[0.0], np.cumsum(loss[order])]) / len(loss)
    coverage = np.arange(len(loss) + 1) / len(loss)
    ends = np.flatnonzero(np.diff(uncertainty[order], append=np.inf))  # last image of each run of equals
    at = np.concatenate([[0], ends + 1])
    return float(np.trapezoid(accepted[at], coverage[at]))


def auroc(bad: NDArray[np.bool_], uncertainty: NDArray[np.float64]) -> float:
    """Chance that a bad label is more uncertain than a good one, ties counting half; NaN without both kinds."""
    _check(bad.astype(np.float64), uncertainty)
    count = int(bad.sum())
    if count in (0, len(bad)):
        return float("nan")
    _, inverse, repeats = np.unique(uncertainty, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(repeats) - (repeats - 1) / 2)[inverse]  # mean rank of equals, from 1
    return float((ranks[bad].sum() - count * (count + 1) / 2) / (count * (len(bad) - count)))


def _check(values: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> None:
    if values.shape != uncertainty.shape or values.ndim != 1 or not len(values):
        raise ValueError(f"{values.shape} values for {uncertainty.shape} uncertainties; one each is needed")
    if not (np.isfinite(values).all() and np.isfinite(uncertainty).all()):
        raise ValueError("a value or an uncertainty is not finite")

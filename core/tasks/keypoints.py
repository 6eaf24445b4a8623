"""Keypoints: a label is a place for each named point. How well predicted places agree with true ones.

Places are (x, y) in pixels from the image's top left corner: the centre of the first pixel is (0.5, 0.5). The third
number of a true point says what is known of it, as in COCO: 0 not labelled, 1 labelled and hidden, 2 visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLABELLED, VISIBLE = 0, 2
SEEN_PEAK = 0.25
"""A predicted point counts as visible where its peak is at least this share of the height that was taught."""


def with_visibility(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predicted [K, 3] of x, y, peak → [K, 4] of x, y, visibility (2 or 0), peak."""
    seen = np.where(points[:, 2:] >= SEEN_PEAK, np.float32(VISIBLE), np.float32(UNLABELLED))
    return np.concatenate([points[:, :2], seen, points[:, 2:]], axis=1)


def heatmaps(points: NDArray[np.float32], size: tuple[int, int], std: float, peak: float = 10.0) -> NDArray[np.float32]:
    """One map a point, an unnormalised Gaussian around it (HandsOff appendix B.6); flat where it is not labelled.

    points: float [N, K, 3]. size: (height, width). std: pixels. Returns float32 [N, K, H, W], 0..``peak``.
    """
    across, down = (
        np.exp(-np.square(points[..., axis, None] - (np.arange(side) + 0.5)) / (2 * std**2))
        for axis, side in ((0, size[1]), (1, size[0]))
    )
    there = np.where(points[..., 2] > UNLABELLED, peak, 0.0)
    return np.asarray(there[..., None, None] * down[..., :, None] * across[..., None, :], np.float32)


def peaks(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where each map is highest: float [N, K, H, W] → float32 [N, K, 3] of x, y (pixel centres) and the height."""
    flat = heat.reshape(*heat.shape[:2], -1)
    at = flat.argmax(-1)
    height = np.take_along_axis(flat, at[..., None], -1)[..., 0]
    return np.stack([at % heat.shape[3] + 0.5, at // heat.shape[3] + 0.5, height], -1).astype(np.float32)


@dataclass(frozen=True)
class KeypointHits:
    """Counts behind PCK; those of several sets of images add up.

    ``hits``: int64 [A, K], found points by threshold and keypoint. ``counted``: int64 [K], visible points.
    """

    alphas: tuple[float, ...]
    hits: NDArray[np.int64]
    counted: NDArray[np.int64]

    def __add__(self, other: "KeypointHits") -> "KeypointHits":
        assert self.alphas == other.alphas
        return KeypointHits(self.alphas, self.hits + other.hits, self.counted + other.counted)

    @property
    def pck(self) -> dict[float, float]:
        """Share of all visible points that were found, by threshold; NaN when there were none."""
        total = int(self.counted.sum())
        shares = self.hits.sum(1) / total if total else np.full(len(self.alphas), np.nan)
        return {alpha: float(share) for alpha, share in zip(self.alphas, shares, strict=True)}

    @property
    def per_point(self) -> NDArray[np.float64]:
        """float64 [A, K]: the same by keypoint, NaN where a point was never visible."""
        counted = np.where(self.counted, self.counted, 1)
        return np.where(self.counted > 0, self.hits / counted, np.nan)


def keypoint_hits(
    truth: NDArray[np.float32], predicted: NDArray[np.float32], alphas: Sequence[float] = (0.1, 0.05, 0.02)
) -> KeypointHits:
    """Percentage of correct keypoints (HandsOff section 4.4, appendix B.6) as counts.

    truth: float [N, K, 3]. predicted: float [N, K, 2 or more]. A visible point is found when the prediction lies within
    ``alpha * max(h, w)`` of it, h and w of the tight box around all labelled points of its image. Images in which that
    box has no extent (fewer than two places) count for nothing: there is no scale to measure by.

    Raises ValueError for shapes that do not belong together.
    """
    if truth.ndim != 3 or truth.shape[2] != 3 or predicted.shape[:2] != truth.shape[:2] or predicted.shape[2] < 2:
        raise ValueError(f"truth has the shape {truth.shape}, prediction {predicted.shape}")
    labelled, places = truth[..., 2] > UNLABELLED, truth[..., :2].astype(np.float64)
    low = np.where(labelled[..., None], places, np.inf).min(1, initial=np.inf)
    high = np.where(labelled[..., None], places, -np.inf).max(1, initial=-np.inf)
    extent = np.where(labelled.any(1), (high - low).max(1), 0.0)  # [N]
    counts = (truth[..., 2] >= VISIBLE) & (extent > 0)[:, None]  # [N, K]
    distance = np.linalg.norm(predicted[..., :2] - places, axis=2)
    hits = [(counts & (distance <= alpha * extent[:, None])).sum(0) for alpha in alphas]
    return KeypointHits(tuple(alphas), np.stack(hits).astype(np.int64), counts.sum(0).astype(np.int64))

"""Copies of labelled images in the dataset: nearest distances, compared with those of unseen images.

A generator fitted to a domain draws images near to any real image of it. What speaks of copying is that labelled images
are met more closely than held-out ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from core.evaluation.metrics.nearest import nearest as nearest_rows

EXACT = 0.25
"""Nearer than this part of the smallest held-out distance counts as the same picture, however few they are."""
SIGNIFICANT = 0.01


@dataclass(frozen=True)
class Memorisation:
    """How near the dataset comes to labelled and to held-out images.

    labelled, held_out: float64 [N], [M], each image's distance to the nearest generated one. nearest: int64 [N], which
    one that is for labelled images. copies: labelled images that are met so closely that no held-out image comes near.
    chance: probability of a gap like this, or a greater one, were labelled images met no more closely than others.
    """

    labelled: NDArray[np.float64]
    held_out: NDArray[np.float64]
    nearest: NDArray[np.int64]
    copies: tuple[int, ...]
    chance: float

    @property
    def clean(self) -> bool:
        """Whether nothing speaks of copying."""
        return not self.copies and self.chance >= SIGNIFICANT

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "labelled_median": float(np.median(self.labelled)),
            "held_out_median": float(np.median(self.held_out)),
            "labelled_smallest": float(self.labelled.min()),
            "held_out_smallest": float(self.held_out.min()),
            "copies": list(self.copies),
            "chance": self.chance,
        }


def memorisation(
    labelled: NDArray[np.floating], held_out: NDArray[np.floating], generated: NDArray[np.floating]
) -> Memorisation:
    """Compare nearest distances in one feature space, each float [·, D]. Raises ValueError when a side is empty."""
    if not (len(labelled) and len(held_out) and len(generated)):
        raise ValueError("labelled, held-out and generated images are all needed")
    seen, nearest = nearest_rows(labelled, generated)
    unseen, _ = nearest_rows(held_out, generated)
    copies = np.flatnonzero(seen < EXACT * unseen.min())
    return Memorisation(seen, unseen, nearest, tuple(int(one) for one in copies), _chance(seen, unseen))


def picture_features(images: NDArray[np.uint8], side: int = 16) -> NDArray[np.float64]:
    """Images averaged down to ``side`` × ``side``, 0..1: uint8 [N, H, W, 3] → float64 [N, side·side·3]. A shorter side
    stays as it is.

    Distances between them are root mean squared differences of the small pictures.
    """
    n, height, width, _ = images.shape
    rows, columns = (np.arange(few) * length // few for length in (height, width) for few in (min(side, length),))
    sums = np.add.reduceat(np.add.reduceat(images.astype(np.float64), rows, 1), columns, 2)
    areas = np.diff(np.append(rows, height))[:, None] * np.diff(np.append(columns, width))
    small = (sums / areas[None, :, :, None] / 255).reshape(n, -1)
    return np.asarray(small / np.sqrt(small.shape[1]))


def _chance(seen: NDArray[np.float64], unseen: NDArray[np.float64]) -> float:
    """Fisher's exact test, one-sided: labelled images among the nearest tenth of all."""
    total = len(seen) + len(unseen)
    limit = np.sort(np.concatenate([seen, unseen]))[max(1, total // 10) - 1]
    near, other = (int((side <= limit).sum()) for side in (seen, unseen))
    table = [[near, len(seen) - near], [other, len(unseen) - other]]
    return float(fisher_exact(table, alternative="greater").pvalue)

"""Long-tailed parts of balanced image sets: sizes of classes that fall exponentially.

The rule of CIFAR10-LT (Cao et al. 2019, as NoisyTwins uses it): class c of K keeps int(n · (1 / imbalance)^(c / (K-1)))
images, n being the size of the largest class.
"""

from collections.abc import Sequence

import numpy as np

from core.errors import ImageSetError, Problem
from core.training.images import class_order


def class_sizes(largest: int, classes: int, imbalance: float) -> list[int]:
    """Return how many images each class keeps, at least one."""
    return [max(1, int(largest * (1 / imbalance) ** (c / (classes - 1)))) for c in range(classes)]


def long_tailed(classes: Sequence[str | None], imbalance: float, seed: int = 0) -> list[int]:
    """Return the indices of images to keep, in order, so that classes in the order of their names have those sizes.

    classes: of each image. Which images of a class stay is drawn with ``seed``. A class that has fewer images than its
    size keeps all. Raises :class:`ImageSetError` for fewer than two classes.
    """
    names = class_order(classes)
    if len(names) < 2:
        detail = f"expected at least 2 classes, found {len(names)}: put the images of each class into one folder"
        raise ImageSetError("a long tail needs classes", [Problem(detail, "imbalance")])
    positions = {name: [at for at, one in enumerate(classes) if one == name] for name in names}
    sizes = class_sizes(max(map(len, positions.values())), len(names), imbalance)
    random, kept = np.random.default_rng(seed), []
    for name, size in zip(names, sizes, strict=True):
        kept += random.permutation(np.array(positions[name], np.int64))[:size].tolist()
    return sorted(kept)

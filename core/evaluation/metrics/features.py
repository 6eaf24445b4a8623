"""Features of many images: extracted in batches, kept outside of memory where they are large, tied to their net."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.errors import EvaluationError, Problem
from core.evaluation.metrics.extractors import Extractor
from core.evaluation.metrics.resize import ResizeRule
from core.indexed_images import Images
from core.run import Run

BATCH = 64
IN_MEMORY_BYTES = 64 << 20
"""Features beyond this size lie in a temporary file."""


@dataclass(frozen=True)
class FeatureSpace:
    """Identity of features: two sets can be compared where all fields are equal."""

    extractor: str
    digest: str
    """SHA-256 (hex) of the extractor's weights; empty for an extractor without weights, or a net made in memory."""
    resize: ResizeRule
    dimensions: int
    standardized: bool = False
    """Whether features are centred and scaled to variance 1 over the real images before they are compared."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of N images: ``rows`` float32 [N, D], possibly in a file.

    Their classes, if they have some: ``class_index`` for one class an image, or ``shows``, bool [N, K], for several.
    """

    space: FeatureSpace
    rows: NDArray[np.float32]
    class_index: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    shows: NDArray[np.bool_] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether the classes of the images are known."""
        return self.class_index is not None or self.shows is not None

    def __len__(self) -> int:
        return len(self.rows)


def extract_features(extractor: Extractor, images: Images, run: Run | None = None, batch: int = BATCH) -> FeatureSet:
    """Return the features of all images, in their order. ``run.progress`` counts images.

    Raises :class:`EvaluationError` for no images or features that are not finite; :class:`core.errors.Stopped`.
    """
    run = run or Run()
    if not len(images):
        raise EvaluationError("no features without images", [Problem("expected at least one image, found 0", "images")])
    rows: NDArray[np.float32] | None = None
    for place, part in feature_batches(extractor, images, run, batch):
        if rows is None:
            rows = feature_array(len(images), part.shape[1], run.folder)
        rows[place] = part
        run.progress(place.stop, len(images))
    assert rows is not None
    index = None if images.class_index is None else images.class_index.numpy().astype(np.int64)
    return FeatureSet(space_of(extractor, rows.shape[1]), rows, index, tuple(images.classes))


def space_of(extractor: Extractor, dimensions: int) -> FeatureSpace:
    """Return the identity of an extractor's features."""
    return FeatureSpace(
        extractor.name, extractor.digest, extractor.resize, dimensions, standardized=extractor.standardized
    )


def feature_batches(
    extractor: Extractor, images: Images, run: Run, batch: int = BATCH
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield (place, float32 [n, D]) of all images in their order. Raises as :func:`extract_features`."""
    for start in range(0, len(images), batch):
        run.stop_if_asked()
        place = slice(start, min(start + batch, len(images)))
        features = extractor.features(in_colour(images.read(range(place.start, place.stop))))
        if not np.isfinite(features).all():
            detail = f"features of {extractor.name} are not finite"
            raise EvaluationError("features cannot be compared", [Problem(detail, f"images {start} onward")])
        yield place, features


def in_colour(images: Tensor) -> Tensor:
    """Return uint8 [N, 3, H, W] of [N, C, H, W]: grey is repeated, alpha is left out."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]


def feature_array(count: int, width: int, folder: Path | None = None) -> NDArray[np.float32]:
    """Return an empty array for features, in a file without a name where it is large; the file goes with the array."""
    if 4 * count * width <= IN_MEMORY_BYTES:
        return np.empty((count, width), np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float32, "w+", shape=(count, width))

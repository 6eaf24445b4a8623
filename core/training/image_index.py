"""Compact index of the content of packed images, by which copies of them are found without their pixels.

It holds the luminance of each image in cells, as :mod:`core.evaluation.near_copies` compares them, of the image brought
to 64 pixels on its shorter side: 256 bytes of a square image. Labelled images are brought to the size of the index by
its rule before they are compared.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ImageSetError, Problem
from core.evaluation.near_copies import LEAST_CONTRAST, SMALL_LIMIT, coarse_cells
from core.label_sets.resize import Fit, fitted
from core.run import Run
from core.training.images import PackedImages

_BATCH, _ROWS = 256, 1 << 15


def write_index(images: PackedImages, path: Path, run: Run | None = None) -> None:
    """Write the index of packed images (.npz): cells uint8 [N, cells], and facts as JSON. Memory holds the cells."""
    run, rows = run or Run(), []
    for start in range(0, len(images), _BATCH):
        run.stop_if_asked()
        batch = images.read(range(start, min(start + _BATCH, len(images))))
        pixels = batch.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
        rows.append(np.rint(np.stack([coarse_cells(one) for one in pixels])).astype(np.uint8))
    facts = {"size": list(images.shape[1:]), "fit": images.fit, "digest": images.digest, "names": images.names}
    with path.open("wb") as file:
        np.savez(file, cells=np.concatenate(rows), facts=np.frombuffer(json.dumps(facts).encode(), np.uint8))


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Index of an image set. cells: uint8 [N, cells]; names: of the N images; size: (height, width)."""

    cells: NDArray[np.uint8]
    names: tuple[str, ...]
    size: tuple[int, int]
    fit: Fit
    digest: str

    @classmethod
    def load(cls, path: Path) -> "ImageIndex":
        """Return a stored index. Raises :class:`ImageSetError` for a file that is none."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                facts = json.loads(stored["facts"].tobytes())
                height, width = facts["size"]
                return cls(stored["cells"], tuple(facts["names"]), (height, width), facts["fit"], facts["digest"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImageSetError("the index of images is damaged", [Problem(str(error), path.name)]) from error

    def copies_among(self, images: Sequence[NDArray[np.uint8]], run: Run | None = None) -> dict[int, str]:
        """Return index of each image that is a copy of an indexed one → name of the closest indexed image.

        images: uint8 [H, W, 3] of any size. A distance counts as that of copies where
        :func:`core.evaluation.near_copies.near_copies` counts it so at 64 pixels.
        """
        run = run or Run()
        if not images:
            return {}
        wanted = np.stack([coarse_cells(fitted(one, *self.size, self.fit)) for one in images])
        distances, nearest = np.full(len(wanted), np.inf, np.float32), np.zeros(len(wanted), np.int64)
        for start in range(0, len(self.cells), _ROWS):
            run.stop_if_asked()
            known = self.cells[start : start + _ROWS].astype(np.float32)
            contrast = np.maximum(known.std(1), LEAST_CONTRAST)
            squares = np.square(wanted).sum(1)[:, None] + np.square(known).sum(1) - 2 * wanted @ known.T
            found = np.sqrt(np.maximum(squares, 0) / wanted.shape[1]) / contrast
            closest = found.argmin(1)
            smaller = found.min(1) < distances
            distances[smaller], nearest[smaller] = found.min(1)[smaller], start + closest[smaller]
        return {int(at): self.names[nearest[at]] for at in np.flatnonzero(distances <= SMALL_LIMIT)}

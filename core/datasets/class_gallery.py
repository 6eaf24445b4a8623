"""A picture for each class: the samples that show most of it, the class alone over each."""

import heapq
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import StoredSample
from core.label_sets.classes import ClassMap
from core.visualization.contact_sheets import CELL_SIDE, SheetCell, contact_sheet

FOLDER = "galleries/"
SHOWN = 12


class Galleries:
    """Gathers samples while they stream by; for each class it holds a dozen thumbnails and nothing else."""

    def __init__(self, classes: ClassMap) -> None:
        self._classes = classes
        self._best: dict[int, list[tuple[int, int, SheetCell]]] = {class_id: [] for class_id in classes.ids}
        self._images = dict.fromkeys(classes.ids, 0)

    def add(self, sample: StoredSample) -> None:
        """Look at one sample; its pictures are decoded only where it is among those with most pixels of a class."""
        cell: SheetCell | None = None
        for key, count in sample.record()["pixels"].items():
            best = self._best.get(int(key))
            if best is None:
                continue
            self._images[int(key)] += 1
            if len(best) < SHOWN or (count, -sample.index) > best[0][:2]:
                cell = cell or _thumbnail(sample)
                entry = (count, -sample.index, cell)
                heapq.heappush(best, entry)
                if len(best) > SHOWN:
                    heapq.heappop(best)

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Path and PNG for each class that any sample shows."""
        for class_id, best in self._best.items():
            if best:
                yield gallery_path(class_id, self._classes.name(class_id)), self._picture(class_id)

    def _picture(self, class_id: int) -> bytes:
        name, ignore_index = self._classes.name(class_id), self._classes.ignore_index
        cells = []
        for count, _, cell in sorted(self._best[class_id], key=lambda entry: entry[:2], reverse=True):
            alone = np.where(cell.mask == class_id, cell.mask, ignore_index).astype(np.uint8)
            cells.append(SheetCell(cell.image, alone, None, f"{cell.caption}   {count:,} pixels"))
        subtitle = f"{self._images[class_id]:,} images show it; these show most of it."
        others = ClassMap({class_id: name}, ignore_index)
        return contact_sheet([("Most pixels first", cells)], others, f"{name} (class {class_id})", subtitle)


def gallery_path(class_id: int, name: str) -> str:
    """Where a class's gallery stands in the dataset."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{FOLDER}{class_id:03d}{'-' if plain else ''}{plain}.png"


def _thumbnail(sample: StoredSample) -> SheetCell:
    return SheetCell(_small(sample.image()), _small(sample.mask()), None, str(sample.index))


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every so many pixels: ids stay ids, image and mask stay together. A copy, which frees the large one."""
    step = max(1, -(-max(pixels.shape[:2]) // CELL_SIDE))
    return pixels[::step, ::step].copy()

"""A picture for each class: the samples that show most of it, the class alone over each; and for each class of a
conditional generator the first samples of it.
"""

import heapq
import re
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import StoredSample
from core.label_sets.classes import ClassMap
from core.visualization.contact_sheets import CELL_SIDE, SheetCell, contact_sheet

FOLDER = "galleries/"
SHOWN = 12
#: Classes of a generator with a gallery, and samples in each: thumbnails stay in memory until the end.
MOST_IMAGE_CLASSES, SHOWN_OF_IMAGE_CLASS = 100, 6


class Galleries:
    """Gathers samples while they stream by; for each class it holds a dozen thumbnails and nothing else.

    ``image_classes``: classes of a conditional generator, index → name; the first hundred get a gallery.
    """

    def __init__(self, classes: ClassMap, image_classes: Mapping[int, str] | None = None) -> None:
        few = list((image_classes or {}).items())[:MOST_IMAGE_CLASSES]
        self._image_classes = dict(few) if len(few) > 1 else {}
        self._of_class: dict[int, list[SheetCell]] = {index: [] for index in self._image_classes}
        self._classes = classes
        self._best: dict[int, list[tuple[int, int, SheetCell]]] = {class_id: [] for class_id in classes.ids}
        self._images = dict.fromkeys(classes.ids, 0)

    def add(self, sample: StoredSample) -> None:
        """Look at one sample; its pictures are decoded only where it is among those with most pixels of a class."""
        cell: SheetCell | None = None
        cells = self._of_class.get(sample.record().get("class_index", -1))
        if cells is not None and len(cells) < SHOWN_OF_IMAGE_CLASS:
            cell = _thumbnail(sample)
            cells.append(cell)
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
        """Path and PNG for each class that any sample shows, and for each class of the generator."""
        for index, cells in self._of_class.items():
            if cells:
                name = self._image_classes[index]
                subtitle = f"First images of class {index} of the generator."
                picture = contact_sheet([("Labelled images", cells)], self._classes, name, subtitle)
                yield image_gallery_path(index, name), picture
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
    return f"{FOLDER}{class_id:03d}{_plain(name)}.png"


def image_gallery_path(index: int, name: str) -> str:
    """Return the path of the gallery of a generator's class in the dataset."""
    return f"{FOLDER}images-{index:03d}{_plain(name)}.png"


def _plain(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"-{plain}" if plain else ""


def _thumbnail(sample: StoredSample) -> SheetCell:
    return SheetCell(_small(sample.image()), _small(sample.mask()), None, str(sample.index))


def _small(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every so many pixels: ids stay ids, image and mask stay together. A copy, which frees the large one."""
    step = max(1, -(-max(pixels.shape[:2]) // CELL_SIDE))
    return pixels[::step, ::step].copy()

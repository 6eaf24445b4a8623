"""Small annotated archives in the forms of other tools, and what was read of them."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import LabelSetError
from core.label_sets.label_set import LabelSet
from core.label_sets.reading.reader import read_label_set
from tests.core.datasets.archives import photograph, picture, write_zip

SIDE = 32
#: A square of 16 x 16 pixels and one of 22 x 22, as x1, y1, ….
SQUARE = [4, 4, 20, 4, 20, 20, 4, 20]
LARGE = [8, 8, 30, 8, 30, 30, 8, 30]


def pictures(*names: str) -> dict[str, bytes]:
    """A different photograph for each name."""
    return {name: picture(photograph(number, SIDE, SIDE)) for number, name in enumerate(names)}


def read(files: Mapping[str, bytes | object]) -> LabelSet:
    """The label set; documents are written as JSON."""
    content = {n: one if isinstance(one, bytes) else json.dumps(one).encode() for n, one in files.items()}
    with tempfile.TemporaryDirectory() as folder:
        return read_label_set(write_zip(Path(folder) / "labels.zip", content), Path(folder) / "into")


def problems(files: Mapping[str, bytes | object]) -> list[str]:
    """``pointer: detail`` of every problem; the archive must be refused."""
    try:
        labels = read(files)
    except LabelSetError as error:
        return [f"{one.pointer}: {one.detail}" for one in error.problems]
    raise AssertionError(f"read, with the classes {labels.classes.names}")


def shares(labels: LabelSet) -> dict[str, dict[str, int]]:
    """Pixels by class name for each image, without background; ``ignored`` are those of no class."""
    found = {}
    for item in labels.items:
        ids, counts = np.unique(item.mask, return_counts=True)
        named = {labels.classes.name(int(one)): int(count) for one, count in zip(ids, counts, strict=True)}
        named.pop("background", None)
        found[item.name] = named
    return found


def notes(labels: LabelSet) -> str:
    return " | ".join(f"{note.pointer}: {note.text}" for note in labels.notes)


def coco(images: list[Any], annotations: list[Any], categories: Any = None) -> dict[str, Any]:
    """``images``: names, or rows; ``annotations``: (image id, category id, polygon), or rows."""
    rows = [
        one if isinstance(one, dict) else {"id": place, "file_name": one, "width": SIDE, "height": SIDE}
        for place, one in enumerate(images, 1)
    ]
    drawn = [
        one
        if isinstance(one, dict)
        else {"id": place, "image_id": one[0], "category_id": one[1], "segmentation": [one[2]], "iscrowd": 0}
        for place, one in enumerate(annotations, 1)
    ]
    named = categories or [{"id": 1, "name": "cup"}, {"id": 2, "name": "spoon"}]
    return {"images": rows, "annotations": drawn, "categories": named}

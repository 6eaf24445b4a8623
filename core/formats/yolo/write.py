"""``yolo``: a line of class id and polygon for each region, coordinates as parts of width and height."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import IMAGE, StoredSample
from core.formats.facts import CLASS_MAP, ExportFacts, stem
from core.formats.outlines import outlines
from core.formats.package import Package
from core.label_sets.classes import ClassMap


def export_yolo(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:  # noqa: ARG001 - one signature for all formats
    """``data.yaml``, ``images/PART/NAME.png``, ``labels/PART/NAME.txt`` (YOLO segmentation).

    Filling the polygons by pixel centres gives the masks back exactly. A class's place among the names is its id, so
    gaps between ids have names (``class 3``) that no region has.
    """
    names = facts.names_without_gaps()
    package.add("data.yaml", _description(names, "val" in facts.parts).encode())
    package.add(CLASS_MAP, facts.class_map(dict(enumerate(names))))
    for part, sample in facts.parted(samples):
        name = stem(sample.index)
        package.add(f"images/{part}/{name}.png", sample.file(IMAGE))
        package.add(f"labels/{part}/{name}.txt", "".join(_lines(sample.mask(), facts.classes)).encode())


def _description(names: list[str], validated: bool) -> str:
    """Return ``data.yaml``. It has no ``path``: readers take a relative one from their working folder."""
    # JSON strings are YAML strings, whatever stands in them.
    listed = "".join(f"  {place}: {json.dumps(name, ensure_ascii=False)}\n" for place, name in enumerate(names))
    val = "images/val" if validated else "images/train  # there is no validation part"
    return f"train: images/train\nval: {val}\nnc: {len(names)}\nnames:\n{listed}"


def _lines(mask: NDArray[np.uint8], classes: ClassMap) -> Iterator[str]:
    height, width = mask.shape
    for class_id in classes.ids:
        for polygon in outlines(mask == class_id):
            # Ten digits: far finer than a pixel at any size, so that whole coordinates come back whole.
            numbers = " ".join(f"{x / width:.10g} {y / height:.10g}" for x, y in polygon.tolist())
            yield f"{class_id} {numbers}\n"

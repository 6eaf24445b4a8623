"""``coco``: masks as compressed run lengths, which lose nothing, and keypoints, each in a file of its own.

Background is a class like any other; pixels with the ignore index are in no annotation. Regions of one class in one
image are one annotation, as in COCO-Stuff: the labels do not tell instances apart. An image's keypoints are one
annotation of the one category ``object``.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from core.datasets.samples import IMAGE, StoredSample
from core.formats.facts import CLASS_MAP, ExportFacts, stem
from core.formats.package import CHUNK, Package


def export_coco(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``images/PART/NAME.png``, ``annotations/instances_PART.json`` where there are classes and
    ``annotations/keypoints_PART.json`` where there are keypoints; an image's id is its index plus one.
    """
    with ExitStack() as stack:
        parts = {part: _Part(scratch, part, stack) for part in facts.parts}
        for part, sample in facts.parted(samples):
            package.add(f"images/{part}/{stem(sample.index)}.png", sample.file(IMAGE))
            parts[part].add(sample, facts.classes.ids)
        for part, rows in parts.items():
            _write_part(part, rows, facts, package, scratch)
    if facts.classes.names:
        package.add(CLASS_MAP, facts.class_map(facts.classes.names))


class _Part:
    """Rows of one part's images and annotations on their way to files."""

    def __init__(self, scratch: Path, part: str, stack: ExitStack) -> None:
        kinds = ("images", "masks", "keypoints")
        self.images, self.masks, self.points = (
            stack.enter_context(_Rows(scratch / f"coco-{part}-{kind}")) for kind in kinds
        )

    def add(self, sample: StoredSample, class_ids: Iterable[int]) -> None:
        mask, image_id = sample.mask(), sample.index + 1
        size = {"height": mask.shape[0], "width": mask.shape[1]}
        self.images.add({"id": image_id, "file_name": f"{stem(sample.index)}.png", **size})
        for class_id in class_ids:
            if (where := mask == class_id).any():
                self.masks.add(_annotation(self.masks.count + 1, image_id, class_id, where))
        if (found := sample.keypoints()) is not None:
            self.points.add(_keypoints(self.points.count + 1, image_id, found, mask.shape))


def _write_part(part: str, rows: _Part, facts: ExportFacts, package: Package, scratch: Path) -> None:
    categories: list[dict[str, Any]] = [
        {"id": class_id, "name": facts.classes.name(class_id), "supercategory": ""} for class_id in facts.classes.ids
    ]
    if categories:
        _write(package, f"annotations/instances_{part}.json", scratch, facts, categories, rows.images, rows.masks)
    if facts.keypoints:
        names = {"keypoints": facts.keypoints.to_json(), "skeleton": []}
        thing = {"id": 1, "name": "object", "supercategory": "", **names}
        _write(package, f"annotations/keypoints_{part}.json", scratch, facts, [thing], rows.images, rows.points)


class _Rows:
    """Rows of a JSON list on their way to a file, none kept in memory."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+")
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        self._file.write((",\n" if self.count else "") + json.dumps(row))
        self.count += 1

    def chunks(self) -> Iterable[str]:
        self._file.seek(0)
        return iter(lambda: self._file.read(CHUNK), "")


def _write(
    package: Package,
    name: str,
    scratch: Path,
    facts: ExportFacts,
    categories: list[dict[str, Any]],
    images: _Rows,
    annotations: _Rows,
) -> None:
    whole = scratch / "coco-whole"
    head = {"info": {"description": facts.name, "version": "1"}, "licenses": [{"id": 1, "name": facts.licence}]}
    with whole.open("w") as target:
        target.write(json.dumps({**head, "categories": categories}, ensure_ascii=True)[:-1])
        for key, rows in (("images", images), ("annotations", annotations)):
            target.write(f', "{key}": [\n')
            target.writelines(rows.chunks())
            target.write("]")
        target.write("}\n")
    package.add_file(name, whole)


def _annotation(number: int, image_id: int, class_id: int, where: NDArray[np.bool_]) -> dict[str, Any]:
    lengths = pycocotools.mask.encode(np.asfortranarray(where, np.uint8))
    return {
        "id": number,
        "image_id": image_id,
        "category_id": class_id,
        "iscrowd": 0,
        "area": int(where.sum()),
        "bbox": [int(one) for one in pycocotools.mask.toBbox(lengths)],
        "segmentation": {"size": list(lengths["size"]), "counts": lengths["counts"].decode("ascii")},
    }


def _keypoints(number: int, image_id: int, found: NDArray[np.float32], size: tuple[int, ...]) -> dict[str, Any]:
    """``found``: float32 [K, 4], of which x, y and visibility are COCO's. The box is the image: what a generator draws
    fills it, and scores measure distances against the box.
    """
    height, width = size
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": height * width,
        "bbox": [0, 0, width, height],
        "num_keypoints": int((found[:, 2] > 0).sum()),
        "keypoints": [value for x, y, v in found[:, :3].tolist() for value in (x, y, int(v))],
    }

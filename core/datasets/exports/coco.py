"""``coco``: one annotation for each class in each image, its mask as compressed run lengths, which lose nothing.

Background is a class like any other; pixels with the ignore index are in no annotation. Regions of one class in one
image are one annotation, as in COCO-Stuff: the labels do not tell instances apart.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask

from core.datasets.exports.facts import ExportFacts, stem
from core.datasets.exports.package import CHUNK, Package
from core.datasets.samples import IMAGE, StoredSample

ANNOTATIONS = "annotations/instances_train.json"


def export_coco(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``images/train/NAME.png`` and ``annotations/instances_train.json``; an image's id is its index plus one."""
    images, annotations, whole = (scratch / f"coco-{name}" for name in ("images", "annotations", "whole"))
    number = 0
    with images.open("w") as image_rows, annotations.open("w") as annotation_rows:
        for sample in samples:
            mask = sample.mask()
            name = f"{stem(sample.index)}.png"
            package.add(f"images/train/{name}", sample.file(IMAGE))
            row = {"id": sample.index + 1, "file_name": name, "height": mask.shape[0], "width": mask.shape[1]}
            image_rows.write((",\n" if number else "") + json.dumps(row))
            for class_id in facts.classes.ids:
                if (where := mask == class_id).any():
                    number += 1
                    row = _annotation(number, sample.index + 1, class_id, where)
                    annotation_rows.write((",\n" if number > 1 else "") + json.dumps(row))
    with whole.open("w") as target:
        head = {"info": {"description": facts.name, "version": "1"}, "licenses": [{"id": 1, "name": facts.licence}]}
        categories = [
            {"id": class_id, "name": facts.classes.name(class_id), "supercategory": ""}
            for class_id in facts.classes.ids
        ]
        target.write(json.dumps({**head, "categories": categories}, ensure_ascii=True)[:-1])
        for key, path in (("images", images), ("annotations", annotations)):
            target.write(f', "{key}": [\n')
            with path.open() as rows:
                while chunk := rows.read(CHUNK):
                    target.write(chunk)
            target.write("]")
        target.write("}\n")
    package.add_file(ANNOTATIONS, whole)


def _annotation(
    number: int, image_id: int, class_id: int, where: np.ndarray[Any, np.dtype[np.bool_]]
) -> dict[str, Any]:
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

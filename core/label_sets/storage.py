"""Keeping a validated label set: ``label_set.json`` (names, classes, notes, digest) beside ``label_set.safetensors``.

The tensors are ``image.<n>`` uint8 [H, W, 3] and ``mask.<n>`` uint8 [H, W], and where the set has them ``depth.<n>``
float32 [H, W] and ``keypoints.<n>`` float32 [K, 3], ``n`` counting the names in order. They are written item by item
and read as one memory map, so neither side holds the set in memory.
"""

import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from core.errors import LabelSetError, Problem
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.image_classes import ImageClass
from core.label_sets.keypoints import KeypointMap
from core.label_sets.label_set import LabelItem, LabelSet, Note

JSON_NAME, TENSORS_NAME = "label_set.json", "label_set.safetensors"


def save_label_set(label_set: LabelSet, folder: Path) -> None:
    """Write both files into ``folder`` (made if absent), each under a temporary name first."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / (TENSORS_NAME + ".partial")
    with tensors.open("wb") as target:
        header = json.dumps(_header(label_set), separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        target.write(struct.pack("<Q", len(header)) + header)
        for item in label_set.items:
            for array in _arrays(item).values():
                target.write(np.ascontiguousarray(array).data)
    document = {
        "format": 1,
        "digest": label_set.digest,
        "names": [item.name for item in label_set.items],
        "boxes": [item.box for item in label_set.items],
        "image_classes": [item.image_class for item in label_set.items],
        **label_set.classes.to_json(),
        "keypoints": label_set.keypoints and label_set.keypoints.to_json(),
        "depth": label_set.depth and label_set.depth.to_json(),
        "detected_format": label_set.detected_format,
        "notes": [{"text": note.text, "pointer": note.pointer} for note in label_set.notes],
    }
    text = folder / (JSON_NAME + ".partial")
    text.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(tensors, folder / TENSORS_NAME)
    os.replace(text, folder / JSON_NAME)


def load_label_set(folder: Path) -> LabelSet:
    """Read what :func:`save_label_set` wrote. The arrays are mapped to the file, copy on write.

    Raises :class:`core.errors.LabelSetError` when a file is missing or damaged, or the digest differs.
    """
    path = folder / TENSORS_NAME
    try:
        document = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
        classes = ClassMap({}, document["ignore_index"])
        if document["classes"]:
            classes = ClassMap.from_json({key: document[key] for key in ("classes", "ignore_index")}, JSON_NAME)
        keypoints, depth = document.get("keypoints"), document.get("depth")
        notes = tuple(Note(note["text"], note["pointer"]) for note in document["notes"])
        with safe_open(path, framework="numpy") as checked:  # validates every offset, shape and type
            count = sum(key.startswith("image.") for key in checked.keys())  # noqa: SIM118 (it has no __iter__)
        if count != len(document["names"]):
            raise ValueError(f"{count} images for {len(document['names'])} names")
        label_set = LabelSet(
            _classified(_mapped(path, document["names"], document.get("boxes")), document.get("image_classes")),
            classes,
            document["detected_format"],
            notes,
            None if keypoints is None else KeypointMap.from_json(keypoints, JSON_NAME),
            None if depth is None else DepthUnit.from_json(depth, JSON_NAME),
        )
        digest = document["digest"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise LabelSetError("the stored label set cannot be read", [Problem(str(error), folder.name)]) from error
    if label_set.digest != digest:
        problem = Problem(f"its content has the digest {label_set.digest}, and {digest} was stored", TENSORS_NAME)
        raise LabelSetError("the stored label set is damaged", [problem])
    return label_set


def _classified(items: tuple[LabelItem, ...], classes: list[ImageClass | None] | None) -> tuple[LabelItem, ...]:
    """Return the items with the classes of their images; sets of older releases have none."""
    if classes is None:
        return items
    pairs = zip(items, classes, strict=True)
    return tuple(item if one is None else replace(item, image_class=one) for item, one in pairs)


def _arrays(item: LabelItem) -> dict[str, NDArray[Any]]:
    """An item's tensors in the order in which they are stored: those of 4 bytes a value first."""
    arrays = {"depth": item.depth, "keypoints": item.keypoints, "image": item.image, "mask": item.mask}
    return {name: array for name, array in arrays.items() if array is not None}


def _header(label_set: LabelSet) -> dict[str, Any]:
    header: dict[str, Any] = {}
    end = 0
    for number, item in enumerate(label_set.items):
        for name, array in _arrays(item).items():
            kind = "U8" if array.dtype == np.uint8 else "F32"
            offsets = [end, end + array.nbytes]
            header[f"{name}.{number}"] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
            end += array.nbytes
    return header


def _mapped(path: Path, names: list[str], boxes: list[list[float] | None] | None) -> tuple[LabelItem, ...]:
    with path.open("rb") as source:
        length = struct.unpack("<Q", source.read(8))[0]
        header = json.loads(source.read(length))
    content = np.memmap(path, dtype=np.uint8, mode="c", offset=8 + length)

    def pixels(name: str) -> NDArray[np.uint8]:
        start, end = header[name]["data_offsets"]
        return np.asarray(content[start:end]).reshape(header[name]["shape"])

    def numbers(name: str) -> NDArray[np.float32] | None:
        if name not in header:
            return None
        start, end = header[name]["data_offsets"]
        # A copy: masks of odd sizes before it may leave it unaligned.
        return np.frombuffer(bytes(content[start:end]), np.float32).reshape(header[name]["shape"]).copy()

    def item(n: int, name: str, box: list[float] | None) -> LabelItem:
        labels = pixels(f"mask.{n}"), numbers(f"keypoints.{n}"), numbers(f"depth.{n}")
        return LabelItem(name, pixels(f"image.{n}"), *labels, None if box is None else (box[0], box[1], box[2], box[3]))

    # Sets that were stored before there were boxes have no list of them.
    boxes = boxes or [None] * len(names)
    return tuple(item(n, name, box) for n, (name, box) in enumerate(zip(names, boxes, strict=True)))

"""Labelled images in other people's formats, brought to our layout. Which format it is, is found out and said.

COCO · Pascal VOC · Cityscapes · CamVid · CelebAMask-HQ · YOLO segmentation · CVAT XML · Label Studio JSON
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import LabelSetError, Problem
from core.formats.class_guide import ClassGuide
from core.formats.coco.read import find_coco, read_coco
from core.formats.cvat.read import find_cvat, read_cvat
from core.formats.json_files import json_entries, json_fault, load_json, named_kind
from core.formats.label_studio.read import find_label_studio, read_label_studio
from core.formats.mask_folders import (
    find_camvid,
    find_celebamask,
    find_cityscapes,
    find_voc,
    find_voc_boxes,
    read_camvid,
    read_celebamask,
    read_cityscapes,
    read_voc,
)
from core.formats.translation import CLASSES, KEYPOINTS, Translation
from core.formats.yolo.read import find_yolo, read_yolo
from core.label_sets.boxes import BOXES
from core.label_sets.depth_maps import DEPTH_FILE
from core.label_sets.reading.images import PictureLimits

#: JSON files of our own layout, which their own readers judge.
_OWN = frozenset({CLASSES, KEYPOINTS, BOXES, DEPTH_FILE})


@dataclass(frozen=True)
class Format:
    """``find``: the entries that give it away, none where it is another format."""

    name: str
    find: Callable[[Mapping[str, Path]], list[str]]
    read: Callable[[Translation], None]


FORMATS = (
    Format("COCO", find_coco, read_coco),
    Format("Pascal VOC", find_voc, read_voc),
    Format("Cityscapes", find_cityscapes, read_cityscapes),
    Format("CelebAMask-HQ", find_celebamask, read_celebamask),
    Format("YOLO segmentation", find_yolo, read_yolo),
    Format("CVAT XML", find_cvat, read_cvat),
    Format("Label Studio JSON", find_label_studio, read_label_studio),
    Format("CamVid", find_camvid, read_camvid),
)


def detect(entries: Mapping[str, Path]) -> list[tuple[Format, str]]:
    """Every format that the archive might be, with an entry that says so."""
    return [(one, found[0]) for one in FORMATS if (found := one.find(entries))]


def translate(
    entries: Mapping[str, Path], archive_name: str, into: Path, limits: PictureLimits
) -> tuple[str, Translation] | None:
    """The format in words and the same in our layout; None where it is none of these (ours, or nothing known).

    Raises :class:`core.errors.LabelSetError` where it might be several, where an annotation file or the class map
    beside it is damaged, and where it is of a tool whose own format is not read. What is wrong with single annotations
    is in the translation's ``problems``.
    """
    found = detect(entries)
    documents = [name for name in json_entries(entries) if PurePosixPath(name).name not in _OWN]
    jsons_read = [one for one, _ in found if one.find in (find_coco, find_label_studio)]
    if not found or jsons_read:
        faults = [Problem(fault, name) for name in documents if (fault := json_fault(entries[name]))]
        if faults:
            raise LabelSetError("an annotation file is damaged", faults)
    if not found:
        kinds = [Problem(kind, name) for name in documents if (kind := named_kind(load_json(entries[name])))]
        if kinds:
            raise LabelSetError("the format is not read", kinds)
        if boxes := find_voc_boxes(entries):
            wanted = "is Pascal VOC detection: boxes only. Masks are needed, in SegmentationClass/"
            raise LabelSetError("the labels are of another task", [Problem(wanted, boxes[0])])
        return None
    if len(found) > 1:
        seen = "; ".join(f"{one.name} by {entry}" for one, entry in found)
        raise LabelSetError("the format is not clear", [Problem(f"may be several formats: {seen}", archive_name)])
    ((format, entry),) = found
    own = [name for name in sorted(entries) if PurePosixPath(name).name == CLASSES]
    guide = ClassGuide.from_bytes(entries[own[0]].read_bytes(), own[0]) if own else None
    into.mkdir(parents=True, exist_ok=True)
    out = Translation(entries, into, limits, guide)
    if jsons_read:
        for name in sorted(set(documents) - set(format.find(entries))):
            out.note_each(f"left aside, as they are no {format.name}", name)
    format.read(out)
    out.finish()
    return f"{format.name} (by {entry})", out

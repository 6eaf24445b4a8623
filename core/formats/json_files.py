"""JSON files of other tools in an archive: read them, and name those that are of no kind that is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.label_sets.reading.json_files import parse_json

MAX_FILE_BYTES = 512 << 20


def json_entries(entries: Mapping[str, Path]) -> list[str]:
    """Return the names of JSON files, in order."""
    return [name for name in sorted(entries) if name.lower().endswith((".json", ".geojson"))]


def load_json(path: Path) -> Any:
    """Return the document, or None for what is none."""
    try:
        return parse_json(path.read_bytes(), MAX_FILE_BYTES)
    except ValueError:
        return None


def json_fault(path: Path) -> str | None:
    """Return why the file is no JSON document, or None."""
    try:
        parse_json(path.read_bytes(), MAX_FILE_BYTES)
    except ValueError as error:
        return str(error)
    return None


def named_kind(document: Any) -> str | None:
    """Return what to do with a document of a known tool whose own format is not read, or None."""
    if not isinstance(document, dict):
        return None
    for keys, advice in _KINDS:
        if keys <= set(document):
            return advice
    return None


#: Keys that give a format away, and what to do with it.
_KINDS: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"shapes", "imagePath"}),
        "is the own format of labelme and X-AnyLabeling: export COCO or Pascal VOC (labelme2coco, labelme2voc)",
    ),
    (frozenset({"_via_img_metadata"}), "is a VGG Image Annotator project: export its annotations as COCO"),
    (
        frozenset({"categories", "items", "info"}),
        "is the own format of datumaro: convert it to COCO (datum convert -f coco_instances)",
    ),
    (frozenset({"samples"}), "is the own format of FiftyOne: export fiftyone.types.COCODetectionDataset"),
    (
        frozenset({"images", "annotations", "categories"}),
        "is COCO panoptic, whose masks are pictures: export instances with segmentation",
    ),
)

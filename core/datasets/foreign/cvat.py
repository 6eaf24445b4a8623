"""CVAT's XML ("for images 1.1"): polygons and run-length masks by label name."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from core.datasets.foreign.shapes import ShapeError, filled, flat, runs
from core.datasets.foreign.translation import Translation, pictures, with_background


def find_cvat(entries: Mapping[str, Path]) -> list[str]:
    """XML files whose outermost element is ``annotations``."""
    return [name for name in sorted(entries) if name.lower().endswith(".xml") and _begins(entries[name])]


def read_cvat(out: Translation) -> None:
    """Labels get ids in their order, behind background 0. Shapes lie over each other by ``z_order``."""
    for name in find_cvat(out.entries):
        try:
            root = parsed(out.bytes_of(name))
        except (ElementTree.ParseError, expat.ExpatError, ValueError) as error:
            out.problem(f"is no XML that is read here: {error}", name)
            continue
        labels = [one.text or "" for one in root.findall("./meta//labels/label/name")]
        labels = labels or sorted({shape.get("label", "") for image in root.findall("image") for shape in image})
        names = with_background(list(dict.fromkeys(labels)))
        out.classes(names, name)
        ids = {label: class_id for class_id, label in names.items()}
        found = {PurePosixPath(entry).name: entry for entry in pictures(out.entries).values()}
        for image in root.findall("image"):
            _image(out, name, image, found, ids)


def parsed(content: bytes) -> ElementTree.Element:
    """The document. One with a DTD is refused: entities that grow or reach out come from there. Raises ValueError."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it holds a document type definition")

    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(content, True)
    return ElementTree.fromstring(content)


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotations" in file.read(4096).replace(b"\0", b"")


def _image(
    out: Translation, origin: str, image: ElementTree.Element, found: Mapping[str, str], ids: Mapping[str, int]
) -> None:
    name = image.get("name", "")
    entry = found.get(PurePosixPath(name).name)
    if entry is None:
        return out.problem(f"lists the image {name!r}, which the archive does not hold", origin)
    size, stem = out.size(entry), out.image(entry)
    if size is None or stem is None:
        return
    if (image.get("height"), image.get("width")) != (str(size[0]), str(size[1])):
        said = f"{image.get('width')} x {image.get('height')}"
        return out.problem(f"is {size[1]} x {size[0]}, and {origin} says {said}", entry)
    mask = np.zeros(size, np.uint8)
    aside: set[str] = set()
    for shape in sorted(image, key=lambda one: _whole(one.get("z_order", "0"))):
        if shape.tag not in ("polygon", "mask"):
            aside.add(shape.tag)
            continue
        label = shape.get("label", "")
        try:
            if label not in ids:
                raise ShapeError(f"unknown label {label!r}")
            mask[_polygon(shape, size) if shape.tag == "polygon" else _run_lengths(shape, size)] = ids[label]
        except ValueError as error:
            out.problem(f"{name}, {shape.tag} {label!r}: {error}", origin)
    if aside:
        out.note(f"left aside: {', '.join(sorted(aside))}", entry)
    out.mask(stem, mask, origin)


def _polygon(shape: ElementTree.Element, size: tuple[int, int]) -> NDArray[np.bool_]:
    points = [[float(one) for one in point.split(",")] for point in shape.get("points", "").split(";")]
    return filled([flat(points)], *size)


def _run_lengths(shape: ElementTree.Element, size: tuple[int, int]) -> NDArray[np.bool_]:
    left, top, width, height = (int(shape.get(key, "-1")) for key in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise ShapeError("its box lies outside of the image")
    counts = [int(one) for one in shape.get("rle", "").split(",")]
    where = np.zeros(size, bool)
    where[top : top + height, left : left + width] = runs(counts, width * height).reshape(height, width)
    return where


def _whole(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else 0

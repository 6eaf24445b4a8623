"""YOLO segmentation: ``labels/…/X.txt`` with a class id and a polygon a line, beside ``images/…/X.*``."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from core.datasets.foreign.shapes import ShapeError, filled
from core.datasets.foreign.translation import Translation, free_background, pictures

_LISTS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def find_yolo(entries: Mapping[str, Path]) -> list[str]:
    """Text files in a folder ``labels``."""
    return [name for name in sorted(entries) if name.endswith(".txt") and "labels" in PurePosixPath(name).parts[:-1]]


def read_yolo(out: Translation) -> None:
    """Ids stay; pixels that nothing covers get an id behind them. Later lines lie over earlier ones."""
    labels = find_yolo(out.entries)
    names = _names(out)
    if names is None:
        ids = {int(line.split()[0]) for one in labels for line in _lines(out, one) if line.split()[0].isdecimal()}
        names = {one: f"class {one}" for one in sorted(ids)}
        out.note(f"there is no {_LISTS[0]}: classes are named by their ids")
    names, background = free_background(names)
    out.classes(names, next((n for n in sorted(out.entries) if PurePosixPath(n).name in _LISTS), "labels"))
    found = pictures(out.entries)
    for label in labels:
        path = PurePosixPath(label).with_suffix("")
        image = found.pop("/".join("images" if part == "labels" else part for part in path.parts), None)
        if image is None:
            out.problem("has no image of the same name in images/", label)
            continue
        size, stem = out.size(image), out.image(image)
        if size is not None and stem is not None:
            out.mask(stem, _mask(out, label, names, background, size), label)
    for image in found.values():
        if "images" in PurePosixPath(image).parts[:-1]:
            out.problem("has no text file of the same name in labels/", image)


def _mask(
    out: Translation, label: str, names: Mapping[int, str], background: int, size: tuple[int, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    mask = np.full(size, background, np.uint8)
    for number, line in enumerate(_lines(out, label), 1):
        class_id, *numbers = line.split()
        try:
            if not class_id.isdecimal() or int(class_id) not in names:
                raise ShapeError(f"unknown class id {class_id:.20}")
            if len(numbers) == 4:
                raise ShapeError("a box: polygons are needed")
            if len(numbers) % 2:
                raise ShapeError(f"{len(numbers)} numbers are no points x, y")
            points = np.array([float(one) for one in numbers]).reshape(-1, 2)
            where = filled([(points * (size[1], size[0])).ravel()], *size)
        except ValueError as error:
            out.problem(f"line {number}: {error}", label)
            continue
        mask[where] = int(class_id)
    return mask


def _lines(out: Translation, label: str) -> list[str]:
    return [line for line in out.bytes_of(label).decode("utf-8", "replace").splitlines() if line.strip()]


def _names(out: Translation) -> dict[int, str] | None:
    listed = next((name for name in sorted(out.entries) if PurePosixPath(name).name in _LISTS), None)
    if listed is None:
        return None
    try:
        document = yaml.safe_load(out.bytes_of(listed)[: 1 << 20])
        names = document["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(one): str(name) for one, name in pairs}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        out.problem(f"names no classes: {error}", listed)
        return None

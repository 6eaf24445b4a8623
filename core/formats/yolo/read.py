"""YOLO segmentation: a text file with a class id and a polygon a line for each image.

``labels/…/X.txt`` beside ``images/…/X.*``, or ``X.txt`` beside ``X.*``. Files of YOLO's other tasks (boxes, oriented
boxes, keypoints) have the same names and are refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelSetError
from core.formats.image_names import PICTURE_SUFFIXES, ImageNameError, ImageNames
from core.formats.name_files import NamedClasses, is_name_list, named_classes
from core.formats.painting import Shape, paint
from core.formats.shapes import Patch, ShapeError, filled
from core.formats.texts import TextError, decode_text
from core.formats.translation import Translation, free_background

_LABELS, _IMAGES = "labels", "images"
#: Shares of width and height may leave the image by its own size; beyond that they are pixels or percent.
_LEAST_SHARE, _LARGEST_SHARE = -1.0, 2.0
_BOX, _CORNERS = 4, 8  # numbers of a box, of four corners


@dataclass(frozen=True)
class _Line:
    """A line of the file ``label``: its words, and as float64 [N] those after the class id, None where that is no
    numbers.
    """

    label: str
    place: int
    words: tuple[str, ...]
    numbers: NDArray[np.float64] | None

    @property
    def class_id(self) -> int | None:
        """The first word as a whole number, ``1.0`` included."""
        try:
            number = float(self.words[0])
        except ValueError:
            return None
        return int(number) if number >= 0 and number.is_integer() else None


def find_yolo(entries: Mapping[str, Path]) -> list[str]:
    """Text files in a folder ``labels``, or beside an image of the same name and with numbers alone."""
    texts = [name for name in sorted(entries) if name.lower().endswith(".txt") and not is_name_list(name)]
    inside = [name for name in texts if _LABELS in name.split("/")[:-1]]
    if inside:
        return inside
    stems = {name.rpartition(".")[0] for name in entries if name.lower().endswith(PICTURE_SUFFIXES)}
    return [name for name in texts if name.rpartition(".")[0] in stems and _begins_with_numbers(entries[name])]


def read_yolo(out: Translation) -> None:
    """Ids stay; pixels that nothing covers get an id behind them. Later lines lie over earlier ones.

    An image without a text file is background, as YOLO has it, with a note.
    """
    labels = find_yolo(out.entries)
    listed = named_classes(out)
    read = {label: lines for label in labels if (lines := _lines(out, label)) is not None}
    images = [name for name in sorted(out.entries) if name.lower().endswith(PICTURE_SUFFIXES)]
    found = ImageNames(images).find_all((_image_name(label), label) for label in labels)
    places = {label: image for (_, label), image in found.items() if isinstance(image, str)}
    sizes = {label: size for label, image in places.items() if (size := out.size(image)) is not None}
    _refuse_other_tasks(out, read, listed, sizes)
    _refuse_other_scales(out, [line for lines in read.values() for line in lines])
    names, background = free_background(_names(out, listed, read))
    out.classes(names, listed.origin if listed and listed.names else _LABELS)
    for (_, label), image in found.items():
        if isinstance(image, ImageNameError):
            out.problem(f"has no image of the same name in {_IMAGES}/: {image}", label)
        elif label in read and label in sizes:
            shapes = _shapes(out, read[label], names, sizes[label], image)
            paint(out, image, shapes, sizes[label], background)
    _take_backgrounds(out, [one for one in images if one not in set(places.values())], places, background)


def _take_backgrounds(out: Translation, images: list[str], places: Mapping[str, str], background: int) -> None:
    """Take images without a text file as background where others in their folder have one. ``places``: the labelled
    image by text file.
    """
    homes = {name.rpartition("/")[0] for label, image in places.items() for name in (image, _image_name(label))}
    inside = [one for one in images if one.rpartition("/")[0] in homes]
    for image in inside:
        size = out.size(image)
        if size is not None:
            paint(out, image, [], size, background)
            out.note_each("background, as YOLO has images without a text file", image)
    for image in set(images) - set(inside):
        out.note_each("left aside, as no image in its folder has a text file", image)


def _shapes(
    out: Translation, lines: Sequence[_Line], names: Mapping[int, str], size: tuple[int, int], image: str
) -> list[Shape]:
    """Return the polygons of an image; a box is no outline, so its pixels are ignored."""
    shapes = []
    for line in lines:
        try:
            if line.class_id not in names:
                raise ShapeError(f"unknown class id {line.words[0]:.20}")
            is_box = line.numbers is not None and line.numbers.size == _BOX
            shapes.append(Shape.of(out, image, None if is_box else line.class_id, partial(_region, line, size)))
        except ValueError as error:
            out.problem(f"line {line.place}: {error}", line.label)
            continue
        if is_box:
            out.note_each("a box among polygons: its pixels are ignored, as it is no outline", image)
    return shapes


def _region(line: _Line, size: tuple[int, int]) -> Patch:
    """Return the pixels that a polygon or a box covers. Raises :class:`ShapeError`."""
    numbers = line.numbers
    if numbers is None:
        raise ShapeError("holds a value that is not a number")
    if numbers.size == _BOX:
        x, y, width, height = numbers
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
        numbers = np.array([left, top, right, top, right, bottom, left, bottom])
    if numbers.size % 2:
        raise ShapeError(f"{numbers.size} numbers are not points x, y (remove a trailing confidence)")
    points = numbers.reshape(-1, 2)
    return filled([(points * (size[1], size[0])).ravel()], *size)


def _refuse_other_scales(out: Translation, lines: Sequence[_Line]) -> None:
    """Raise :class:`LabelSetError` where coordinates are no shares of width and height."""
    wrong = [line for line in lines if line.numbers is not None and line.numbers.size and _leaves(line.numbers)]
    if not wrong:
        return
    largest = max(float(np.nanmax(np.abs(line.numbers))) for line in wrong if line.numbers is not None)
    guess = "pixels or percent" if largest <= 100 else "pixels"
    out.problem(
        f"line {wrong[0].place}: coordinates up to {largest:g} where fractions of the size (0 to 1) are expected: "
        f"they look like {guess}. Divide x by the width and y by the height ({len(wrong)} such lines in all)",
        wrong[0].label,
    )
    raise LabelSetError("the coordinates are not fractions of the image size", out.problems)


def _leaves(numbers: NDArray[np.float64]) -> bool:
    finite = numbers[np.isfinite(numbers)]
    return bool(((finite < _LEAST_SHARE) | (finite > _LARGEST_SHARE)).any())


def _refuse_other_tasks(
    out: Translation,
    read: Mapping[str, Sequence[_Line]],
    listed: NamedClasses | None,
    sizes: Mapping[str, tuple[int, int]],
) -> None:
    """Raise :class:`LabelSetError` where the files are of another task of YOLO."""
    lines = [line for found in read.values() for line in found]
    task = _other_task(lines, listed.settings if listed else {}, out.entries, sizes)
    if task:
        out.problem(f"{task}. Masks need YOLO segmentation: a class id and a polygon a line", lines[0].label)
        raise LabelSetError("the labels are of another task", out.problems)


def _other_task(
    lines: Sequence[_Line],
    settings: Mapping[str, str],
    entries: Mapping[str, Path],
    sizes: Mapping[str, tuple[int, int]],
) -> str:
    """Return what the lines are where they are not of segmentation; "" else."""
    whole = [line for line in lines if line.numbers is not None and np.isfinite(line.numbers).all()]
    numbers = [line.numbers for line in whole if line.numbers is not None]
    if lines and ("kpt_shape" in settings or _are_poses(numbers)):
        how = " (kpt_shape in its YAML)" if "kpt_shape" in settings else ""
        return f"is YOLO pose{how}: a box and keypoints a line"
    if lines and all(_is_dota(line) for line in lines):
        return "is DOTA: oriented boxes with their class at the end"
    if not numbers:
        return ""
    if all(one.size in (_BOX, _BOX + 1) for one in numbers):
        return "is YOLO detection: boxes only"
    if any(one.size != _CORNERS for one in numbers):
        return ""
    words = {word for text in (settings.get("task", ""), *entries) for word in re.split(r"[^a-z]+", text.lower())}
    shapes = {_rectangle(line, sizes[line.label]) for line in whole if line.label in sizes}
    if words & {"obb", "dota"} or ("tilted" in shapes and "" not in shapes):
        return "is YOLO OBB: oriented boxes only"
    return ""


def _are_poses(numbers: Sequence[NDArray[np.float64]]) -> bool:
    """Whether every line has a box and then as many points, all of them within the box (or 0, 0 where not there)."""
    counts = {one.size for one in numbers}
    if len(numbers) < 2 or len(counts) != 1:
        return False
    (count,) = counts
    return any(
        count >= _BOX + 2 * step and (count - _BOX) % step == 0 and all(_is_pose(one, step) for one in numbers)
        for step in (2, 3)
    )


def _is_pose(numbers: NDArray[np.float64], step: int) -> bool:
    x, y, width, height = numbers[:_BOX]
    points = numbers[_BOX:].reshape(-1, step)
    if step == 3 and not np.isin(points[:, 2], (0, 1, 2)).all():
        return False
    there = (points[:, :2] != 0).any(1)
    inside = (np.abs(points[:, 0] - x) <= width / 2 + 1e-6) & (np.abs(points[:, 1] - y) <= height / 2 + 1e-6)
    return bool(width > 0 and height > 0 and inside[there].all() and there.any())


def _rectangle(line: _Line, size: tuple[int, int]) -> str:
    """Return "upright" or "tilted" for four corners with right angles, "" for others."""
    assert line.numbers is not None
    corners = line.numbers.reshape(4, 2) * (size[1], size[0])
    sides = np.roll(corners, -1, 0) - corners  # [4, 2]
    lengths = np.hypot(*sides.T)
    slack = 0.5 + 0.02 * lengths.max()
    if lengths.min() == 0 or np.abs(sides[:2] + sides[2:]).max() > slack:
        return ""
    if abs(sides[0] @ sides[1]) > 0.03 * lengths[0] * lengths[1] + 0.5 * lengths.min():
        return ""
    return "upright" if all(min(abs(x), abs(y)) <= slack / 2 for x, y in sides) else "tilted"


def _is_dota(line: _Line) -> bool:
    corners, rest = line.words[:_CORNERS], line.words[_CORNERS:]
    return len(rest) in (1, 2) and all(map(_is_number, corners)) and not _is_number(rest[0])


def _names(out: Translation, listed: NamedClasses | None, lines: Mapping[str, Sequence[_Line]]) -> dict[int, str]:
    if listed is not None and listed.names:
        return dict(listed.names)
    ids = {line.class_id for found in lines.values() for line in found if line.class_id is not None}
    out.note("no YAML with names, classes.txt or obj.names: classes are named by their ids")
    return {one: f"class {one}" for one in sorted(ids)}


def _image_name(label: str) -> str:
    """The image's path without suffix: ``labels`` nearest to the file becomes ``images``."""
    parts = label.rpartition(".")[0].split("/")
    places = [place for place, part in enumerate(parts[:-1]) if part == _LABELS]
    if places:
        parts[places[-1]] = _IMAGES
    return "/".join(parts)


def _lines(out: Translation, label: str) -> list[_Line] | None:
    try:
        text = decode_text(out.bytes_of(label))
    except TextError as error:
        out.problem(str(error), label)
        return None
    return [_line(label, place, line) for place, line in enumerate(text.splitlines(), 1) if line.strip()]


def _line(label: str, place: int, text: str) -> _Line:
    words = tuple(text.split())
    try:
        return _Line(label, place, words, np.array([float(one) for one in words[1:]]))
    except ValueError:
        return _Line(label, place, words, None)


def _begins_with_numbers(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    try:
        words = decode_text(head.rpartition(b"\n")[0] or head).split()
    except TextError:
        return False
    return len(words) >= _BOX + 1 and all(_is_number(word) for word in words[: _BOX + 1])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

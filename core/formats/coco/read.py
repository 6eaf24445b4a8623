"""COCO: JSON files with ``images, annotations, categories``; polygons, run lengths and keypoints."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from core.formats.class_names import JoinedClasses, join_classes
from core.formats.image_names import ImageNameError, ImageNames
from core.formats.json_files import json_entries, load_json
from core.formats.painting import Shape, everywhere, paint
from core.formats.shapes import Patch, ShapeError, box, filled, from_runs
from core.formats.translation import Point, Translation
from core.label_sets.reading.json_files import number, shortened, whole_number

KEYS = frozenset({"images", "annotations", "categories"})

Row = Mapping[str, Any]
Key = int | str


def find_coco(entries: Mapping[str, Path]) -> list[str]:
    """Return the entries that are such a JSON."""
    return [name for name in json_entries(entries) if _is_coco(load_json(entries[name]))]


def read_coco(out: Translation) -> None:
    """Join all files into one label set; images without annotations are background.

    Category ids stay class ids where the files agree on them. Larger regions lie under smaller ones. Of a file of
    keypoints beside one of masks for the same image, the keypoints alone are read.
    """
    files = [_File(out, name) for name in find_coco(out.entries)]
    listed = _listed(out, files)
    sources = {entry: _sources(rows) for entry, rows in listed.items()}
    drawn = [file for file in files if any(one.file is file for rows in sources.values() for one in rows)]
    points = _point_names(out, files)
    if not drawn and not points and not out.problems:
        for file in files:
            out.problem("has neither segmentation nor keypoints: boxes alone are not supported as labels", file.origin)
    if drawn:
        joined = join_classes({file.origin: file.names for file in drawn}, out)
        explicit = any(_draws_background(file, joined) for file in drawn)
        for entry, rows in sources.items():
            _mask(out, entry, rows, joined, explicit)
    elif points:
        for entry in listed:
            out.image(entry)
    if points:
        found = {entry: _points(out, entry, listed[entry], len(points)) for entry in listed if out.has_image(entry)}
        out.keypoints(points, found, next(file.origin for file in files if file.points))


def _is_coco(document: Any) -> bool:
    if not isinstance(document, dict) or not set(document) >= KEYS:
        return False
    return all(isinstance(document[key], list) for key in KEYS) and not _is_panoptic(document)


def _is_panoptic(document: Mapping[str, Any]) -> bool:
    rows = document["annotations"]
    return bool(rows) and all(isinstance(row, dict) and "segments_info" in row for row in rows)


class _File:
    """One annotation file; ids are written as numbers, as ``1.0`` or as text, and are compared as :func:`_key` has
    them. Duplicate ids become problems.
    """

    def __init__(self, out: Translation, origin: str) -> None:
        self.out, self.origin = out, origin
        document = load_json(out.entries[origin])
        self.images = self._by_id(document["images"], "image")
        rows = self._by_id(document["annotations"], "annotation", optional=True)
        categories = self._by_id(document["categories"], "category")
        self.names = {key: self._name(key, one) for key, one in categories.items()}
        self.points = self._point_names(categories)
        # A file without any annotation lists images without any object, as a split may.
        self.has_masks = any(_segments(row) for row in rows.values()) or bool(categories and not rows)
        self._drop_unused_twins(rows.values())
        self.by_image: dict[Key, list[Row]] = {}
        for row in rows.values():
            self.by_image.setdefault(_key(row.get("image_id")), []).append(row)
        for image in self.by_image.keys() - self.images.keys():
            out.problem(f"annotates the image {shortened(image)}, which it does not list", origin)

    def _by_id(self, rows: Sequence[Any], kind: str, optional: bool = False) -> dict[Key, Row]:
        found: dict[Key, Row] = {}
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                self.out.problem(f"{kind} number {place + 1} is {shortened(row)}: expected an object", self.origin)
                continue
            if row.get("id") is None and optional:
                found[f"without id, number {place + 1}"] = row
                continue
            key = _key(row.get("id"))
            if row.get("id") is None:
                self.out.problem(f"{kind} number {place + 1} has no id", self.origin)
            elif key in found:
                self.out.problem(f"has the {kind} id {shortened(row['id'])} twice: ids must be unique", self.origin)
            else:
                found[key] = row
        return found

    def _drop_unused_twins(self, rows: Iterable[Row]) -> None:
        """Of categories with one name drop those without annotations: Roboflow adds one with the project's name."""
        used = {_key(row.get("category_id")) for row in rows}
        count = Counter(self.names.values())
        for key in [key for key, name in self.names.items() if count[name] > 1 and key not in used]:
            if count[self.names[key]] > 1:
                count[self.names[key]] -= 1
                del self.names[key]

    def _name(self, key: Key, category: Row) -> str:
        name = category.get("name")
        if name is None or isinstance(name, dict | list) or not str(name).strip():
            self.out.problem(f"category {shortened(key)} has no name", self.origin)
            return f"category {key}"
        return str(name)

    def _point_names(self, categories: Mapping[Key, Row]) -> list[str]:
        lists = [one["keypoints"] for one in categories.values() if isinstance(one.get("keypoints"), list)]
        lists = [[str(one) for one in names] for names in lists if names]
        if any(one != lists[0] for one in lists):
            self.out.problem("has categories with different keypoints: one list of names is read", self.origin)
        return lists[0] if lists else []


class _Listed:
    """An image as a file lists it, with its annotations there."""

    def __init__(self, file: _File, key: Key, image: Row) -> None:
        self.file, self.key, self.image = file, key, image
        self.rows = file.by_image.get(key, [])
        self.has_masks = any(_segments(row) for row in self.rows)


def _listed(out: Translation, files: Sequence[_File]) -> dict[str, list[_Listed]]:
    """By the picture's entry, the places that list it; a name without a picture becomes a problem."""
    names = ImageNames(out.entries)
    images = [_Listed(file, key, image) for file in files for key, image in file.images.items()]
    found = names.find_all((_written(one), one.file.origin) for one in images)
    listed: dict[str, list[_Listed]] = {}
    for one in images:
        entry = found[_written(one), one.file.origin]
        path = one.image.get("path")
        if isinstance(entry, ImageNameError) and isinstance(path, str):
            entry = names.find_all([(path, one.file.origin)])[path, one.file.origin]  # COCO Annotator writes it
        if isinstance(entry, ImageNameError):
            out.problem(str(entry), one.file.origin)
            continue
        twin = next((other for other in listed.get(entry, ()) if other.file is one.file), None)
        if twin is not None:
            text = f"lists the image {entry} twice, with the ids {shortened(twin.key)} and {shortened(one.key)}"
            out.problem(text, one.file.origin)
        listed.setdefault(entry, []).append(one)
    left = [entry for entry in names.pictures if entry not in listed]
    if left:
        out.note(
            f"{len(left)} pictures that no annotation file lists are left aside", left[0] if len(left) == 1 else ""
        )
    return listed


def _written(one: _Listed) -> str:
    """The name of an image; LVIS has its address alone."""
    name = one.image.get("file_name", one.image.get("coco_url"))
    return name if isinstance(name, str) else str(name)


def _sources(listed: Sequence[_Listed]) -> list[_Listed]:
    """The places whose shapes make an image's mask: files of masks, else those of keypoints and masks."""
    masks = [one for one in listed if one.file.has_masks]
    return [one for one in masks if not one.file.points] or masks


def _draws_background(file: _File, joined: JoinedClasses) -> bool:
    ids = joined.ids[file.origin]
    rows = (row for rows in file.by_image.values() for row in rows if _segments(row))
    return any(ids.get(_key(row.get("category_id"))) == joined.background for row in rows)


def _mask(out: Translation, entry: str, sources: Sequence[_Listed], joined: JoinedClasses, explicit: bool) -> None:
    """``explicit``: whether background is drawn somewhere, as a class like any other."""
    shapes: list[Shape] = []
    size = out.size(entry)
    for one in sources:
        stated = one.image
        size = size and out.agreed_size(entry, stated.get("height"), stated.get("width"), one.file.origin)
        if size is not None:
            shapes += _shapes(out, entry, one, joined.ids[one.file.origin], size)
    if size is None:
        return
    if not sources:
        out.note_each("without masks in any file, every pixel is ignored", entry)
        shapes = [everywhere(size)]
    elif not shapes and explicit and out.uncovered is None:
        out.note_each("without any annotation, where others have background drawn, every pixel is ignored", entry)
        shapes = [everywhere(size)]
    elif not shapes and out.uncovered != "ignored":
        out.note_each("without any annotation, every pixel is background", entry)
    paint(out, entry, sorted(shapes, key=lambda shape: -shape.pixels), size, joined.background)


def _shapes(out: Translation, entry: str, one: _Listed, ids: Mapping[Key, int], size: tuple[int, int]) -> list[Shape]:
    shapes = []
    for row in one.rows:
        where = f"annotation {shortened(row.get('id'))} ({_written(one)})"
        try:
            shape = _shape(out, entry, row, ids, size)
        except ShapeError as error:
            out.problem(f"{where}: {error}", one.file.origin)
            continue
        if shape is None:
            out.note_each("annotations without a shape are left aside", where)
            continue
        if not shape.pixels:
            out.note_each("shapes that cover no pixel of their image", where)
        shapes.append(shape)
    return shapes


def _shape(out: Translation, entry: str, row: Row, ids: Mapping[Key, int], size: tuple[int, int]) -> Shape | None:
    segments, category = _segments(row), _key(row.get("category_id"))
    if segments is not None:
        if category not in ids:
            raise ShapeError(f"unknown category {shortened(row.get('category_id'))}")
        return Shape.of(out, entry, ids[category], partial(_region, segments, size))
    bounds = row.get("bbox")
    numbers = [number(one) for one in bounds] if isinstance(bounds, list) and len(bounds) == 4 else [None]
    sides = [one for one in numbers if one is not None]
    if len(sides) < 4:
        return None
    out.note_each("boxes without segmentation are ignored, neither class nor background", entry)
    return Shape.of(out, entry, None, partial(filled, [box(*sides)], *size))


def _region(segments: Any, size: tuple[int, int]) -> Patch:
    if isinstance(segments, list):
        return filled(segments, *size)
    if isinstance(segments, dict):
        stated = segments.get("size")
        if not isinstance(stated, list) or [whole_number(side) for side in stated] == list(size):
            return from_runs(segments.get("counts"), *size)
        raise ShapeError(f"its run lengths are of the size {shortened(stated)}, and the image's is {list(size)}")
    raise ShapeError(f"its segmentation is {shortened(segments)}: expected polygons or run lengths")


def _segments(row: Row) -> Any:
    """The segmentation; its polygons as a list of them however they are nested, None where it holds nothing."""
    segments = row.get("segmentation")
    if not isinstance(segments, list):
        return segments or None
    if segments and not any(isinstance(one, list | dict) for one in segments):
        return [segments]  # one flat list of numbers
    if len(segments) > 2 and all(isinstance(one, list) and len(one) == 2 for one in segments):
        return [segments]  # one list of points
    return [one for one in segments if one != []] or None


def _point_names(out: Translation, files: Sequence[_File]) -> list[str]:
    """The names that all files of keypoints have."""
    first = next((file for file in files if file.points), None)
    for file in files:
        if first is not None and file.points and file.points != first.points:
            text = f"has other keypoints than {first.origin}: one list of names is read"
            out.problem(text, file.origin)
    return first.points if first is not None else []


def _points(out: Translation, entry: str, listed: Sequence[_Listed], count: int) -> list[Point]:
    """The points of the figure with most of them; an image without any has none labelled."""
    rows = [(one.file, row) for one in listed if one.file.points for row in one.rows]
    figures = [(file, row["keypoints"], row) for file, row in rows if _labels_points(row)]
    usable: list[tuple[int, float, list[Point]]] = []
    for file, written, row in figures:
        numbers = [number(one) for one in written]
        if len(numbers) != 3 * count or any(one is None for one in numbers):
            text = f"annotation {shortened(row.get('id'))}: {len(numbers)} numbers for {count} keypoints [x, y, v]"
            out.problem(text, file.origin)
            continue
        values = [one or 0.0 for one in numbers]
        if not set(values[2::3]) <= {0.0, 1.0, 2.0}:
            text = f"annotation {shortened(row.get('id'))}: a keypoint whose visibility is none of 0, 1, 2"
            out.problem(text, file.origin)
            continue
        points = [(values[at], values[at + 1], int(values[at + 2])) for at in range(0, len(values), 3)]
        usable.append((sum(bool(v) for _, _, v in points), number(row.get("area")) or 0.0, points))
    if len(usable) > 1:
        out.note_each(f"{len(usable)} figures, of which the one with most keypoints is taken", entry)
    return max(usable, key=lambda one: one[:2])[2] if usable else [(0.0, 0.0, 0)] * count


def _labels_points(row: Row) -> bool:
    """Whether the annotation has a keypoint: none are an empty list, or zeros."""
    points = row.get("keypoints")
    return isinstance(points, list) and any(number(one) != 0 for one in points)


def _key(value: Any) -> Key:
    whole = whole_number(value)
    return whole if whole is not None else value if isinstance(value, str) else repr(value)

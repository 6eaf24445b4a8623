"""Label Studio's JSON: polygons, rectangles, ellipses (in percent of the image) and brush strokes by label name.

Read are exports of the kinds JSON and JSON-MIN, and the files of a target storage (one annotation each).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from core.formats.class_names import join_classes
from core.formats.image_names import ImageNames, names_picture
from core.formats.json_files import json_entries, load_json
from core.formats.painting import Shape, paint
from core.formats.shapes import Patch, ShapeError, around, brush, ellipse, filled, flat, turned
from core.formats.translation import Translation, with_background
from core.label_sets.reading.json_files import number, shortened, whole_number

Result = Mapping[str, Any]
Size = tuple[int, int]


def find_label_studio(entries: Mapping[str, Path]) -> list[str]:
    """Return the entries that are lists of tasks, or one task or annotation."""
    return [name for name in json_entries(entries) if _tasks(load_json(entries[name]))]


def read_label_studio(out: Translation) -> None:
    """Join all files; labels get ids in the order of their names, behind background 0. Later regions lie over earlier.

    Tasks without an annotation are left out.
    """
    files = find_label_studio(out.entries)
    tasks = [_Task(name, row) for name in files for row in _tasks(load_json(out.entries[name]))]
    labelled = [task for task in tasks if task.choose(out)]
    regions = {task: _regions(task.results) for task in labelled}
    images = _images(out, labelled, regions)
    if len(images) < 2 and not out.problems:
        text = f"{len(labelled)} of {len(tasks)} tasks have an annotation that is not cancelled: at least 2 are needed"
        out.problem(text, files[0])
    if not images:
        return
    by_file: dict[str, set[str]] = {name: set() for name in files}
    for task in labelled:
        by_file[task.origin].update(label for region in regions[task] for label in region.labels)
    ids = {label: class_id for class_id, label in with_background(sorted(set().union(*by_file.values()))).items()}
    joined = join_classes({name: {ids[one]: one for one in sorted(by_file[name])} for name in files}, out)
    known = {label: class_id for class_id, label in joined.names.items()}
    for entry, (task, at) in images.items():
        drawn = [region for region in regions[task] if at.holds(region)]
        _paint(out, entry, task, drawn, known, joined.background)


@dataclass(frozen=True)
class _Region:
    """A shape of an annotation with its labels: results of one id are one region."""

    id: Any
    result: Result | None
    labels: tuple[str, ...]
    target: str
    page: int | None


@dataclass(frozen=True)
class _Place:
    """Which regions of a task belong to an image: those of an object tag, or of a page. None for all."""

    target: str | None = None
    page: int | None = None

    def holds(self, region: _Region) -> bool:
        return self.target in (None, region.target) and self.page in (None, region.page or 0)


@dataclass(eq=False)
class _Task:
    """A task, and the results of the annotation that is read."""

    origin: str
    row: Mapping[str, Any]
    results: Sequence[Any] = field(default=())

    @property
    def name(self) -> str:
        return f"task {shortened(self.row.get('id'))}"

    def choose(self, out: Translation) -> bool:
        """Take the annotation marked as ground truth, else the newest; False, with a note, where there is none."""
        made = self.row.get("annotations", self.row.get("completions"))
        rows = [one for one in made if isinstance(one, dict)] if isinstance(made, list) else []
        usable = [one for one in rows if not one.get("was_cancelled") and isinstance(one.get("result"), list)]
        if not usable:
            cause = "was skipped: its annotations are cancelled" if rows else "has no annotation"
            out.note_each(f"left out, as it {cause}", f"{self.name} of {self.origin}")
            return False
        best = max(enumerate(usable), key=lambda one: (bool(one[1].get("ground_truth")), _time(one[1]), one[0]))[1]
        if len(usable) > 1:
            why = "marked as ground_truth" if best.get("ground_truth") else "made last"
            text = f"of several annotations of one task, the annotation {why} is read"
            out.note_each(text, f"{self.name} of {self.origin} ({len(usable)})")
        self.results = best["result"]
        return True


def _time(annotation: Mapping[str, Any]) -> str:
    """When an annotation was changed last; ISO times compare as text."""
    return max(str(annotation.get(key) or "") for key in ("created_at", "updated_at"))


def _tasks(document: Any) -> list[Mapping[str, Any]]:
    """The tasks of a document with their annotations; none where it is no such document."""
    rows = document if isinstance(document, list) else [document]
    found = [_task(row) for row in rows]
    return [one for one in found if one is not None] if all(found) else []


def _task(row: Any) -> Mapping[str, Any] | None:
    if not isinstance(row, dict):
        return None
    if "data" in row:
        return row
    task, result = row.get("task"), row.get("result")
    if isinstance(task, dict) and "data" in task and isinstance(result, list):  # target storage
        return {**task, "annotations": [row]}
    if {"annotation_id", "annotator"} & set(row):  # JSON-MIN
        lists = [one for value in row.values() if isinstance(value, list) for one in value if isinstance(one, dict)]
        results = [{**one, "type": _label_key(one), "value": one} for one in lists]
        return {"id": row.get("id"), "data": row, "annotations": [{"result": results}]}
    return None


def _images(
    out: Translation, tasks: Sequence[_Task], regions: Mapping[_Task, Sequence[_Region]]
) -> dict[str, tuple[_Task, _Place]]:
    """By entry, the task and the part of it that belong to the picture."""
    names = ImageNames(out.entries)
    named = {task: _named_images(task.row["data"]) for task in tasks}
    found = names.find_all((address, task.origin) for task in tasks for address, _ in named[task])
    images: dict[str, tuple[_Task, _Place]] = {}
    for task in tasks:
        answers = [(found[address, task.origin], place) for address, place in named[task]]
        if not answers:
            out.problem(f"{task.name}: names no image in its data {shortened(task.row['data'])}", task.origin)
        entries = {answer: place for answer, place in answers if isinstance(answer, str)}
        for answer, place in answers:
            if not isinstance(answer, str) and (not entries or place.page is not None):
                out.problem(f"{task.name}: {answer}", task.origin)
        for entry, place in _shared(out, task, entries, regions[task]).items():
            other = images.setdefault(entry, (task, place))[0]
            if other is not task and other.results != task.results:
                where = f"{other.name} of {other.origin} and in {task.name} of {task.origin}"
                out.problem(f"is labelled in {where}: keep one of them", entry)
    return images


def _shared(
    out: Translation, task: _Task, entries: Mapping[str, _Place], regions: Sequence[_Region]
) -> dict[str, _Place]:
    """The images of a task with the part of it that is theirs; of several images those that have regions."""
    if len(entries) < 2:
        return {entry: _Place(page=place.page) for entry, place in entries.items()}
    targets = {place.target for place in entries.values()}
    places = {entry: place if len(targets) > 1 else _Place(page=place.page) for entry, place in entries.items()}
    if any(not any(place.holds(region) for place in places.values()) for region in regions):
        shown = ", ".join(sorted(str(one) for one in targets))
        text = f"has several images ({shown}), and regions whose to_name is none of them: give the tags those names"
        out.problem(f"{task.name}: {text}", task.origin)
    kept = {entry: place for entry, place in places.items() if any(place.holds(region) for region in regions)}
    for entry in sorted(places.keys() - kept.keys()):
        out.note_each("left out, as no region of a task with several images is theirs", entry)
    return kept


def _named_images(data: Any) -> list[tuple[str, _Place]]:
    """The addresses of pictures in a task's data, each with the part of the task that belongs to it."""
    if not isinstance(data, dict):
        return [(data, _Place())] if isinstance(data, str) else []
    pages = [(key, value) for key, value in data.items() if isinstance(value, list)]
    found = [(value, _Place(target=key)) for key, value in data.items() if isinstance(value, str)]
    found += [(v, _Place(key, at)) for key, values in pages for at, v in enumerate(values) if isinstance(v, str)]
    pictures = [one for one in found if names_picture(one[0])]
    return pictures or [one for one in found if len(found) == 1]


def _regions(results: Iterable[Any]) -> list[_Region]:
    """Results grouped by their ids, as one region each."""
    groups: dict[Any, list[Result]] = {}
    for place, result in enumerate(results):
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            given = result.get("id")
            groups.setdefault(given if isinstance(given, str | int) else (place,), []).append(result)
    regions = []
    for region_id, group in groups.items():
        labels = tuple(dict.fromkeys(label for one in group for label in _labels(one["value"])))
        shaped = [one for one in group if _is_shape(one["value"])]
        first = max(shaped, key=lambda one: _geometry(one["value"]) is not None) if shaped else None
        of = first or group[0]
        regions.append(_Region(region_id, first, labels, str(of.get("to_name")), whole_number(of.get("item_index"))))
    return [one for one in regions if one.result is not None or one.labels]


def _label_key(value: Mapping[str, Any]) -> str | None:
    return next((key for key in value if key.lower().endswith("labels") and isinstance(value[key], list)), None)


def _labels(value: Mapping[str, Any]) -> Iterator[str]:
    for key, labels in value.items():
        if key.lower().endswith("labels") and isinstance(labels, list):
            yield from (str(one) for one in labels)


def _is_shape(value: Mapping[str, Any]) -> bool:
    return _geometry(value) is not None or bool(
        {"x", "y", "points", "vertices", "sequence", "imageDataURL"} & set(value)
    )


def _geometry(value: Mapping[str, Any]) -> str | None:
    """The kind of shape that the numbers describe, None for one that cannot be filled."""
    keys = set(value)
    if "rle" in keys:
        return "brush"
    if "points" in keys:
        return "polygon" if value.get("closed", True) is not False else None
    if {"x", "y", "width", "height"} <= keys:
        return "rectangle"
    return "ellipse" if {"x", "y", "radiusX", "radiusY"} <= keys else None


def _paint(
    out: Translation,
    entry: str,
    task: _Task,
    regions: Sequence[_Region],
    known: Mapping[str, int],
    background: int,
) -> None:
    size = out.size(entry)
    if size is None:
        return
    shapes = []
    for region in regions:
        try:
            shape = _shape(out, entry, region, known, size)
        except ShapeError as error:
            out.problem(f"{task.name}, region {shortened(region.id)}: {error}", task.origin)
            continue
        if shape is not None:
            shapes.append(shape)
            if not shape.pixels:
                out.note_each("shapes that cover no pixel of their image", f"region {shortened(region.id)} of {entry}")
    if not regions:
        out.note_each("annotated without any region, every pixel is background", entry)
    paint(out, entry, shapes, size, background)


def _shape(out: Translation, entry: str, region: _Region, known: Mapping[str, int], size: Size) -> Shape | None:
    result = region.result
    if result is None:
        out.note_each("labels of a whole image are left aside", entry)
        return None
    _check_frame(out, entry, result, size)
    value = result["value"]
    if len(region.labels) == 1 and _geometry(value) is not None:
        if _geometry(value) == "rectangle":
            out.note_each("boxes are read as filled rectangles", entry)
        return Shape.of(out, entry, known[region.labels[0]], partial(_area, value, size))
    if len(region.labels) == 1:
        cause = f"shapes of the kind {shortened(result.get('type'))} have no area"
    else:
        cause = "regions with several labels" if region.labels else "regions without a label"
    area = partial(_area if _geometry(value) is not None else _extent, value, size)
    out.note_each(f"{cause}: their pixels are ignored, neither class nor background", entry)
    return Shape.of(out, entry, None, area)


def _check_frame(out: Translation, entry: str, result: Result, size: Size) -> None:
    """Refuse a region that was drawn on another or a turned image. Raises :class:`ShapeError`."""
    height, width = result.get("original_height"), result.get("original_width")
    stated = whole_number(height), whole_number(width)
    if (height, width) != (None, None) and stated != size:
        text = f"was drawn on {shortened(width)} x {shortened(height)}, and the image is {size[1]} x {size[0]}"
        raise ShapeError(text + out.orientation_hint(entry, stated))
    if number(result.get("image_rotation") or 0) != 0:
        degrees = shortened(result["image_rotation"])
        raise ShapeError(
            f"was drawn with image_rotation {degrees}: turn the image back in Label Studio and export again"
        )


def _area(value: Mapping[str, Any], size: Size) -> Patch:
    kind = _geometry(value)
    if kind == "brush":
        return brush(value.get("rle"), *size)
    across, down = size[1] / 100, size[0] / 100
    if kind == "polygon":
        return filled([flat([(x * across, y * down) for x, y in _pairs(value["points"])])], *size)
    degrees = number(value.get("rotation") or 0)
    keys = ("x", "y", "width", "height") if kind == "rectangle" else ("x", "y", "radiusX", "radiusY")
    numbers = [number(value[key]) for key in keys]
    x, y, wide, high = [(one or 0.0) * by for one, by in zip(numbers, (across, down) * 2, strict=True)]
    if None in numbers or degrees is None:
        raise ShapeError(f"its {kind} holds a value that is not a number")
    if kind == "ellipse":
        return filled([ellipse(x, y, wide, high, degrees)], *size)
    corners = [(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)]
    return filled([flat(turned(corners, degrees, (x, y)))], *size)  # turned about its first corner


def _extent(value: Mapping[str, Any], size: Size) -> Patch:
    """The box around what is no area: a point with its width, a line."""
    points = value.get("points", value.get("vertices"))
    if points is not None:
        pairs = _pairs(points)
        half = 0.0
    else:
        x, y = number(value.get("x")), number(value.get("y"))
        pairs = [(x, y)] if x is not None and y is not None else []
        half = (number(value.get("width")) or 0.0) / 2
    if not pairs:
        return filled([], *size)
    left, right = min(x for x, _ in pairs) - half, max(x for x, _ in pairs) + half
    top, bottom = min(y for _, y in pairs) - half, max(y for _, y in pairs) + half
    across, down = size[1] / 100, size[0] / 100
    return filled([around(left * across, top * down, right * across, bottom * down)], *size)


def _pairs(points: Any) -> list[tuple[float, float]]:
    """[[x, y], …] or [{"x": …, "y": …}, …] as numbers. Raises :class:`ShapeError`."""
    rows = [(one.get("x"), one.get("y")) if isinstance(one, dict) else one for one in _listed(points)]
    pairs = [tuple(number(value) for value in row) if isinstance(row, list | tuple) else () for row in rows]
    found = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and None not in pair]
    if len(found) < len(rows):
        raise ShapeError("its points are not pairs of numbers")
    return [(float(x or 0), float(y or 0)) for x, y in found]


def _listed(points: Any) -> list[Any]:
    if not isinstance(points, list):
        raise ShapeError(f"its points are {shortened(points)}: expected a list")
    return points

"""Label Studio's JSON: polygons (in percent) and brush strokes by label name."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from core.datasets.foreign.coco import load_json
from core.datasets.foreign.shapes import ShapeError, brush, filled
from core.datasets.foreign.translation import Translation, pictures, with_background

_KINDS = ("polygonlabels", "brushlabels")


def find_label_studio(entries: Mapping[str, Path]) -> list[str]:
    """JSON files that are lists of tasks."""
    return [name for name in sorted(entries) if name.lower().endswith(".json") and _is_export(entries[name])]


def read_label_studio(out: Translation) -> None:
    """Labels get ids in the order of their names, behind background 0. Later regions lie over earlier ones."""
    for name in find_label_studio(out.entries):
        tasks = load_json(out.entries[name])
        labels = {label for task in tasks for region in _regions(task) if (label := _label(region)) is not None}
        names = with_background(sorted(labels))
        out.classes(names, name)
        ids = {label: class_id for class_id, label in names.items()}
        found = {PurePosixPath(entry).name: entry for entry in pictures(out.entries).values()}
        for task in tasks:
            _task(out, name, task, found, ids)


def _is_export(path: Path) -> bool:
    tasks = load_json(path)
    return isinstance(tasks, list) and bool(tasks) and all(isinstance(one, dict) and "data" in one for one in tasks)


def _task(out: Translation, origin: str, task: dict[str, Any], found: Mapping[str, str], ids: dict[str, int]) -> None:
    address = next((v for v in _values(task["data"]) if _file_name(v) in found), None)
    if address is None:
        return out.problem(f"task {task.get('id')}: the archive holds no image for {task['data']!r:.200}", origin)
    entry = found[_file_name(address)]
    size, stem = out.size(entry), out.image(entry)
    if size is None or stem is None:
        return
    mask = np.zeros(size, np.uint8)
    for region in _regions(task):
        if region.get("type") not in _KINDS:
            out.note(f"left aside: {region.get('type')}", entry)
            continue
        try:
            label = _label(region)
            if label is None:
                raise ShapeError("has no label")
            mask[_where(region, size)] = ids[label]
        except ShapeError as error:
            out.problem(f"task {task.get('id')}, region {region.get('id')}: {error}", origin)
    out.mask(stem, mask, origin)


def _where(region: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    value = region["value"]
    if (region.get("original_height"), region.get("original_width")) != size:
        said = f"{region.get('original_width')} x {region.get('original_height')}"
        raise ShapeError(f"was drawn on {said}, and the image is {size[1]} x {size[0]}")
    if region["type"] == "brushlabels":
        return brush(value.get("rle"), *size)
    try:
        points = np.array(value.get("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise ShapeError("its points are no pairs of numbers") from error
    return filled([(points * (size[1] / 100, size[0] / 100)).ravel()], *size)


def _regions(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Regions of the first annotation that was not cancelled."""
    made = task.get("annotations", task.get("completions"))
    usable = [one for one in _list(made) if isinstance(one, dict) and not one.get("was_cancelled")]
    result = _list(usable[0].get("result")) if usable else []
    return [one for one in result if isinstance(one, dict) and isinstance(one.get("value"), dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _label(region: dict[str, Any]) -> str | None:
    kind = region.get("type")
    labels = region["value"].get(kind) if isinstance(kind, str) and kind in _KINDS else None
    return str(labels[0]) if isinstance(labels, list) and labels else None


def _values(data: Any) -> list[str]:
    return [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []


def _file_name(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).query.rpartition("=")[2] or urlsplit(address).path)).name

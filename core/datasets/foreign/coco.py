"""COCO: one JSON with ``images, annotations, categories``; polygons, run lengths and keypoints."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from core.datasets.foreign.shapes import ShapeError, filled, from_runs
from core.datasets.foreign.translation import Point, Translation, free_background, pictures

KEYS = frozenset({"images", "annotations", "categories"})


def find_coco(entries: Mapping[str, Path]) -> list[str]:
    """Entries that are such a JSON."""
    return [name for name in sorted(entries) if name.lower().endswith(".json") and _is_coco(entries[name])]


def read_coco(out: Translation) -> None:
    """Category ids stay class ids; pixels that nothing covers are background. Larger regions lie under smaller ones."""
    for name in find_coco(out.entries):
        _File(out, name).read()


def _is_coco(path: Path) -> bool:
    document = load_json(path)
    return isinstance(document, dict) and set(document) >= KEYS and all(isinstance(document[key], list) for key in KEYS)


def load_json(path: Path) -> Any:
    """The document, or None for what is none."""
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


class _File:
    def __init__(self, out: Translation, name: str) -> None:
        self.out, self.name = out, name
        self.document = load_json(out.entries[name])
        self.found = {PurePosixPath(entry).name: entry for entry in pictures(out.entries).values()}
        self.by_image: dict[Any, list[dict[str, Any]]] = {}

    def read(self) -> None:
        rows = [row for row in self.document["annotations"] if isinstance(row, dict)]
        for row in rows:
            self.by_image.setdefault(_key(row.get("image_id")), []).append(row)
        categories = [one for one in self.document["categories"] if isinstance(one, dict)]
        names = {int(one["id"]): str(one.get("name")) for one in categories if isinstance(one.get("id"), int)}
        points = next((one["keypoints"] for one in categories if isinstance(one.get("keypoints"), list)), None)
        masks = any(row.get("segmentation") for row in rows)
        background = 0
        if masks:
            names, background = free_background(names)
            self.out.classes(names, self.name)
        if not masks and points is None:
            self.out.problem("has neither segmentation nor keypoints: boxes alone are no labels here", self.name)
        keypoints: dict[str, list[Point]] = {}
        for image in self.document["images"]:
            stem = self._image(image)
            if stem is None:
                continue
            annotations = self.by_image.pop(_key(image.get("id")), [])
            if masks:
                self._mask(stem, image, annotations, names, background)
            if points is not None:
                keypoints[stem] = self._points(stem, annotations, len(points))
        for image_id in self.by_image:
            self.out.problem(f"annotates the image {image_id!r}, which it does not list", self.name)
        if points is not None:
            self.out.keypoints([str(one) for one in points], keypoints, self.name)

    def _image(self, image: Any) -> str | None:
        name = image.get("file_name") if isinstance(image, dict) else None
        entry = self.found.get(PurePosixPath(name).name) if isinstance(name, str) else None
        if entry is None:
            self.out.problem(f"lists the image {name!r}, which the archive does not hold", self.name)
            return None
        return self.out.image(entry)

    def _mask(
        self, stem: str, image: dict[str, Any], rows: list[dict[str, Any]], names: dict[int, str], background: int
    ) -> None:
        entry = self.found[PurePosixPath(image["file_name"]).name]
        size = self.out.size(entry)
        if size is None:
            return
        if (image.get("height"), image.get("width")) != size:
            said = f"{image.get('width')} x {image.get('height')}"
            self.out.problem(f"is {size[1]} x {size[0]}, and {self.name} says {said}", entry)
            return
        regions = []
        for row in rows:
            segmentation, category = row.get("segmentation"), row.get("category_id")
            if not segmentation:
                continue
            if _key(category) not in names:
                self.out.problem(f"annotation {row.get('id')}: unknown category {category!r}", self.name)
                continue
            try:
                regions.append((category, self._region(segmentation, size)))
            except ShapeError as error:
                self.out.problem(f"annotation {row.get('id')} ({image['file_name']}): {error}", self.name)
        mask = np.full(size, background, np.uint8)
        for category, where in sorted(regions, key=lambda region: -int(region[1].sum())):
            mask[where] = category
        self.out.mask(stem, mask, self.name)

    def _region(self, segmentation: Any, size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if isinstance(segmentation, list):
            return filled(segmentation, *size)
        if isinstance(segmentation, dict) and segmentation.get("size") == list(size):
            return from_runs(segmentation.get("counts"), *size)
        raise ShapeError("its segmentation is neither polygons nor run lengths of the image's size")

    def _points(self, stem: str, rows: list[dict[str, Any]], count: int) -> list[Point]:
        """The points of the figure with most of them; an image without any has none labelled."""
        figures = [row for row in rows if isinstance(row.get("keypoints"), list) and any(row["keypoints"])]
        if not figures:
            return [(0.0, 0.0, 0)] * count
        if len(figures) > 1:
            self.out.note(f"{stem}: {len(figures)} figures, of which the one with most keypoints is taken", self.name)
        best = max(figures, key=lambda row: (sum(bool(v) for v in row["keypoints"][2::3]), _number(row.get("area"))))
        numbers = best["keypoints"]
        if len(numbers) != 3 * count:
            self.out.problem(f"annotation {best.get('id')}: {len(numbers)} numbers for {count} keypoints", self.name)
            return [(0.0, 0.0, 0)] * count
        return [(numbers[at], numbers[at + 1], numbers[at + 2]) for at in range(0, len(numbers), 3)]


def _key(value: Any) -> Any:
    return value if isinstance(value, int | str) else repr(value)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

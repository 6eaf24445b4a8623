"""The named points of a label set, and ``keypoints.json`` in an untrusted archive.

::

    {"keypoints": ["left_eye", "nose"], "images": {"NAME": [[x, y, v], …], …}}

x and y are pixels from the upright image's top left corner (the centre of its first pixel is 0.5, 0.5); v says, as in
COCO, 0 not labelled, 1 labelled and hidden, 2 visible.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelSetError, Problem
from core.label_sets.reading.json_files import is_number, parse_json, shortened

KEYPOINTS = "keypoints.json"
MAX_POINTS = 256
MAX_NAME_LENGTH = 80
MAX_FILE_BYTES = 32 << 20


@dataclass(frozen=True)
class KeypointMap:
    """Names of the keypoints, in the order of their coordinates everywhere."""

    names: tuple[str, ...]

    def to_json(self) -> list[str]:
        """The canonical form: a list of names."""
        return list(self.names)

    @classmethod
    def from_json(cls, names: object, pointer: str = KEYPOINTS) -> "KeypointMap":
        """Raises :class:`LabelSetError` unless ``names`` is a list of 1 to 256 different printable names."""
        if not isinstance(names, list) or not 1 <= len(names) <= MAX_POINTS:
            raise _error([f"keypoints must be a list of 1 to {MAX_POINTS} names"], pointer)
        wrong = [
            f"the keypoint {shortened(name)}: names are 1 to {MAX_NAME_LENGTH} printable characters"
            for name in names
            if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable()
        ]
        if not wrong:
            wrong = [
                f"the keypoint {name!r} is named twice" for name in sorted({n for n in names if names.count(n) > 1})
            ]
        if wrong:
            raise _error(wrong, pointer)
        return cls(tuple(names))


@dataclass(frozen=True)
class KeypointFile:
    """What ``keypoints.json`` holds. ``rows``: by image name, what stands there, to be judged with its image."""

    points: KeypointMap
    rows: Mapping[str, Any]


def parse_keypoints(content: bytes, pointer: str = KEYPOINTS) -> KeypointFile:
    """Raises :class:`LabelSetError` when the file is no such document."""
    try:
        document = parse_json(content, MAX_FILE_BYTES)
    except ValueError as error:
        raise _error([str(error)], pointer) from error
    rows = document.get("images") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(rows, dict):
        raise _error(['write {"keypoints": ["nose", …], "images": {"NAME": [[x, y, v], …]}}'], pointer)
    return KeypointFile(KeypointMap.from_json(document.get("keypoints"), pointer), rows)


def image_points(
    row: object, names: tuple[str, ...], size: tuple[int, int]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """One image's points, float32 [K, 3], and everything that is wrong with them.

    ``row``: what the file says. ``size``: (height, width). Unlabelled points come out as zeros.
    """
    points = np.zeros((len(names), 3), np.float32)
    if not isinstance(row, list) or len(row) != len(names):
        return points, (f"has not {len(names)} keypoints [x, y, v]",)
    problems = []
    for number, (name, entry) in enumerate(zip(names, row, strict=True)):
        if not isinstance(entry, list) or len(entry) != 3 or not all(is_number(value) for value in entry):
            problems.append(f"{name}: {shortened(entry)} is not three numbers [x, y, v]")
        elif entry[2] not in (0, 1, 2):
            problems.append(f"{name}: the visibility {shortened(entry[2])} is none of 0, 1, 2")
        elif entry[2] and not (0 <= entry[0] <= size[1] and 0 <= entry[1] <= size[0]):
            problems.append(f"{name}: ({entry[0]:g}, {entry[1]:g}) lies outside of the {size[1]} x {size[0]} image")
        elif entry[2]:
            points[number] = entry
    return points, tuple(problems)


def _error(problems: list[str], pointer: str) -> LabelSetError:
    return LabelSetError("the keypoints are not usable", [Problem(text, pointer) for text in problems])

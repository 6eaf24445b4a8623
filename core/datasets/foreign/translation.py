"""What a reader of a foreign format makes: the same labelled images in our own layout, and whence each part came."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.foreign.guide import ClassGuide
from core.datasets.images import PictureError, PictureLimits, decode_mask, upright_size
from core.datasets.label_set import Note
from core.errors import LabelSetError, Problem

IMAGES, MASKS, CLASSES, KEYPOINTS = "images", "masks", "classes.json", "keypoints.json"
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
#: Ids end here; the ignore index stands behind them.
LARGEST_ID, IGNORE_INDEX = 254, 255
#: More images than a label set may have are refused by name; far more are not even looked at.
MOST_IMAGES = 2000
#: A problem in one annotation is a problem in thousands: so many are told.
MOST_PROBLEMS = 500

BACKGROUND = "background"
Point = tuple[float, float, int]


class Translation:
    """Files of our layout by name, each with the entry it came from; notes and problems met on the way.

    ``entries``: the archive's files by name. ``into``: a folder for files that are written here. ``guide``: the
    caller's own class map, if the archive holds one.
    """

    def __init__(
        self, entries: Mapping[str, Path], into: Path, limits: PictureLimits, guide: ClassGuide | None = None
    ) -> None:
        self.entries, self.limits = entries, limits
        self.files: dict[str, Path] = {}
        self.origins: dict[str, str] = {}
        self.notes: list[Note] = []
        self.problems: list[Problem] = []
        self._into, self._guide = into, guide
        self._stems: dict[str, str] = {}
        self._targets = np.arange(256, dtype=np.uint8)

    def problem(self, detail: str, pointer: str) -> None:
        """Add what is wrong; the entry that ``pointer`` names is to blame."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(detail, pointer))

    def note(self, text: str, pointer: str = "") -> None:
        """Add what was done and is no error."""
        self.notes.append(Note(text, pointer))

    def bytes_of(self, entry: str) -> bytes:
        """The content of an entry."""
        return self.entries[entry].read_bytes()

    def image(self, entry: str, stem: str | None = None) -> str | None:
        """Take a picture of the archive as an image; its name in the label set, or None where the name is taken."""
        path = PurePosixPath(entry)
        stem = stem or path.stem
        if stem in self._stems:
            self.problem(f"has the same name as {self._stems[stem]}", entry)
            return None
        if len(self._stems) >= MOST_IMAGES:
            self.problem(f"is one of more than {MOST_IMAGES:,} images", entry)
            return None
        self._stems[stem] = entry
        self._put(f"{IMAGES}/{stem}{path.suffix}", self.entries[entry], entry)
        return stem

    def size(self, entry: str) -> tuple[int, int] | None:
        """(height, width) of a picture as it is looked at, its EXIF orientation applied; None for what is none."""
        try:
            return upright_size(self.bytes_of(entry), self.limits)
        except PictureError as error:
            self.problem(str(error), entry)
            return None

    def classes(self, names: Mapping[int, str], origin: str, ignore_index: int = IGNORE_INDEX) -> None:
        """Say what ids in masks mean; to be called before masks are added. The caller's own class map goes first.

        Raises :class:`core.errors.LabelSetError` for ids that no mask can hold: nothing more can be read then.
        """
        if any(not 0 <= one <= LARGEST_ID for one in names):
            wrong = ", ".join(str(one) for one in sorted(names) if not 0 <= one <= LARGEST_ID)
            self.problem(f"has the class ids {wrong}: ids are whole numbers from 0 to {LARGEST_ID}", origin)
            raise LabelSetError("the classes cannot be used", self.problems)
        document = {"classes": [{"id": one, "name": names[one]} for one in sorted(names)], "ignore_index": ignore_index}
        if self._guide is None:
            shown = ", ".join(f"{one} {names[one]}" for one in sorted(names))
            self.note(f"class map guessed, as there is no {CLASSES}: {shown}; {ignore_index} ignored", origin)
        else:
            try:
                self._targets, shown = self._guide.targets(names, ignore_index)
                document = self._guide.classes.to_json()
                self.note(f"classes put together as {CLASSES} says: {shown}", self._guide.pointer)
            except LabelSetError as error:
                self.problems.extend(error.problems)
        self.write(CLASSES, json.dumps(document).encode(), origin)

    def mask(self, stem: str, ids: NDArray[np.uint8], origin: str) -> None:
        """Add a mask, uint8 [H, W] of the ids that :meth:`classes` named."""
        stream = io.BytesIO()
        Image.fromarray(self._targets[ids]).save(stream, "PNG", compress_level=1)
        self.write(f"{MASKS}/{stem}.png", stream.getvalue(), origin)

    def mask_entry(self, stem: str, entry: str) -> None:
        """Add a palette or grey PNG of the archive as it is, its ids collapsed where the caller's class map says so."""
        if self._guide is None:
            return self._put(f"{MASKS}/{stem}.png", self.entries[entry], entry)
        try:
            self.mask(stem, decode_mask(self.bytes_of(entry), self.limits).pixels, entry)
        except PictureError as error:
            self.problem(str(error), entry)

    def keypoints(self, names: Sequence[str], rows: Mapping[str, Sequence[Point]], origin: str) -> None:
        """Add named points: for each image [x, y, visibility] of every name."""
        document = {"keypoints": list(names), "images": {stem: [list(one) for one in rows[stem]] for stem in rows}}
        self.write(KEYPOINTS, json.dumps(document).encode(), origin)

    def write(self, name: str, content: bytes, origin: str) -> None:
        """Add a file that stands in no entry as it is."""
        path = self._into / f"{len(self.files):06d}"
        path.write_bytes(content)
        self._put(name, path, origin)

    def _put(self, name: str, path: Path, origin: str) -> None:
        self.files[name] = path
        self.origins[name] = origin


def pictures(entries: Mapping[str, Path]) -> dict[str, str]:
    """Entries that look like pictures, by path without suffix."""
    return {name.rpartition(".")[0]: name for name in sorted(entries) if name.lower().endswith(PICTURE_SUFFIXES)}


def with_background(names: Sequence[str]) -> dict[int, str]:
    """Ids for labels that have none: background 0, then the labels in their order; one named so keeps that place."""
    own = next((name for name in names if name.strip().lower() == BACKGROUND), BACKGROUND)
    return {0: own, **dict(enumerate((name for name in names if name != own), 1))}


def free_background(names: Mapping[int, str]) -> tuple[dict[int, str], int]:
    """The names with one for pixels that nothing covers, and its id: one that is there, else 0 if free, else the next
    behind all others, so that no id shifts."""
    for class_id, name in names.items():
        if name.strip().lower() == BACKGROUND:
            return dict(names), class_id
    free = (one for one in (0, max(names, default=0) + 1, *range(LARGEST_ID + 1)) if one not in names)
    place = next((one for one in free if one <= LARGEST_ID), LARGEST_ID + 1)
    return {**names, place: BACKGROUND}, place

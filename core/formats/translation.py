"""The result of a reader of a foreign format: the labelled images in our own layout, and the entry of each part."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import LabelSetError, Problem
from core.formats.class_guide import ClassGuide, Uncovered
from core.formats.image_names import PICTURE_SUFFIXES, image_titles
from core.label_sets.label_set import Note
from core.label_sets.reading.images import PictureError, PictureLimits, decode_mask, header_sizes
from core.label_sets.reading.json_files import shortened, whole_number

IMAGES, MASKS, CLASSES, KEYPOINTS = "images", "masks", "classes.json", "keypoints.json"
#: Ids end here; the ignore index stands behind them.
LARGEST_ID, IGNORE_INDEX = 254, 255
#: More images than a label set may have are refused by name; far more are not even looked at.
MOST_IMAGES = 2000
#: Work of drawing shapes, in pixels (:class:`core.formats.shapes.Patch`): for an image in multiples of its own pixels,
#: and for the archive. More than annotators draw; 8 minutes at most.
MOST_IMAGE_WORK, LEAST_IMAGE_WORK, MOST_WORK = 200, 1 << 30, 1 << 35
#: The work of any shape, however small.
_SHAPE_WORK = 10_000
#: A problem in one annotation is a problem in thousands: so many are told.
MOST_PROBLEMS = 500
_MOST_LISTED = 6

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
        self._taken: set[str] = set()
        self._masks: dict[str, tuple[Path, str]] = {}
        self._points: tuple[Sequence[str], Mapping[str, Sequence[Point]], str] | None = None
        self._shared: dict[str, list[str]] = {}
        self._count = 0
        self._work: Counter[str] = Counter()
        self._all_work = 0
        self._targets = np.arange(256, dtype=np.uint8)

    @property
    def uncovered(self) -> Uncovered | None:
        """What pixels without a shape are by the caller's class map; None where it does not decide."""
        return self._guide.uncovered if self._guide else None

    def problem(self, detail: str, pointer: str) -> None:
        """Add what is wrong; the entry that ``pointer`` names is to blame."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(detail, pointer))

    def note(self, text: str, pointer: str = "") -> None:
        """Add what was done and is no error."""
        self.notes.append(Note(text, pointer))

    def note_each(self, text: str, of: str) -> None:
        """Add a note that many images or annotations may share; :meth:`finish` lists in one what it is ``of``."""
        shared = self._shared.setdefault(text, [])
        if of not in shared:
            shared.append(of)

    def bytes_of(self, entry: str) -> bytes:
        """The content of an entry."""
        return self.entries[entry].read_bytes()

    def charge(self, entry: str, work: int, size: tuple[int, int]) -> None:
        """Count the work of drawing a shape of the picture ``entry``, whose (height, width) is ``size``.

        Raises :class:`core.errors.LabelSetError` where it is too much for the picture or the archive.
        """
        self._work[entry] += work + _SHAPE_WORK
        self._all_work += work + _SHAPE_WORK
        most = max(LEAST_IMAGE_WORK, MOST_IMAGE_WORK * size[0] * size[1])
        how = "pixels, counted for each shape by its area and outline"
        if self._work[entry] > most:
            text = f"has shapes of more than {most:,} {how}: merge or remove shapes"
        elif self._all_work > MOST_WORK:
            text = f"is where all shapes reach more than {MOST_WORK:,} {how}: use fewer or smaller images"
        else:
            return
        self.problem(text, entry)
        raise LabelSetError("drawing the shapes is too much work", self.problems)

    def image(self, entry: str) -> str | None:
        """Take a picture of the archive as an image.

        Returns the key under which its labels are added, or None, with a problem, where it is taken already.
        :meth:`finish` turns keys into the names of the label set.
        """
        if entry in self._taken:
            self.problem("is labelled twice: an image has one label", entry)
            return None
        if len(self._taken) >= MOST_IMAGES:
            self.problem(f"is one of more than {MOST_IMAGES:,} images", entry)
            return None
        self._taken.add(entry)
        return entry

    def has_image(self, key: str) -> bool:
        """Whether :meth:`image` took the picture."""
        return key in self._taken

    def size(self, entry: str) -> tuple[int, int] | None:
        """(height, width) of a picture as it is looked at, its EXIF orientation applied; None for what is none."""
        sizes = self._sizes(entry)
        return sizes[0] if sizes else None

    def orientation_hint(self, entry: str, stated: tuple[int | None, int | None]) -> str:
        """Words about EXIF where the stated (height, width) is that of the picture before it is turned upright."""
        sizes = self._sizes(entry)
        if sizes is None or stated != sizes[1] or stated == sizes[0]:
            return ""
        return ", its size before the EXIF orientation is applied: export labels and sizes of the upright image"

    def agreed_size(self, entry: str, height: object, width: object, origin: str) -> tuple[int, int] | None:
        """The same of a picture whose size the file ``origin`` states; None, with a problem, where they differ.

        ``height, width``: numbers as written there; a size that is absent or 0 agrees with any.
        """
        sizes = self._sizes(entry)
        if sizes is None:
            return None
        upright = sizes[0]
        if (height, width) in ((None, None), (0, 0)):
            return upright
        stated = whole_number(height), whole_number(width)
        if stated == upright:
            return upright
        text = f"is {upright[1]} x {upright[0]}, and {origin} has {shortened(width)} x {shortened(height)}"
        self.problem(text + self.orientation_hint(entry, stated), entry)
        return None

    def _sizes(self, entry: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
        try:
            return header_sizes(self.bytes_of(entry), self.limits)
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
                self.note(f"classes mapped by {CLASSES}: {shown}", self._guide.pointer)
            except LabelSetError as error:
                self.problems.extend(error.problems)
        self.write(CLASSES, json.dumps(document).encode(), origin)

    def mask(self, key: str, ids: NDArray[np.uint8], origin: str) -> None:
        """Add the mask of an image, uint8 [H, W] of the ids that :meth:`classes` named."""
        stream = io.BytesIO()
        Image.fromarray(self._targets[ids]).save(stream, "PNG", compress_level=1)
        self._masks[key] = self._stored(stream.getvalue()), origin

    def mask_entry(self, key: str, entry: str) -> None:
        """Add a palette or grey PNG of the archive as it is, its ids collapsed where the caller's class map says so."""
        if self._guide is None:
            self._masks[key] = self.entries[entry], entry
            return
        try:
            self.mask(key, decode_mask(self.bytes_of(entry), self.limits).pixels, entry)
        except PictureError as error:
            self.problem(str(error), entry)

    def keypoints(self, names: Sequence[str], rows: Mapping[str, Sequence[Point]], origin: str) -> None:
        """Set the named points: for the key of each image [x, y, visibility] of every name."""
        self._points = names, rows, origin

    def write(self, name: str, content: bytes, origin: str) -> None:
        """Add a file that stands in no entry as it is."""
        self._put(name, self._stored(content), origin)

    def finish(self) -> None:
        """Add the files of the images and of their labels, under names that are unique in the label set."""
        for text, shared in self._shared.items():
            rest = f" and {len(shared) - _MOST_LISTED} more" if len(shared) > _MOST_LISTED else ""
            self.note(f"{text}: {', '.join(shared[:_MOST_LISTED])}{rest}", shared[0] if len(shared) == 1 else "")
        titles = image_titles(sorted(self._taken))
        for key, title in titles.items():
            self._put(f"{IMAGES}/{title}{PurePosixPath(key).suffix}", self.entries[key], key)
        for key, (path, origin) in self._masks.items():
            self._put(f"{MASKS}/{titles[key]}.png", path, origin)
        if self._points is not None:
            names, rows, origin = self._points
            images = {titles[key]: [list(one) for one in points] for key, points in rows.items()}
            self.write(KEYPOINTS, json.dumps({"keypoints": list(names), "images": images}).encode(), origin)

    def _stored(self, content: bytes) -> Path:
        path = self._into / f"{self._count:06d}"
        path.write_bytes(content)
        self._count += 1
        return path

    def _put(self, name: str, path: Path, origin: str) -> None:
        self.files[name] = path
        self.origins[name] = origin


def pictures(entries: Mapping[str, Path]) -> dict[str, str]:
    """Entries that look like pictures, by path without suffix."""
    return {name.rpartition(".")[0]: name for name in sorted(entries) if name.lower().endswith(PICTURE_SUFFIXES)}


def is_background(name: str) -> bool:
    """Whether a class is the background by its name, ``_background_`` (labelme) included."""
    return name.strip(" _").lower() == BACKGROUND


def with_background(names: Sequence[str]) -> dict[int, str]:
    """Ids for labels that have none: background 0, then the labels in their order; one named so keeps that place."""
    own = next((name for name in names if is_background(name)), BACKGROUND)
    return {0: own, **dict(enumerate((name for name in names if name != own), 1))}


def free_background(names: Mapping[int, str]) -> tuple[dict[int, str], int]:
    """The names with one for pixels that nothing covers, and its id: one that is there, else 0 if free, else the next
    behind all others, so that no id shifts.
    """
    for class_id, name in names.items():
        if is_background(name):
            return dict(names), class_id
    free = (one for one in (0, max(names, default=0) + 1, *range(LARGEST_ID + 1)) if one not in names)
    place = next((one for one in free if one <= LARGEST_ID), LARGEST_ID + 1)
    return {**names, place: BACKGROUND}, place

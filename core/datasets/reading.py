"""From an untrusted archive to a validated label set, with every problem found and named.

Layout of the archive, which may stand in one top-level folder::

    images/NAME.jpg|png|webp|bmp
    masks/NAME.png                  palette or grey PNG whose values are class ids
    classes.json
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.datasets.archive import ArchiveLimits, Extracted, extract_archive
from core.datasets.classes import ClassMap
from core.datasets.images import Picture, PictureError, PictureLimits, decode_image, decode_mask
from core.datasets.label_set import LabelItem, LabelSet, Note
from core.errors import LabelSetError, Problem

IMAGES, MASKS, CLASSES = "images", "masks", "classes.json"
MAX_IMAGES = 1000


def read_label_set(
    archive: Path,
    into: Path,
    archive_limits: ArchiveLimits | None = None,
    picture_limits: PictureLimits | None = None,
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> LabelSet:
    """Read and validate the labelled images in ``archive`` (zip, tar or tar.gz).

    ``into`` is a folder for working files; when the call returns it holds ``pixels.bin``, to which the returned arrays
    are mapped (copy on write), so that memory does not grow with the set. Images of different sizes are taken.

    Raises :class:`core.errors.LabelSetError` with all problems at once, each pointing to the file in the archive.
    """
    unpacked = into / "entries"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        extracted = extract_archive(archive, unpacked, archive_limits, should_stop)
        return _Reading(extracted, archive.name, into / "pixels.bin", picture_limits or PictureLimits()).run(
            progress, should_stop
        )
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


@dataclass
class _Layout:
    """Where things are: by stem, the entry's name."""

    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    classes: str | None = None


@dataclass(frozen=True)
class _Stored:
    """Where one item's pixels begin in the pixel file."""

    name: str
    size: tuple[int, int]
    offset: int


class _Reading:
    def __init__(self, extracted: Extracted, archive_name: str, pixel_file: Path, limits: PictureLimits) -> None:
        self.extracted, self.archive_name, self.pixel_file, self.limits = extracted, archive_name, pixel_file, limits
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.root = _single_root(extracted.files)
        self.seen_ids: set[int] = set()
        self.pixels = 0

    def run(self, progress: Progress, should_stop: ShouldStop) -> LabelSet:
        layout = self._layout()
        classes = self._classes(layout)
        stored = list(self._items(layout, classes, progress, should_stop))
        if classes is not None and not self.problems and len(self.seen_ids & set(classes.ids)) < 2:
            shown = ", ".join(classes.name(one) for one in sorted(self.seen_ids)) or "nothing"
            self._problem(f"show one class only ({shown}): at least two are needed", self.root + MASKS)
        if self.problems or classes is None:
            raise LabelSetError("the labelled images cannot be used as they are", self.problems)
        if self.extracted.ignored:
            self.notes.append(Note(f"left aside: {_listed(self.extracted.ignored)}"))
        return LabelSet(self._mapped(stored), classes, self._format(), tuple(self.notes))

    def _problem(self, detail: str, pointer: str) -> None:
        self.problems.append(Problem(detail, pointer))

    def _format(self) -> str:
        where = f" in the folder {self.root}" if self.root else ""
        return f"{self.extracted.format} with {IMAGES}/, {MASKS}/ and {CLASSES}{where}"

    def _layout(self) -> _Layout:
        layout = _Layout()
        others: list[str] = []
        for name in sorted(self.extracted.files):
            folder, _, rest = name.removeprefix(self.root).partition("/")
            if name == self.root + CLASSES:
                layout.classes = name
            elif rest and folder in (IMAGES, MASKS):
                self._place(name, rest, layout.images if folder == IMAGES else layout.masks)
            else:
                others.append(name)
        if others:
            self.notes.append(Note(f"left aside, as they are in neither {IMAGES}/ nor {MASKS}/: {_listed(others)}"))
        for folder, found in ((IMAGES, layout.images), (MASKS, layout.masks)):
            if not found:
                self._problem(
                    f"holds no files in {folder}/; it holds {_listed(_tops(self.extracted.files))}", self.archive_name
                )
        if layout.images and layout.masks:
            self._pair(layout)
        return layout

    def _place(self, name: str, rest: str, into: dict[str, str]) -> None:
        if "/" in rest:
            return self._problem(f"lies in a folder of its own: {IMAGES}/ and {MASKS}/ have no folders inside", name)
        stem, dot, _ = rest.rpartition(".")
        stem = stem if dot and stem else rest
        if stem in into:
            return self._problem(f"has the same name as {into[stem]}", name)
        into[stem] = name

    def _pair(self, layout: _Layout) -> None:
        for stem in sorted(layout.images.keys() - layout.masks.keys()):
            self._problem(f"has no mask: {self.root}{MASKS}/{stem}.png is missing", layout.images[stem])
        for stem in sorted(layout.masks.keys() - layout.images.keys()):
            self._problem(f"has no image: there is no {self.root}{IMAGES}/{stem}.*", layout.masks[stem])
        count = len(layout.images)
        if count < 2:
            self._problem(f"holds {count} image: at least 2 are needed", self.archive_name)
        if count > MAX_IMAGES:
            self._problem(f"holds {count:,} images: a label set has at most {MAX_IMAGES:,}", self.archive_name)

    def _classes(self, layout: _Layout) -> ClassMap | None:
        if layout.classes is None:
            self._problem(f"has no {self.root}{CLASSES}, which says what the ids in the masks mean", self.archive_name)
            return None
        try:
            return ClassMap.from_bytes(self.extracted.files[layout.classes].read_bytes(), layout.classes)
        except LabelSetError as error:
            self.problems.extend(error.problems)
            return None

    def _items(
        self, layout: _Layout, classes: ClassMap | None, progress: Progress, should_stop: ShouldStop
    ) -> Iterator[_Stored]:
        """Decode every file, paired or not, and store the pixels of the good pairs."""
        stems = sorted(layout.images.keys() | layout.masks.keys())
        if len(stems) > 2 * MAX_IMAGES:
            return
        with self.pixel_file.open("wb") as target:
            for done, stem in enumerate(stems, start=1):
                stop_if_asked(should_stop)
                image = self._decoded(layout.images.get(stem), mask=False)
                mask = self._decoded(layout.masks.get(stem), mask=True)
                if mask is not None:
                    self._check_ids(mask.pixels, layout.masks[stem], classes)
                if image is not None and mask is not None and self._same_size(image, mask, layout.masks[stem]):
                    offset = target.tell()
                    target.write(image.pixels.data)
                    target.write(mask.pixels.data)
                    yield _Stored(stem, (mask.pixels.shape[0], mask.pixels.shape[1]), offset)
                progress(done, len(stems))

    def _decoded(self, name: str | None, mask: bool) -> Picture | None:
        if name is None:
            return None
        decode = decode_mask if mask else decode_image
        try:
            picture = decode(self.extracted.files[name].read_bytes(), self.limits)
        except PictureError as error:
            self._problem(str(error), name)
            return None
        self.pixels += picture.pixels.shape[0] * picture.pixels.shape[1]
        if self.pixels > self.limits.max_total_pixels:
            problem = Problem(f"holds more than {self.limits.max_total_pixels:,} pixels in all", self.archive_name)
            raise LabelSetError("the labelled images are too large", [*self.problems, problem])
        self.notes.extend(Note(text, name) for text in picture.notes)
        return picture

    def _check_ids(self, mask: NDArray[np.uint8], name: str, classes: ClassMap | None) -> None:
        counts = np.bincount(mask.ravel(), minlength=256)
        present = [int(one) for one in np.flatnonzero(counts)]
        self.seen_ids.update(present)
        if classes is None:
            return
        unknown = [one for one in present if one not in classes.names and one != classes.ignore_index]
        if unknown:
            pixels = sum(int(counts[one]) for one in unknown)
            ids = ("class id " if len(unknown) == 1 else "class ids ") + _listed([str(one) for one in unknown])
            self._problem(f"{ids} ({pixels:,} pixels) not in {CLASSES}", name)
        elif present == [classes.ignore_index]:
            self.notes.append(Note("every pixel is ignored: nothing is learnt from this image", name))

    def _same_size(self, image: Picture, mask: Picture, name: str) -> bool:
        size, wanted = mask.pixels.shape, image.pixels.shape[:2]
        if size == wanted:
            return True
        hint = ""
        if image.stored_size != wanted and size == image.stored_size:
            hint = "; it fits the image before its EXIF orientation is applied: draw it on the upright image"
        self._problem(f"is {size[1]} x {size[0]}, and its image is {wanted[1]} x {wanted[0]}{hint}", name)
        return False

    def _mapped(self, stored: list[_Stored]) -> tuple[LabelItem, ...]:
        # Copy on write: consumers may hand the arrays to torch, which wants them writable, and the file stays as it is.
        pixels = np.memmap(self.pixel_file, dtype=np.uint8, mode="c")
        items = []
        for one in stored:
            height, width = one.size
            middle = one.offset + 3 * height * width
            image = np.asarray(pixels[one.offset : middle]).reshape(height, width, 3)
            mask = np.asarray(pixels[middle : middle + height * width]).reshape(height, width)
            items.append(LabelItem(one.name, image, mask))
        return tuple(items)


def _single_root(names: dict[str, Path]) -> str:
    """``"folder/"`` when everything lies in one folder that is not itself part of the layout, else ``""``."""
    tops = {name.partition("/")[0] for name in names}
    top = next(iter(tops), "")
    inside = len(tops) == 1 and top not in (IMAGES, MASKS) and top not in names
    return f"{top}/" if inside else ""


def _tops(names: dict[str, Path]) -> list[str]:
    return sorted({top + ("/" if slash else "") for top, slash, _ in (name.partition("/") for name in names)})


def _listed(words: tuple[str, ...] | list[str], most: int = 6) -> str:
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return (", ".join(words[:most]) or "nothing") + rest

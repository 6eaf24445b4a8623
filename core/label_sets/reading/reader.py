"""From an untrusted archive to a validated label set, with every problem found and named.

:mod:`core.label_sets.reading.layout` finds the parts of an archive; other formats are translated into that layout
first (:mod:`core.formats.readers`).
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.errors import LabelSetError, Problem
from core.formats.image_names import ImageNameError, ImageNames
from core.formats.readers import translate
from core.formats.translation import Translation
from core.label_sets.boxes import BOXES, Box, image_box, parse_boxes
from core.label_sets.classes import DEFAULT_IGNORE_INDEX, ClassMap
from core.label_sets.depth_maps import DEPTH_FILE, DEPTHS, DepthUnit, decode_depth
from core.label_sets.image_classes import ImageClass, parse_image_classes
from core.label_sets.keypoints import KEYPOINTS, KeypointFile, image_points, parse_keypoints
from core.label_sets.label_set import MAX_IMAGES, LabelItem, LabelSet, Note
from core.label_sets.reading.archive import ArchiveLimits, Extracted, extract_archive
from core.label_sets.reading.images import (
    MaskFormatError,
    Picture,
    PictureError,
    PictureLimits,
    declared_pixels,
    decode_image,
    decode_mask,
)
from core.label_sets.reading.layout import (
    CLASSES,
    IMAGES,
    MASKS,
    Layout,
    find_layout,
    is_ours,
    listed,
    single_root,
    unpaired,
)
from core.label_sets.reading.problem_pictures import problem_picture

#: Items whose first problem is shown.
MOST_PICTURES = 6


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
        limits = picture_limits or PictureLimits()
        photographs = sum(declared_pixels(path, photographs_only=True) for path in extracted.files.values())
        _refuse_too_many_pixels(photographs, limits, archive.name)
        foreign = None
        if not is_ours(extracted.files):
            foreign = translate(extracted.files, archive.name, unpacked / "translated", limits)
        reading = _Reading(extracted, archive.name, into / "pixels.bin", limits, foreign)
        return reading.run(progress, should_stop)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


@dataclass(frozen=True)
class _Stored:
    """Where one item's image and mask begin in the pixel file, and its depth, if it has one; its points and box."""

    name: str
    size: tuple[int, int]
    offset: int
    depth_offset: int | None
    keypoints: NDArray[np.float32] | None
    box: Box | None
    image_digest: bytes
    mask_digest: bytes


def _repeated(stored: list[_Stored]) -> list[Note]:
    """Return notes on images whose pixels are there more than once: with equal masks, and with different ones."""
    same: dict[bytes, list[_Stored]] = {}
    for one in stored:
        same.setdefault(one.image_digest, []).append(one)
    notes = []
    for masks in ("equal", "different"):
        groups = [
            " = ".join(one.name for one in items)
            for items in same.values()
            if len(items) > 1 and (len({one.mask_digest for one in items}) > 1) == (masks == "different")
        ]
        if groups:
            notes.append(Note(f"images that occur more than once, with {masks} masks: {listed(groups)}"))
    return notes


def _names_of(path: str) -> tuple[str, ...]:
    """Return the names by which a table may call the image at ``path``: its path, and each of its endings."""
    parts = path.split("/")
    return tuple("/".join(parts[at:]) for at in range(len(parts)))


def _foreground_hint(value: int) -> str:
    return f"if {value} is your foreground, write its class id in its place: mask[mask == {value}] = 1"


def _refuse_too_many_pixels(declared: int, limits: PictureLimits, archive_name: str) -> None:
    """Raise LabelSetError before anything is decoded, which takes minutes where there are billions of pixels."""
    if declared > limits.max_total_pixels:
        detail = (
            f"images and masks have {declared:,} pixels together; at most {limits.max_total_pixels:,} are read: scale "
            "the images down to about the size that the generator draws, or send fewer"
        )
        raise LabelSetError("the labelled images are too large", [Problem(detail, archive_name)])


class _Reading:
    def __init__(
        self,
        extracted: Extracted,
        archive_name: str,
        pixel_file: Path,
        limits: PictureLimits,
        foreign: tuple[str, Translation] | None,
    ) -> None:
        self.archive_name, self.pixel_file, self.limits = archive_name, pixel_file, limits
        self.foreign = foreign
        self.problems: list[Problem] = []
        self.notes: list[Note] = []
        self.extracted, self.root = extracted, single_root(extracted.files)
        if foreign is not None:
            # From here on it is our layout, and only pointers say where things came from.
            self.extracted, self.root = replace(extracted, files=foreign[1].files), ""
            self.problems += foreign[1].problems
            self.notes += foreign[1].notes
        self.seen_ids: set[int] = set()
        self.lacks_classes = False
        #: Masks that hold no ids, by what is wrong with them: the cause is one, and so is the problem.
        self.mask_formats: dict[str, list[str]] = {}
        #: The mask of the item that is being read, whether it fits or not.
        self.mask: NDArray[np.uint8] | None = None
        self.pictures = 0

    def run(self, progress: Progress, should_stop: ShouldStop) -> LabelSet:
        layout = self._layout()
        names = (*layout.images.values(), *layout.masks.values())
        declared = sum(declared_pixels(self.extracted.files[name]) for name in names)
        _refuse_too_many_pixels(declared, self.limits, self.archive_name)
        classes, points, unit = self._classes(layout), self._points(layout), self._unit(layout)
        image_classes = self._image_classes(layout)
        stored = list(self._items(layout, classes, points, self._boxes(layout), unit, progress, should_stop))
        self._report_mask_formats()
        if self.lacks_classes:
            self._report_missing_classes()
        if layout.masks and classes is not None and not self.problems and len(self.seen_ids & set(classes.ids)) < 2:
            shown = ", ".join(classes.name(one) for one in sorted(self.seen_ids)) or "nothing"
            problem, ignored = f"show one class only ({shown}): at least two are needed", classes.ignore_index
            if ignored in self.seen_ids:
                problem += f". {ignored} is the ignore index here; {_foreground_hint(ignored)}"
            self._problem(problem, self.root + MASKS)
        if self.problems or classes is None:
            raise LabelSetError("the labelled images cannot be used as they are", self.problems)
        if self.extracted.ignored:
            self.notes.append(Note(f"left aside: {listed(self.extracted.ignored)}"))
        self.notes += _repeated(stored)
        items, notes = self._mapped(stored), tuple(self.notes)
        items = tuple(replace(one, image_class=image_classes.get(one.name)) for one in items)
        return LabelSet(items, classes, self._format(layout), notes, points.points if points else None, unit)

    def _problem(self, detail: str, pointer: str) -> None:
        self.problems.append(Problem(detail, self._origin(pointer)))

    def _add(self, error: LabelSetError) -> None:
        for problem in error.problems:
            self._problem(problem.detail, problem.pointer)

    def _origin(self, pointer: str) -> str:
        return pointer if self.foreign is None else self.foreign[1].origins.get(pointer, pointer)

    def _format(self, layout: Layout) -> str:
        if self.foreign is not None:
            return f"{self.extracted.format} of {self.foreign[0]}"
        where = f" in the folder {self.root}" if self.root else ""
        parts = [f"{IMAGES}/"]
        parts += [f"{MASKS}/", CLASSES] if layout.masks else []
        parts += [KEYPOINTS] if layout.keypoints else []
        parts += [f"{DEPTHS}/"] if layout.depths else []
        parts += [BOXES] if layout.boxes else []
        return f"{self.extracted.format} with {', '.join(parts[:-1])} and {parts[-1]}{where}"

    def _layout(self) -> Layout:
        layout, problems, notes = find_layout(self.extracted.files, self.root, self.archive_name)
        problems += unpaired(layout, self.archive_name)
        if self.foreign and self.problems:
            problems = []  # What a translation with problems lacks follows from them.
        for problem in problems:
            self._problem(problem.detail, problem.pointer)
        self.notes += notes
        return layout

    def _points(self, layout: Layout) -> KeypointFile | None:
        if layout.keypoints is None:
            return None
        try:
            points = parse_keypoints(self.extracted.files[layout.keypoints].read_bytes(), layout.keypoints)
        except LabelSetError as error:
            self._add(error)
            return None
        rows = self._by_image(points.rows, layout, layout.keypoints)
        for name in sorted(layout.images.keys() - rows.keys()):
            self._problem(f"has no keypoints: {layout.keypoints} does not name {name!r}", layout.images[name])
        return replace(points, rows=rows)

    def _boxes(self, layout: Layout) -> Mapping[str, Any]:
        if layout.boxes is None:
            return {}
        try:
            rows = parse_boxes(self.extracted.files[layout.boxes].read_bytes(), layout.boxes)
        except LabelSetError as error:
            self._add(error)
            return {}
        return self._by_image(rows, layout, layout.boxes)

    def _image_classes(self, layout: Layout) -> Mapping[str, ImageClass]:
        if layout.image_classes is None:
            return {}
        path = self.extracted.files[layout.image_classes]
        try:
            rows = parse_image_classes(path.read_bytes(), layout.image_classes)
        except LabelSetError as error:
            self._add(error)
            return {}
        # Images of the table that were not labelled are no problem: a table of samples names all of them.
        known = {name for path in layout.images.values() for name in _names_of(path)} | layout.images.keys()
        return self._by_image({name: one for name, one in rows.items() if name in known}, layout, layout.image_classes)

    def _by_image(self, rows: Mapping[str, Any], layout: Layout, pointer: str) -> Mapping[str, Any]:
        """The rows of a file by the name of their image; names without an image, or with a second row, are problems."""
        images = {entry: name for name, entry in layout.images.items()}
        index = ImageNames(layout.images.values())
        found: dict[str, Any] = {}
        for written, row in sorted(rows.items(), key=lambda one: one[0] not in layout.images)[: 2 * MAX_IMAGES]:
            try:
                name = written if written in layout.images else images[index.find(written, pointer)]
            except ImageNameError as error:
                self._problem(str(error), pointer)
                continue
            if name in found:
                self._problem(f"names the image {name!r} twice, once as {written!r}", pointer)
            found.setdefault(name, row)
        return found

    def _unit(self, layout: Layout) -> DepthUnit | None:
        if not layout.depths:
            return None
        if layout.unit is None:
            wanted = f"has no {self.root}{DEPTH_FILE}, which defines the numbers in {DEPTHS}/"
            self._problem(wanted, self.archive_name)
            return None
        try:
            return DepthUnit.from_bytes(self.extracted.files[layout.unit].read_bytes(), layout.unit)
        except LabelSetError as error:
            self._add(error)
            return None

    def _classes(self, layout: Layout) -> ClassMap | None:
        if not layout.masks and (layout.keypoints or layout.depths):
            return ClassMap({})
        if layout.classes is None and ((self.foreign and self.problems) or not (layout.images and layout.labelled)):
            return None  # The cause is named already.
        if layout.classes is None:
            self.lacks_classes = True  # reported once the ids in the masks are known
            return None
        try:
            return ClassMap.from_bytes(self.extracted.files[layout.classes].read_bytes(), layout.classes)
        except LabelSetError as error:
            self._add(error)
            return None

    def _items(
        self,
        layout: Layout,
        classes: ClassMap | None,
        points: KeypointFile | None,
        boxes: Mapping[str, Any],
        unit: DepthUnit | None,
        progress: Progress,
        should_stop: ShouldStop,
    ) -> Iterator[_Stored]:
        """Decode every file, paired or not, and store the pixels of the good pairs."""
        stems = sorted(layout.images.keys() | layout.masks.keys() | layout.depths.keys())
        if len(stems) > 2 * MAX_IMAGES:
            return
        with self.pixel_file.open("wb") as target:
            for done, stem in enumerate(stems, start=1):
                stop_if_asked(should_stop)
                told, self.mask = len(self.problems), None
                image = self._decoded(layout.images.get(stem), mask=False)
                mask = self._mask(image, stem, layout, classes)
                depth = self._depth(image, layout.depths.get(stem), unit)
                rows = self._image_points(image, stem, layout, points)
                box = self._image_box(image, stem, layout, boxes)
                if image is not None and (self.mask is not None or rows is not None):
                    self._show(told, image, rows, classes)
                if image is not None and mask is not None:
                    size = (image.pixels.shape[0], image.pixels.shape[1])
                    # Four bytes a value: where the depth begins must be a multiple of that.
                    target.write(bytes(-target.tell() % 4))
                    depth_offset = None if depth is None else target.tell()
                    if depth is not None:
                        target.write(depth.data)
                    digests = [hashlib.sha256(pixels.data).digest() for pixels in (image.pixels, mask)]
                    yield _Stored(stem, size, target.tell(), depth_offset, rows, box, *digests)
                    target.write(image.pixels.data)
                    target.write(mask.data)
                progress(done, len(stems))

    def _show(self, told: int, image: Picture, points: NDArray[np.float32] | None, classes: ClassMap | None) -> None:
        """Put a picture beside the first problem of an item, where it has any since so many were ``told``."""
        if len(self.problems) > told and self.pictures < MOST_PICTURES:
            self.pictures += 1
            picture = problem_picture(image.pixels, self.mask, classes, points)
            self.problems[told] = replace(self.problems[told], picture=picture)

    def _mask(
        self, image: Picture | None, stem: str, layout: Layout, classes: ClassMap | None
    ) -> NDArray[np.uint8] | None:
        """The mask, where it fits its image; all ignored in a set without masks."""
        if not layout.masks and image is not None and classes is not None:
            return np.full(image.pixels.shape[:2], classes.ignore_index, np.uint8)
        mask = self._decoded(layout.masks.get(stem), mask=True)
        if mask is None:
            return None
        self.mask = mask.pixels
        self._check_ids(mask.pixels, layout.masks[stem], classes)
        fits = image is not None and self._same_size(image, mask.pixels, layout.masks[stem])
        return mask.pixels if fits else None

    def _depth(self, image: Picture | None, name: str | None, unit: DepthUnit | None) -> NDArray[np.float32] | None:
        if name is None or unit is None:
            return None
        try:
            depth = decode_depth(name, self.extracted.files[name].read_bytes(), unit, self.limits)
        except PictureError as error:
            self._problem(str(error), name)
            return None
        if not depth.any():
            self.notes.append(Note("no pixel has a depth: nothing is learnt from this map", self._origin(name)))
        return np.ascontiguousarray(depth) if image is not None and self._same_size(image, depth, name) else None

    def _image_points(
        self, image: Picture | None, stem: str, layout: Layout, points: KeypointFile | None
    ) -> NDArray[np.float32] | None:
        if image is None or points is None or stem not in points.rows:
            return None
        size = (image.pixels.shape[0], image.pixels.shape[1])
        row, problems = image_points(points.rows[stem], points.points.names, size)
        for problem in problems:
            self._problem(f"{stem}: {problem}", str(layout.keypoints))
        return row

    def _image_box(self, image: Picture | None, stem: str, layout: Layout, boxes: Mapping[str, Any]) -> Box | None:
        if image is None or stem not in boxes:
            return None
        try:
            return image_box(boxes[stem], (image.pixels.shape[0], image.pixels.shape[1]))
        except ValueError as error:
            self._problem(f"{stem}: {error}", str(layout.boxes))
            return None

    def _decoded(self, name: str | None, mask: bool) -> Picture | None:
        if name is None:
            return None
        decode = decode_mask if mask else decode_image
        try:
            picture = decode(self.extracted.files[name].read_bytes(), self.limits)
        except MaskFormatError as error:
            self.mask_formats.setdefault(str(error), []).append(name)
            return None
        except PictureError as error:
            self._problem(str(error), name)
            return None
        self.notes.extend(Note(text, self._origin(name)) for text in picture.notes)
        return picture

    def _report_missing_classes(self) -> None:
        problem = f"has no {self.root}{CLASSES}, which names the class ids of the masks"
        if self.seen_ids:
            problem += f"; they hold {listed([str(one) for one in sorted(self.seen_ids)])}"
        if DEFAULT_IGNORE_INDEX in self.seen_ids:
            problem += f". {DEFAULT_IGNORE_INDEX} is the ignore index; {_foreground_hint(DEFAULT_IGNORE_INDEX)}"
        self._problem(problem, self.archive_name)

    def _report_mask_formats(self) -> None:
        for detail, names in self.mask_formats.items():
            more = f" (as are {len(names) - 1} more: {listed([self._origin(one) for one in names[1:]])})"
            self._problem(detail + (more if len(names) > 1 else ""), names[0])

    def _check_ids(self, mask: NDArray[np.uint8], name: str, classes: ClassMap | None) -> None:
        counts = np.bincount(mask.ravel(), minlength=256)
        present = [int(one) for one in np.flatnonzero(counts)]
        self.seen_ids.update(present)
        if classes is None:
            return
        unknown = [one for one in present if one not in classes.names and one != classes.ignore_index]
        if unknown:
            pixels = sum(int(counts[one]) for one in unknown)
            ids = ("class id " if len(unknown) == 1 else "class ids ") + listed([str(one) for one in unknown])
            hint = f"; {_foreground_hint(255)}" if unknown == [255] else ""
            self._problem(f"{ids} ({pixels:,} pixels) not in {CLASSES}{hint}", name)
        elif present == [classes.ignore_index]:
            self.notes.append(Note("every pixel is ignored: nothing is learnt from this image", self._origin(name)))

    def _same_size(self, image: Picture, label: NDArray[Any], name: str) -> bool:
        size, wanted = label.shape, image.pixels.shape[:2]
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
            depth = None
            if one.depth_offset is not None:
                numbers = pixels[one.depth_offset : one.depth_offset + 4 * height * width]
                depth = np.asarray(numbers).view(np.float32).reshape(height, width)
            items.append(LabelItem(one.name, image, mask, one.keypoints, depth, one.box))
        return tuple(items)

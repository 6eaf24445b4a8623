"""Images of one size in one file: packed from any stream of photographs, read by index.

The file holds the pixels of all images, uint8 [C, H, W] each, one after another; then a JSON object with names, classes
and SHA-256 digests of blocks of pixels; then the digest of that object, its length and :data:`MAGIC`. It is written
once and never changed.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import ImageSetError, LabelSetError, Problem, ShardError
from core.evaluation.near_copies import LEAST_CONTRAST, SMALL_LIMIT, coarse_cells
from core.label_sets.reading.images import PictureError, decode_image
from core.label_sets.resize import Fit, check_target, fitted
from core.run import Run

MAGIC = b"offhand-images-1"
_TAIL = 32 + 8 + len(MAGIC)
BLOCK = 1024
"""Images that share a digest."""
HELD_OUT_SHARE, LEAST_HELD_OUT = 0.05, 200
MOST_COMPARED = 30_000
"""Images up to which re-encoded and resized copies are found; beyond it those with equal pixels are."""
LEAST_IMAGES = 2
FEW_IMAGES = 500
"""Images below which a report warns."""
MOST_SPARSE_CLASSES = 10
"""Classes up to which most may have a single image; beyond it they are captions, or folders of single images."""
_COMPARED_AT_ONCE = 256


class SourceImage(NamedTuple):
    """A photograph: its name, the bytes of its file, and its class, if it has one."""

    name: str
    content: bytes
    class_name: str | None = None


@dataclass(frozen=True)
class PackReport:
    """Findings about the images that were packed."""

    images: int
    counts: dict[str, int]
    """Images of each class; empty without classes."""
    channels: int
    held_out: int
    unreadable: tuple[Problem, ...]
    """Files that are left out, and why."""
    copies: tuple[tuple[str, str], ...]
    """(image, earlier image) of each image that is a copy. Copies stay in the training part."""
    notes: tuple[str, ...] = ()
    asymmetry: float = 0.0
    """Root mean square difference of the mean image from its mirror image, as a share of an image's mean contrast."""
    left_out: int = 0
    """Images that ``select`` did not choose."""


def class_order(classes: Iterable[str | None]) -> list[str]:
    """Return the names of classes in the order of their indices: numbers by value, else by the alphabet."""
    names = {name for name in classes if name is not None}
    numbers = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name) if numbers else 0, name))


Select = Callable[[Sequence[str | None]], Sequence[int]]
"""From the class of each image, the indices of those to keep, in order."""


def pack_images(
    source: Iterable[SourceImage],
    path: Path,
    size: tuple[int, int],
    fit: Fit = "crop",
    *,
    licence: str = "",
    held_out: int | None = None,
    select: Select | None = None,
    run: Run | None = None,
) -> PackReport:
    """Write the images of a stream to ``path`` at (height, width). Memory does not grow with their pixels.

    Images that are all grey are stored with one channel. held_out: how many are kept from training, drawn at random
    with ``run.seed`` among images without copies; None for 5 %, at least 200, at most half. select: chooses the images
    to keep once the classes of all are known; None for all. ``run.progress`` gets the
    number of images, the total of a stream being unknown. Raises :class:`ImageSetError` where the size is wrong, fewer
    than two images can be read, or some have a class and others not; ``path`` is then not written.
    """
    try:
        check_target(*size, fit)
    except LabelSetError as error:
        raise ImageSetError("images cannot be packed at this size", error.problems) from error
    packing = _Packing(size, fit, run or Run())
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb+") as file:
            packing.write_pixels(source, file)
            packing.check()
            if select is not None:
                packing.keep(file, select(packing.classes))
            if packing.grey:
                packing.drop_colour(file)
            report = packing.finish(file, licence, held_out)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return report


@dataclass
class _Packing:
    """Facts about the images written so far."""

    size: tuple[int, int]
    fit: Fit
    run: Run
    names: list[str] = field(default_factory=list)
    classes: list[str | None] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)
    cells: list[NDArray[np.float32]] = field(default_factory=list)
    seen: dict[bytes, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    colourless: list[bool] = field(default_factory=list)
    captions: int = 0
    """Names of classes that were taken as captions."""
    left_out: int = 0

    @property
    def grey(self) -> bool:
        """Whether no image has colour."""
        return all(self.colourless)

    def write_pixels(self, source: Iterable[SourceImage], file: BinaryIO) -> None:
        """Decode and fit every image, and write it as [3, H, W]."""
        for one in source:
            self.run.stop_if_asked()
            try:
                pixels = fitted(decode_image(one.content).pixels, *self.size, self.fit)
            except PictureError as error:
                self.unreadable.append(Problem(str(error), one.name))
                continue
            content = np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes()
            index, digest = len(self.names), hashlib.sha256(content).digest()
            if digest in self.seen:
                self.copies[index] = self.seen[digest]
            self.seen.setdefault(digest, index)
            if index < MOST_COMPARED:
                self.cells.append(coarse_cells(pixels))
            self.colourless.append(bool((pixels == pixels[..., :1]).all()))
            self.names.append(one.name)
            self.classes.append(one.class_name)
            file.write(content)
            self.run.progress(index + 1, index + 1)

    def check(self) -> None:
        """Raise where too few images were read, or some have no class."""
        problems = []
        if len(self.names) < LEAST_IMAGES:
            problems += [
                Problem(f"expected at least {LEAST_IMAGES} readable images, found {len(self.names)}", "images")
            ]
            problems += self.unreadable
        without = [name for name, known in zip(self.names, self.classes, strict=True) if known is None]
        if without and len(without) < len(self.names):
            problems += [Problem("has no class, but other images do", name) for name in without]
        if problems:
            raise ImageSetError("these images cannot be packed", problems)
        if len(set(self.classes)) > max(MOST_SPARSE_CLASSES, len(self.names) // 2):
            self.captions = len(set(self.classes))
            self.classes = [None] * len(self.names)

    def keep(self, file: BinaryIO, indices: Sequence[int]) -> None:
        """Keep some of the images, in place: every one of them moves toward the beginning."""
        each, place = 3 * self.size[0] * self.size[1], {old: new for new, old in enumerate(indices)}
        for new, old in enumerate(indices):
            file.seek(old * each)
            content = file.read(each)
            file.seek(new * each)
            file.write(content)
        file.truncate(len(indices) * each)
        self.left_out = len(self.names) - len(indices)
        self.cells = [self.cells[old] for old in indices if old < len(self.cells)]
        self.names, self.classes = [self.names[old] for old in indices], [self.classes[old] for old in indices]
        self.colourless = [self.colourless[old] for old in indices]
        self.copies = {
            place[copy]: place[first] for copy, first in self.copies.items() if copy in place and first in place
        }

    def drop_colour(self, file: BinaryIO) -> None:
        """Keep the first channel of each image, in place: every image moves toward the beginning."""
        plane = self.size[0] * self.size[1]
        for index in range(len(self.names)):
            file.seek(3 * index * plane)
            content = file.read(plane)
            file.seek(index * plane)
            file.write(content)
        file.truncate(len(self.names) * plane)

    def finish(self, file: BinaryIO, licence: str, held_out: int | None) -> PackReport:
        """Write digests, names and classes after the pixels."""
        if len(self.names) <= MOST_COMPARED:
            self.copies |= {copy: first for copy, first in self._near_copies() if copy not in self.copies}
        channels = 1 if self.grey else 3
        names = class_order(self.classes)
        apart = self._held_out(held_out)
        facts = {
            "shape": [channels, *self.size],
            "fit": self.fit,
            "licence": licence,
            "names": self.names,
            "classes": names,
            "class_index": [names.index(name) for name in self.classes if name is not None],
            "held_out": apart,
            "block": BLOCK,
            "digests": list(_digests(file, channels * self.size[0] * self.size[1], len(self.names))),
        }
        content = json.dumps(facts, ensure_ascii=False).encode()
        file.seek(0, os.SEEK_END)
        file.write(content + hashlib.sha256(content).digest() + len(content).to_bytes(8, "big") + MAGIC)
        file.flush()
        os.fsync(file.fileno())
        counts = Counter(name for name in self.classes if name is not None)
        copies = tuple((self.names[copy], self.names[first]) for copy, first in sorted(self.copies.items()))
        return PackReport(
            len(self.names),
            {name: counts[name] for name in names},
            channels,
            len(apart),
            tuple(self.unreadable),
            copies,
            tuple(self._notes(counts)),
            _asymmetry(file, (len(self.names), channels, *self.size)),
            self.left_out,
        )

    def _notes(self, counts: Mapping[str, int]) -> Iterator[str]:
        count, grey = len(self.names), sum(self.colourless)
        if self.captions:
            yield f"{self.captions} names of classes for {count} images are taken as captions: the set has no classes"
        if 0 < grey < count:
            yield f"{grey} of {count} images are grey and the others have colour; all are stored with colour"
        if single := [name for name, images in sorted(counts.items()) if images == 1]:
            shown = ", ".join(single[:10]) + (f" and {len(single) - 10} more" if len(single) > 10 else "")
            yield f"classes with a single image: {shown}"
        if count < FEW_IMAGES:
            yield f"{count} images; a training needs {FEW_IMAGES} or more to draw new ones rather than repeat these"

    def _held_out(self, wanted: int | None) -> list[int]:
        copied = self.copies.keys() | set(self.copies.values())
        alone = np.array([index for index in range(len(self.names)) if index not in copied], np.int64)
        most = len(self.names) // 2
        count = max(LEAST_HELD_OUT, round(HELD_OUT_SHARE * len(self.names))) if wanted is None else wanted
        chosen = np.random.default_rng(self.run.seed).permutation(alone)[: min(count, most)]
        return sorted(int(index) for index in chosen)

    def _near_copies(self) -> Iterator[tuple[int, int]]:
        """Yield (image, earlier image) for each image that is close to an earlier one."""
        cells = np.stack(self.cells)
        norms = np.square(cells).sum(1)
        contrast = np.maximum(cells.std(1), LEAST_CONTRAST)
        for start in range(0, len(cells), _COMPARED_AT_ONCE):
            self.run.stop_if_asked()
            rows = slice(start, min(start + _COMPARED_AT_ONCE, len(cells)))
            squares = norms[rows, None] + norms[None, : rows.stop] - 2 * cells[rows] @ cells[: rows.stop].T
            distance = np.sqrt(np.maximum(squares, 0) / cells.shape[1]) / contrast[None, : rows.stop]
            close = distance <= SMALL_LIMIT
            for row in np.flatnonzero(close.any(1)):
                earlier = np.flatnonzero(close[row, : start + row])
                if len(earlier):
                    yield int(start + row), int(earlier[distance[row, earlier].argmin()])


def _asymmetry(file: BinaryIO, shape: tuple[int, int, int, int]) -> float:
    """Return :attr:`PackReport.asymmetry`, without the part that chance contributes: from two halves of the images,
    whose difference images are multiplied with one another.
    """
    count, channels, height, width = shape
    sums, numbers, contrast = np.zeros((2, height, width)), np.zeros(2), 0.0
    file.seek(0)
    for index in range(count):
        pixels = np.frombuffer(file.read(channels * height * width), np.uint8).reshape(channels, height, width)
        luminance = pixels.mean(0)
        sums[index % 2] += luminance
        numbers[index % 2] += 1
        contrast += float(luminance.std()) / count
    means = sums / np.maximum(numbers, 1)[:, None, None]
    differences = means - means[:, :, ::-1]
    shared = max(0.0, float((differences[0] * differences[1]).mean()))
    return float(np.sqrt(shared)) / max(contrast, 1.0)


def _digests(file: BinaryIO, bytes_each: int, count: int) -> Iterator[str]:
    """Yield the SHA-256 (hex) of each block of images."""
    file.seek(0)
    for first in range(0, count, BLOCK):
        yield hashlib.sha256(file.read(bytes_each * min(BLOCK, count - first))).hexdigest()


class PackedImages:
    """Images of a packed file, all of them or a part; pixels are read from the file when they are asked for."""

    def __init__(self, path: Path, indices: Sequence[int] | None = None, weights: Tensor | None = None) -> None:
        """Open a file that :func:`pack_images` wrote. indices: the images of the part; None for all.

        weights: float64 [N], relative frequency with which each is drawn; None for equally often. Raises
        :class:`ShardError` for a file that is cut or damaged; pixels are checked by :meth:`verify`.
        """
        self.path, self.weights = path, weights
        self._facts = _read_facts(path)
        self.shape: tuple[int, int, int] = tuple(self._facts["shape"])
        self.classes: tuple[str, ...] = tuple(self._facts["classes"])
        self.licence: str = self._facts["licence"]
        self.fit: Fit = self._facts["fit"]
        self._pixels = np.memmap(path, np.uint8, "r", shape=(len(self._facts["names"]), *self.shape))
        self._indices = np.arange(len(self._pixels)) if indices is None else np.asarray(list(indices), np.int64)

    @property
    def training(self) -> "PackedImages":
        """The images that are not held out."""
        apart = set(self._facts["held_out"])
        return PackedImages(self.path, [index for index in range(len(self._pixels)) if index not in apart])

    @property
    def held_out(self) -> "PackedImages":
        """The images that are kept from training."""
        return PackedImages(self.path, self._facts["held_out"])

    @property
    def names(self) -> list[str]:
        """Names of the images of this part."""
        return [self._facts["names"][index] for index in self._indices]

    @cached_property
    def class_index(self) -> Tensor | None:
        """int64 [N], or None without classes."""
        if not self.classes:
            return None
        return torch.tensor(self._facts["class_index"], dtype=torch.long)[torch.from_numpy(self._indices)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of pixels, names, classes and weights of this part."""
        facts = [self._facts, self._indices.tolist(), None if self.weights is None else self.weights.tolist()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: Sequence[int]) -> Tensor:
        """Return uint8 [n, C, H, W] in the order of ``indices``."""
        return torch.from_numpy(np.array(self._pixels[self._indices[list(indices)]]))

    def verify(self, run: Run | None = None) -> None:
        """Compare all pixels of the file with their digests. Raises :class:`ShardError` that names damaged blocks."""
        bytes_each, damaged = int(np.prod(self.shape)), []
        with self.path.open("rb") as file:
            found = _digests(file, bytes_each, len(self._pixels))
            for number, (digest, wanted) in enumerate(zip(found, self._facts["digests"], strict=True)):
                (run or Run()).stop_if_asked()
                if digest != wanted:
                    first = number * self._facts["block"]
                    damaged.append(Problem(f"expected SHA-256 {wanted}, found {digest}", f"images {first} onward"))
        if damaged:
            raise ShardError(f"{self.path.name} is damaged", damaged)


def _read_facts(path: Path) -> dict[str, Any]:
    """Return the JSON object of a packed file. Raises :class:`ShardError` where the file is cut or of another kind."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        length = int.from_bytes(tail[32:40], "big")
        if tail[40:] != MAGIC or length > size - _TAIL:
            detail = f"expected {MAGIC.decode()!r} at its end; the file is cut, or of another kind"
            raise ShardError(f"{path.name} holds no packed images", [Problem(detail, path.name)])
        file.seek(size - _TAIL - length)
        content = file.read(length)
    if hashlib.sha256(content).digest() != tail[:32]:
        raise ShardError(f"{path.name} is damaged", [Problem("its index does not match its digest", path.name)])
    facts: dict[str, Any] = json.loads(content)
    expected = int(np.prod(facts["shape"])) * len(facts["names"])
    if size - _TAIL - length != expected:
        detail = f"expected {expected} bytes of pixels, found {size - _TAIL - length}"
        raise ShardError(f"{path.name} is damaged", [Problem(detail, path.name)])
    return facts

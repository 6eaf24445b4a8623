"""What an export states about its dataset: names, classes, tasks, and the part that is for validation."""

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args

from core.datasets.samples import StoredSample
from core.label_sets.classes import ClassMap
from core.label_sets.depth_maps import DepthUnit
from core.label_sets.keypoints import KeypointMap
from core.tasks.task import Task

Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = get_args(Part)
#: The caller's class map beside a foreign format (:mod:`core.formats.class_guide`): our own reader returns the
#: dataset's ids, names and ignore index by it, whatever the format has no place for.
CLASS_MAP = "offhand/classes.json"
_BACKGROUND = "background"


@dataclass(frozen=True)
class Split:
    """A part of the dataset for validation. ``fraction``: of all samples, 0 to below 1. ``seed``: which of them."""

    fraction: float
    seed: int = 0

    def validation(self, count: int) -> frozenset[int]:
        """Return the positions (0..count - 1) of the validation part: the rounded fraction, at least one and not all
        where both parts can have one. The same for the same seed and count, on every machine.
        """
        wanted = round(self.fraction * count)
        if self.fraction > 0 and count > 1:
            wanted = min(max(wanted, 1), count - 1)
        order = heapq.nsmallest(
            wanted, range(count), key=lambda place: sha256(f"{self.seed} {place}".encode()).digest()
        )
        return frozenset(order)


@dataclass(frozen=True)
class ExportFacts:
    """``name``: the dataset's. ``count``: how many samples there are. ``licence``: of the generator, which drew them.

    ``classes`` names none, ``keypoints`` and ``depth`` are None, where that is no task of the dataset.

    ``documents``: files that explain the dataset whatever its format (card, manifest), by name.
    ``split``: the validation part; None for the format's own (:func:`core.formats.writers.split_for`).
    """

    name: str
    classes: ClassMap
    count: int
    licence: str = ""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    keypoints: KeypointMap | None = None
    depth: DepthUnit | None = None
    split: Split | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is labelled."""
        labelled = {"segmentation": self.classes.names, "keypoints": self.keypoints, "depth": self.depth}
        return tuple(task for task in get_args(Task) if labelled[task])

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that hold samples."""
        return PARTS if self.split and self.split.validation(self.count) else PARTS[:1]

    def parted(self, samples: Iterable[StoredSample]) -> Iterator[tuple[Part, StoredSample]]:
        """Yield each sample with its part."""
        validation = self.split.validation(self.count) if self.split else frozenset()
        for place, sample in enumerate(samples):
            yield ("val" if place in validation else "train"), sample

    def names_without_gaps(self) -> list[str]:
        """Return a name for every id from 0 to the largest, for formats in which a class's place is its id.

        All names are different: an id without a class is ``class 7``, or ``class 7 (unused)`` where a class has that
        name.
        """
        taken = set(self.classes.names.values())
        names = []
        for class_id in range(self.classes.count):
            name = self.classes.names.get(class_id, f"class {class_id}")
            while class_id not in self.classes.names and name in taken:
                name += " (unused)"
            taken.add(name)
            names.append(name)
        return names

    def class_map(self, written: Mapping[int, str]) -> bytes:
        """Return the file :data:`CLASS_MAP`. ``written``: the name that the format's own files have for each id."""
        ignored = self.classes.ignore_index
        sources = {name: class_id if class_id in self.classes.names else ignored for class_id, name in written.items()}
        if not any(name.strip().lower() == _BACKGROUND for name in written.values()):
            # Where a format lists shapes, our reader names what none covers: here, ignored pixels.
            sources[_BACKGROUND] = ignored
        document = {**self.classes.to_json(), "sources": sources, "uncovered": "ignored"}
        return json.dumps(document, indent=1, ensure_ascii=False).encode()


def stem(index: int) -> str:
    """The file name of a sample, without suffix: its index in the stream, as in the shards."""
    return f"{index:09d}"

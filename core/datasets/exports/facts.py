"""What an export says of its dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from core.datasets.classes import ClassMap
from core.datasets.depths import DepthUnit
from core.datasets.keypoints import KeypointMap
from core.tasks.task import Task


@dataclass(frozen=True)
class ExportFacts:
    """``name``: the dataset's. ``count``: how many samples there are. ``licence``: of the generator, which drew them.

    ``classes`` names none, ``keypoints`` and ``depth`` are None, where that is no task of the dataset.

    ``documents``: files that explain the dataset whatever its format (card, manifest), by name.
    """

    name: str
    classes: ClassMap
    count: int
    licence: str = ""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    keypoints: KeypointMap | None = None
    depth: DepthUnit | None = None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is labelled."""
        labelled = {"segmentation": self.classes.names, "keypoints": self.keypoints, "depth": self.depth}
        return tuple(task for task in get_args(Task) if labelled[task])

    def names_without_gaps(self) -> list[str]:
        """A name for every id from 0 to the largest, for formats in which a class's place is its id."""
        return [self.classes.name(class_id) for class_id in range(self.classes.count)]


def stem(index: int) -> str:
    """The file name of a sample, without suffix: its index in the stream, as in the shards."""
    return f"{index:09d}"

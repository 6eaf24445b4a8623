"""Labelled images that the generator was trained on, and a rule other than that of its training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from core.label_sets.label_set import LabelSet
from core.training.image_index import ImageIndex
from store.jobs.events import NewEvent
from store.requests.inversion import FramingSpec
from store.resources.files import File, list_files
from store.resources.generators import TRAINING_IMAGES, get_generator
from store.resources.image_sets import INDEX
from worker.runtime.step_context import StepContext

#: Images that a line of the job's log names.
_NAMED = 100


def keep_indices(context: StepContext, generator_id: str, image_set_id: str, begun_with: str | None) -> list[File]:
    """Store the index of the images that a generator is trained on among its files, and return the files.

    begun_with: the generator that the training began with, whose indices are kept as well.
    """
    paths = [context.fetch(image_set_id, INDEX), *([] if begun_with is None else _index_paths(context, begun_with))]
    by_digest: dict[str, Path] = {}
    for path in paths:
        by_digest.setdefault(ImageIndex.load(path).digest, path)
    return [
        context.put(generator_id, f"{TRAINING_IMAGES}{number}.npz", path, "application/octet-stream")
        for number, path in enumerate(by_digest.values())
    ]


def training_indices(context: StepContext, generator: str) -> list[ImageIndex]:
    """Return the indices of a generator's training images, by its name or id; none where it has none."""
    return [ImageIndex.load(path) for path in _index_paths(context, generator)]


def _index_paths(context: StepContext, generator: str) -> list[Path]:
    row = get_generator(context.db, generator, tenant=context.tenant)
    if row.builtin:
        shipped = context.settings.shipped_folder
        return [] if shipped is None else sorted((shipped / row.name / TRAINING_IMAGES).glob("*.npz"))
    kept = list_files(context.db, row.id, tenant=context.tenant, prefix=TRAINING_IMAGES)
    folder = context.folder / f"indices-{row.id}"
    folder.mkdir(exist_ok=True)
    return [context.fetch(row.id, file.name, into=folder) for file in kept]


def seen_in_training(context: StepContext, indices: Sequence[ImageIndex], labels: LabelSet) -> dict[str, str]:
    """Return name of each labelled image that is a copy of a training image → name of that image.

    labels: as uploaded, in no frame yet.
    """
    images = [item.image for item in labels.items]
    found: dict[int, str] = {}
    for index in reversed(indices):
        found |= index.copies_among(images, context.run("cpu"))
    return {labels.items[at].name: name for at, name in sorted(found.items())}


def overlap_events(
    context: StepContext, generator: str, asked: FramingSpec, labels: Callable[[], LabelSet]
) -> tuple[NewEvent, ...]:
    """Return warnings for the job's log. `labels`: loads the labelled images, where the generator has an index."""
    indices = training_indices(context, generator)
    if not indices:
        return ()
    loaded, found, index = labels(), [], indices[0]
    if seen := seen_in_training(context, indices, loaded):
        count = f"{len(seen)} of {len(loaded.items)} labelled images"
        text = f"{count} also trained the generator: it redraws them better than new ones"
        data = {"text": text, "images": dict(list(seen.items())[:_NAMED])}
        found.append(NewEvent("label_set.seen_in_training", data, "warning"))
    height, width = index.size
    shaped = any(item.size[0] * width != item.size[1] * height for item in loaded.items)
    if shaped and asked.align.by is None and asked.fit != index.fit:
        text = (
            f"the generator's training images were brought to its size by {index.fit}, the labelled images are by "
            f"{asked.fit}: use fit: {index.fit}"
        )
        found.append(NewEvent("label_set.other_fit", {"text": text}, "warning"))
    return tuple(found)

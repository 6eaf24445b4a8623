"""Labelled images that the generator was trained on, and a rule other than that of its training images."""

from __future__ import annotations

from collections.abc import Callable

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


def keep_index(context: StepContext, generator_id: str, image_set_id: str) -> File:
    """Store the index of the images that a generator was trained on among its files, and return the file."""
    path = context.fetch(image_set_id, INDEX)
    return context.put(generator_id, TRAINING_IMAGES, path, "application/octet-stream")


def training_index(context: StepContext, generator: str) -> ImageIndex | None:
    """Return the index of a generator's training images, by its name or id; None where it has none."""
    row = get_generator(context.db, generator, tenant=context.tenant)
    if row.builtin:
        shipped = context.settings.shipped_folder
        path = None if shipped is None else shipped / row.name / TRAINING_IMAGES
        return ImageIndex.load(path) if path is not None and path.is_file() else None
    if not list_files(context.db, row.id, tenant=context.tenant, prefix=TRAINING_IMAGES):
        return None
    return ImageIndex.load(context.fetch(row.id, TRAINING_IMAGES))


def seen_in_training(context: StepContext, index: ImageIndex, labels: LabelSet) -> dict[str, str]:
    """Return name of each labelled image that is a copy of a training image → name of that image.

    labels: as uploaded, in no frame yet.
    """
    found = index.copies_among([item.image for item in labels.items], context.run("cpu"))
    return {labels.items[at].name: name for at, name in sorted(found.items())}


def overlap_events(
    context: StepContext, generator: str, asked: FramingSpec, labels: Callable[[], LabelSet]
) -> tuple[NewEvent, ...]:
    """Return warnings for the job's log. `labels`: loads the labelled images, where the generator has an index."""
    index = training_index(context, generator)
    if index is None:
        return ()
    loaded, found = labels(), []
    if seen := seen_in_training(context, index, loaded):
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

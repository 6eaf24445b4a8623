"""Training set of a labeler: labelled images with their codes, and mirror images beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.generators.interface import Codes
from core.label_sets.flip import mirrored
from core.label_sets.label_set import LabelItem, LabelSet
from store.requests.labeler import CollapseSpec
from store.resources.artifacts import Made
from store.resources.reports import InversionReport
from worker.loading import load_codes
from worker.runtime.step_context import StepContext
from worker.steps.label_sets.class_collapse import taught


@dataclass(frozen=True)
class TrainingSet:
    """N codes with N labelled images; `origins`: the number of the labelled image of each."""

    codes: Codes
    items: tuple[LabelItem, ...]
    origins: list[int]


def training_set_of(
    context: StepContext,
    framed: LabelSet,
    inversion: Made,
    used: Sequence[int],
    mirrors: Sequence[int],
    collapse: CollapseSpec | None,
) -> TrainingSet:
    """Return the labelled images `used`, by number, then the mirror images of `mirrors`. `framed`: in the generator's
    frame, all classes. Raises LabelSetError for a collapse that cannot be.
    """
    learnt = taught(framed, collapse).items
    items = [learnt[number] for number in used]
    if mirrors:
        # Left and right are told by the names that the labels have before any collapse.
        reflections = taught(mirrored(framed), collapse).items
        items += [reflections[number] for number in mirrors]
    places = [*used, *(len(learnt) + number for number in mirrors)]
    return TrainingSet(load_codes(context, inversion.id)[places], tuple(items), [*used, *mirrors])


def usable_mirrors(inversion: InversionReport, used: Sequence[int], drop_flagged: bool) -> list[int]:
    """Return which of the images `used` have a mirror image to learn from as well. What is flagged goes where
    `drop_flagged` says so, unless the image itself is used although it is flagged.
    """
    originals, mirrors = inversion.per_image, inversion.mirrored
    if not mirrors:
        return []
    dropped = {n for n in used if drop_flagged and mirrors[n].flagged and not originals[n].flagged}
    return [number for number in used if number not in dropped]

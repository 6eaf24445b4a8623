"""Shared by the steps that prepare a generator: the generator, and what was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from core.training.encoder_targets import ImageSource, packed_source
from store.job_kinds.prepare_generator import PrepareGeneratorSpec
from store.requests.preparation import Preparation, PreparationSpec
from store.resources.image_sets import get_image_set
from worker.loading import Source, load_images, load_source
from worker.runtime.step_context import StepContext

#: Nothing random reaches a result that other jobs use again.
SEED = 0


def preparation_of(context: StepContext) -> Preparation:
    """Return what the job's request asks for."""
    return context.request(PreparationSpec).preparation


def load_prepared(context: StepContext) -> Source:
    """Return the generator that an earlier step of the job made, or that the request names. Raises as `load_source`."""
    made = context.claim.result.generator
    return load_source(context, made or context.request(PrepareGeneratorSpec).generator)


@dataclass(frozen=True)
class PreparationImages:
    """Real images to learn from: their source and digest; mirror: whether the source mirrors them."""

    source: ImageSource
    digest: str
    mirror: bool


def preparation_images(context: StepContext) -> PreparationImages | None:
    """Return the training part of the image set that the request names, or None. Raises as `load_images`."""
    name = preparation_of(context).images
    if name is None:
        return None
    images, mirror = load_images(context, name).training, get_image_set(context.db, name, tenant=context.tenant).flips
    return PreparationImages(packed_source(images, SEED, mirror), images.digest, mirror)

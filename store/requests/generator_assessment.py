"""Settings of the evaluation of a generator in a request."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.requests.base import MAX_SEED
from store.requests.sampling import SamplingSpec

#: Samples that one evaluation draws.
FEWEST_SAMPLES, MOST_SAMPLES = 50, 50_000
FeatureName = Literal["domain", "inception", "clip", "dinov2", "pixels"]
ResizeName = Literal["tf_bilinear", "bilinear", "clean", "bicubic", "clip"]


class GeneratorAssessment(SamplingSpec):
    """Samples of a generator against held-out images, and against the training images for memorisation."""

    images: str = Field(
        description="Name or id of an image set of the generator's size; for memorisation, the one that it was trained "
        "on.",
        max_length=64,
    )
    count: int = Field(2000, ge=FEWEST_SAMPLES, le=MOST_SAMPLES, description="Samples that are drawn.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Null: drawn at random and recorded.")
    class_balance: Literal["held_out", "uniform"] = Field(
        "held_out",
        description="Classes of the samples of a conditional generator: in the proportions of the held-out images, or "
        "all equally often.",
    )
    features: list[FeatureName] | None = Field(
        None,
        min_length=1,
        max_length=5,
        description="Extractors of features: the generator's own perceptual network (`domain`), published networks, or "
        "means of 16 x 16 patches (`pixels`). Null: `domain`, and each published one whose weights the worker has.",
    )
    resize: ResizeName | None = Field(
        None,
        description="Rule by which images are resized for published networks. Null: the rule of the published numbers "
        "of each: `tf_bilinear` for `inception`, `bicubic` for the others.",
    )

"""Fields of requests whose jobs prepare a generator for labelled images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.requests.base import Spec


class Preparation(Spec):
    """Parts to train for a generator, after which labelled images can be inverted with it."""

    perceptual: bool = Field(
        True, description="Train a perceptual network of the generator's own domain, with which images are compared."
    )
    perceptual_steps: int | None = Field(None, ge=1, le=1_000_000, description="Training steps; null: the default.")
    encoder: bool = Field(True, description="Train an encoder, where inversions begin.")
    encoder_steps: int | None = Field(None, ge=1, le=1_000_000, description="Training steps; null: the default.")
    images: str | None = Field(
        None,
        max_length=64,
        description="Name or id of an image set of the generator's domain, to learn from beside the generator's own "
        "samples; null: samples alone.",
    )
    heads: Literal["e4e", "psp"] = Field(
        "e4e", description="One code and small offsets of the layers, or a code of its own for every layer."
    )


class PreparationSpec(Spec):
    """Part of a request: its job has the steps of `store.job_kinds.preparing`."""

    preparation: Preparation = Preparation()

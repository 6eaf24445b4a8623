"""Labels that people drew on samples of the generator: which codes they belong to."""

from __future__ import annotations

import json

import numpy as np
import safetensors.torch
from torch import Tensor

from core.errors import InversionError, Problem
from core.image_arrays import as_tensor
from core.inversion.config import InversionConfig
from core.inversion.known_codes import known_codes
from core.inversion.perceptual.distance import Perceptual
from core.inversion.report import InvertedImage
from core.label_sets.label_set import LabelSet
from store.resources.sample_sets import CODES
from worker.loading import Source
from worker.runtime.step_context import StepContext

#: Tensors of a set's codes: float32 [N, num_ws, w_dim], and each one's place in the stream.
W_PLUS, INDICES = "w_plus", "index"


def sample_name(index: int) -> str:
    """What the sample's image is called, without a suffix."""
    return f"{index:09d}"


def codes_of_samples(
    context: StepContext,
    samples: str,
    labels: LabelSet,
    source: Source,
    perceptual: Perceptual,
    config: InversionConfig,
) -> list[InvertedImage]:
    """The codes that drew the labelled images, in their order. Raises InversionError naming every image that is no
    sample of the set, or not any more what its code draws.
    """
    content = context.fetch(samples, CODES).read_bytes()
    length = int.from_bytes(content[:8], "little")
    drawn_by = json.loads(content[8 : 8 + length])["__metadata__"]["generator"]
    if drawn_by != source.info.digest:
        raise InversionError(
            "the samples were drawn by other weights", [Problem(f"{drawn_by}, not {source.info.digest}", "samples")]
        )
    tensors = safetensors.torch.load(content)
    places = {sample_name(index): place for place, index in enumerate(tensors[INDICES].tolist())}
    strangers = [Problem(f"no sample of {samples}", item.name) for item in labels.items if item.name not in places]
    if strangers:
        raise InversionError("labelled images must be named as the samples are", strangers)
    codes: Tensor = tensors[W_PLUS][[places[item.name] for item in labels.items]]
    return known_codes(
        source.network,
        as_tensor(np.stack([item.image for item in labels.items])),
        codes,
        [item.name for item in labels.items],
        perceptual=perceptual,
        config=config,
        device=source.device,
        progress=context.progress,
        should_stop=context.should_stop,
    )

"""Labels that people drew on samples of the generator: which codes they belong to."""

from __future__ import annotations

import json

import numpy as np
import safetensors.torch
import torch

from core.errors import InversionError, Problem
from core.generators.interface import Codes, Sampler
from core.image_arrays import as_tensor
from core.inversion.config import InversionConfig
from core.inversion.known_codes import known_codes
from core.inversion.perceptual.distance import Perceptual
from core.inversion.report import InvertedImage
from core.label_sets.label_set import LabelSet
from store.resources.sample_sets import CODES
from worker.loading import CLASS_INDEX, Source
from worker.runtime.step_context import StepContext

#: Tensor of each sample's place in the stream, beside the parts of the codes.
INDICES = "index"


def sample_codes_content(codes: Codes, indices: list[int], facts: dict[str, str]) -> bytes:
    """Return the codes of drawn samples as the content of their file. facts: what drew them."""
    tensors = {**codes.parts, INDICES: torch.tensor(indices)}
    if codes.class_index is not None:
        tensors[CLASS_INDEX] = codes.class_index
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, facts)


def sample_name(index: int) -> str:
    """Return the name of the sample's image, without a suffix."""
    return f"{index:09d}"


def codes_of_samples(
    context: StepContext,
    samples: str,
    labels: LabelSet,
    source: Source,
    sampler: Sampler,
    perceptual: Perceptual | None,
    config: InversionConfig,
) -> list[InvertedImage]:
    """The codes that drew the labelled images, in their order. Raises InversionError naming every image that is no
    sample of the set, or not any more what its code draws.
    """
    content = context.fetch(samples, CODES).read_bytes()
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(content[8 : 8 + length])["__metadata__"]
    if facts["generator"] != source.info.digest:
        detail = f"{facts['generator']}, not {source.info.digest}"
        raise InversionError("the samples were drawn by other weights", [Problem(detail, "samples")])
    # Sample sets of the first release have no such digest: their features do not depend on settings.
    if facts.get("features", sampler.feature_digest) != sampler.feature_digest:
        detail = f"they were drawn with {facts['sampling']}; use the same settings, or draw and label new samples"
        raise InversionError("a code draws another image with these sampling settings", [Problem(detail, "sampling")])
    tensors = safetensors.torch.load(content)
    places = {sample_name(index): place for place, index in enumerate(tensors[INDICES].tolist())}
    strangers = [Problem(f"no sample of {samples}", item.name) for item in labels.items if item.name not in places]
    if strangers:
        raise InversionError("labelled images must be named as the samples are", strangers)
    parts = {name: tensor for name, tensor in tensors.items() if name not in (INDICES, CLASS_INDEX)}
    codes = Codes(parts, tensors.get(CLASS_INDEX))[[places[item.name] for item in labels.items]]
    return known_codes(
        sampler,
        as_tensor(np.stack([item.image for item in labels.items])),
        codes,
        [item.name for item in labels.items],
        perceptual=perceptual,
        config=config,
        run=context.run(source.device),
    )

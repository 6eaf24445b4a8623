"""Images that were inverted before: found by what was looked at and how, and used again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from core.generators.interface import Codes, Sampler
from core.image_arrays import to_bytes
from core.inversion.config import InversionConfig
from core.inversion.report import InversionReport, InvertedImage, flags
from store.errors import DamagedObject
from store.resources.artifacts import find_inverted
from worker.digests import digest_of
from worker.loading import Source, load_codes
from worker.runtime.step_context import StepContext

log = structlog.get_logger()


@dataclass(frozen=True)
class Reused:
    """An image's inversion as it was done before; `inversion_id`: where its code was found."""

    inversion_id: str
    image: InvertedImage


def image_digests(
    images: Sequence[NDArray[np.uint8]], source: Source, perceptual: str, config: InversionConfig
) -> list[str]:
    """SHA-256 (hex), for each image [H, W, 3], of all that its code depends on: pixels at the generator's size,
    generator, encoder, perceptual distance and settings. Masks, names and neighbours are no part of it (neighbours
    change the last bits of a code, as every other batch would).
    """
    common = {
        "made": "inverted image 2",
        "perceptual": perceptual,
        "settings": config.of_codes(),
        **source.inversion_digest,
    }
    found = []
    for image in images:
        pixels = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
        found.append(digest_of({**common, "image": pixels, "shape": list(image.shape)}))
    return found


def inverted_before(
    context: StepContext, sampler: Sampler, config: InversionConfig, digests: Sequence[str]
) -> dict[int, Reused]:
    """By index: those of the images whose code is there already, judged by the thresholds of `config`."""
    known = find_inverted(context.db, digests, tenant=context.tenant)
    places = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest in known:
            places[known[digest].inversion_id].append(index)
    found: dict[int, Reused] = {}
    for inversion_id, indices in places.items():
        try:
            codes = load_codes(context, inversion_id)
        except DamagedObject as error:
            # Its images are inverted again, as if nothing were known of them.
            log.warning("inversion.damaged", inversion=inversion_id, why=error.detail)
            continue
        for index in indices:
            before = known[digests[index]]
            report = InversionReport.from_json(before.report.model_dump())
            report = replace(report, flags=flags(report.perceptual, report.psnr, config))
            code = codes[before.position : before.position + 1]
            found[index] = Reused(inversion_id, InvertedImage(code, _drawn(sampler, code), report))
    return found


@torch.no_grad()
def _drawn(sampler: Sampler, code: Codes) -> torch.Tensor:
    image = sampler.synthesize(code.to(sampler.device)).image
    return to_bytes(image)[0].cpu()

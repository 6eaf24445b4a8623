"""Quality of a trained generator: distances to held-out images, and whether it repeats training images."""

from typing import Any

import torch
from torch import Tensor

from core.evaluation.generator_quality import GeneratorQuality, GeneratorQualityConfig, generator_quality
from core.generators.interface import Generator
from core.generators.training import TrainingImages
from core.image_arrays import to_bytes
from core.run import Run
from core.training.held_out import HeldOutMeasure

SAMPLES = 1000
"""Images that are drawn for the report."""
_AT_ONCE = 32


@torch.no_grad()
def drawn_samples(generator: Generator, count: int, run: Run) -> Tensor:
    """Return images at the generator's widest preview setting, uint8 [count, C, H, W] on the CPU; classes in turn."""
    settings = generator.preview_settings[-1]
    prepared = generator.prepare(settings, run)
    sampler = generator.bind(settings, None if prepared is None else prepared.to_bytes())
    drawn = []
    for first in range(0, count, _AT_ONCE):
        run.stop_if_asked()
        indices = range(first, min(count, first + _AT_ONCE))
        classes = [index % generator.code.classes for index in indices] if generator.code.classes else None
        drawn.append(to_bytes(sampler.synthesize(sampler.draw(run.seed, indices, classes)).image).cpu())
    return torch.cat(drawn)


def held_out_quality(
    generator: Generator, training: TrainingImages, held_out: TrainingImages, mirrored: bool, run: Run
) -> GeneratorQuality:
    """Compare samples at the generator's widest preview setting with held-out images, in features that need no
    network, and check whether they repeat training images. mirrored: whether it was trained with mirror images.
    """
    settings = generator.preview_settings[-1]
    prepared = generator.prepare(settings, run)
    sampler = generator.bind(settings, None if prepared is None else prepared.to_bytes())
    config = GeneratorQualityConfig(SAMPLES, mirrored=mirrored)
    return generator_quality(sampler, training, held_out, [HeldOutMeasure(held_out).extractor()], config, run)


def quality_summary(quality: GeneratorQuality) -> dict[str, Any]:
    """Return the main figures of a quality report as JSON values."""
    scores, found = quality.scores[0].to_json(), quality.memorization[0]
    names = ("fid", "precision", "recall", "density", "coverage")
    return {
        "features": scores["spec"]["extractor"],
        "samples": scores["spec"]["generated"],
        "held_out": scores["spec"]["real"],
        **{name: scores[name] for name in names},
        "memorised": quality.memorised,
        "memorization": found.sentence,
        "copies": len(found.copies),
    }

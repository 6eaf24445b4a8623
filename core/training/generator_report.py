"""Quality of a trained generator: distances to held-out images, and whether it repeats training images."""

from typing import Any

import torch
from torch import Tensor

from core.generators.interface import Generator
from core.generators.training import TrainingImages
from core.image_arrays import to_bytes
from core.run import Run
from core.training.held_out import EXTRACTOR, HeldOutMeasure

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


def held_out_report(
    generator: Generator, training: TrainingImages, held_out: TrainingImages, run: Run, count: int = SAMPLES
) -> dict[str, Any]:
    """Return distances of ``count`` samples to held-out images, and the comparison of nearest training images with
    nearest held-out ones; JSON values.
    """
    fakes = drawn_samples(generator, count, run)[:, : held_out.shape[0]]
    measure = HeldOutMeasure(held_out)
    scores, copied = measure.scores(fakes), measure.memorised(training, fakes)
    found = copied.to_json()
    return {
        "features": EXTRACTOR,
        "samples": count,
        "held_out": len(measure.reals),
        "frechet": scores.frechet,
        "precision": scores.manifold.precision,
        "recall": scores.manifold.recall,
        "density": scores.manifold.density,
        "coverage": scores.manifold.coverage,
        "memorisation": {
            "clean": copied.clean,
            "chance": found["chance"],
            "copies": found["copies"],
            "training_median": found["labelled_median"],
            "held_out_median": found["held_out_median"],
        },
    }

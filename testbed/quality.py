"""How good is the shipped generator? Pictures and numbers, against the world it was taught.

    python -m testbed.quality [--json]

Writes grids of 64 uncurated samples at ψ = 1 and ψ = 0.7 to docs/images/, and measures the Fréchet distance to rendered
heads (features of the net that 5,000 true labels trained, see testbed.score, each feature scaled to unit variance over
rendered heads), the same between two sets of rendered heads, how often glasses and hats are drawn against how often the
world has them (as that net sees both), and how well held-out heads are reconstructed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from core.evaluation.distribution import frechet_distance
from core.evaluation.downstream.networks import SmallUNet
from core.evaluation.downstream.training import Trained, predict_masks
from core.evaluation.extractors import domain_extractor
from core.generators.files import load_generator, shipped_generators
from core.generators.stylegan2 import Generator
from core.pixels import to_bytes
from core.sampling.stream import latent
from testbed.examples import TEST_SEED, labelled_heads
from testbed.score import inverted_heads, judge
from testbed.world import CLASS_NAMES

IMAGES = Path("docs/images")
COUNT = 4000
REFERENCE_STREAM = 90
HELD_OUT = 40
_LEAST_PIXELS = 8
"""A part counts as drawn from so many pixels on."""


@torch.no_grad()
def samples(generator: Generator, count: int, psi: float, seed: int = 0) -> NDArray[np.uint8]:
    """The first images of a stream: uint8 [count, 64, 64, 3]."""
    z = torch.stack([latent(seed, i, generator.config.z_dim) for i in range(count)])
    parts = [generator.synthesize(generator.map(part, truncation_psi=psi), noise="none").image for part in z.split(100)]
    return to_bytes(torch.cat(parts)).permute(0, 2, 3, 1).contiguous().numpy()


def grid(images: NDArray[np.uint8], columns: int = 8) -> NDArray[np.uint8]:
    """[N, H, W, 3] → one picture of rows of `columns` images."""
    rows = [np.concatenate(list(images[i : i + columns]), axis=1) for i in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)


def prevalence(net: Trained, images: NDArray[np.uint8]) -> dict[str, float]:
    """Share of images on which the net sees at least a few pixels of each rare part."""
    masks = predict_masks(net, images)
    return {
        part: round(float(((masks == CLASS_NAMES.index(part)).sum((1, 2)) >= _LEAST_PIXELS).mean()), 4)
        for part in ("glasses", "hat")
    }


def measure() -> dict[str, Any]:
    """All numbers; writes the grids on the way."""
    loaded = load_generator(shipped_generators()["heads64"])
    IMAGES.mkdir(parents=True, exist_ok=True)
    drawn = samples(loaded.network, COUNT, 1.0)
    Image.fromarray(grid(drawn[:64])).save(IMAGES / "heads64_psi1.png", optimize=True)
    Image.fromarray(grid(samples(loaded.network, 64, 0.7))).save(IMAGES / "heads64_psi07.png", optimize=True)
    net = judge()
    real = labelled_heads(REFERENCE_STREAM, 2 * COUNT).images
    assert isinstance(net.network, SmallUNet)
    features = domain_extractor(net.network.maps, "5,000 rendered heads")
    one, two, fake = (features(images) for images in (real[:COUNT], real[COUNT:], drawn))
    scale = one.std(0) + 1e-6
    one, two, fake = one / scale, two / scale, fake / scale
    inverted = inverted_heads(labelled_heads(TEST_SEED, HELD_OUT).images, steps=300)
    return {
        "generator": loaded.info.digest,
        "images": COUNT,
        "frechet": round(frechet_distance(one, fake), 4),
        "frechet_real_against_real": round(frechet_distance(one, two), 4),
        "prevalence_drawn": prevalence(net, drawn),
        "prevalence_world": prevalence(net, real[:COUNT]),
        "inversion_psnr_median_db": round(float(np.median([image.report.psnr for image in inverted])), 2),
        "inversion_start_psnr_median_db": round(float(np.median([image.report.start_psnr for image in inverted])), 2),
    }


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    numbers = measure()
    if as_json:
        print(json.dumps(numbers, indent=2))
    else:
        for name, value in numbers.items():
            print(f"{name:34} {value}")


if __name__ == "__main__":
    main()

"""How good is a shipped generator? Pictures and numbers, against the world it was taught.

    python -m testbed.quality [--world heads] [--json]

Writes grids of 64 uncurated samples at ψ = 1 and ψ = 0.7 to docs/images/, and of 16 with what the renderer draws from
their latents below them; and measures the Fréchet distance to rendered
scenes (features of the net that 5,000 true labels trained, see testbed.score, each feature scaled to unit variance over
rendered scenes), the same between two sets of rendered scenes, how often each class is drawn against how often the
world has it (as that net sees both), and how well held-out scenes are reconstructed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from core.evaluation.downstream.networks import SmallUNet
from core.evaluation.downstream.training import Trained, predict_masks
from core.evaluation.metrics.distribution import frechet_distance
from core.evaluation.metrics.extractors import domain_extractor
from core.evaluation.metrics.label_statistics import label_shown
from core.generators.stylegan2.generator import latent
from core.generators.stylegan2.network import Network
from core.image_arrays import to_bytes
from testbed.examples import TEST_SEED
from testbed.score import inverted_scenes, judge
from testbed.shipped import load_shipped
from testbed.worlds import WORLDS, World

IMAGES = Path("docs/images")
COUNT = 4000
REFERENCE_STREAM = 90
HELD_OUT = 40
_LEAST_PIXELS = 8
"""A part counts as drawn from so many pixels on."""


@torch.no_grad()
def samples(generator: Network, count: int, psi: float, seed: int = 0) -> NDArray[np.uint8]:
    """The first images of a stream: uint8 [count, 64, 64, 3]."""
    z = torch.stack([latent(seed, i, generator.config.z_dim) for i in range(count)])
    parts = [
        generator.synthesize(generator.map(part, truncation_psi=psi), noise="none").image
        for part in torch.split(z, 100)
    ]
    return to_bytes(torch.cat(parts)).permute(0, 2, 3, 1).contiguous().numpy()


def grid(images: NDArray[np.uint8], columns: int = 8) -> NDArray[np.uint8]:
    """[N, H, W, 3] → one picture of rows of `columns` images."""
    rows = [np.concatenate(list(images[i : i + columns]), axis=1) for i in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)


def against_truth(generator: Network, drawn: NDArray[np.uint8], world: World) -> NDArray[np.uint8]:
    """The first images of stream 0 at ψ = 1, eight at a time, each eight followed by what their latents mean."""
    z = np.stack([latent(0, i, generator.config.z_dim).numpy() for i in range(len(drawn))])
    meant = world.meant(z).images
    return np.concatenate([part for i in range(0, len(drawn), 8) for part in (drawn[i : i + 8], meant[i : i + 8])])


def prevalence(net: Trained, images: NDArray[np.uint8], world: World) -> dict[str, float]:
    """Share of images on which the net sees at least a few pixels of each class."""
    shown = label_shown(predict_masks(net, images), len(world.classes), least_pixels=_LEAST_PIXELS)
    return {name: round(float(share), 4) for name, share in zip(world.classes, shown.mean(0), strict=True)}


def measure(world: World) -> dict[str, Any]:
    """All numbers; writes the grids on the way."""
    loaded = load_shipped(world.generator)
    IMAGES.mkdir(parents=True, exist_ok=True)
    drawn = samples(loaded.network, COUNT, 1.0)
    pictures = {
        "psi1": drawn[:64],
        "psi07": samples(loaded.network, 64, 0.7),
        "against_truth": against_truth(loaded.network, drawn[:16], world),
    }
    for name, shown in pictures.items():
        Image.fromarray(grid(shown)).save(IMAGES / f"{world.generator}_{name}.png", optimize=True)
    net = judge(world=world)
    real = world.labelled(REFERENCE_STREAM, 2 * COUNT, 0).images
    assert isinstance(net.network, SmallUNet)
    features = domain_extractor(net.network.maps, f"5,000 rendered {world.things}")
    one, two, fake = (features(images) for images in (real[:COUNT], real[COUNT:], drawn))
    scale = one.std(0) + 1e-6
    one, two, fake = one / scale, two / scale, fake / scale
    inverted = inverted_scenes(world.labelled(TEST_SEED, HELD_OUT, 0).images, 300, world)
    return {
        "generator": loaded.info.digest,
        "images": COUNT,
        "frechet": round(frechet_distance(one, fake), 4),
        "frechet_real_against_real": round(frechet_distance(one, two), 4),
        "prevalence_drawn": prevalence(net, drawn, world),
        "prevalence_world": prevalence(net, real[:COUNT], world),
        "inversion_psnr_median_db": round(float(np.median([image.report.psnr for image in inverted])), 2),
        "inversion_start_psnr_median_db": round(float(np.median([image.report.start_psnr for image in inverted])), 2),
    }


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=sorted(WORLDS), default="heads")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    numbers = measure(WORLDS[given.world])
    if given.json:
        print(json.dumps(numbers, indent=2))
    else:
        for name, value in numbers.items():
            print(f"{name:34} {value}")


if __name__ == "__main__":
    main()

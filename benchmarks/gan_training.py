"""Training of a generator: ours against a plain textbook implementation, each in its own process, with the same losses.

    python -m benchmarks.gan_training --json FILE [--resolution 64] [--batch 16] [--steps 16] [--rounds 3]

The plain way is what textbooks show and most projects do without kernels of their own: a modulated convolution writes
the weights of every image out and is a grouped convolution, everything is float32 in rows (NCHW). Both train the same
networks from the same random weights: non-saturating loss, R1 every 16 steps, path length every 4, no augmentation.
`steps` is a multiple of 16, so that the regularisers have their usual share; one step before them is not counted.
Rounds alternate between the two ways; the medians are compared. Peak memory is the largest resident size.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.generators.interface import Synthesis
from core.generators.stylegan2.network import EPSILON, GAIN, LEAK, Block, Network, Noise, NoiseMaps, StyledConv, ToRGB
from core.generators.stylegan2.resample import smooth_upsampled, upsample_image
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.discriminator import Discriminator, with_minibatch_stddev
from core.generators.stylegan2.training.images import TensorImages
from core.generators.stylegan2.training.players import Players
from core.generators.stylegan2.training.training import GanTraining

WIDTHS = (192, 160, 96, 64, 32, 16, 16)
"""Channels of the blocks from 4 pixels up: a quarter to a half of the published networks."""
WAYS = ("plain", "ours")
LOSSES = ("generator_loss", "discriminator_loss", "path_length_penalty", "r1_penalty")


def plain_modulated(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up: bool) -> Tensor:
    """Modulated convolution with one weight an image. x [N, I, h, w], weight [O, I, k, k], style [N, I]."""
    count, inputs, height, width = x.shape
    weights = weight[None] * style[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + EPSILON).rsqrt()
    outputs, kernel = weight.shape[0], weight.shape[2]
    x = x.reshape(1, count * inputs, height, width)
    if up:
        weights = weights.transpose(1, 2).reshape(count * inputs, outputs, kernel, kernel)
        x = F.conv_transpose2d(x, weights, stride=2, groups=count)
    else:
        x = F.conv2d(x, weights.reshape(-1, inputs, kernel, kernel), padding=kernel // 2, groups=count)
    return x.reshape(count, outputs, *x.shape[2:])


def plain_conv(conv: StyledConv, x: Tensor, w: Tensor) -> Tensor:
    """Compute a layer of the generator, with random noise."""
    x = plain_modulated(x, conv.weight, conv.affine(w), True, conv.up)
    if conv.up:
        x = smooth_upsampled(x)
    x = x + torch.randn(len(x), 1, *x.shape[2:]) * conv.noise_strength
    return F.leaky_relu(x + conv.bias[:, None, None], LEAK) * GAIN


def plain_colours(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """Compute a to-RGB layer."""
    style = layer.affine(w) * layer.gain
    return plain_modulated(x, layer.weight[:, :, None, None], style, False, False) + layer.bias[:, None, None]


class PlainNetwork(Network):
    """The generator, computed plainly."""

    def synthesize(self, w_plus: Tensor, noise: Noise | NoiseMaps = "random", with_features: bool = False) -> Synthesis:
        """w+ codes → images, with random noise."""
        assert noise == "random"
        assert not with_features
        x, row, image = self.constant.expand(len(w_plus), -1, -1, -1), 0, None
        for block in self.blocks:
            assert isinstance(block, Block)
            for conv in (block.conv0, block.conv1):
                if conv is not None:
                    x = plain_conv(conv, x, w_plus[:, row])
                    row += 1
            assert block.to_rgb is not None
            colours = plain_colours(block.to_rgb, x, w_plus[:, row])
            image = colours if image is None else colours + upsample_image(image)
        assert image is not None
        return Synthesis(image)


class PlainDiscriminator(Discriminator):
    """The discriminator, in rows."""

    def features(self, image: Tensor) -> Tensor:
        """Images → features of the last dense layer."""
        x = self.from_rgb(image.contiguous())
        for block in self.blocks.values():
            x = block(x)
        x = self.conv(with_minibatch_stddev(x, self.config.stddev_group))
        return F.leaky_relu(self.dense(x.flatten(1), gain=GAIN), LEAK)


def make_training(way: str, given: argparse.Namespace) -> GanTraining:
    """A training of random images, by either way."""
    random = torch.Generator().manual_seed(0)
    size = 256, 3, given.resolution, given.resolution
    images = TensorImages(torch.randint(0, 256, size, dtype=torch.uint8, generator=random))
    config = GanConfig(
        batch=given.batch, kimg=1e6, widths=WIDTHS, path_length_weight=2.0, augmentation="none",
        precision=given.precision if way == "ours" else "float32",
    )  # fmt: skip
    training = GanTraining(images, config)
    if way == "plain":
        ours = training.players
        generator, discriminator = PlainNetwork(ours.generator.config), PlainDiscriminator(ours.discriminator.config)
        generator.load_state_dict(ours.generator.state_dict())
        discriminator.load_state_dict(ours.discriminator.state_dict())
        training.players = Players(generator, discriminator, config)
    return training


def measure(way: str, given: argparse.Namespace) -> dict[str, Any]:
    """Time ``steps`` steps after one that is not counted."""
    training = make_training(way, given)
    events = training.train(event_every=1)
    first = next(events).figures
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(given.steps):
        next(events)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    images = given.steps * given.batch
    return {
        "images_per_second": images / wall,
        "processor_seconds_per_image": processor / images,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "losses": {name: value for name, value in first.items() if name in LOSSES},
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--resolution", type=int, default=64, help="side of the images (default 64)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=16, help="steps that are timed (default 16)")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of ours")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way (default 3)")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.way:
        print(json.dumps(measure(given.way, given)))
        return
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way in WAYS:
            options = [f"--{name}={getattr(given, name)}" for name in ("resolution", "batch", "steps", "precision")]
            command = [sys.executable, "-m", "benchmarks.gan_training", *options, f"--way={way}"]
            result = subprocess.run(command, check=True, capture_output=True, text=True)
            rounds[way].append(json.loads(result.stdout))
    names = ("images_per_second", "processor_seconds_per_image", "peak_gib")
    medians = {way: {name: statistics.median(one[name] for one in rounds[way]) for name in names} for way in WAYS}
    plain, ours = (medians[way] for way in WAYS)
    speedup = ours["images_per_second"] / plain["images_per_second"]
    processor = plain["processor_seconds_per_image"] / ours["processor_seconds_per_image"]
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"training at {given.resolution} pixels, batch {given.batch} ({machine})")
    for way in WAYS:
        row = medians[way]
        print(
            f"{way:6} {row['images_per_second']:7.1f} images/s  {row['processor_seconds_per_image'] * 1000:7.1f} ms of "
            f"processor an image  {row['peak_gib']:.2f} GiB"
        )
    print(f"x{speedup:.2f} images/s, x{processor:.2f} processor time")
    if given.json:
        summary = {"machine": machine, "speedup": speedup, "processor_speedup": processor, **medians, "rounds": rounds}
        given.json.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()

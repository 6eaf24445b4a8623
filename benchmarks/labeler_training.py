"""Training of a labeler: ours against the papers' way, to equal accuracy on held-out images, each in its own process.

    python -m benchmarks.labeler_training --json FILE [--resolution 256|512|1024] [--images 50] [--budget 600] [--alone]

The papers' way is what their code does: the hypercolumns of every training image are materialised, then member after
member sees all pixels four times in batches of 64 (Adam, 1e-3). Ours is :func:`core.labeling.training.train_ensemble`
with the preset "fast"; where it falls short of the reference's accuracy its steps are doubled, and all its tries count.

The generator is a random config-f, of 256 pixels for labels at 256 and of 1024 above; the labels are what a random
linear map of its features says, so that they can be learnt. Where the reference would need more than `--budget` seconds
or more memory than `ROWS_BYTES`, it trains all its members, four times over, on as many random pixels as fit;
`extrapolated` then says that `seconds_reference` is its time on these pixels times all pixels over these, and
`accuracy_reference` is what they teach. Materialising is always timed on all images. Both times hold the synthesis.
Accuracies are of the members' vote on the same pixels of held-out images. `peak_gib`: largest resident size, ours.
`--alone` leaves the reference out, for what it cannot do at all: at 1024 its hypercolumns are 24 GiB an image.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.labeling import DRAWN, config_f
from core.generators.interface import Codes
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network
from core.labeling.aggregation import vote
from core.labeling.config import PRESETS, LabelerConfig
from core.labeling.ensemble import FoldedEnsemble
from core.labeling.hypercolumn import hypercolumns
from core.labeling.labeler import Head, Labeler
from core.labeling.training import train_ensemble

CLASSES, HELD_OUT_IMAGES, HELD_OUT_PIXELS = 8, 5, 16384
ROWS_BYTES = 2 << 30
"""Hypercolumns that the reference trains on."""
TRIAL_STEPS = 50
DOUBLINGS = 3
PAPER = PRESETS["paper"]
REFERENCE = ("seconds", "extrapolated", "accuracy")
"""What is measured of the papers' way."""


def codes_for(generator: Network, count: int) -> Tensor:
    """w+ of random images, float [count, num_ws, w_dim]."""
    return generator.map(torch.randn(count, 512, generator=torch.Generator().manual_seed(2))).contiguous()


@torch.inference_mode()
def make_labels(generator: Network, w_plus: Tensor, side: int, folder: Path) -> None:
    """What a random linear map of standardised features says of each image, and the held-out pixels to compare on."""
    drawn = generator.synthesize(w_plus[:1], with_features=True).features
    std, mean = zip(*(torch.std_mean(x[0].flatten(1), dim=1) for x in drawn), strict=True)
    random = torch.Generator().manual_seed(3)
    weight = torch.randn(len(torch.cat(std)), CLASSES, generator=random) / torch.cat(std).clamp_min(1e-6)[:, None]
    ensemble = FoldedEnsemble(1, weight, -(torch.cat(mean) @ weight), (), ())
    config = LabelerConfig(members=1, hidden=())
    teacher = Labeler((Head("segmentation", ensemble),), generator.feature_layers, config)
    masks = [
        teacher.label(generator.synthesize(code[None], with_features=True).features, (side, side)).mask
        for code in w_plus
    ]
    pixels = torch.randperm(HELD_OUT_IMAGES * side * side, generator=random)[:HELD_OUT_PIXELS].sort().values
    torch.save({"masks": torch.cat(masks), "pixels": pixels}, folder / "labels.pt")


@torch.inference_mode()
def materialised(generator: Network, w_plus: Tensor, side: int, pixels: Tensor) -> Tensor:
    """Hypercolumns, float [P, C], at ascending flat ``pixels``, from those of whole images, image after image."""
    rows = []
    for image, code in enumerate(w_plus):
        features = generator.synthesize(code[None], with_features=True).features
        columns = hypercolumns(features, (side, side))[0].flatten(1)  # [C, H W]
        first = image * side * side
        mine = pixels[(pixels >= first) & (pixels < first + side * side)] - first
        rows.append(columns[:, mine].t().contiguous())
    return torch.cat(rows)


def train_plainly(x: Tensor, y: Tensor, member: int, steps: int | None = None) -> tuple[nn.Module, int]:
    """One member as the papers train it: ``epochs`` times over pixels [P, C], or ``steps`` steps. → (member, steps)."""
    torch.manual_seed(member)
    layers: list[nn.Module] = []
    inputs = x.shape[1]
    for width in PAPER.hidden:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.BatchNorm1d(width)]
        inputs = width
    network = nn.Sequential(*layers, nn.Linear(inputs, CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), lr=PAPER.learning_rate)
    done = 0
    for _ in range(int(PAPER.epochs)):
        for batch in torch.split(torch.randperm(len(x)), PAPER.pixel_batch):
            if len(batch) < PAPER.pixel_batch or done == steps:
                continue
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            done += 1
    return network.eval(), done


def measure_reference(
    generator: Network, w_plus: Tensor, masks: Tensor, side: int, held_out: Tensor, budget: float
) -> dict[str, Any]:
    """Time the papers' way, as far as ``budget`` seconds allow."""
    training, channels = w_plus[:-HELD_OUT_IMAGES], sum(layer.channels for layer in generator.feature_layers)
    count = len(training) * side * side
    random = torch.Generator().manual_seed(4)
    pixels = torch.randperm(count, generator=random)[: ROWS_BYTES // (4 * channels)].sort().values
    start = time.perf_counter()
    x = materialised(generator, training, side, pixels)
    materialising = time.perf_counter() - start
    y = masks.flatten()[pixels].long()
    start = time.perf_counter()
    _, steps = train_plainly(x, y, 0, TRIAL_STEPS)
    each = (time.perf_counter() - start) / (steps * PAPER.pixel_batch) * PAPER.members * PAPER.epochs
    if each * len(x) > budget:
        fewer = torch.randperm(len(x), generator=random)[: max(2 * PAPER.pixel_batch, int(budget / each))].sort().values
        x, y = x[fewer], y[fewer]
    start = time.perf_counter()
    members = [train_plainly(x, y, member)[0] for member in range(PAPER.members)]
    learning = time.perf_counter() - start
    columns = materialised(generator, w_plus[-HELD_OUT_IMAGES:], side, held_out)
    with torch.inference_mode():
        votes = vote(torch.stack([member(columns) for member in members]))
    truth = masks[-HELD_OUT_IMAGES:].flatten()[held_out]
    return {
        "seconds": materialising + learning * count / len(x),
        "extrapolated": len(x) < count,
        "accuracy": float((votes == truth).double().mean()),
    }


def measure_ours(
    generator: Network, w_plus: Tensor, masks: Tensor, side: int, held_out: Tensor, wanted: float
) -> dict[str, Any]:
    """Time ours until it is as accurate as ``wanted``, tries that were not included."""
    config, seconds, accuracy = PRESETS["fast"], 0.0, 0.0
    sampler = StyleGAN2Generator(generator).bind()
    truth = masks[-HELD_OUT_IMAGES:].flatten()[held_out]
    for doubling in range(1 + DOUBLINGS):
        steps = (config.max_steps or 1) << doubling
        start = time.perf_counter()
        labeler = train_ensemble(
            sampler,
            Codes({"w_plus": w_plus[:-HELD_OUT_IMAGES]}),
            masks[:-HELD_OUT_IMAGES],
            CLASSES,
            replace(config, max_steps=steps, epochs=config.epochs * 2**doubling),
        )
        seconds += time.perf_counter() - start
        with torch.inference_mode():
            features = (
                generator.synthesize(code[None], with_features=True).features for code in w_plus[-HELD_OUT_IMAGES:]
            )
            votes = torch.cat([labeler.label(one, (side, side)).mask for one in features]).flatten()[held_out]
        accuracy = float((votes == truth).double().mean())
        if accuracy >= wanted:
            break
    return {"seconds": seconds, "accuracy": accuracy}


def measure(way: str, given: argparse.Namespace) -> None:
    """What a child does; numbers are left in the folder."""
    side, folder = given.resolution, given.folder
    generator = config_f(DRAWN.get(side, side), given.width)
    w_plus = codes_for(generator, given.images + HELD_OUT_IMAGES)
    if way == "labels":
        make_labels(generator, w_plus, side, folder)
        return
    labels = torch.load(folder / "labels.pt", weights_only=True)
    arguments = (generator, w_plus, labels["masks"], side, labels["pixels"])
    if way == "reference":
        numbers = measure_reference(*arguments, given.budget)
    else:
        wanted = 0.0 if given.alone else json.loads((folder / "reference.json").read_text())["accuracy"]
        numbers = measure_ours(*arguments, wanted)
    numbers["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (folder / f"{way}.json").write_text(json.dumps(numbers))


def compared(folder: Path) -> dict[str, Any]:
    """Ours against the reference, from what the children left in ``folder``; None for what was left out."""
    ours = json.loads((folder / "ours.json").read_text())
    reference = folder / "reference.json"
    theirs = json.loads(reference.read_text()) if reference.exists() else dict.fromkeys(REFERENCE)
    return {
        "seconds_reference": theirs["seconds"],
        "extrapolated": theirs["extrapolated"],
        "seconds_ours": ours["seconds"],
        "speedup": theirs["seconds"] / ours["seconds"] if theirs["seconds"] else None,
        "accuracy_reference": theirs["accuracy"],
        "accuracy_ours": ours["accuracy"],
        "peak_gib": ours["peak"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--resolution", type=int, default=256, help="of the labels (default 256)")
    parser.add_argument("--images", type=int, default=50, help="labelled images to train on (default 50)")
    parser.add_argument("--budget", type=float, default=600, help="seconds that the reference may train (default 600)")
    parser.add_argument("--alone", action="store_true", help="measure ours without the reference")
    parser.add_argument("--width", type=int, default=32768, help="channels times pixels of the generator (config-f)")
    parser.add_argument("--way", choices=["labels", "reference", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.way:
        measure(given.way, given)
        return
    with tempfile.TemporaryDirectory() as name:
        for way in ("labels", "ours") if given.alone else ("labels", "reference", "ours"):
            numbers = {key: vars(given)[key] for key in ("resolution", "images", "budget", "width")}
            options = [f"--{key}={value}" for key, value in numbers.items()] + ["--alone"] * given.alone
            command = [
                sys.executable,
                "-m",
                "benchmarks.labeler_training",
                *options,
                f"--way={way}",
                f"--folder={name}",
            ]
            subprocess.run(command, check=True)
        row = compared(Path(name))
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"training on {given.images} images, labels of {given.resolution} pixels ({machine})")
    theirs = ""
    if not given.alone:
        extrapolated = " (extrapolated)" if row["extrapolated"] else ""
        theirs = f"plain {row['seconds_reference']:.0f} s{extrapolated}, accuracy {row['accuracy_reference']:.4f}; "
        theirs += f"x{row['speedup']:.0f}; "
    print(
        f"{theirs}ours {row['seconds_ours']:.1f} s, accuracy {row['accuracy_ours']:.4f}, peak {row['peak_gib']:.2f} GiB"
    )
    if not given.alone and row["accuracy_ours"] < row["accuracy_reference"]:
        print("ours did not reach the reference's accuracy: the speedup is none")
    if given.json:
        given.json.write_text(json.dumps({"machine": machine, "results": [row]}, indent=1) + "\n")


if __name__ == "__main__":
    main()

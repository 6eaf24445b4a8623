"""Labeling: ours against the plain method, on the same random weights and pixels, each in a process of its own.

    python -m benchmarks.labeling --json FILE [--resolution 256|512|1024] [--repeats 2]

The plain method is what the papers' code does: every feature layer upsampled, all of them concatenated, member after
member over all pixels, then the vote and the divergence. Ours is :meth:`core.labeling.labeler.Labeler.label`. Networks
are random: config-f, of 256 pixels for labels at 256 and of 1024 for labels at 512 and 1024; 10 members of widths
(256, 32), 19 classes. Seconds are medians for one image; `speedup_labeling` leaves synthesis out. Peaks are the largest
resident sizes of the processes. `hidden_max_abs` is the largest difference of first-layer pre-activations over their
largest value, on 4,096 pixels of the first member.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from core.labeling.aggregation import vote
from core.labeling.conditioning import Conditioning
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import Ensemble
from core.labeling.hypercolumn import hypercolumns
from core.labeling.labeler import PRECISIONS, Head, Labeler
from core.labeling.projection import hidden_tiles
from core.labeling.uncertainty import js_divergence

CLASSES, COMPARED = 19, 4096
DRAWN = {256: 256, 512: 1024, 1024: 1024}
"""Label resolution → the generator's."""


def config_f(resolution: int, width: int = 32768) -> Network:
    """A StyleGAN2 of random weights with config-f's widths (512 channels up to 64 pixels, then halving)."""
    torch.manual_seed(0)
    blocks = resolution.bit_length() - 2
    channels = {block: min(512, width // (4 << block)) for block in range(blocks)}
    generator = Network(StyleGAN2Config(resolution=(resolution, resolution), channels=channels))
    return generator.eval().requires_grad_(False)


def ensemble_for(generator: Network, config: LabelerConfig) -> Ensemble:
    """Random members whose weights are large enough that they disagree."""
    channels = sum(layer.channels for layer in generator.feature_layers)
    ensemble = Ensemble(config.members, channels, config.hidden, CLASSES, seed=1).eval()
    for weight in list(ensemble.weights)[1:]:
        weight.data *= 10
    return ensemble.requires_grad_(False)


def plain_members(ensemble: Ensemble) -> list[nn.Sequential]:
    """The members as the papers' code builds them."""
    members = []
    for m in range(ensemble.members):
        layers: list[nn.Module] = []
        for depth, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
            linear = nn.Linear(weight.shape[2], weight.shape[1])
            linear.weight.data, linear.bias.data = weight[m], bias[m, :, 0]
            layers.append(linear)
            if depth < len(ensemble.hidden):
                layers += [nn.ReLU(), nn.BatchNorm1d(weight.shape[1])]
        members.append(nn.Sequential(*layers).eval())
    return members


def label_plainly(members: list[nn.Sequential], features: tuple[Tensor, ...], side: int) -> tuple[Tensor, Tensor]:
    """Votes uint8 [P], and the divergence [P], by materialised hypercolumns."""
    columns = hypercolumns(features, (side, side))[0].flatten(1).t().contiguous()  # [P, C]
    probabilities = torch.stack([member(columns).softmax(-1) for member in members])
    return vote(probabilities), js_divergence(probabilities)


def measure(way: str, side: int, repeats: int, folder: Path, width: int) -> None:
    """What a child does: time one way, and leave votes, hidden values and numbers in ``folder``."""
    config = LabelerConfig(precision="bfloat16" if way == "bfloat16" else "float32")
    generator = config_f(DRAWN.get(side, side), width)
    ensemble = ensemble_for(generator, config)
    w_plus = generator.map(torch.randn(1, 512, generator=torch.Generator().manual_seed(2))).contiguous()
    pixels = torch.randperm(side * side, generator=torch.Generator().manual_seed(3))[:COMPARED]
    channels = sum(layer.channels for layer in generator.feature_layers)
    folded = ensemble.folded(Conditioning(torch.zeros(channels), None, None))
    labeler = Labeler((Head("segmentation", folded),), generator.feature_layers, config, "const")
    members = plain_members(ensemble) if way == "reference" else []
    del ensemble
    drawing, labeling, votes, hidden = [], [], torch.empty(0), torch.empty(0)
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            features = generator.synthesize(w_plus, with_features=True).features
            middle = time.perf_counter()
            if way == "reference":
                votes = label_plainly(members, features, side)[0]
            else:
                votes = labeler.label(features, (side, side)).mask.flatten()
            drawing.append(middle - start)
            labeling.append(time.perf_counter() - middle)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if way == "reference":
            columns = hypercolumns(features, (side, side))[0].flatten(1).t()[pixels]
            hidden = members[0][0](columns)
        else:
            dtype = PRECISIONS[config.precision]
            weight, bias = folded.first_weight[:, : config.hidden[0]], folded.first_bias[: config.hidden[0]]
            whole = torch.empty(side, side, config.hidden[0])
            for _, tile, values in hidden_tiles(features, weight.to(dtype), bias.to(dtype), (side, side), 1 << 14):
                window = whole[tile.top : tile.bottom, tile.left : tile.right]
                window.copy_(values.view_as(window))
            hidden = whole.flatten(0, 1)[pixels]
    torch.save({"votes": votes, "hidden": hidden}, folder / f"{way}.pt")
    numbers = {"synthesis": median(drawing), "labeling": median(labeling), "peak": peak}
    (folder / f"{way}.json").write_text(json.dumps(numbers))


def compared(way: str, side: int, folder: Path) -> dict[str, Any]:
    """The row of ``way`` against the reference."""
    theirs, ours = (json.loads((folder / f"{name}.json").read_text()) for name in ("reference", way))
    plain, fast = (torch.load(folder / f"{name}.pt", weights_only=True) for name in ("reference", way))
    totals = [one["synthesis"] + one["labeling"] for one in (theirs, ours)]
    difference = (plain["hidden"] - fast["hidden"]).abs().max() / plain["hidden"].abs().max()
    return {
        "resolution": side,
        "dtype": way,
        "reference_s": totals[0],
        "ours_s": totals[1],
        "speedup_total": totals[0] / totals[1],
        "speedup_labeling": theirs["labeling"] / ours["labeling"],
        "peak_reference_gib": theirs["peak"],
        "peak_ours_gib": ours["peak"],
        "vote_agreement": float((plain["votes"] == fast["votes"]).double().mean()),
        "hidden_max_abs": float(difference),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--resolution", type=int, default=256, help="of the labels (default 256)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--width", type=int, default=32768, help="channels times pixels of the generator (config-f)")
    parser.add_argument("--way", choices=["reference", *PRECISIONS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.way:
        measure(given.way, given.resolution, given.repeats, given.folder, given.width)
        return
    with tempfile.TemporaryDirectory() as name:
        for way in ("reference", *PRECISIONS):
            options = [f"--{key}={value}" for key, value in vars(given).items() if value and key != "json"]
            command = [sys.executable, "-m", "benchmarks.labeling", *options, f"--way={way}", f"--folder={name}"]
            subprocess.run(command, check=True)
        rows = [compared(way, given.resolution, Path(name)) for way in PRECISIONS]
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"labels of {given.resolution} pixels, one image, seconds ({machine})")
    for row in rows:
        print(
            f"{row['dtype']:9} plain {row['reference_s']:.2f}  ours {row['ours_s']:.2f}  x{row['speedup_total']:.1f}"
            f"  (labeling x{row['speedup_labeling']:.1f})  GiB {row['peak_reference_gib']:.2f} → "
            f"{row['peak_ours_gib']:.2f}  votes {row['vote_agreement']:.5f}  hidden {row['hidden_max_abs']:.1e}"
        )
    if given.json:
        given.json.write_text(json.dumps({"machine": machine, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

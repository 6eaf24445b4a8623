"""Make the shipped generator `heads64`: teach a StyleGAN2 to draw the world's heads.

    python -m testbed.recipes.heads64 draw  --minutes 60     synthesis from shaped codes, by regression
    python -m testbed.recipes.heads64 basis                  coordinates of w in which distance is change of the picture
    python -m testbed.recipes.heads64 map   --minutes 60     the mapping network: latents → the codes' w
    python -m testbed.recipes.heads64 join  --minutes 20     both together, from latents to pictures
    python -m testbed.recipes.heads64 export                 into core/generators/shipped/heads64

Each phase resumes from `out/heads64/state.pt` or, where that is missing, from what was exported last. Heads come from
stream TRAINING_SEED, which no example and no test uses. Small parts weigh more in the loss (a face is 3 % of the
pixels), which the renderer's masks make possible. Colours are learnt long before shapes, so beside the picture the
network draws the head's surface normals, as if in plaster, through a second chain of to-RGB layers that is thrown away
in the end.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.generators.config import StyleGAN2Config
from core.generators.resample import upsample_image
from core.generators.stylegan2 import Generator, Mapping, Synthesis, ToRGB
from core.pixels import as_tensor, to_float
from testbed.recipes.codes import CodeReader, shaped_codes
from testbed.recipes.mapping import begin_at, learn_mapping
from testbed.recipes.metric import differences, picture_basis, rebase, rebase_reader, sensitivity
from testbed.recipes.shipping import export, restore
from testbed.world import LATENT_COUNT, draw_latents, head_parameters, render

TRAINING_SEED = 1
VALIDATION_SEED = 2
CONFIG = StyleGAN2Config(
    resolution=(64, 64), channels={0: 256, 1: 160, 2: 80, 3: 48, 4: 24}, z_dim=LATENT_COUNT, w_dim=512, mapping_layers=8
)
BATCH = 16
PLASTER_WEIGHT = 1.5
CHUNK = 1024
# By class id: background, skin, hair, eyes, brows, nose, mouth, ears, glasses, hat.
PART_WEIGHTS = torch.tensor([0.7, 1.3, 1.0, 7.0, 6.0, 3.0, 6.0, 3.0, 5.0, 1.5])
STATE = Path("out/heads64/state.pt")


class Plaster(nn.Module):
    """Features of every block → surface normals and coverage [N, 4, 64, 64]; thrown away after training."""

    def __init__(self) -> None:
        super().__init__()
        shape = replace(CONFIG, image_channels=4)
        self.layers = nn.ModuleList(ToRGB(channels, shape) for channels in CONFIG.channels.values())

    def forward(self, drawn: Synthesis, w: Tensor) -> Tensor:
        """w [N, w_dim]."""
        surface = self.layers[0](drawn.features[1], w)
        for block, layer in enumerate(self.layers):
            if block:
                surface = upsample_image(surface) + layer(drawn.features[1 + 2 * block], w)
        return surface


class Training:
    """Networks, their averages over time, and how far the run is; saved and read as one file."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.generator = Generator(CONFIG)
        for name, parameter in self.generator.named_parameters():
            parameter.requires_grad_("noise_strength" not in name)
        self.reader = CodeReader(CONFIG.w_dim)
        self.plaster = Plaster()
        self.average = Generator(CONFIG).requires_grad_(False)
        self.average.load_state_dict(self.generator.state_dict())
        self.average_reader = CodeReader(CONFIG.w_dim).requires_grad_(False)
        self.average_reader.load_state_dict(self.reader.state_dict())
        self.images = 0
        self.log: list[dict[str, Any]] = []
        self.optimizers: dict[str, Any] = {}

    _PARTS = ("generator", "reader", "plaster", "average", "average_reader")

    def save(self) -> None:
        """Replace the state file in one step, so that a kill leaves the old one or the new one."""
        STATE.parent.mkdir(parents=True, exist_ok=True)
        state = {name: getattr(self, name).state_dict() for name in self._PARTS}
        torch.save(state | {"images": self.images, "log": self.log, "optimizers": self.optimizers}, f"{STATE}.new")
        Path(f"{STATE}.new").replace(STATE)

    def load(self) -> "Training":
        if STATE.exists():
            state = torch.load(STATE, weights_only=True)
            for name in self._PARTS:
                getattr(self, name).load_state_dict(state[name])
            self.images, self.log, self.optimizers = state["images"], state["log"], state["optimizers"]
        elif (shipped := restore({"reader": self.reader, "plaster": self.plaster})) is not None:
            generator, self.log = shipped
            for network in (self.generator, self.average):
                network.load_state_dict(generator.state_dict())
            self.average_reader.load_state_dict(self.reader.state_dict())
            self.images = max(line["images"] for line in self.log)
        return self

    @torch.no_grad()
    def follow(self) -> None:
        """Move the averages toward the networks: a half-life of 10,000 images, shorter at the start."""
        decay = 0.5 ** (BATCH / min(10_000, max(0.05 * self.images, 1)))
        for average, network in ((self.average, self.generator), (self.average_reader, self.reader)):
            for a, b in zip(average.parameters(), network.parameters(), strict=True):
                a.lerp_(b, 1 - decay)


def heads(seed: int, start: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A stretch of a stream.

    Returns latents, codes, images [N, 3, 64, 64] in [-1, 1], pixel weights [N, 1, 64, 64], and surface normals with
    coverage [N, 4, 64, 64].
    """
    latents = draw_latents(seed, start, count)
    parameters = head_parameters(latents)
    seen = render(parameters)
    weights = PART_WEIGHTS[torch.from_numpy(seen.masks.astype(np.int64))][:, None]
    codes = torch.from_numpy(shaped_codes(latents, parameters))
    normals = torch.from_numpy(seen.normals).permute(0, 3, 1, 2)
    covered = torch.from_numpy(seen.depth > 0)[:, None].float()
    surface = torch.cat([normals, covered], dim=1)
    return torch.from_numpy(latents), codes, to_float(as_tensor(seen.images)), weights / weights.mean(), surface


def picture_loss(drawn: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted L1 of values and of differences between neighbours (which keeps edges sharp)."""
    error = drawn - target
    across, down = error.diff(dim=3), error.diff(dim=2)
    loss = (error.abs() * weights).mean()
    return loss + 0.7 * ((across.abs() * weights[..., 1:]).mean() + (down.abs() * weights[..., 1:, :]).mean())


def batches(training: Training) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Fresh heads without end; head i of the stream is seen once."""
    while True:
        chunk = heads(TRAINING_SEED, training.images, CHUNK)
        for i in range(0, CHUNK, BATCH):
            yield tuple(part[i : i + BATCH] for part in chunk)  # type: ignore[misc]


def psnr(drawn: Tensor, target: Tensor) -> float:
    """Mean over images of the peak signal-to-noise ratio in dB, values clamped to [-1, 1]."""
    error = (drawn.clamp(-1, 1) - target).square().mean((1, 2, 3)) / 4
    return float((-10 * error.log10()).mean())


@torch.no_grad()
def validate(training: Training, from_latents: bool) -> dict[str, float]:
    """PSNR and part-weighted loss of the averaged networks on heads that training never sees."""
    latents, codes, images, weights, _ = heads(VALIDATION_SEED, 0, 256)
    w = training.average.map(latents)[:, 0] if from_latents else training.average_reader(codes)
    drawn = torch.cat([training.average.synthesize(repeat(part)).image for part in w.split(64)])
    return {"psnr": psnr(drawn, images), "loss": float(picture_loss(drawn, images, weights))}


def repeat(w: Tensor) -> Tensor:
    """w [N, w_dim] → w+ [N, num_ws, w_dim]."""
    return w[:, None].expand(-1, CONFIG.num_ws, -1)


def run(training: Training, phase: str, minutes: float, rate: Callable[[float], float]) -> None:
    """Train by pictures for a time; `rate` gives the learning rate from the share of the time that is gone."""
    from_latents = phase == "join"
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in training.generator.named_parameters() if p.requires_grad and "mapping" not in n]},
    ]
    teacher = training.generator.mapping if from_latents else training.reader
    groups.append({"params": list(training.plaster.parameters())})
    groups.append({"params": list(teacher.parameters()), "slow": 25.0 if from_latents else 0.25})
    optimizer = torch.optim.Adam(groups, lr=2e-3, betas=(0.9, 0.99), fused=True)
    if phase in training.optimizers:
        optimizer.load_state_dict(training.optimizers[phase])
    start, told, mean = time.time(), time.time(), 0.0
    first = training.images
    for latents, codes, images, weights, surface in batches(training):
        gone = (time.time() - start) / (60 * minutes)
        if gone >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(gone) * group.get("slow", 1.0)
        w = training.generator.map(latents)[:, 0] if from_latents else training.reader(codes)
        with torch.autocast("cpu", torch.bfloat16):  # a quarter faster where the processor has instructions for it
            drawn = training.generator.synthesize(repeat(w), noise="none", with_features=True)
            plaster = training.plaster(drawn, w)
        loss = picture_loss(drawn.image.float(), images, weights)
        shape_loss = picture_loss(plaster.float(), surface, weights)
        optimizer.zero_grad(set_to_none=True)
        (loss + PLASTER_WEIGHT * shape_loss).backward()
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        training.images += BATCH
        training.follow()
        mean = 0.98 * mean + 0.02 * float(loss.detach()) if mean else float(loss.detach())
        if time.time() - told > 90:
            training.optimizers[phase] = optimizer.state_dict()
            _report(training, phase, mean, (training.images - first) / (time.time() - start))
            told = time.time()
    training.optimizers[phase] = optimizer.state_dict()
    _report(training, phase, mean, (training.images - first) / (time.time() - start))


def _report(training: Training, phase: str, mean: float, speed: float) -> None:
    line = {
        "phase": phase,
        "images": training.images,
        "training_loss": round(mean, 4),
        "images_per_second": round(speed),
    }
    line |= {name: round(value, 4) for name, value in validate(training, phase == "join").items()}
    training.log.append(line)
    training.save()
    print(json.dumps(line), flush=True)


@torch.no_grad()
def answers(training: Training, latents: NDArray[np.float32]) -> Tensor:
    """What the averaged code reader says to latents: w [N, w_dim]."""
    return training.average_reader(torch.from_numpy(shaped_codes(latents, head_parameters(latents))))


def change_basis(training: Training) -> None:
    """Measure w by what it does to the picture, and begin the mapping network anew in these coordinates."""
    _, codes, _, weights, _ = heads(VALIDATION_SEED, 0, 1024)
    with torch.no_grad():
        w = training.average_reader(codes)
    basis = picture_basis(sensitivity(training.average, w, weights), w)
    for network in (training.generator, training.average, training.plaster):
        rebase(network, basis)
    for reader in (training.reader, training.average_reader):
        rebase_reader(reader, basis)
    mapping = Mapping(CONFIG)
    begin_at(mapping, w.mean(0) @ basis.there.T + basis.shift)
    for generator in (training.generator, training.average):
        generator.mapping.load_state_dict(mapping.state_dict())
    training.optimizers = {}
    training.log.append({"phase": "basis", "images": training.images, **validate(training, False)})
    training.save()
    print(json.dumps(training.log[-1]), flush=True)


def learn_latents(training: Training, minutes: float) -> None:
    """Teach the mapping network what the code reader answers."""
    _, codes, _, weights, _ = heads(VALIDATION_SEED, 0, 1024)
    with torch.no_grad():
        w = training.average_reader(codes)
    change = differences(training.average, w, weights)
    mapping = training.average.mapping
    mapping.requires_grad_(True)
    start = time.time()
    learn_mapping(
        mapping,
        partial(answers, training),
        LATENT_COUNT,
        lambda _: (time.time() - start) / (60 * minutes),
        differences=change,
        seed=TRAINING_SEED,
        held_out_seed=VALIDATION_SEED,
    )
    mapping.requires_grad_(False)
    training.generator.mapping.load_state_dict(mapping.state_dict())
    with torch.no_grad():
        mean = torch.cat([mapping(torch.from_numpy(draw_latents(3, i * 1000, 1000)), None) for i in range(20)]).mean(0)
        training.generator.w_avg.copy_(mean)
        training.average.w_avg.copy_(mean)
    training.log.append({"phase": "map", "images": training.images, **validate(training, True)})
    training.save()
    print(json.dumps(training.log[-1]), flush=True)


def main() -> None:
    """Run one phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=("draw", "basis", "map", "join", "export"))
    parser.add_argument("--minutes", type=float, default=60.0)
    arguments = parser.parse_args()
    training = Training().load()
    if arguments.phase == "draw":
        run(training, "draw", arguments.minutes, lambda gone: 4e-3 * max(0.02, 1 - gone))
    elif arguments.phase == "map":
        learn_latents(training, arguments.minutes)
    elif arguments.phase == "basis":
        change_basis(training)
    elif arguments.phase == "join":
        run(training, "join", arguments.minutes, lambda gone: 1.5e-3 * max(0.02, 1 - gone))
    else:
        export(training.average, {"reader": training.average_reader, "plaster": training.plaster}, training.log)


if __name__ == "__main__":
    main()

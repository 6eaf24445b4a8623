"""Teach a StyleGAN2 to draw a world: what the recipes of shipped generators have in common.

    draw    synthesis from shaped codes, by regression
    basis   coordinates of w in which distance is change of the picture
    map     the mapping network: latents → the codes' w
    join    both together, from latents to pictures
    export  into core/generators/shipped/NAME

Each phase resumes from `out/NAME/state.pt` or, where that is missing, from what was exported last. Scenes come from
stream TRAINING_SEED, which no example and no test uses. Small parts weigh more in the loss, which the renderer's masks
make possible. Colours are learnt long before shapes, so beside the picture the network draws the scene's surface, as if
in plaster, through a second chain of to-RGB layers that is thrown away in the end.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.generators.config import StyleGAN2Config
from core.generators.resample import upsample_image
from core.generators.stylegan2 import Generator, Mapping, Synthesis, ToRGB
from core.pixels import as_tensor, to_float
from testbed.latents import draw_stream
from testbed.recipes.mapping import Practice, begin_at, gaussian, learn_mapping
from testbed.recipes.metric import differences, picture_basis, rebase, rebase_reader, sensitivity
from testbed.recipes.reader import CodeReader
from testbed.recipes.shipping import export, restore

TRAINING_SEED = 1
VALIDATION_SEED = 2
BATCH = 16
PLASTER_WEIGHT = 1.5
CHUNK = 1024
SURFACE = 4
"""Planes of a scene's surface: its normals, and one more that the recipe chooses."""


class Lesson(NamedTuple):
    """Scenes as the networks see them.

    Latents [N, z_dim], codes [N, code_size], images [N, 3, 64, 64] in [-1, 1], pixel weights [N, 1, 64, 64] of mean 1,
    surface [N, SURFACE, 64, 64].
    """

    latents: Tensor
    codes: Tensor
    images: Tensor
    weights: Tensor
    surface: Tensor


@dataclass(frozen=True)
class Recipe:
    """What one generator is made of.

    Attributes:
        name: of the generator; its folders are named so.
        domain: what it draws, for the shipped description.
        config: its network; z_dim is the world's number of latents.
        code_size: numbers in a code.
        codes: latents [N, z_dim] → codes float32 [N, code_size].
        lesson: (seed, start, count) → a stretch of a stream.
        practice: latents that the mapping network learns from; None: as the generator meets them.
        out: folder of states, one folder a recipe.
    """

    name: str
    domain: str
    config: StyleGAN2Config
    code_size: int
    codes: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    lesson: Callable[[int, int, int], Lesson]
    practice: Practice | None = None
    out: Path = Path("out")

    @property
    def state(self) -> Path:
        """Where a run keeps what it has learnt."""
        return self.out / self.name / "state.pt"


def lesson_of(
    latents: NDArray[np.float32],
    codes: NDArray[np.float32],
    seen: Any,
    part_weights: Tensor,
    fourth_plane: NDArray[Any],
) -> Lesson:
    """A lesson from what was rendered; ``part_weights``: by class id; ``fourth_plane``: [N, 64, 64]."""
    weights = part_weights[torch.from_numpy(seen.masks.astype(np.int64))][:, None]
    normals = torch.from_numpy(seen.normals).permute(0, 3, 1, 2)
    surface = torch.cat([normals, torch.from_numpy(fourth_plane.astype(np.float32))[:, None]], dim=1)
    images = to_float(as_tensor(seen.images))
    return Lesson(torch.from_numpy(latents), torch.from_numpy(codes), images, weights / weights.mean(), surface)


class Plaster(nn.Module):
    """Features of every block → surface [N, SURFACE, 64, 64]; thrown away after training."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        shape = replace(config, image_channels=SURFACE)
        self.layers = nn.ModuleList(ToRGB(channels, shape) for channels in config.channels.values())

    def forward(self, drawn: Synthesis, w: Tensor) -> Tensor:
        """w [N, w_dim]."""
        surface = self.layers[0](drawn.features[1], w)
        for block, layer in enumerate(self.layers):
            if block:
                surface = upsample_image(surface) + layer(drawn.features[1 + 2 * block], w)
        return surface


class Training:
    """Networks, their averages over time, and how far the run is; saved and read as one file."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(0)
        self.recipe = recipe
        self.generator = Generator(recipe.config)
        for name, parameter in self.generator.named_parameters():
            parameter.requires_grad_("noise_strength" not in name)
        self.reader = CodeReader(recipe.code_size, recipe.config.w_dim)
        self.plaster = Plaster(recipe.config)
        self.average = Generator(recipe.config).requires_grad_(False)
        self.average.load_state_dict(self.generator.state_dict())
        self.average_reader = CodeReader(recipe.code_size, recipe.config.w_dim).requires_grad_(False)
        self.average_reader.load_state_dict(self.reader.state_dict())
        self.images = 0
        self.log: list[dict[str, Any]] = []
        self.optimizers: dict[str, Any] = {}

    _PARTS = ("generator", "reader", "plaster", "average", "average_reader")

    def save(self) -> None:
        """Replace the state file in one step, so that a kill leaves the old one or the new one."""
        path = self.recipe.state
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: getattr(self, name).state_dict() for name in self._PARTS}
        torch.save(state | {"images": self.images, "log": self.log, "optimizers": self.optimizers}, f"{path}.new")
        Path(f"{path}.new").replace(path)

    def load(self) -> "Training":
        """Go on from the state, else from what is shipped, else from nothing."""
        if self.recipe.state.exists():
            state = torch.load(self.recipe.state, weights_only=True)
            for name in self._PARTS:
                getattr(self, name).load_state_dict(state[name])
            self.images, self.log, self.optimizers = state["images"], state["log"], state["optimizers"]
        elif (shipped := restore(self.recipe.name, {"reader": self.reader, "plaster": self.plaster})) is not None:
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

    def repeat(self, w: Tensor) -> Tensor:
        """w [N, w_dim] → w+ [N, num_ws, w_dim]."""
        return w[:, None].expand(-1, self.recipe.config.num_ws, -1)

    @torch.no_grad()
    def answers(self, latents: NDArray[np.float32]) -> Tensor:
        """What the averaged code reader says to latents: w [N, w_dim]."""
        w: Tensor = self.average_reader(torch.from_numpy(self.recipe.codes(latents)))
        return w

    @torch.no_grad()
    def validate(self, from_latents: bool) -> dict[str, float]:
        """PSNR and part-weighted loss of the averaged networks on scenes that training never sees."""
        lesson = self.recipe.lesson(VALIDATION_SEED, 0, 256)
        w = self.average.map(lesson.latents)[:, 0] if from_latents else self.average_reader(lesson.codes)
        drawn = torch.cat([self.average.synthesize(self.repeat(part)).image for part in w.split(64)])
        return {"psnr": psnr(drawn, lesson.images), "loss": float(picture_loss(drawn, lesson.images, lesson.weights))}

    def report(self, line: dict[str, Any], from_latents: bool) -> None:
        """Validate, keep the line and the state, and print the line."""
        line = {**line, "images": self.images}
        line |= {name: round(value, 4) for name, value in self.validate(from_latents).items()}
        self.log.append(line)
        self.save()
        print(json.dumps(line), flush=True)


def picture_loss(drawn: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted L1 of values and of differences between neighbours (which keeps edges sharp)."""
    error = drawn - target
    across, down = error.diff(dim=3), error.diff(dim=2)
    loss = (error.abs() * weights).mean()
    return loss + 0.7 * ((across.abs() * weights[..., 1:]).mean() + (down.abs() * weights[..., 1:, :]).mean())


def psnr(drawn: Tensor, target: Tensor) -> float:
    """Mean over images of the peak signal-to-noise ratio in dB, values clamped to [-1, 1]."""
    error = (drawn.clamp(-1, 1) - target).square().mean((1, 2, 3)) / 4
    return float((-10 * error.log10()).mean())


def batches(training: Training) -> Iterator[Lesson]:
    """Fresh scenes without end; scene i of the stream is seen once."""
    while True:
        chunk = training.recipe.lesson(TRAINING_SEED, training.images, CHUNK)
        for i in range(0, CHUNK, BATCH):
            yield Lesson(*(part[i : i + BATCH] for part in chunk))


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

    def report() -> None:
        training.optimizers[phase] = optimizer.state_dict()
        speed = round((training.images - first) / (time.time() - start))
        training.report({"phase": phase, "training_loss": round(mean, 4), "images_per_second": speed}, from_latents)

    for lesson in batches(training):
        gone = (time.time() - start) / (60 * minutes)
        if gone >= 1 and training.images > first:  # however slow the machine, a run takes a step
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(min(gone, 1.0)) * group.get("slow", 1.0)
        w = training.generator.map(lesson.latents)[:, 0] if from_latents else training.reader(lesson.codes)
        with torch.autocast("cpu", torch.bfloat16):  # a quarter faster where the processor has instructions for it
            drawn = training.generator.synthesize(training.repeat(w), noise="none", with_features=True)
            plaster = training.plaster(drawn, w)
        loss = picture_loss(drawn.image.float(), lesson.images, lesson.weights)
        shape_loss = picture_loss(plaster.float(), lesson.surface, lesson.weights)
        optimizer.zero_grad(set_to_none=True)
        (loss + PLASTER_WEIGHT * shape_loss).backward()
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        training.images += BATCH
        training.follow()
        mean = 0.98 * mean + 0.02 * float(loss.detach()) if mean else float(loss.detach())
        if time.time() - told > 90:
            report()
            told = time.time()
    report()


@torch.no_grad()
def _known_codes(training: Training) -> tuple[Lesson, Tensor]:
    """Validation scenes and what the averaged code reader says to them."""
    lesson = training.recipe.lesson(VALIDATION_SEED, 0, 1024)
    return lesson, training.average_reader(lesson.codes)


def change_basis(training: Training) -> None:
    """Measure w by what it does to the picture, and begin the mapping network anew in these coordinates."""
    lesson, w = _known_codes(training)
    basis = picture_basis(sensitivity(training.average, w, lesson.weights), w)
    for network in (training.generator, training.average, training.plaster):
        rebase(network, basis)
    for reader in (training.reader, training.average_reader):
        rebase_reader(reader, basis)
    mapping = Mapping(training.recipe.config)
    begin_at(mapping, w.mean(0) @ basis.there.T + basis.shift)
    for generator in (training.generator, training.average):
        generator.mapping.load_state_dict(mapping.state_dict())
    training.optimizers = {}
    training.report({"phase": "basis"}, from_latents=False)


def learn_latents(training: Training, minutes: float) -> None:
    """Teach the mapping network what the code reader answers."""
    lesson, w = _known_codes(training)
    change = differences(training.average, w, lesson.weights)
    mapping, z_dim = training.average.mapping, training.recipe.config.z_dim
    mapping.requires_grad_(True)
    start = time.time()
    learn_mapping(
        mapping, training.answers, training.recipe.practice or gaussian(z_dim),
        lambda _: (time.time() - start) / (60 * minutes), z_dim=z_dim, differences=change, seed=TRAINING_SEED,
        held_out_seed=VALIDATION_SEED,
    )  # fmt: skip
    mapping.requires_grad_(False)
    training.generator.mapping.load_state_dict(mapping.state_dict())
    with torch.no_grad():
        streams = (torch.from_numpy(draw_stream(3, i * 1000, 1000, z_dim)) for i in range(20))
        mean = torch.cat([mapping(z, None) for z in streams]).mean(0)
        training.generator.w_avg.copy_(mean)
        training.average.w_avg.copy_(mean)
    training.report({"phase": "map"}, from_latents=True)


def main(recipe: Recipe, description: str | None) -> None:
    """Run one phase of a recipe."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=("draw", "basis", "map", "join", "export"))
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    training = Training(recipe).load()
    if given.phase == "draw":
        run(training, "draw", given.minutes, lambda gone: 4e-3 * max(0.02, 1 - gone))
    elif given.phase == "basis":
        change_basis(training)
    elif given.phase == "map":
        learn_latents(training, given.minutes)
    elif given.phase == "join":
        run(training, "join", given.minutes, lambda gone: 1.5e-3 * max(0.02, 1 - gone))
    else:
        teacher = {"reader": training.average_reader, "plaster": training.plaster}
        export(recipe.name, recipe.domain, training.average, teacher, training.log)

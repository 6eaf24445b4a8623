"""What a run of a recipe has learnt so far, and how good it is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.generators.interface import Synthesis
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network, ToRGB
from core.generators.stylegan2.resample import upsample_image
from testbed.recipes.reader import CodeReader
from testbed.recipes.recipe import NORMALS, VALIDATION_SEED, Recipe
from testbed.recipes.shipping import restore
from testbed.recipes.widening import widened

FEW = 4
"""Pixels; a part of as many counts half."""


class Plaster(nn.Module):
    """Features of every block → surface [N, planes, 64, 64]; thrown away after training."""

    def __init__(self, config: StyleGAN2Config, planes: int) -> None:
        super().__init__()
        shape = replace(config, image_channels=planes)
        self.layers = nn.ModuleList(ToRGB(channels, shape) for channels in config.channels.values())

    def forward(self, drawn: Synthesis, w: Tensor) -> Tensor:
        """w [N, w_dim]."""
        surface: Tensor = self.layers[0](drawn.features[1], w)
        for block, layer in enumerate(self.layers):
            if block:
                surface = upsample_image(surface) + layer(drawn.features[1 + 2 * block], w)
        return surface


class Training:
    """Networks, their averages over time, and how far the run is; saved and read as one file."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(0)
        self.recipe = recipe
        self.generator = Network(recipe.config)
        for name, parameter in self.generator.named_parameters():
            parameter.requires_grad_("noise_strength" not in name)
        self.reader = CodeReader(recipe.code_size, recipe.config.w_dim)
        self.plaster = Plaster(recipe.config, recipe.surface)
        self.average = Network(recipe.config).requires_grad_(False)
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
        """Go on from the state, else from what is shipped, which may be narrower by now, else from nothing."""
        if self.recipe.state.exists():
            state = torch.load(self.recipe.state, weights_only=True)
            for name in self._PARTS:
                getattr(self, name).load_state_dict(state[name])
            self.images, self.log, self.optimizers = state["images"], state["log"], state["optimizers"]
        elif (shipped := restore(self.recipe.name, {"reader": self.reader, "plaster": self.plaster})) is not None:
            generator, self.log = shipped
            self.generator.load_state_dict(widened(generator.state_dict(), self.generator.state_dict()))
            self.average.load_state_dict(self.generator.state_dict())
            self.average_reader.load_state_dict(self.reader.state_dict())
            self.images = max(line["images"] for line in self.log)
        return self

    @torch.no_grad()
    def follow(self, images: int) -> None:
        """Move the averages toward the networks, ``images`` later: a half-life of 10,000, shorter at the start."""
        decay = 0.5 ** (images / min(10_000, max(0.05 * self.images, 1)))
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
        scenes = self.recipe.stretch(VALIDATION_SEED, 0, 256)
        w = self.average.map(scenes.latents)[:, 0] if from_latents else self.average_reader(scenes.codes)
        drawn = torch.cat([self.average.synthesize(self.repeat(part)).image for part in w.split(64)])
        return {"psnr": psnr(drawn, scenes.images), "loss": float(picture_loss(drawn, scenes.images, scenes.weights))}

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


def surface_loss(drawn: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """As `picture_loss` for the normals; of every further plane the squared error.

    L1 asks for the likeliest value of a pixel, which what is rarely there hardly ever is; but it is always part of the
    mean.
    """
    further = ((drawn[:, NORMALS:] - target[:, NORMALS:]).square().sum(1, keepdim=True) * weights).mean()
    return picture_loss(drawn[:, :NORMALS], target[:, :NORMALS], weights) + further


def colour_loss(drawn: Tensor, target: Tensor, parts: Tensor) -> Tensor:
    """L1 between the mean colours of each part, where it is seen; every class of ``parts`` weighs the same.

    Of an eye drawn a pixel off, values alone learn that grey is safest; its mean colour hardly hangs on where it lies.
    Parts of few pixels count for less.
    """
    seen = parts.flatten(2).to(drawn.dtype)  # [N, classes, pixels]
    errors = seen @ (drawn - target).flatten(2).transpose(1, 2)  # [N, classes, 3]
    return (errors.abs() / (seen.sum(2, keepdim=True) + FEW)).mean()


def psnr(drawn: Tensor, target: Tensor) -> float:
    """Mean over images of the peak signal-to-noise ratio in dB, values clamped to [-1, 1]."""
    error = (drawn.clamp(-1, 1) - target).square().mean((1, 2, 3)) / 4
    return float((-10 * error.log10()).mean())

"""What one generator of a world is made of, and the scenes that it learns from."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.generators.stylegan2.config import StyleGAN2Config
from core.image_arrays import as_tensor, to_float
from testbed.latents import draw_stream
from testbed.recipes.mapping import Practice

TRAINING_SEED = 1
VALIDATION_SEED = 2
BATCH = 16
CHUNK = 1024
TIMES = 2
"""How often a scene is seen, in another order: rendering takes a third of the time that learning does."""
NORMALS = 3
"""Planes of normals, the first ones of a surface."""


class Scenes(NamedTuple):
    """Scenes as the networks see them.

    Latents [N, z_dim], codes [N, code_size], images [N, 3, 64, 64] in [-1, 1], pixel weights [N, 1, 64, 64] of mean 1,
    surface [N, recipe.surface, 64, 64], where each class of parts is seen: bool [N, classes, 64, 64].
    """

    latents: Tensor
    codes: Tensor
    images: Tensor
    weights: Tensor
    surface: Tensor
    parts: Tensor


@dataclass(frozen=True)
class Recipe:
    """What one generator is made of.

    Attributes:
        name: of the generator; its folders are named so.
        domain: what it draws, for the shipped description.
        config: its network; z_dim is the world's number of latents.
        code_size: numbers in a code.
        codes: latents [N, z_dim] → codes float32 [N, code_size].
        scenes: latents → their scenes.
        surface: planes of a scene's surface: its normals, and what else the scenes says of every pixel.
        practice: latents that the networks learn from; may show rare things more often than they are.
        out: folder of states, one folder a recipe.
    """

    name: str
    domain: str
    config: StyleGAN2Config
    code_size: int
    codes: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    scenes: Callable[[NDArray[np.float32]], Scenes]
    surface: int
    practice: Practice
    out: Path = Path("out")

    @property
    def state(self) -> Path:
        """Where a run keeps what it has learnt."""
        return self.out / self.name / "state.pt"

    def stretch(self, seed: int, start: int, count: int) -> Scenes:
        """Scenes ``start … start + count - 1`` of a stream."""
        return self.scenes(draw_stream(seed, start, count, self.config.z_dim))


def batches(recipe: Recipe, seen: int, rank: int = 0, size: int = 1) -> Iterator[Scenes]:
    """Fresh scenes to practise on without end; another ``seen`` or another one of ``size`` ranks sees others."""
    for start in itertools.count(seen + rank * CHUNK, size * CHUNK):
        random = np.random.default_rng([TRAINING_SEED, start])
        chunk = recipe.scenes(recipe.practice(random, CHUNK))
        for _ in range(TIMES):
            for rows in torch.split(torch.from_numpy(random.permutation(CHUNK)), BATCH):
                yield Scenes(*(part[rows] for part in chunk))


def scenes_of(
    latents: NDArray[np.float32],
    codes: NDArray[np.float32],
    seen: Any,
    classes: NDArray[np.integer],
    part_weights: Tensor,
    planes: Sequence[NDArray[Any]],
) -> Scenes:
    """Return scenes from rendered arrays.

    classes: ids of parts [N, 64, 64], those of the masks or finer ones; part_weights: by these ids; planes: [N, 64, 64]
    each, what the surface says beside its normals.
    """
    ids = torch.from_numpy(classes.astype(np.int64))
    weights = part_weights[ids][:, None]
    parts = ids[:, None] == torch.arange(len(part_weights))[:, None, None]
    normals = torch.from_numpy(seen.normals).permute(0, 3, 1, 2)
    surface = torch.cat([normals, torch.from_numpy(np.stack(planes, axis=1).astype(np.float32))], dim=1)
    images = to_float(as_tensor(seen.images))
    return Scenes(torch.from_numpy(latents), torch.from_numpy(codes), images, weights / weights.mean(), surface, parts)

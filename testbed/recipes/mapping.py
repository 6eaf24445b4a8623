"""Teach a mapping network what a teacher answers: latents alone, no pictures, thousands of scenes a second."""

import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.generators.stylegan2.network import GAIN, Mapping
from core.inversion.precision import uses_bfloat16
from testbed.latents import draw_stream, normalise
from testbed.recipes.crew import Crew
from testbed.recipes.muon import muon_and_adam, set_rate

Teacher = Callable[[NDArray[np.float32]], Tensor]
"""Latents [N, z_dim] → w [N, w_dim]."""

Practice = Callable[[np.random.Generator, int], NDArray[np.float32]]
"""Latents to learn from: [count, z_dim]."""

BATCH = 1024
REUSE = 16
"""Steps for each batch of answers: answering takes six times as long as learning."""
KEPT = 300
"""Batches of known answers in memory; each step takes rows of some of them."""
PEAK = 2e-2
MATRIX_PACE = 3.0
"""The rate of matrices, in those of the rest: in the same two and a half minutes Muon explained 0.970 of the variance
at 1 and 0.971 at 3, Adam 0.968."""
HELD_OUT = 2048


@torch.no_grad()
def begin_at(mapping: Mapping, mean: Tensor) -> None:
    """Make a fresh mapping network answer with about the mean code, [w_dim], all above zero."""
    last = mapping.layers[-1]
    last.bias.copy_(mean / (GAIN * last.bias_scale))  # type: ignore[operator]


def learn_mapping(
    mapping: Mapping,
    teacher: Teacher,
    practice: Practice,
    gone: Callable[[int], float],
    *,
    z_dim: int,
    differences: Tensor,
    seed: int,
    held_out_seed: int,
    crew: Crew | None = None,
) -> None:
    """Train in place; every half minute and at the end, tell how much of the held-out answers' variance is explained.

    practice: may show rare things more often than they are; what is held out never does. gone: how much of the training
    is over after a step; it ends at 1. differences: [w_dim, k], what makes a difference of two codes one of pictures;
    its mean square is the loss.
    """
    # Its weights are stored larger than they act by the inverse of the multiplier.
    peak = PEAK / float(mapping.layers[0].bias_scale)  # type: ignore[arg-type]
    crew, bfloat16 = crew or Crew(), uses_bfloat16("auto", torch.device("cpu"))
    learning = list(mapping.parameters())
    optimizers = muon_and_adam([(learning, 1.0)], crew, MATRIX_PACE)
    fresh = torch.from_numpy(draw_stream(held_out_seed, 0, HELD_OUT, z_dim))
    truth = teacher(fresh.numpy())
    spread = ((truth - truth.mean(0)) @ differences).square().mean()
    differences = differences / spread.sqrt()
    told, over = time.time(), 0.0
    for step, (known, wanted) in enumerate(_batches(teacher, practice, seed)):
        set_rate(optimizers, peak * min(1.0, (step + 1) / 200) * min(1.0, 1.5 * max(0.0, 1 - over)))
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            answer = mapping(known, None)
        loss = ((answer.float() - wanted) @ differences).square().mean()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        over = crew.average(learning, gone(step))
        for optimizer in optimizers:
            optimizer.step()
        if crew.first and (time.time() - told > 30 or over >= 1):
            told = time.time()
            with torch.no_grad():
                explained = 1 - float(((mapping(fresh, None) - truth) @ differences).square().mean())
            line = {
                "phase": "map",
                "step": step,
                "loss": round(float(loss.detach()), 4),
                "explained": round(explained, 4),
            }
            print(json.dumps(line), flush=True)
        if over >= 1:
            return


@torch.no_grad()
def _answers(teacher: Teacher, latents: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(latents), teacher(latents)


def gaussian(z_dim: int) -> Practice:
    """Latents as the generator meets them."""
    return partial(_gaussian, z_dim)


def _gaussian(z_dim: int, random: np.random.Generator, count: int) -> NDArray[np.float32]:
    return normalise(random.standard_normal((count, z_dim))).astype(np.float32)


def _batches(teacher: Teacher, practice: Practice, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of latents and answers without end."""
    random = np.random.default_rng([seed, time.time_ns()])  # a run that goes on must not see the same heads again
    seen: list[tuple[Tensor, Tensor]] = []
    while True:
        seen = [*seen[-KEPT + 1 :], _answers(teacher, practice(random, BATCH))]
        for _ in range(REUSE):
            picked = random.integers(len(seen), size=math.isqrt(BATCH))
            rows = [slice(k, None, len(picked)) for k in range(len(picked))]
            yield (
                torch.cat([seen[i][0][row] for i, row in zip(picked, rows, strict=True)]),
                torch.cat([seen[i][1][row] for i, row in zip(picked, rows, strict=True)]),
            )

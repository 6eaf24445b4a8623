"""Teach a synthesis network by regression: from shaped codes, or from latents.

Small parts weigh more in the loss, which the renderer's masks make possible. Colours are learnt long before shapes, so
beside the picture the network draws the scene's surface, as if in plaster, through a second chain of to-RGB layers that
is thrown away in the end.
"""

import time
from typing import Any

import torch
from torch import nn

from testbed.recipes.recipe import BATCH, batches
from testbed.recipes.training import Training, picture_loss

PLASTER_WEIGHT = 1.5


def draw(training: Training, minutes: float) -> None:
    """Train synthesis and the code reader for a time, from codes."""
    _run(training, "draw", minutes, 4e-3, training.reader, 0.25)


def join(training: Training, minutes: float) -> None:
    """Train synthesis and the mapping network for a time, from latents."""
    _run(training, "join", minutes, 1.5e-3, training.generator.mapping, 25.0)


def _run(training: Training, phase: str, minutes: float, rate: float, reader: nn.Module, pace: float) -> None:
    """``pace``: the rate of whatever answers with w, in those of the synthesis network."""
    synthesis = [p for n, p in training.generator.named_parameters() if p.requires_grad and "mapping" not in n]
    groups: list[dict[str, Any]] = [
        {"params": [*synthesis, *training.plaster.parameters()], "pace": 1.0},
        {"params": list(reader.parameters()), "pace": pace},
    ]
    optimizer = torch.optim.Adam(groups, lr=rate, betas=(0.9, 0.99), fused=True)
    if phase in training.optimizers:
        optimizer.load_state_dict(training.optimizers[phase])
    from_latents = phase == "join"
    start, told, mean = time.time(), time.time(), 0.0
    first = training.images

    def report() -> None:
        training.optimizers[phase] = optimizer.state_dict()
        speed = round((training.images - first) / (time.time() - start))
        training.report({"phase": phase, "training_loss": round(mean, 4), "images_per_second": speed}, from_latents)

    for lesson in batches(training.recipe, training.images):
        gone = (time.time() - start) / (60 * minutes)
        if gone >= 1 and training.images > first:  # however slow the machine, a run takes a step
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * max(0.02, 1 - gone) * group["pace"]
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

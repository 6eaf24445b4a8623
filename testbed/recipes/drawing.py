"""Teach a synthesis network by regression: from shaped codes, or from latents.

Small parts weigh more in the loss, which the renderer's masks make possible. Values alone make soft pictures, for where
an edge or a thin frame may lie here or there their best answer is a blur; so pictures are compared in the features of
the world's perceptual distance, too. Colours are learnt long before shapes, so beside the picture the network draws
the scene's surface, as if in plaster, through a second chain of to-RGB layers that is thrown away in the end; and there
what is rare or only hinted at in the picture, by its mean (docs/adr/0009-teachers-ask-for-the-mean-of-what-is-rare.md).
"""

import time
from typing import Any

import torch
from torch import Tensor, nn

from core.inversion.perceptual.distance import Perceptual
from core.inversion.perceptual.domain import load_perceptual
from core.inversion.precision import uses_bfloat16
from testbed.recipes.crew import Crew
from testbed.recipes.muon import muon_and_adam, set_rate
from testbed.recipes.recipe import BATCH, Scenes, batches
from testbed.recipes.shipping import SHIPPED
from testbed.recipes.training import Training, colour_loss, picture_loss, surface_loss

PLASTER_WEIGHT = 1.5
COLOUR_WEIGHT = 0.5
LIKENESS_WEIGHT = 0.1
"""The features pull about as hard as the values then."""
WARM_UP = 200
WORTH_COMPILING = 10
"""Minutes of training from which on a minute of compiling pays: steps are a fifth faster."""


def draw(training: Training, minutes: float, crew: Crew | None = None) -> None:
    """Train synthesis and the code reader for a time, from codes."""
    _run(training, "draw", minutes, 4e-3, training.reader, 0.25, crew or Crew())


def join(training: Training, minutes: float, crew: Crew | None = None) -> None:
    """Train synthesis and the mapping network for a time, from latents."""
    _run(training, "join", minutes, 1.5e-3, training.generator.mapping, 25.0, crew or Crew())


class _Loss:
    """Loss between scenes and what the networks draw of them."""

    def __init__(self, training: Training, from_latents: bool) -> None:
        self.training = training
        self.from_latents = from_latents
        self.perceptual: Perceptual = load_perceptual(SHIPPED / training.recipe.name)
        # A quarter faster where the processor has instructions for it, and half as fast where it has none.
        self.bfloat16 = uses_bfloat16("auto", torch.device("cpu"))

    def __call__(self, scenes: Scenes) -> tuple[Tensor, Tensor]:
        """The loss to minimise, and of it that of the values of the picture."""
        training = self.training
        w = training.generator.map(scenes.latents)[:, 0] if self.from_latents else training.reader(scenes.codes)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            drawn = training.generator.synthesize(training.repeat(w), noise="none", with_features=True)
            plaster = training.plaster(drawn, w)
            unlike = self.perceptual.distance(drawn.image, self.perceptual.features(scenes.images))
        image = drawn.image.float()
        loss = picture_loss(image, scenes.images, scenes.weights)
        shapes = PLASTER_WEIGHT * surface_loss(plaster.float(), scenes.surface, scenes.weights)
        colours = COLOUR_WEIGHT * colour_loss(image, scenes.images, scenes.parts)
        return loss + shapes + colours + LIKENESS_WEIGHT * unlike.float().mean(), loss.detach()


def _run(
    training: Training, phase: str, minutes: float, rate: float, reader: nn.Module, pace: float, crew: Crew
) -> None:
    """``pace``: the rate of whatever answers with w, in those of the synthesis network."""
    synthesis = [p for n, p in training.generator.named_parameters() if p.requires_grad and "mapping" not in n]
    learners = (([*synthesis, *training.plaster.parameters()], 1.0), (list(reader.parameters()), pace))
    learning = [p for parameters, _ in learners for p in parameters]
    optimizers = muon_and_adam(learners, crew)
    for optimizer, kept in zip(optimizers, training.optimizers.get(phase, ()), strict=False):
        optimizer.load_state_dict(kept)
    from_latents = phase == "join"
    loss_of: Any = _Loss(training, from_latents)
    if minutes >= WORTH_COMPILING:
        loss_of = torch.compile(loss_of, dynamic=False)
    start, told, mean = time.time(), time.time(), 0.0
    first, over = training.images, 0.0

    def report() -> None:
        training.optimizers[phase] = [optimizer.state_dict() for optimizer in optimizers]
        speed = round((training.images - first) / (time.time() - start))
        training.report({"phase": phase, "training_loss": round(mean, 4), "images_per_second": speed}, from_latents)

    for step, scenes in enumerate(batches(training.recipe, training.images, crew.rank, crew.size)):
        if over >= 1 and step:  # however slow the machine, a run takes a step
            break
        set_rate(optimizers, rate * max(0.02, 1 - over) * min(1.0, (step + 1) / WARM_UP))
        loss, of_values = loss_of(scenes)
        for parameter in learning:
            parameter.grad = None
        loss.backward()
        over = crew.average(learning, (time.time() - start) / (60 * minutes))
        nn.utils.clip_grad_norm_(learning, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        training.images += BATCH * crew.size
        training.follow(BATCH * crew.size)
        mean = 0.98 * mean + 0.02 * float(of_values) if mean else float(of_values)
        if crew.first and time.time() - told > 90:
            report()
            told = time.time()
    if crew.first:
        report()

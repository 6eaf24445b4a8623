"""The loop that refines a batch of codes: Adam, each image with its own loss, rate and end; its state can be kept."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.callbacks import ShouldStop, stop_if_asked
from core.inversion.config import InversionConfig
from core.inversion.noise import normalised
from core.inversion.objective import Objective, project
from core.inversion.perceptual.distance import Features

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8

_Tensors = tuple[Tensor, ...]


@dataclass
class _Active:
    """State of the images still being refined; the first dimension of everything is the image."""

    index: Tensor  # [n], position in the batch
    variables: _Tensors  # codes [n, rows or 1, width], then noise maps [n, 1, h, w] where they are fitted
    momentum: _Tensors  # as variables
    variance: _Tensors  # as variables
    anchor: Tensor  # [n], the loss that the next gain is measured against
    stale: Tensor  # [n], steps since the last gain
    position: Tensor  # [n], place in the schedule of rates; a plateau skips ahead to the ramp-down

    def keep(self, kept: Tensor) -> "_Active":
        """Only the images where ``kept`` [n] is true."""
        return _Active(
            index=self.index[kept],
            variables=tuple(one[kept] for one in self.variables),
            momentum=tuple(one[kept] for one in self.momentum),
            variance=tuple(one[kept] for one in self.variance),
            anchor=self.anchor[kept],
            stale=self.stale[kept],
            position=self.position[kept],
        )


class Refinement:
    """One batch: ``run`` refines it; then ``codes`` holds each image's best, ``l2`` the squared error it had with them
    (and with its noise maps), and ``steps`` how many updates it took.
    """

    def __init__(
        self,
        objective: Objective,
        target: Tensor,
        features: Features,
        centre: Tensor,
        radius: float | None,
        axes: Tensor | None = None,
    ) -> None:
        """axes: [width, width], the columns along which codes are refined; None for the identity."""
        self.objective, self.config, self.radius, self.axes = objective, objective.config, radius, axes
        self.centre = centre  # [N, rows, width]
        self._all = (centre, target, features)
        count, device = len(target), target.device
        self.codes = centre.clone()  # [N, rows, width]
        self.loss = torch.full((count,), math.inf, device=device)
        self.l2 = torch.full((count,), math.inf, device=device)
        self.steps = torch.zeros(count, dtype=torch.long, device=device)
        self.step = 0
        rows = centre[:, :1] if self.config.one_row else centre
        variables = (rows.clone(), *objective.noise_maps(count))
        self._active = _Active(
            index=torch.arange(count, device=device),
            variables=variables,
            momentum=tuple(torch.zeros_like(one) for one in variables),
            variance=tuple(torch.zeros_like(one) for one in variables),
            anchor=torch.full((count,), math.inf, device=device),
            stale=torch.zeros(count, dtype=torch.long, device=device),
            position=torch.zeros(count, dtype=torch.long, device=device),
        )
        self._gather()

    def _gather(self) -> None:
        """Centre, target and features of the images that are still here."""
        centre, target, features = self._all
        index = self._active.index
        if len(index) == len(target):
            self._centre, self._target, self._features = centre, target, features
        else:
            self._centre, self._target = centre[index], target[index]
            self._features = tuple(tap[index] for tap in features)

    def run(self, should_stop: ShouldStop) -> Iterator[int]:
        """Refine until every image has left; yields how many of N * steps are done."""
        while len(self._active.index):
            stop_if_asked(should_stop)
            gradients = self._evaluate()
            kept = self._leave_or_ramp_down()
            self.step += 1
            if len(self._active.index):
                self._update(tuple(gradient[kept] for gradient in gradients))
            yield self.done

    @property
    def done(self) -> int:
        """How many of N * steps are done: an image that left early has done them all."""
        left = len(self._active.index)
        return (len(self.codes) - left) * self.config.steps + int(self._active.position.sum())

    def _evaluate(self) -> _Tensors:
        """Gradients at the present variables; remembers the best codes."""
        now = self._active
        with torch.enable_grad():
            variables = tuple(one.detach().requires_grad_() for one in now.variables)
            losses = self.objective.losses(variables[0], self._centre, self._target, self._features, variables[1:])
            gradients = torch.autograd.grad(losses.total.sum(), variables)
        loss = losses.total.detach()
        better = loss < self.loss[now.index]
        self.loss[now.index[better]] = loss[better]
        self.l2[now.index[better]] = losses.l2.detach()[better]
        self.codes[now.index[better]] = now.variables[0][better].expand(-1, self.codes.shape[1], -1)
        gained = loss < now.anchor * (1 - self.config.tolerance)
        now.anchor = torch.where(gained, loss, now.anchor)
        now.stale = torch.where(gained, 0, now.stale + 1)
        return gradients

    def _leave_or_ramp_down(self) -> Tensor:
        """Images at the end of the schedule leave; those on a plateau go to its ramp-down, or leave from within it.
        Says which of the images that were here stay.
        """
        now, steps = self._active, self.config.steps
        ramp_down = steps - math.ceil(self.config.ramp_down * steps)
        plateau = now.stale >= self.config.patience
        falling = now.position >= ramp_down
        now.stale = torch.where(plateau, 0, now.stale)
        now.position = torch.where(plateau & ~falling, ramp_down, now.position)
        kept = (now.position < steps) & ~(plateau & falling)
        self.steps[now.index[~kept]] = self.step
        if not kept.all():
            self._active = now.keep(kept)
            self._gather()
        return kept

    def _update(self, gradients: _Tensors) -> None:
        """Adam (Kingma and Ba 2015, algorithm 1) with one rate an image, for codes along the axes; then projection into
        the ball.
        """
        now, (beta1, beta2) = self._active, ADAM_BETAS
        rate = learning_rate(now.position, self.config)
        if self.axes is not None:
            gradients = (gradients[0] @ self.axes, *gradients[1:])
        steps = []
        for variable, gradient, momentum, variance in zip(
            now.variables, gradients, now.momentum, now.variance, strict=True
        ):
            momentum.lerp_(gradient, 1 - beta1)
            variance.lerp_(gradient.square(), 1 - beta2)
            mean = momentum / (1 - beta1**self.step)
            root = (variance / (1 - beta2**self.step)).sqrt() + ADAM_EPSILON
            steps.append(rate.view(-1, *(1,) * (variable.ndim - 1)) * mean / root)
        if self.axes is not None:
            steps[0] = steps[0] @ self.axes.T
        codes, *moved = (variable - step for variable, step in zip(now.variables, steps, strict=True))
        maps = tuple(normalised(one) for one in moved)
        if self.radius is not None:
            codes = project(codes, self._centre, self.radius, self.config.norm)
        now.variables = (codes, *maps)
        now.position = now.position + 1

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, but for what the constructor is given."""
        now = self._active
        named = {f"{name}.{i}": one for name in _SEVERAL for i, one in enumerate(getattr(now, name))}
        single = {name: getattr(now, name) for name in _SINGLE}
        best = {"codes": self.codes, "loss": self.loss, "l2": self.l2, "steps": self.steps}
        return {**named, **single, **best, "step": torch.tensor(self.step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` said of an equally constructed refinement."""
        device = self.codes.device
        state = {name: tensor.to(device) for name, tensor in state.items()}
        count = len(self._active.variables)
        several = {name: tuple(state[f"{name}.{i}"] for i in range(count)) for name in _SEVERAL}
        self._active = replace(self._active, **several, **{name: state[name] for name in _SINGLE})  # type: ignore[arg-type]
        self.codes, self.loss, self.l2, self.steps = (state[name] for name in ("codes", "loss", "l2", "steps"))
        self.step = int(state["step"])
        self._gather()


_SEVERAL = ("variables", "momentum", "variance")
_SINGLE = ("index", "anchor", "stale", "position")


def learning_rate(position: Tensor, config: InversionConfig) -> Tensor:
    """Rates [n] at places [n] of the schedule: linear rise, plateau, fall by a cosine (HandsOff's code, after
    Karras et al. 2020).
    """
    t = (position.to(torch.float32) + 1) / max(1, config.steps)
    up = (t / config.ramp_up).clamp(max=1) if config.ramp_up else torch.ones_like(t)
    down = ((1 - t) / config.ramp_down).clamp(0, 1) if config.ramp_down else torch.ones_like(t)
    return config.learning_rate * up * (0.5 - 0.5 * torch.cos(down * math.pi))

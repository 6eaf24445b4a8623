"""Training one task's ensemble: pools of gathered pixels, steps of all members at once, measurements, early stop."""

from collections.abc import Iterator
from math import ceil, cos, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.callbacks import ShouldStop, stop_if_asked
from core.errors import LabelerError, Problem
from core.labeling.calibration import fit_temperature
from core.labeling.checkpoint import TrainingState
from core.labeling.conditioning import fit_conditioning
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import Ensemble
from core.labeling.labeler import Head
from core.labeling.labelled_pixels import SPLIT_STREAM, LabelledPixels

POOL_BYTES = 384 << 20
"""Conditioned features held at once; an epoch of more pixels goes through several pools."""
CONDITIONING_PIXELS = 16384
HELD_OUT_PIXELS = 65536
ORDER_STREAM = 2
"""Tells these random numbers from others of the same seed."""


class Trainer:
    """Steps of training over labelled pixels, with measurements on the way. ``state`` is all that resuming needs."""

    def __init__(self, data: LabelledPixels, config: LabelerConfig, seed: int, device: torch.device | str) -> None:
        """Ready for the first step: features conditioned, members with their first weights."""
        self.data, self.config, self.seed, self.device = data, config, seed, device
        self.state = _start(data, config, device, seed)
        self.batch = min(config.pixel_batch, len(data.training))
        self.total = max(1, ceil(config.epochs * len(data.training) / self.batch))
        self.total = min(self.total, config.max_steps or self.total)
        self.weights = data.group_weights(config.class_balance).to(device)
        self._held_out: tuple[Tensor, Tensor] | None = None
        self._calibration: dict[str, float] | None = None

    def steps(self, should_stop: ShouldStop) -> Iterator[int]:
        """Train; yields the number of steps done after each of them."""
        state = self.state
        for x, y, orders, first in self._pools():
            for number in range(orders.shape[1] // self.batch):
                if first + number < state.step:
                    continue
                if state.step >= self.total or self.stopped_early:
                    return
                stop_if_asked(should_stop)
                mine = orders[:, number * self.batch : (number + 1) * self.batch].to(self.device)  # [M, B]
                self._step(x[mine].transpose(1, 2), y[mine])
                state.step += 1
                if state.step % self.config.measure_every == 0 or state.step == self.total:
                    self._measure()
                yield state.step

    def _pools(self) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
        """(features [P, K], labels [P], each member's order [M, P], step at which it begins), epoch after epoch."""
        pixels, condition = self.data.training, self.state.conditioning
        rows = max(2 * self.batch, POOL_BYTES // (4 * condition.outputs))  # so that equal parts hold a batch each
        count = ceil(len(pixels) / rows)
        x, y, first, epoch = None, None, 0, 0
        while first < self.total:
            parts = [np.arange(len(pixels))]
            if count > 1:
                shuffled = np.random.default_rng([self.seed, ORDER_STREAM, epoch]).permutation(len(pixels))
                parts = [np.sort(part) for part in np.array_split(shuffled, count)]
            for number, part in enumerate(parts):
                steps = len(part) // self.batch
                if first + steps > self.state.step and first < self.total:
                    if x is None or y is None or count > 1:
                        x = y = None  # the old pool goes before the new one comes
                        mine = pixels[torch.from_numpy(part)]
                        x = self.data.gather(mine.to(self.device), condition.apply)
                        y = self.data.target.at(mine).to(self.device)
                    yield x, y, self._orders(y, epoch, number), first
                first += steps
            epoch += 1

    def _orders(self, y: Tensor, epoch: int, pool: int) -> Tensor:
        """Each member's own order of the pool's pixels, int64 [M, P]; drawn by weight where that is asked for."""
        keys = ([self.seed, ORDER_STREAM, epoch, pool, member] for member in range(self.config.members))
        randoms = [np.random.default_rng(key) for key in keys]
        if self.config.balance_by == "loss":
            return torch.from_numpy(np.stack([random.permutation(len(y)) for random in randoms]))
        heap = np.cumsum(self.weights[self.data.target.group(y)].cpu().numpy().astype(np.float64))
        drawn = [np.searchsorted(heap, random.random(len(y)) * heap[-1], side="right") for random in randoms]
        return torch.from_numpy(np.stack(drawn).clip(max=len(y) - 1))

    def _step(self, x: Tensor, y: Tensor) -> None:
        """x [M, K, B], y [M, B] or [M, B, outputs]: one step of Adam for every member."""
        optimizer, config, target = self.state.optimizer, self.config, self.data.target
        if config.schedule == "cosine":
            optimizer.param_groups[0]["lr"] = config.learning_rate * 0.5 * (1 + cos(pi * self.state.step / self.total))
        self.state.ensemble.train()
        losses = target.loss(self.state.ensemble(x), y)  # [M, B]
        # Each member's own weighted mean; summed, so that no member's gradient depends on how many there are.
        if config.balance_by == "loss":
            weights = self.weights[target.group(y)]
            loss = ((losses * weights).sum(1) / weights.sum(1)).sum()
        else:
            loss = losses.mean(1).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        self.state.loss_sum += loss.item() / config.members

    def _measure(self) -> None:
        state = self.state
        since = state.loss_curve[-1][0] if state.loss_curve else 0
        mean = state.loss_sum / (state.step - since)
        if not np.isfinite(mean):
            raise LabelerError("training diverged", [Problem("a smaller learning_rate may help", "learning_rate")])
        state.loss_curve.append((state.step, mean))
        state.loss_sum = 0.0
        if not len(self.data.held_out):
            return
        accuracy: float = self._held_out_scores()["accuracy"]
        best = max((value for _, value in state.held_out_curve), default=-1.0)
        state.held_out_curve.append((state.step, accuracy))
        if self.config.patience is None:
            return
        if accuracy > best:
            state.best = {name: tensor.clone() for name, tensor in state.ensemble.state_dict().items()}

    def point(self) -> dict[str, float]:
        """The point of the curves that this very step was measured at; empty after other steps."""
        curve, held_out = self.state.loss_curve, self.state.held_out_curve
        if not curve or curve[-1][0] != self.state.step:
            return {}
        found = {"step": float(self.state.step), "loss": curve[-1][1]}
        return {**found, "accuracy": held_out[-1][1]} if held_out else found

    @property
    def stopped_early(self) -> bool:
        """Whether the last ``patience`` measurements all stayed below one before them."""
        values, patience = [value for _, value in self.state.held_out_curve], self.config.patience
        if patience is None or len(values) <= patience:
            return False
        return max(values[-patience:]) <= max(values[:-patience])

    @torch.no_grad()
    def _held_out_said(self) -> tuple[Tensor, Tensor]:
        """What the members say of held-out pixels, [M, P, outputs], and their truth."""
        if self._held_out is None:
            random = np.random.default_rng([self.seed, SPLIT_STREAM, 1])
            pixels = self.data.some(self.data.held_out, HELD_OUT_PIXELS, random)
            x = self.data.gather(pixels.to(self.device), self.state.conditioning.apply)
            self._held_out = x, self.data.target.at(pixels)
        x, truth = self._held_out
        self.state.ensemble.eval()
        said = [
            self.state.ensemble(some.t().expand(self.config.members, -1, -1)).transpose(1, 2)
            for some in torch.split(x, 4096)
        ]
        return torch.cat(said, dim=1), truth

    def _held_out_scores(self) -> dict[str, Any]:
        return self.data.target.scores(*self._held_out_said(), self.config.ignore_index)

    def finished(self) -> Head:
        """The trained ensemble over raw hypercolumns, speaking in the unit of the labels, calibrated."""
        state, target = self.state, self.data.target
        if state.best is not None:
            state.ensemble.load_state_dict(state.best)
        folded = state.ensemble.eval().folded(state.conditioning)
        if target.task != "segmentation":
            folded = folded.scaled(*target.scale(self.data.training))
        elif self.config.calibrate and len(self.data.held_out):
            temperature, before, after = fit_temperature(*self._held_out_said())
            self._calibration = {"temperature": temperature, "nll_before": before, "nll_after": after}
            folded = folded.scaled(1 / temperature)
        return Head(target.task, folded, self._report())

    def _report(self) -> dict[str, Any]:
        """JSON values: what was trained on, and how it went."""
        state, data, conditioning = self.state, self.data, self.state.conditioning
        held_out = None
        if len(data.held_out):
            curve = [list(point) for point in state.held_out_curve]
            held_out = {"images": data.held_out_images, **self._held_out_scores(), "curve": curve}
        return {
            "task": data.target.task,
            "pixels": len(data.training),
            "class_pixels": data.group_pixels.tolist(),
            "class_weights": self.weights.tolist(),
            "channels": data.source.layers.channels,
            "standardised": self.config.standardise,
            "components": None if conditioning.basis is None else conditioning.outputs,
            "seed": self.seed,
            "steps": state.step,
            "steps_planned": self.total,
            "stopped_early": self.stopped_early,
            "loss_curve": [list(point) for point in state.loss_curve],
            "held_out": held_out,
            "calibration": self._calibration,
            "trained_on_all": False,
        }


def _start(data: LabelledPixels, config: LabelerConfig, device: torch.device | str, seed: int) -> TrainingState:
    sample = data.some(data.training, CONDITIONING_PIXELS, np.random.default_rng([seed, SPLIT_STREAM, 2]))
    raw = data.gather(sample.to(device), lambda x: x)
    conditioning = fit_conditioning(raw, config.standardise, config.components)
    ensemble = Ensemble(config.members, conditioning.outputs, config.hidden, data.target.outputs, seed).to(device)
    optimizer = torch.optim.Adam(ensemble.parameters(), lr=config.learning_rate, fused=True)
    return TrainingState(ensemble, optimizer, conditioning)

"""Training the ensemble: all members at once, on pixels gathered from native features, never on hypercolumn images."""

import hashlib
import json
from collections.abc import Callable, Iterator
from math import ceil, cos, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.errors import LabelerError, Problem
from core.generators.stylegan2 import Generator, Noise
from core.labeling.checkpoint import TrainingState
from core.labeling.conditioning import fit_conditioning
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import Ensemble
from core.labeling.hypercolumn import SelectedLayers
from core.labeling.labeler import Labeler, vote
from core.labeling.pixels import PixelSource
from core.tasks.segmentation import agreement, confusion_matrix

POOL_BYTES = 384 << 20
"""Conditioned features held at once; an epoch of more pixels goes through several pools."""
CONDITIONING_PIXELS = 16384
HELD_OUT_PIXELS = 65536
ORDER_STREAM, SPLIT_STREAM = 2, 3
"""Tell these random numbers from others of the same seed."""


def train_ensemble(
    generator: Generator,
    w_plus: Tensor,
    masks: Tensor | NDArray[np.uint8],
    class_count: int,
    config: LabelerConfig | None = None,
    *,
    noise: Noise = "const",
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
    checkpoint: Callable[[bytes], None] | None = None,
    checkpoint_every: int = 500,
    resume_from: bytes | None = None,
) -> Labeler:
    """Train a labeler on inverted labelled images (HandsOff section 3.3).

    generator: frozen, on ``device``. w_plus: float [N, num_ws, w_dim]. masks: uint8 [N, H, W], class ids below
    ``class_count`` or the ignore index; any H, W up to the generator's resolution. noise: "const" or "none".
    checkpoint: called with the state as bytes every ``checkpoint_every`` steps; ``resume_from`` takes such bytes and
    goes on to the same result, bit for bit. Equal arguments give equal labelers on the same machine.

    Raises :class:`LabelerError` for labels that do not fit or teach nothing, :class:`core.errors.Stopped` when asked.
    """
    config = config or LabelerConfig()
    masks = torch.as_tensor(masks)
    _check(generator, w_plus, masks, class_count, config, noise)
    w_plus = w_plus.to(device, torch.float32)
    layers = SelectedLayers(generator.feature_layers, config)
    size = (masks.shape[1], masks.shape[2])
    source = PixelSource(generator, w_plus, layers, size, noise)
    data = _Data(source, masks, class_count, config, seed, should_stop)
    state = _start(data, class_count, config, device, seed)
    fingerprint = _fingerprint(generator, w_plus, masks, class_count, config, noise, seed)
    if resume_from is not None:
        state.restore(resume_from, fingerprint)
    trainer = _Trainer(data, state, config, seed, device)
    for step in trainer.steps(should_stop):
        progress(step, trainer.total)
        if checkpoint is not None and step % checkpoint_every == 0 and step < trainer.total:
            checkpoint(state.to_bytes(fingerprint))
    progress(trainer.total, trainer.total)
    if state.best is not None:
        state.ensemble.load_state_dict(state.best)
    folded = state.ensemble.eval().folded(state.conditioning)
    return Labeler(folded, generator.feature_layers, config, noise, trainer.report())


class _Data:
    """The labelled pixels, split into training and held-out images."""

    def __init__(
        self,
        source: PixelSource,
        masks: Tensor,
        class_count: int,
        config: LabelerConfig,
        seed: int,
        should_stop: ShouldStop,
    ) -> None:
        self.source, self.class_count, self.should_stop = source, class_count, should_stop
        order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(len(masks))
        self.held_out_images = sorted(order[: config.held_out].tolist())
        labels = masks.cpu().flatten()
        usable = (labels != config.ignore_index).view(len(masks), -1)
        held = torch.zeros(len(masks), dtype=torch.bool)
        held[self.held_out_images] = True
        self.training = (usable & ~held[:, None]).flatten().nonzero()[:, 0]  # [P] flat positions, ascending
        self.held_out = (usable & held[:, None]).flatten().nonzero()[:, 0]
        self.labels = labels.long()
        self.class_pixels = torch.bincount(self.labels[self.training], minlength=class_count)
        if int((self.class_pixels > 0).sum()) < 2:
            problem = Problem("fewer than two classes in the images to train on", "masks")
            raise LabelerError("these labels teach nothing", [problem])

    def some(self, pixels: Tensor, count: int, random: np.random.Generator) -> Tensor:
        """At most ``count`` of ``pixels``, drawn without replacement, ascending."""
        if len(pixels) <= count:
            return pixels
        return pixels[torch.from_numpy(np.sort(random.choice(len(pixels), count, replace=False)))]

    def gather(self, pixels: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
        """Transformed hypercolumns [P, K] of flat positions."""
        return self.source.gather(pixels, transform, self.should_stop)

    def class_weights(self, exponent: float) -> Tensor:
        """frequency^-exponent, zero for absent classes, of mean 1 over the pixels. Float [K]."""
        frequency = self.class_pixels / self.class_pixels.sum()
        weights = torch.where(frequency > 0, frequency.clamp_min(1e-12) ** -exponent, 0.0)
        return (weights / (weights * frequency).sum()).float()


class _Trainer:
    def __init__(
        self, data: _Data, state: TrainingState, config: LabelerConfig, seed: int, device: torch.device | str
    ) -> None:
        self.data, self.state, self.config, self.seed, self.device = data, state, config, seed, device
        self.batch = min(config.pixel_batch, len(data.training))
        self.total = max(1, ceil(config.epochs * len(data.training) / self.batch))
        self.total = min(self.total, config.max_steps or self.total)
        self.weights = data.class_weights(config.class_balance).to(device)
        self._held_out: tuple[Tensor, Tensor] | None = None

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
                        y = self.data.labels[mine].to(self.device)
                    yield x, y, self._orders(len(part), epoch, number), first
                first += steps
            epoch += 1

    def _orders(self, length: int, epoch: int, pool: int) -> Tensor:
        keys = ([self.seed, ORDER_STREAM, epoch, pool, member] for member in range(self.config.members))
        return torch.from_numpy(np.stack([np.random.default_rng(key).permutation(length) for key in keys]))

    def _step(self, x: Tensor, y: Tensor) -> None:
        """x [M, K, B], y [M, B]: one step of Adam for every member."""
        optimizer, config = self.state.optimizer, self.config
        if config.schedule == "cosine":
            optimizer.param_groups[0]["lr"] = config.learning_rate * 0.5 * (1 + cos(pi * self.state.step / self.total))
        self.state.ensemble.train()
        logits = self.state.ensemble(x)  # [M, classes, B]
        losses = F.cross_entropy(logits, y, self.weights, reduction="none")  # [M, B]
        # Each member's own weighted mean; summed, so that no member's gradient depends on how many there are.
        loss = (losses.sum(1) / self.weights[y].sum(1)).sum()
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
        accuracy, _ = self._held_out_scores()
        best = max((value for _, value in state.held_out_curve), default=-1.0)
        state.held_out_curve.append((state.step, accuracy))
        if self.config.patience is None:
            return
        if accuracy > best:
            state.best = {name: tensor.clone() for name, tensor in state.ensemble.state_dict().items()}

    @property
    def stopped_early(self) -> bool:
        """Whether the last ``patience`` measurements all stayed below one before them."""
        values, patience = [value for _, value in self.state.held_out_curve], self.config.patience
        if patience is None or len(values) <= patience:
            return False
        return max(values[-patience:]) <= max(values[:-patience])

    @torch.no_grad()
    def _held_out_scores(self) -> tuple[float, float]:
        """Pixel accuracy and mean IoU of the vote on held-out pixels."""
        if self._held_out is None:
            random = np.random.default_rng([self.seed, SPLIT_STREAM, 1])
            pixels = self.data.some(self.data.held_out, HELD_OUT_PIXELS, random)
            x = self.data.gather(pixels.to(self.device), self.state.conditioning.apply)
            self._held_out = x, self.data.labels[pixels]
        x, truth = self._held_out
        self.state.ensemble.eval()
        votes = [
            vote(self.state.ensemble(some.t().expand(self.config.members, -1, -1)).transpose(1, 2)).cpu()
            for some in torch.split(x, 4096)
        ]
        confusion = confusion_matrix(
            truth.to(torch.uint8).numpy(), torch.cat(votes).numpy(), self.data.class_count, self.config.ignore_index
        )
        scores = agreement(confusion)
        return scores.pixel_accuracy, scores.mean_iou

    def report(self) -> dict[str, Any]:
        """JSON values: what was trained on, and how it went."""
        state, data, conditioning = self.state, self.data, self.state.conditioning
        held_out = None
        if len(data.held_out):
            accuracy, mean_iou = self._held_out_scores()
            curve = [list(point) for point in state.held_out_curve]
            held_out = {"images": data.held_out_images, "accuracy": accuracy, "mean_iou": mean_iou, "curve": curve}
        return {
            "pixels": len(data.training),
            "class_pixels": data.class_pixels.tolist(),
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
        }


def _start(
    data: _Data, class_count: int, config: LabelerConfig, device: torch.device | str, seed: int
) -> TrainingState:
    sample = data.some(data.training, CONDITIONING_PIXELS, np.random.default_rng([seed, SPLIT_STREAM, 2]))
    raw = data.gather(sample.to(device), lambda x: x)
    conditioning = fit_conditioning(raw, config.standardise, config.components)
    ensemble = Ensemble(config.members, conditioning.outputs, config.hidden, class_count, seed).to(device)
    optimizer = torch.optim.Adam(ensemble.parameters(), lr=config.learning_rate, fused=True)
    return TrainingState(ensemble, optimizer, conditioning)


def _check(
    generator: Generator, w_plus: Tensor, masks: Tensor, class_count: int, config: LabelerConfig, noise: Noise
) -> None:
    problems = []
    rows = (generator.num_ws, generator.config.w_dim)
    if w_plus.ndim != 3 or w_plus.shape[1:] != rows or not w_plus.isfinite().all():
        problems.append(Problem(f"not finite codes [N, {rows[0]}, {rows[1]}]", "w_plus"))
    if masks.ndim != 3 or masks.dtype != torch.uint8 or len(masks) != len(w_plus) or not masks.numel():
        problems.append(Problem("not one uint8 mask [H, W] for each code", "masks"))
    elif any(side > limit for side, limit in zip(masks.shape[1:], generator.config.resolution, strict=True)):
        problems.append(Problem(f"larger than the generator's {generator.config.resolution}", "masks"))
    elif not 2 <= class_count <= 256:
        problems.append(Problem("not from 2 to 256", "class_count"))
    else:
        wrong = sorted(set(torch.unique(masks).tolist()) - set(range(class_count)) - {config.ignore_index})
        problems += [Problem(f"the class id {value} is not below {class_count}", "masks") for value in wrong]
    if config.held_out >= len(w_plus):
        problems.append(Problem(f"{len(w_plus)} images leave none to train on", "held_out"))
    if noise == "random":
        problems.append(Problem("images drawn anew each time cannot be labelled", "noise"))
    if problems:
        raise LabelerError("a labeler cannot be trained on this", problems)


def _fingerprint(
    generator: Generator,
    w_plus: Tensor,
    masks: Tensor,
    class_count: int,
    config: LabelerConfig,
    noise: Noise,
    seed: int,
) -> str:
    settings = [config.to_json(), class_count, noise, seed, generator.config.to_json()]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for tensor in (generator.constant.detach(), w_plus, masks):
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

"""Training one downstream net: deterministic, resumable, early choice on validation."""

import copy
import io
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import EvaluationError, Problem, ResumeError
from core.evaluation.downstream.augmentation import augmented
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import LabelledImages
from core.evaluation.downstream.loss import TargetFormat, as_target, class_weights, pixel_loss
from core.evaluation.downstream.networks import DownstreamNet, build_network
from core.evaluation.overlap import image_confusions, pooled_miou
from core.image_arrays import as_tensor, to_float
from core.inversion.precision import uses_bfloat16
from core.run import Run

FINE_TUNE_STEPS, FINE_TUNE_RATE = 1 / 3, 0.15
"""Length and learning rate of fine-tuning, as shares of those of the first phase."""
_STREAM = 40
_CHECKPOINT_EVERY = 500


@dataclass(frozen=True)
class Trained:
    """A net ready to predict. ``losses``: (step, loss) now and then. ``chosen_step``: the one whose weights it has.
    ``scores``: (step, validation score), higher is better; empty without validation.
    """

    network: DownstreamNet
    channels: int
    losses: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    chosen_step: int = 0


@dataclass(frozen=True)
class Start:
    """The weights that a training starts from.

    Attributes:
        trunk_weights: file of published weights of the trunk.
        network: a network to continue from; its last layer is new where the channels differ.
        freeze_trunk: train the rest alone (head-only transfer).
    """

    trunk_weights: Path | None = None
    network: DownstreamNet | None = None
    freeze_trunk: bool = False


def train_downstream(
    images: LabelledImages,
    channels: int,
    config: DownstreamConfig,
    *,
    run: Run,
    target: TargetFormat | None = None,
    validation: LabelledImages | None = None,
    start: Start | None = None,
) -> Trained:
    """Train on ``images``; the target's type gives the task: ids (cross-entropy) or maps (squared error where known).

    ``channels``: classes or maps. Step ``s`` depends on (``run.seed``, s) alone, so a resumed training ends with the
    same weights. A checkpoint is made every 500 steps unless ``run`` names another interval.

    Raises :class:`core.errors.EvaluationError` for data that cannot be trained on, :class:`core.errors.ResumeError` for
    the state of another training, :class:`core.errors.Stopped` between steps when asked.
    """
    training = _Training(images, channels, config, run, target or TargetFormat(), start or Start())
    if run.resume_from is not None:
        training.load(run.resume_from)
    total = config.steps
    checkpoint_every = run.checkpoint_every or _CHECKPOINT_EVERY
    while training.step < total:
        run.stop_if_asked()
        training.learn(images)
        last = training.step == total
        if validation is not None and (last or (config.validate_every and training.step % config.validate_every == 0)):
            training.validate(validation)
        if run.checkpoint is not None and training.step % checkpoint_every == 0 and not last:
            run.checkpoint(training.save())
        run.progress(training.step, total)
    return training.result()


def fine_tune(
    trained: Trained, images: LabelledImages, config: DownstreamConfig, *, run: Run, **settings: Any
) -> Trained:
    """Train ``trained`` on, on other images (the second phase of the recommended use): a third of ``config.steps`` at
    0.15 of its rate. ``settings``: ``target`` and ``validation`` of :func:`train_downstream`, which has the errors.
    """
    slow = replace(
        config,
        steps=max(1, round(FINE_TUNE_STEPS * config.steps)),
        learning_rate=FINE_TUNE_RATE * config.learning_rate,
        schedule="constant",
    )
    return train_downstream(images, trained.channels, slow, run=run, start=Start(network=trained.network), **settings)


@torch.no_grad()
def predict(trained: Trained, images: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
    """Outputs of uint8 [N, H, W, 3]: float32 [N, K, H, W], logits or maps."""
    network = trained.network.eval()
    device = next(network.parameters()).device
    parts = [
        network(to_float(as_tensor(images[at : at + batch]).to(device))).float().cpu().numpy()
        for at in range(0, len(images), batch)
    ]
    return np.concatenate(parts)


def predict_masks(trained: Trained, images: NDArray[np.uint8], batch: int = 64) -> NDArray[np.uint8]:
    """Arg-max class ids of uint8 [N, H, W, 3]: uint8 [N, H, W]; memory holds the logits of one batch."""
    parts = [predict(trained, images[at : at + batch]).argmax(1) for at in range(0, len(images), batch)]
    return np.concatenate(parts).astype(np.uint8)


class _Training:
    """Network, optimizer and progress of one training."""

    def __init__(
        self,
        images: LabelledImages,
        channels: int,
        config: DownstreamConfig,
        run: Run,
        target: TargetFormat,
        start: Start,
    ) -> None:
        if not len(images):
            raise EvaluationError("nothing to train on", [Problem("no images", "images")])
        self.config, self.seed, self.device = config, run.seed, run.device
        self.target, self.bfloat16 = target, uses_bfloat16(config.precision, torch.device(run.device))
        self.channels = channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            self.network = build_network(config, channels, start.trunk_weights).to(run.device)
        if start.network is not None:
            _copy_into(self.network, start.network)
        self.freeze_trunk = start.freeze_trunk
        if start.freeze_trunk:
            self.network.trunk.requires_grad_(False)
        learnt = [one for one in self.network.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learnt, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        self.weights = class_weights(images, channels, config.class_weight_power, target)
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self.scores: list[tuple[int, float]] = []
        self.best: dict[str, Tensor] | None = None

    def learn(self, source: LabelledImages) -> None:
        """One step on a batch that (seed, step) chooses."""
        config = self.config
        random = np.random.default_rng([self.seed, _STREAM, self.step])
        pick = random.integers(0, len(source), config.batch)
        pixels, targets = source.take(pick)
        x, y = to_float(as_tensor(pixels)), as_target(targets)
        generator = torch.Generator().manual_seed(int(random.integers(1 << 62)))
        x, y = augmented(
            x, y, config.augment, generator, config.mirrored, config.augment_strength, self.target.ignore_index
        )
        self.network.train()
        if self.freeze_trunk:
            self.network.trunk.eval()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        # Deep nets draw their own dropout; tied to the step, so that a resumed run draws the same.
        with torch.random.fork_rng(devices=[]), self._arithmetic():
            torch.manual_seed(int(random.integers(1 << 62)))
            output = self.network(x.to(self.device).contiguous(memory_format=torch.channels_last))
        loss = pixel_loss(output.float(), y.to(self.device), self.weights, self.target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        if self.step % max(1, config.steps // 50) == 0:
            self.losses.append((self.step, float(loss.detach())))

    def _arithmetic(self) -> torch.autocast:
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16)

    def _rate(self) -> float:
        """One cycle: up over the first 30 %, down by a cosine to almost nothing."""
        config = self.config
        if config.schedule == "constant":
            return config.learning_rate
        warm = 0.3 * config.steps
        low = 0.04 if self.step < warm else 4e-6
        share = self.step / warm if self.step < warm else 1 - (self.step - warm) / (config.steps - warm)
        return config.learning_rate * float(low + (1 - low) * (1 - np.cos(np.pi * share)) / 2)

    def validate(self, validation: LabelledImages) -> None:
        """Score on ``validation``; the best weights so far are kept."""
        pixels, targets = validation.take(np.arange(len(validation)))
        now = Trained(self.network, self.channels)
        if targets.ndim == 3:
            said = predict_masks(now, pixels)
            score = pooled_miou(image_confusions(targets, said, self.channels, self.target.ignore_index))
        else:
            score = -float(np.nanmean((predict(now, pixels) - targets) ** 2))
        if not self.scores or score > max(value for _, value in self.scores):
            self.best = copy.deepcopy(self.network.state_dict())
        self.scores.append((self.step, score))

    def save(self) -> bytes:
        stream = io.BytesIO()
        state = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "best": self.best}
        notes = {"step": self.step, "losses": self.losses, "scores": self.scores, "key": self._key()}
        torch.save({**state, **notes}, stream)
        return stream.getvalue()

    def load(self, content: bytes) -> None:
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
            if state["key"] != self._key():
                raise ValueError("it was written by another training")
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.losses, self.scores = state["step"], state["losses"], state["scores"]
            self.best = state["best"]
        except (RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
            problem = Problem(str(error)[:300], "checkpoint")
            raise ResumeError("this training cannot continue from the checkpoint", [problem]) from error

    def result(self) -> Trained:
        chosen = self.step
        if self.best is not None:
            self.network.load_state_dict(self.best)
            chosen = max(self.scores, key=lambda one: one[1])[0]
        return Trained(self.network.eval(), self.channels, self.losses, self.scores, chosen)

    def _key(self) -> str:
        return repr((self.config, self.seed, self.channels, self.freeze_trunk, self.target.heat))


def _copy_into(network: DownstreamNet, start: DownstreamNet) -> None:
    """Every tensor of equal name and shape; a last layer for other channels stays fresh."""
    wanted, given = network.state_dict(), start.state_dict()
    network.load_state_dict(
        {**wanted, **{k: v for k, v in given.items() if k in wanted and v.shape == wanted[k].shape}}
    )

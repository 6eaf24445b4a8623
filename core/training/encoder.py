"""Training of the encoder that inverts images into a frozen generator's codes.

ReStyle (Alaluf et al. 2021, section 3) with e4e's progressive offsets (Tov et al. 2021, section 4.3). Two kinds of
targets: the generator's own samples, whose codes are known, and real images, which are only seen through the generator.

The batch rolls: every step makes one correction for every slot of the batch; a slot that has had its corrections gets a
new target. So a step sees all depths of the iteration at the price of one, and each depth trains on what the encoder
itself made of the depth before, as at test time; nothing is back-propagated from one correction to the one before.
"""

import io
import math
import os
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from core import checkpoint_io
from core.errors import InversionError, Problem, ResumeError, Stopped
from core.generators.interface import Invertible
from core.inversion.encoder import Encoder, EncoderConfig, Heads, average_image, check_match
from core.inversion.initial_codes import latent_spread
from core.inversion.perceptual.distance import Features, Perceptual
from core.inversion.precision import features_of, image_of, uses_bfloat16
from core.run import Run
from core.training.config import EncoderTrainingConfig
from core.training.encoder_targets import ImageSource, image_source, real_images, sample_codes

EMA_WARMUP = 10
"""The mean of the weights begins short: decay (1 + step) / (10 + step) until it reaches the configured one."""


class EncoderTraining(NamedTuple):
    """encoder: the running mean of the weights, frozen. curve: mean losses of every ``log_every`` steps, in order."""

    encoder: Encoder
    curve: list[dict[str, float]]


def train_encoder(
    sampler: Invertible,
    perceptual: Perceptual,
    images: Tensor | ImageSource | None,
    config: EncoderTrainingConfig,
    *,
    run: Run | None = None,
    encoder_config: EncoderConfig | None = None,
    begin_with: Encoder | None = None,
    checkpoint: Path | None = None,
) -> EncoderTraining:
    """Train an encoder for ``sampler``, whose weights lie frozen on ``run.device`` beside the perceptual distance.

    images: uint8 [N, 3, H, W], or a source of them, or None to learn from the generator's samples alone. begin_with: an
    encoder of the same configuration to begin with, such as that of the generator before it was trained on. checkpoint:
    file for the state, written as often as ``run.checkpoint`` is called (by default every ``config.checkpoint_every``
    steps) and when stopped; where it exists and ``run`` has no state, training continues from it. A resumed training
    ends at the very weights that an unbroken one reaches.
    Raises :class:`InversionError` for images that do not fit, :class:`core.errors.ResumeError` for a checkpoint of
    another training, :class:`core.errors.Stopped` between steps.
    """
    run = run or Run()
    if encoder_config is None:
        encoder_config = default_encoder_config(sampler, latent_spread(sampler, run.seed))
    source = image_source(images, run.seed, config.mirror) if isinstance(images, Tensor) else images
    if source is None and not config.samples:
        raise InversionError("nothing to learn from", [Problem("no samples, and no images were given", "samples")])
    given = [*sampler.tensors(), *perceptual.state_dict().values()]
    given += [images] if isinstance(images, Tensor) else []
    given += begin_with.state_dict().values() if begin_with is not None else []
    mark = checkpoint_io.fingerprint(sampler.feature_digest, given)
    training = _Training(sampler, perceptual, source, config, encoder_config, run, mark)
    if begin_with is not None:
        training.begin_with(begin_with)
    training.resume(checkpoint)
    training.finish(checkpoint)
    return EncoderTraining(training.mean.eval().requires_grad_(False), training.curve)


def default_encoder_config(
    sampler: Invertible, latent_scale: float, heads: Heads = "e4e", largest: int = 128
) -> EncoderConfig:
    """An encoder for the generator's images, seen at ``largest`` pixels at most and halved until about four are
    left.

    The scale is rounded: its last digits depend on the number of threads, and a run that goes on elsewhere from a
    checkpoint must come to the same encoder.
    """
    height, width = sampler.resolution
    shrink = min(1.0, largest / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    stages = max(1, round(math.log2(max(size) / 4)))
    channels: tuple[int, ...] = (32, 64, 128, 192)
    channels = (24,) * (stages - 4) + channels if stages > 4 else channels[:stages]
    return EncoderConfig(size, sampler.rows, sampler.width, float(f"{latent_scale:.3g}"), channels, heads=heads)


def feature_loss(features: Features, target: Features) -> Tensor:
    """1 - cosine similarity, [N], of the deepest features' means over the image."""
    return 1 - F.cosine_similarity(features[-1].mean((2, 3)), target[-1].mean((2, 3)))


@dataclass
class _Slots:
    """The rolling batch: first the samples without image losses, then those with, then the real images."""

    left: Tensor  # [B], corrections until the slot gets a new target
    codes: Tensor  # [B, rows, width], what the encoder has made so far
    current: Tensor  # [B, 3, H, W], what these codes draw
    target: Tensor  # [B, 3, H, W] in [-1, 1]
    truth: Tensor  # [S, width], codes of the samples
    features: Features  # of the targets with image losses, [B - first drawn, C, h, w] each


class _Training:
    """State of a training run between two steps."""

    def __init__(
        self,
        sampler: Invertible,
        perceptual: Perceptual,
        source: ImageSource | None,
        config: EncoderTrainingConfig,
        encoder_config: EncoderConfig,
        run: Run,
        mark: str,
    ) -> None:
        self.run, self.mark = run, mark
        self.sampler, self.perceptual, self.source = sampler, perceptual, source
        device = torch.device(run.device)
        self.config, self.device, self.seed = config, device, run.seed
        self.bfloat16 = uses_bfloat16(config.precision, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            self.encoder = Encoder(encoder_config).to(device).train()
        check_match(sampler, self.encoder)
        self.mean = deepcopy(self.encoder)
        self.optimizer = torch.optim.Adam(
            self.encoder.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.step, self.kept_step = 0, -1
        self.curve: list[dict[str, float]] = []
        self.recent: list[dict[str, float]] = []
        self.first_drawn = config.samples - config.samples_drawn
        self.average = average_image(sampler)  # [1, 3, H, W]
        self.slots = self._empty_slots()

    def begin_with(self, encoder: Encoder) -> None:
        """Take over another encoder's weights. Raises :class:`InversionError` where it is of another configuration."""
        if encoder.config != self.encoder.config:
            problem = Problem(f"{encoder.config} where {self.encoder.config} is trained", "begin_with")
            raise InversionError("this encoder cannot be begun with", [problem])
        for network in (self.encoder, self.mean):
            network.load_state_dict(encoder.state_dict())

    def resume(self, checkpoint: Path | None) -> None:
        """Continue from the state in the run, else from the file if there is one. Raises :class:`ResumeError`."""
        if self.run.resume_from is not None:
            self.restore(self.run.resume_from, "checkpoint")
        elif checkpoint is not None and checkpoint.is_file():
            self.restore(checkpoint.read_bytes(), checkpoint.name)

    def finish(self, checkpoint: Path | None) -> None:
        """Take all steps that are left. Raises :class:`Stopped` between two of them."""
        run, total = self.run, self.config.steps
        checkpoint_every = run.checkpoint_every or self.config.checkpoint_every
        run.progress(self.step, total)
        while self.step < total:
            if run.should_stop():
                if self.kept_step != self.step:
                    self._keep(checkpoint)
                raise Stopped
            self.train_step()
            if self.step % self.config.log_every == 0 and run.log is not None:
                run.log(self.curve[-1])
            if self.step % checkpoint_every == 0:
                self._keep(checkpoint)
            run.progress(self.step, total)

    def _keep(self, checkpoint: Path | None) -> None:
        if checkpoint is None and self.run.checkpoint is None:
            return
        content, self.kept_step = self.state(), self.step
        if checkpoint is not None:
            _replace(checkpoint, content)
        if self.run.checkpoint is not None:
            self.run.checkpoint(content)

    def _empty_slots(self) -> _Slots:
        count = self.config.samples + (self.config.images if self.source is not None else 0)
        blank = torch.zeros(count, *self.average.shape[1:], device=self.device)
        with torch.no_grad():
            features = self.perceptual.features(blank[self.first_drawn :])
        return _Slots(
            left=torch.zeros(count, dtype=torch.long),
            codes=torch.zeros(count, self.sampler.rows, self.sampler.width, device=self.device),
            current=blank.clone(),
            target=blank,
            truth=torch.zeros(self.config.samples, self.sampler.width, device=self.device),
            features=tuple(tap.clone() for tap in features),
        )

    def train_step(self) -> None:
        """One correction of every slot, one update of the weights."""
        self._refill()
        loss, parts, codes, drawn = self._losses()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), self.config.gradient_limit)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.step()
        self._average_weights()
        self._advance(codes, drawn)
        self.step += 1
        self._record(parts)

    @torch.no_grad()
    def _refill(self) -> None:
        """New targets for the slots that have had all their corrections."""
        slots, samples, first = self.slots, self.config.samples, self.first_drawn
        spent = (slots.left == 0).nonzero().flatten()
        if not len(spent):
            return
        own, real = spent[spent < samples], spent[spent >= samples]
        if len(own):
            codes = sample_codes(self.sampler, self.config.least_truncation, self.seed, self.step, len(own))
            slots.truth[own] = codes[:, 0]
            slots.target[own] = self._draw(codes).clamp(-1, 1)
        if len(real) and self.source is not None:
            slots.target[real] = real_images(self.sampler, self.source, self.step, len(real))
        seen = spent[spent >= first]
        if len(seen):
            for kept, tap in zip(slots.features, self._features(slots.target[seen]), strict=True):
                kept[seen - first] = tap
        slots.codes[spent] = self.sampler.centre
        slots.current[spent] = self.average
        # At the first step the slots begin with staggered lifetimes, so that later steps mix all depths.
        lifetime = self.config.iterations
        slots.left[spent] = 1 + spent % lifetime if self.step == 0 else lifetime

    def _losses(self) -> tuple[Tensor, dict[str, float], Tensor, Tensor]:
        """Loss of this step, its parts, the corrected codes, and what the slots with image losses now draw."""
        slots, config, first = self.slots, self.config, self.first_drawn
        scale = self.encoder.config.latent_scale
        codes = slots.codes + self._correction()  # [B, rows, width]
        deviation = ((codes - codes.mean(1, keepdim=True)) / scale).square().mean()
        loss = config.deviation_weight * deviation
        parts = {"deviation": deviation}
        if config.samples:
            latent = ((codes[: config.samples] - slots.truth[:, None]) / scale).square().mean()
            loss = loss + config.latent_weight * latent
            parts["latent"] = latent
        drawn = codes.new_zeros(0, *self.average.shape[1:])
        if first < len(codes):
            drawn = self._draw(codes[first:])
            features = self._features(drawn)
            perceptual = self.perceptual.compare(features, slots.features)  # [B - first]
            l2 = (drawn - slots.target[first:]).square().mean((1, 2, 3)) / 4
            loss = loss + config.perceptual_weight * perceptual.mean() + config.l2_weight * l2.mean()
            parts |= {"perceptual": perceptual.mean(), "l2": l2.mean()}
            if config.feature_weight:
                parts["feature"] = feature_loss(features, slots.features).mean()
                loss = loss + config.feature_weight * parts["feature"]
            if self.source is not None:
                real = config.samples - first
                parts |= {"real_perceptual": perceptual[real:].mean(), "real_l2": l2[real:].mean()}
                last = slots.left[config.samples :] == 1
                if last.any():
                    parts["real_l2_last"] = l2[real:][last.to(self.device)].mean()
        parts["loss"] = loss
        return loss, {name: float(value.detach()) for name, value in parts.items()}, codes.detach(), drawn.detach()

    @torch.no_grad()
    def _advance(self, codes: Tensor, drawn: Tensor) -> None:
        """Take the corrected codes over; those that will be corrected again are drawn."""
        slots, first = self.slots, self.first_drawn
        slots.codes, slots.left = codes, slots.left - 1
        slots.current[first:] = drawn
        undrawn = (slots.left[:first] > 0).nonzero().flatten()
        if len(undrawn):
            slots.current[undrawn] = self._draw(codes[undrawn])

    def _correction(self) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            correction: Tensor = self.encoder(self.slots.target, self.slots.current, self._unlocked())
        return correction.float()

    def _draw(self, codes: Tensor) -> Tensor:
        return image_of(self.sampler, codes, (), self.bfloat16)

    def _features(self, images: Tensor) -> Features:
        return features_of(self.perceptual, images, self.bfloat16)

    def _unlocked(self) -> int:
        begin, end = self.config.unlock_from * self.config.steps, self.config.unlock_until * self.config.steps
        layers = self.sampler.rows - 1
        share = (self.step - begin) / max(1.0, end - begin)
        return max(0, min(layers, math.ceil(share * layers)))

    def _rate(self) -> float:
        t = (self.step + 1) / self.config.steps
        up = min(1.0, t / self.config.warmup) if self.config.warmup else 1.0
        return self.config.learning_rate * up * 0.5 * (1 + math.cos(math.pi * min(1.0, t)))

    @torch.no_grad()
    def _average_weights(self) -> None:
        decay = min(self.config.ema_decay, (1 + self.step) / (EMA_WARMUP + self.step))
        for mean, weight in zip(self.mean.parameters(), self.encoder.parameters(), strict=True):
            mean.lerp_(weight, 1 - decay)

    def _record(self, parts: dict[str, float]) -> None:
        if not math.isfinite(parts["loss"]):
            raise InversionError(f"the encoder's loss is not finite at step {self.step}")
        self.recent.append(parts)
        if self.step % self.config.log_every and self.step != self.config.steps:
            return
        names = {name for part in self.recent for name in part}
        means = {name: [part[name] for part in self.recent if name in part] for name in sorted(names)}
        self.curve.append({"step": float(self.step)} | {name: sum(v) / len(v) for name, v in means.items()})
        self.recent = []

    def state(self) -> bytes:
        """Return everything the next step depends on."""
        state = {
            "settings": self._settings(),
            "step": self.step,
            "curve": self.curve,
            "recent": self.recent,
            "encoder": self.encoder.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "slots": dict(vars(self.slots)),
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        return stream.getvalue()

    def restore(self, content: bytes, name: str) -> None:
        """Continue from a :meth:`state` called ``name``. Raises :class:`ResumeError` when it belongs to another run."""
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location=self.device)
            settings = state["settings"]
        except Exception as error:  # a cut file fails in many ways
            raise ResumeError("this checkpoint cannot be read", [Problem(str(error), name)]) from error
        mine = self._settings()
        # What a checkpoint does not know yet was at its default when it was written.
        settings = {f"config.{key}": value for key, value in asdict(EncoderTrainingConfig()).items()} | settings
        if settings != mine:
            differing = [
                Problem(f"{settings.get(key)} there, {mine[key]} here", key)
                for key in mine
                if settings.get(key) != mine[key]
            ]
            raise ResumeError(f"{name} belongs to another training run", differing)
        self.step, self.curve, self.recent = state["step"], state["curve"], state["recent"]
        self.encoder.load_state_dict(state["encoder"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.slots = _Slots(**state["slots"])
        self.slots.left = self.slots.left.cpu()

    def _settings(self) -> dict[str, Any]:
        return {
            "networks and images": self.mark,
            "seed": self.seed,
            "perceptual": self.perceptual.name,
            "real_images": self.source is not None,
            **{f"config.{name}": value for name, value in asdict(self.config).items()},
            **{f"encoder.{name}": value for name, value in asdict(self.encoder.config).items()},
        }


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is replaced at once or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)

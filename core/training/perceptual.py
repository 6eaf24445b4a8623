"""Training of the perceptual network of a generator's domain, for inversion without ImageNet weights.

It learns from the generator's own samples, from real images, or from both; neither labels nor classes are needed.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core import checkpoint_io
from core.errors import InversionError, Problem, ResumeError, Stopped
from core.generators.interface import Codes, Sampler
from core.image_arrays import to_float
from core.inversion.perceptual.distance import LossWeights
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk
from core.inversion.precision import uses_bfloat16
from core.run import Run
from core.training.encoder_targets import ImageSource
from core.training.perceptual_config import PerceptualTrainingConfig, trunk_stages
from core.training.perceptual_objectives import FeatureTarget, GeneratorFeatures, Instances, Repair

LOSS_WEIGHTS = LossWeights(perceptual=1.0, l2=2.0)
"""Balances the gradients of both terms of an inversion."""
SAMPLE_STREAM = 2**41
"""Added to the seed of the samples, so that no other training or measurement sees the same ones."""
_RUN = "perceptual training"
_MEASURED = 32
"""Samples over which mean and deviation of the generator's features are measured."""


class PerceptualTraining(NamedTuple):
    """perceptual: the trained distance, frozen. curve: mean losses of every ``log_every`` steps, in order."""

    perceptual: DomainPerceptual
    curve: list[dict[str, float]]


def train_perceptual(
    name: str,
    sampler: Sampler | None,
    images: ImageSource | None,
    config: PerceptualTrainingConfig | None = None,
    *,
    size: tuple[int, int] | None = None,
    run: Run | None = None,
) -> PerceptualTraining:
    """Train a perceptual network called ``name`` for a generator's images.

    sampler: the generator, on ``run.device``; None to learn from real images alone, of ``size`` (height, width) then.
    images: a source of real images; None to learn from samples alone. ``run.checkpoint`` gets the state every
    ``config.checkpoint_every`` steps and when stopped; ``run.resume_from`` continues to the same weights, bit for bit.

    Raises :class:`InversionError` where there is nothing to learn from, :class:`core.errors.ResumeError` for the state
    of another training, :class:`core.errors.Stopped` between steps.
    """
    training = _Training(sampler, images, config or PerceptualTrainingConfig(), size, run or Run())
    training.finish()
    perceptual = DomainPerceptual(name, training.trunk, LOSS_WEIGHTS)
    return PerceptualTraining(perceptual.to(training.device), training.curve)


class _Training:
    """State of a training between two steps."""

    def __init__(
        self,
        sampler: Sampler | None,
        images: ImageSource | None,
        config: PerceptualTrainingConfig,
        size: tuple[int, int] | None,
        run: Run,
    ) -> None:
        self.sampler, self.source, self.config, self.run = sampler, images, config, run
        self.device, self.seed = torch.device(run.device), run.seed
        self.size = self._checked(size)
        self.bfloat16 = uses_bfloat16(config.precision, self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            self.trunk = PerceptualTrunk(trunk_stages(self.size))
            self.objectives = self._objectives().to(self.device).train()
        self.trunk.to(self.device).train()
        parameters = [*self.trunk.parameters(), *self.objectives.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=config.learning_rate)
        self.step = 0
        self.curve: list[dict[str, float]] = []
        self.recent: list[dict[str, float]] = []
        facts = [run.seed, asdict(config), list(self.size), images is not None]
        facts += [sampler.feature_digest] if sampler is not None else []
        self.mark = checkpoint_io.fingerprint(facts, sampler.tensors() if sampler is not None else ())
        if run.resume_from is not None:
            self._restore(run.resume_from)

    def _checked(self, size: tuple[int, int] | None) -> tuple[int, int]:
        problems = []
        if self.sampler is None and self.source is None:
            problems.append(Problem("no generator, and no images were given", "images"))
        if self.sampler is None and size is None:
            problems.append(Problem("expected (height, width) where there is no generator", "size"))
        if self.sampler is None and self.config.feature_weight:
            problems.append(Problem("needs the generator, whose features are predicted", "feature_weight"))
        if problems:
            raise InversionError("nothing to learn from", problems)
        found = self.sampler.resolution if self.sampler is not None else size
        assert found is not None
        return found

    def _objectives(self) -> nn.ModuleDict:
        config, channels = self.config, self.trunk.channels
        made: dict[str, nn.Module] = {}
        if config.repair_weight:
            made["repair"] = Repair(channels)
        if config.instance_weight:
            made["instance"] = Instances(channels)
        if config.feature_weight:
            made["feature"] = GeneratorFeatures(channels, self._targets())
        return nn.ModuleDict(made)

    @torch.no_grad()
    def _targets(self) -> list[FeatureTarget]:
        """Return for each tap the last layer of the generator of the same size. Raises where there is none."""
        assert self.sampler is not None
        wanted = {}
        for tap in range(len(self.trunk.channels)):
            size = self.size[0] >> tap, self.size[1] >> tap
            for index, layer in enumerate(self.sampler.layers):
                if (layer.height, layer.width) == size:
                    wanted[tap] = index
        if not wanted:
            problem = Problem("no layer of the generator has the size of a stage", "feature_weight")
            raise InversionError("this generator's features cannot be predicted", [problem])
        drawn = self.sampler.synthesize(self._codes(-1, _MEASURED), with_features=True)
        random = torch.Generator().manual_seed(self.seed)
        return [FeatureTarget(layer, tap, drawn.features[layer], random) for tap, layer in wanted.items()]

    def finish(self) -> None:
        """Take all steps that are left. Raises :class:`Stopped` between two of them, after a checkpoint."""
        run, config = self.run, self.config
        every = run.checkpoint_every or config.checkpoint_every
        run.progress(self.step, config.steps)
        while self.step < config.steps:
            if run.should_stop():
                if run.checkpoint is not None:
                    run.checkpoint(self.state())
                raise Stopped
            self._train_step()
            if self.step % config.log_every == 0 and run.log is not None:
                run.log(self.curve[-1])
            if self.step % every == 0 and run.checkpoint is not None:
                run.checkpoint(self.state())
            run.progress(self.step, config.steps)
        self.trunk.eval().requires_grad_(False)

    def _train_step(self) -> None:
        random = torch.Generator().manual_seed((self.seed * 1_000_003 + self.step) % 2**63)
        images, features = self._batch(random)
        parts: dict[str, Tensor] = {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            for name, objective in self.objectives.items():
                if isinstance(objective, GeneratorFeatures):
                    own = images[: len(features[0])]
                    parts[name] = objective.loss(self.trunk, own, features)
                else:
                    assert isinstance(objective, Repair | Instances)
                    parts[name] = objective.loss(self.trunk, self._cropped(images, random), random)
        weights = {name: getattr(self.config, f"{name}_weight") for name in parts}
        loss = torch.stack([weights[name] * part.float() for name, part in parts.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, 2 * (1 - self.step / self.config.steps))
        self.optimizer.step()
        self.step += 1
        self._record({name: float(part.detach()) for name, part in parts.items()} | {"loss": float(loss.detach())})

    @torch.no_grad()
    def _batch(self, random: torch.Generator) -> tuple[Tensor, Sequence[Tensor]]:
        """Return images float [N, 3, H, W] in [-1, 1], samples first, and the targets from the samples' features."""
        config, parts = self.config, []
        features: tuple[Tensor, ...] = ()
        own = 0 if self.sampler is None else config.batch
        if own and self.source is not None:
            own = round(config.samples * config.batch)
        if own:
            assert self.sampler is not None
            drawn = self.sampler.synthesize(self._codes(self.step, own), with_features=config.feature_weight > 0)
            parts.append(_three_channels(drawn.image.clamp(-1, 1)))
            if config.feature_weight:
                objective = self.objectives["feature"]
                assert isinstance(objective, GeneratorFeatures)
                features = tuple(one.standardised(drawn.features[one.layer]) for one in objective.targets)
        if self.source is not None and own < config.batch:
            parts.append(self._real(self.source, config.batch - own, random))
        return torch.cat(parts), features

    def _codes(self, step: int, count: int) -> Codes:
        assert self.sampler is not None
        first = (step + 1) * max(self.config.batch, _MEASURED)
        indices = range(first, first + count)
        classes = self.sampler.generator.code.classes
        chosen = [index % classes for index in indices] if classes else None
        return self.sampler.draw(self.seed + SAMPLE_STREAM, indices, chosen)

    def _real(self, source: ImageSource, count: int, random: torch.Generator) -> Tensor:
        images = source(self.step, count)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[0] != count or images.shape[1] not in (1, 3):
            detail = f"expected uint8 [{count}, 3, H, W], found {images.dtype} {list(images.shape)}"
            raise InversionError("the source of images gave something else", [Problem(detail, "images")])
        floats = _three_channels(to_float(images.to(self.device)))
        if floats.shape[2:] != self.size:
            floats = F.adaptive_avg_pool2d(floats, self.size)
        if self.config.mirror:
            flip = (torch.rand(count, generator=random) < 0.5).to(self.device)
            floats = torch.where(flip[:, None, None, None], floats.flip(3), floats)
        return floats

    def _cropped(self, images: Tensor, random: torch.Generator) -> Tensor:
        for axis in (2, 3):
            room = images.shape[axis] - self.config.crop
            if room > 0:
                begin = int(torch.randint(room + 1, (), generator=random))
                images = images.narrow(axis, begin, self.config.crop)
        return images

    def _record(self, parts: dict[str, float]) -> None:
        if not math.isfinite(parts["loss"]):
            raise InversionError(f"the loss of the perceptual network is not finite at step {self.step}")
        self.recent.append(parts)
        if self.step % self.config.log_every and self.step != self.config.steps:
            return
        means = {name: sum(one[name] for one in self.recent) / len(self.recent) for name in parts}
        self.curve.append({"step": float(self.step)} | means)
        self.recent = []

    def state(self) -> bytes:
        """Return everything the next step depends on."""
        state = {
            "mark": self.mark,
            "step": self.step,
            "curve": self.curve,
            "recent": self.recent,
            "trunk": self.trunk.state_dict(),
            "objectives": self.objectives.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        return stream.getvalue()

    def _restore(self, content: bytes) -> None:
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location=self.device)
            mark = state["mark"]
        except Exception as error:  # a cut file fails in many ways
            raise ResumeError("this checkpoint cannot be read", [Problem(str(error), "checkpoint")]) from error
        if mark != self.mark:
            raise ResumeError(f"this checkpoint belongs to another {_RUN}", [Problem("does not match", "checkpoint")])
        self.step, self.curve, self.recent = state["step"], state["curve"], state["recent"]
        self.trunk.load_state_dict(state["trunk"])
        self.objectives.load_state_dict(state["objectives"])
        self.optimizer.load_state_dict(state["optimizer"])


def _three_channels(images: Tensor) -> Tensor:
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)

"""Training of a StyleGAN2 generator: images in, a generator out, in steps that can be interrupted and resumed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from math import ceil

import numpy as np
import torch
from torch import Tensor

from core import checkpoint_io
from core.errors import GeneratorError, Problem, ResumeError, Stopped
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.generator import StyleGAN2Generator, latent
from core.generators.stylegan2.network import Network
from core.generators.stylegan2.training.ada import PIPELINES
from core.generators.stylegan2.training.ada_filters import PADDING
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.images import DrawOrder, class_counts
from core.generators.stylegan2.training.networks import Start, build_networks, with_three_channels
from core.generators.stylegan2.training.noisy_twins import class_noise
from core.generators.stylegan2.training.players import Latents, Players, Reals, one_hot
from core.generators.stylegan2.training.processes import Processes
from core.generators.training import TrainingImages
from core.image_arrays import to_bytes, to_float
from core.inversion.precision import uses_bfloat16
from core.run import Run

STEP_STREAM, ORDER_STREAM, MEAN_STREAM = 41, 42, 43
"""Separate the random numbers of steps, of the order of images and of the mean code from others of the same seed."""
CHECKPOINT_EVERY = 1000
MEAN_CODES = 8192
"""Mapped codes that the exported mean code is the mean of."""
FAKES_AT_ONCE = 32


@dataclass(frozen=True)
class TrainingEvent:
    """A point of the training's curves."""

    step: int
    """Steps done."""
    images: int
    """Real images shown so far; with repetitions."""
    total: int
    """Real images of the whole training."""
    figures: Mapping[str, float]
    """Means since the last event, by name: generator_loss, discriminator_loss, real_logit, fake_logit, real_sign; as
    far as they are part of the training path_length, path_length_penalty, r1_penalty, twins_loss, lecam_loss, p and
    overfitting (the mean sign that p follows); and broken_gradients, the number of tensors with NaN or infinity.
    """
    fakes: Tensor | None = field(default=None, compare=False)
    """Images of the mean weights, uint8 [N, C, H, W], where they were asked for: of the same codes each time."""


class GanTraining:
    """A training in progress. :meth:`train` yields events; between them, generator and state can be taken out."""

    def __init__(
        self, images: TrainingImages, config: GanConfig, run: Run | None = None, start: Start | None = None
    ) -> None:
        """Build the networks, or continue from ``run.resume_from``.

        Raises :class:`GeneratorError` for images that do not fit the settings or the start, :class:`ResumeError` for
        the state of another training.
        """
        self.images, self.config, self.run = images, config, run or Run()
        self.device = torch.device(self.run.device)
        self.counts = class_counts(images)
        _check(images, config, self.counts)
        networks = build_networks(config, images.shape, images.classes, start, self.run.seed)
        self.new = networks.new
        """Names of weights that begin at random although there is a start."""
        self.mark = checkpoint_io.fingerprint(
            [config.to_json(), self.run.seed, images.digest, asdict(networks.discriminator.config)],
            [*networks.generator.state_dict().values(), *networks.discriminator.state_dict().values()],
        )
        self.processes = Processes(config.batch, networks.discriminator.config.stddev_group)
        std = class_noise(self.counts, config.noise_std, config.noise_beta, config.noise_normalisation)
        self.players = Players(
            networks.generator.to(self.device),
            networks.discriminator.to(self.device),
            config,
            class_std=std.to(self.device) if config.noise_std else None,
            bfloat16=uses_bfloat16(config.precision, self.device),
            processes=self.processes,
        )
        self.order = DrawOrder(len(images), config.batch, self.run.seed, ORDER_STREAM, images.weights)
        self.steps = ceil(config.kimg * 1000 / config.batch)
        self.step = 0
        self._sums: dict[str, list[float]] = {}  # name → [sum, count] since the last event
        if self.run.resume_from is not None:
            self._restore(self.run.resume_from)

    def train(self, event_every: int = 50, fakes: int = 0) -> Iterator[TrainingEvent]:
        """Train to the end. Yield an event every ``event_every`` steps and at the end, with images of ``fakes`` codes.

        Raises :class:`Stopped` between steps, after a checkpoint.
        """
        run, every = self.run, self.run.checkpoint_every or CHECKPOINT_EVERY
        saved = self.step
        run.progress(self.step * self.config.batch, self.steps * self.config.batch)
        while self.step < self.steps:
            if run.should_stop():
                if run.checkpoint is not None and saved != self.step:
                    run.checkpoint(self.state())
                raise Stopped
            self._iterate()
            if self.step % event_every == 0 or self.step == self.steps:
                event = self.event(fakes)
                if run.log is not None:
                    run.log({"step": float(self.step), **event.figures})
                yield event
            if run.checkpoint is not None and (self.step % every == 0 or self.step == self.steps):
                saved = self.step
                run.checkpoint(self.state())
            run.progress(self.step * self.config.batch, self.steps * self.config.batch)

    def event(self, fakes: int) -> TrainingEvent:
        """Return the means since the last event, which begin again, with images of ``fakes`` codes."""
        figures = {name: total / count for name, (total, count) in sorted(self._sums.items())}
        if self.processes.size > 1:
            means = self.processes.mean(torch.tensor(list(figures.values()), device=self.device, dtype=torch.float64))
            figures = dict(zip(figures, means.tolist(), strict=True))
        if "p" in self._sums:
            figures["p"] = self.players.strength.p
        if "broken_gradients" in figures:
            figures["broken_gradients"] = self._sums["broken_gradients"][0]
        self._sums = {}
        batch = self.config.batch
        drawn = self.fakes(fakes) if fakes else None
        return TrainingEvent(self.step, self.step * batch, self.steps * batch, figures, drawn)

    def generator(self, info: GeneratorInfo, colour: bool = True) -> StyleGAN2Generator:
        """Return the generator of the mean weights, frozen, with a measured mean code and the images' classes.

        colour: turn a generator of grey images into one of colour images with equal channels.
        """
        network = deepcopy(self.players.ema)
        network.w_avg.copy_(self.mean_code(network))
        if colour and network.config.image_channels == 1:
            network = with_three_channels(network).to(self.device)
        facts = GeneratorInfo(**{**vars(info), "classes": self.images.classes, "digest": ""})
        return StyleGAN2Generator(network.eval().requires_grad_(False), facts)

    @torch.no_grad()
    def mean_code(self, network: Network) -> Tensor:
        """Return the mean of mapped codes, float [w_dim], with classes as the training draws them."""
        with _random_numbers(self.device, self.run.seed, MEAN_STREAM):
            latents = self._latents(MEAN_CODES)
        mean: Tensor = network.mapping(latents.z, latents.c).mean(0)
        return mean

    @torch.no_grad()
    def fakes(self, count: int) -> Tensor:
        """Draw images of the mean weights, uint8 [count, C, H, W], classes in turn; the same codes at each call."""
        network, drawn = self.players.ema, []
        for first in range(0, count, FAKES_AT_ONCE):
            indices = range(first, min(count, first + FAKES_AT_ONCE))
            z = torch.stack([latent(self.run.seed, index, network.config.z_dim) for index in indices]).to(self.device)
            classes = torch.tensor(list(indices), device=self.device) % max(1, network.config.c_dim)
            c = one_hot(classes, network.config.c_dim) if network.config.c_dim else None
            image = network.synthesize(network.map(z, c), "const").image
            drawn.append(to_bytes(image).cpu())
        return torch.cat(drawn)

    def state(self) -> bytes:
        """Return everything that the next step depends on, for ``Run.resume_from``."""
        players = self.players
        tensors = {"path_length_mean": players.path_length_mean}
        for name, network in self._networks().items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}
        for name, adam in self._optimizers().items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in checkpoint_io.optimizer_tensors(adam).items()}
        strength, lecam = players.strength, players.lecam
        facts = {
            "step": self.step,
            "strength": [strength.p, strength.signs, strength.count],
            "lecam": [lecam.real, lecam.fake],
            "sums": self._sums,
        }
        return checkpoint_io.pack(tensors, "generator training", self.mark, facts)

    def _restore(self, content: bytes) -> None:
        tensors, facts = checkpoint_io.unpack(content, "generator training", self.mark)
        players = self.players
        try:
            for name, network in self._networks().items():
                network.load_state_dict({key: tensors[f"{name}.{key}"] for key in network.state_dict()})
            for name, adam in self._optimizers().items():
                checkpoint_io.restore_optimizer(adam, checkpoint_io.within(tensors, name))
            players.path_length_mean = tensors["path_length_mean"].to(self.device)
            players.strength.p, players.strength.signs, players.strength.count = facts["strength"]
            players.lecam.real, players.lecam.fake = facts["lecam"]
            self.step, self._sums = facts["step"], facts["sums"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise ResumeError("this checkpoint is incomplete", [Problem(str(error), "checkpoint")]) from None

    def _networks(self) -> dict[str, torch.nn.Module]:
        players = self.players
        return {"generator": players.generator, "ema": players.ema, "discriminator": players.discriminator}

    def _optimizers(self) -> dict[str, torch.optim.Adam]:
        return {
            "generator_adam": self.players.generator_adam,
            "discriminator_adam": self.players.discriminator_adam,
        }

    def _iterate(self) -> None:
        """One iteration: a step of each player, their regularisers when it is their turn, the mean of the weights."""
        players, config, step, share = self.players, self.config, self.step, self.processes.share
        players.figures = {}
        with _random_numbers(self.device, self.run.seed, STEP_STREAM, step), self.processes.own_random_numbers():
            reals = self._reals(step)
            players.step_generator(self._latents(share(config.batch), players.twins_at(step)), step)
            due = step >= config.path_length_start and step % config.path_length_interval == 0
            if config.path_length_weight and due:
                players.regularise_generator(self._latents(share(max(1, config.batch // config.path_length_shrink))))
            players.step_discriminator(self._latents(share(config.batch)), reals, step)
            if players.r1_gamma and step % config.r1_interval == 0:
                players.regularise_discriminator(reals)
        players.move_mean_weights(step * config.batch)
        self.step += 1
        if self.step % config.ada_interval == 0:
            players.adapt_augmentation(config.ada_interval * config.batch)
        for name, value in players.figures.items():
            entry = self._sums.setdefault(name, [0.0, 0])
            entry[0], entry[1] = entry[0] + float(value), entry[1] + 1

    def _reals(self, step: int) -> Reals:
        indices = self.processes.own(self.order.of_step(step))
        image = to_float(self.images.read(indices).to(self.device))
        if self.config.flip:
            mirrored = torch.rand(len(image), 1, 1, 1, device=self.device) < 0.5
            image = torch.where(mirrored, image.flip(3), image)
        if self.images.class_index is None:
            return Reals(image)
        return Reals(image, one_hot(self.images.class_index[indices].to(self.device), len(self.counts)))

    def _latents(self, count: int, twins: bool = False) -> Latents:
        distinct = count // 2 if twins else count
        z = torch.randn(distinct, self.players.generator.config.z_dim, device=self.device)
        c = one_hot(self._classes(distinct), len(self.counts)) if self.counts else None
        return Latents(torch.cat([z, z]), None if c is None else torch.cat([c, c])) if twins else Latents(z, c)

    def _classes(self, count: int) -> Tensor:
        shares = torch.tensor(self.counts, dtype=torch.float32, device=self.device)
        if self.config.class_sampling == "uniform":
            shares = torch.ones_like(shares)
        return torch.multinomial(shares, count, replacement=True)


@contextmanager
def _random_numbers(device: torch.device, *key: int) -> Iterator[None]:
    """Seed torch's global random numbers with a hash of ``key``, and put them back afterwards."""
    seed = int(np.random.SeedSequence(list(key)).generate_state(1, np.uint64)[0]) >> 1
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _check(images: TrainingImages, config: GanConfig, counts: tuple[int, ...]) -> None:
    problems: list[Problem] = []
    if len(images) < 2:
        problems.append(Problem(f"expected at least 2, found {len(images)}", "images"))
    if images.shape[0] not in (1, 3):
        problems.append(Problem(f"expected 1 or 3 colour channels, found {images.shape[0]}", "images"))
    if config.noise_std and not counts:
        problems.append(Problem("expected images with classes: the noise is added to class embeddings", "noise_std"))
    filters = config.augmentation == "ada" and "imgfilter" in PIPELINES[config.ada_pipeline]
    if filters and min(images.shape[1:]) <= PADDING:
        problems.append(Problem(f"expected images larger than {PADDING} pixels for filters", "ada_pipeline"))
    problems += [
        Problem("expected at least one image", f"classes.{name}")
        for name, count in zip(images.classes, counts, strict=False)
        if not count
    ]
    if problems:
        raise GeneratorError("these images cannot train a generator", problems)

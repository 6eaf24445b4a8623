"""Generator and discriminator with their optimisers, and the four steps of a training iteration.

Each step is an update of its own with its own latents, as in the released code of stylegan2-ada: the generator's loss,
the generator's regulariser, the discriminator's loss, the discriminator's regulariser.
"""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.generators.stylegan2.network import Network, Noise
from core.generators.stylegan2.training import diffaugment
from core.generators.stylegan2.training.ada import PIPELINES, AdaptiveStrength, AugmentPipeline
from core.generators.stylegan2.training.config import GanConfig
from core.generators.stylegan2.training.discriminator import Discriminator
from core.generators.stylegan2.training.losses import (
    LeCam,
    clean_gradients,
    corrected_adam,
    discriminator_loss_of_fakes,
    discriminator_loss_of_reals,
    ema_decay,
    generator_loss,
    move_ema,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from core.generators.stylegan2.training.noisy_twins import barlow_loss, embedding_noise
from core.generators.stylegan2.training.processes import Processes


class Latents(NamedTuple):
    """z: float [N, z_dim]; c: float [N, c_dim], or None without classes."""

    z: Tensor
    c: Tensor | None = None


class Reals(NamedTuple):
    """image: float [N, C, H, W] in [-1, 1]; c: float [N, c_dim], or None without classes."""

    image: Tensor
    c: Tensor | None = None


class Players:
    """Both networks while they are trained. ``figures`` holds what the last steps measured, by name."""

    def __init__(
        self,
        generator: Network,
        discriminator: Discriminator,
        config: GanConfig,
        *,
        class_std: Tensor | None = None,
        bfloat16: bool = False,
        noise: Noise = "random",
        processes: Processes | None = None,
    ) -> None:
        """class_std: float [K], standard deviation of the noise on each class's embedding; None for none. processes:
        those that have parts of each batch; None for this one alone.
        """
        self.processes = processes or Processes()
        self.generator, self.discriminator, self.config = generator.train(), discriminator.train(), config
        self.ema = deepcopy(generator).eval().requires_grad_(False)
        self.class_std, self.bfloat16, self.noise = class_std, bfloat16, noise
        self.device = generator.w_avg.device
        self.generator_weights = list(generator.parameters())
        layers = list(discriminator.layers_from_the_image())
        for layer in layers[: config.freeze_discriminator]:
            for weight in layer:
                weight.requires_grad_(False)
        self.discriminator_weights = [weight for weight in discriminator.parameters() if weight.requires_grad]
        betas = 0.0, config.adam_beta2
        self.generator_adam = corrected_adam(
            self.generator_weights, config.generator_rate, betas, config.path_length_interval
        )
        self.discriminator_adam = corrected_adam(
            self.discriminator_weights, config.discriminator_rate, betas, config.r1_interval
        )
        self.r1_gamma = config.r1_weight(discriminator.config.resolution)
        self.path_length_mean = torch.zeros((), device=self.device)
        self.strength = AdaptiveStrength(config.ada_target, config.ada_kimg, config.ada_p)
        self.lecam = LeCam(config.lecam_decay, config.lecam_start)
        self.pipeline = AugmentPipeline(PIPELINES[config.ada_pipeline])
        self.figures: dict[str, Tensor | float] = {}

    def step_generator(self, latents: Latents, step: int) -> None:
        """Update the generator by the non-saturating loss, and by the twins loss from its first step on.

        With the twins loss the latents' second half repeats the first: classes and z are shared, noise is not.
        """
        self._train(self.generator)
        twins = self.twins_at(step)
        w_plus = self._map(latents, moves_mean=self.config.mean_code_rule == "every")
        logits = self._judge(self._draw(w_plus, self.bfloat16), latents.c)
        loss = generator_loss(logits).mean()
        self.figures |= {"generator_loss": loss.detach(), "fake_logit_generator": logits.detach().mean()}
        if twins:
            first, second = self.processes.whole(w_plus[:, 0]).chunk(2)
            twins_loss = barlow_loss(first, second, self.config.twins_weight, self.config.twins_gamma)
            self.figures["twins_loss"] = twins_loss.detach()
            loss = loss + twins_loss
        self._update(self.generator_adam, self.generator_weights, loss)

    def twins_at(self, step: int) -> bool:
        """Whether the generator's latents come in pairs at this step."""
        return bool(self.config.twins_weight) and step >= self.config.twins_start

    def regularise_generator(self, latents: Latents, noise: Tensor | None = None) -> None:
        """Update the generator by the path length penalty. noise: as in :func:`path_lengths`."""
        self._train(self.generator)
        w_plus = self._map(latents, moves_mean=self.config.mean_code_rule == "every")
        lengths = self.processes.whole(path_lengths(self._draw(w_plus, bfloat16=False), w_plus, noise))
        penalty, self.path_length_mean = path_length_penalty(
            lengths, self.path_length_mean, self.config.path_length_decay
        )
        self.figures |= {"path_length": lengths.detach().mean(), "path_length_penalty": penalty.detach().mean()}
        loss = penalty.mean() * self.config.path_length_weight * self.config.path_length_interval
        self._update(self.generator_adam, self.generator_weights, loss)

    def step_discriminator(self, latents: Latents, reals: Reals, step: int) -> None:
        """Update the discriminator by its loss on fakes and reals, and by LeCam's."""
        self._train(self.discriminator)
        with torch.no_grad():
            fakes = self._draw(self._map(latents, moves_mean=True), self.bfloat16)
        fake_logits = self._judge(fakes, latents.c)
        loss_of_fakes = discriminator_loss_of_fakes(fake_logits).mean()
        lecam = self.config.lecam_weight > 0
        if not lecam:
            loss_of_fakes.backward()  # type: ignore[no-untyped-call]
        real_logits = self._judge(reals.image, reals.c)
        loss_of_reals = discriminator_loss_of_reals(real_logits).mean()
        loss = loss_of_reals
        if lecam:
            loss = loss + loss_of_fakes
            whole = self.processes.whole
            self.lecam.update(whole(real_logits.detach()), whole(fake_logits.detach()), step)
            if step > self.config.lecam_start:
                penalty = self.lecam.loss(real_logits, fake_logits)
                self.figures["lecam_loss"] = penalty.detach()
                loss = loss + self.config.lecam_weight * penalty
        self._update(self.discriminator_adam, self.discriminator_weights, loss)
        self.strength.report(self.processes.whole(real_logits.detach()))
        self.figures |= {
            "discriminator_loss": (loss_of_reals + loss_of_fakes).detach(),
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
            "real_sign": real_logits.detach().sign().mean(),
        }

    def regularise_discriminator(self, reals: Reals) -> None:
        """Update the discriminator by R1."""
        self._train(self.discriminator)
        image = reals.image.detach()
        if self.config.r1_of_augmented:
            image = self._augmented(image).detach().requires_grad_()
            logits = self._logits(image, reals.c, bfloat16=False)
        else:
            image.requires_grad_()
            logits = self._logits(self._augmented(image), reals.c, bfloat16=False)
        penalty = r1_penalty(logits, image)
        self.figures["r1_penalty"] = penalty.detach().mean()
        self._update(
            self.discriminator_adam,
            self.discriminator_weights,
            penalty.mean() * (self.r1_gamma / 2) * self.config.r1_interval,
        )
        self.strength.report(self.processes.whole(logits.detach()))

    def move_mean_weights(self, images: int) -> None:
        """Move the running mean of the generator's weights. images: real images seen before this iteration."""
        config = self.config
        move_ema(self.ema, self.generator, ema_decay(config.batch, images, config.ema_kimg * 1000, config.ema_rampup))

    def adapt_augmentation(self, images: int) -> None:
        """Move the strength of augmentation after ``images`` images since the last time."""
        if self.config.augmentation == "ada":
            self.figures["overfitting"] = self.strength.update(images)
            self.figures["p"] = self.strength.p

    def _map(self, latents: Latents, moves_mean: bool) -> Tensor:
        """Latents → w+, with noise on class embeddings, and style mixing."""
        network, config = self.generator, self.config
        w = network.mapping(latents.z, latents.c, self._noise_for(latents.c, network.config.w_dim))
        if moves_mean:
            with torch.no_grad():
                mean = self.processes.mean(w.detach().mean(0))
                network.w_avg.copy_(mean.lerp(network.w_avg, config.mean_code_decay))
        w_plus: Tensor = w[:, None].expand(-1, network.num_ws, -1)
        if config.style_mixing and float(torch.rand(())) < config.style_mixing:
            first = int(torch.randint(1, network.num_ws, ()))
            noise = self._noise_for(latents.c, network.config.w_dim)
            other = network.mapping(torch.randn_like(latents.z), latents.c, noise)
            w_plus = torch.cat([w_plus[:, :first], other[:, None].expand(-1, network.num_ws - first, -1)], dim=1)
        return w_plus

    def _noise_for(self, c: Tensor | None, width: int) -> Tensor | None:
        return None if self.class_std is None or c is None else embedding_noise(self.class_std, c, width)

    def _draw(self, w_plus: Tensor, bfloat16: bool) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            image = self.generator.synthesize(w_plus, self.noise).image
        return image.float()

    def _judge(self, image: Tensor, c: Tensor | None) -> Tensor:
        return self._logits(self._augmented(image), c, self.bfloat16)

    def _logits(self, image: Tensor, c: Tensor | None, bfloat16: bool) -> Tensor:
        width = self.discriminator.config.condition_width
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            logits: Tensor = self.discriminator(image, c, self._noise_for(c, width))
        return logits

    def _augmented(self, image: Tensor) -> Tensor:
        if self.config.augmentation == "diffaugment":
            return diffaugment.augmented(image, self.config.diffaugment)
        return self.pipeline(image, self.strength.p) if self.config.augmentation == "ada" else image

    def _train(self, network: nn.Module) -> None:
        """Take gradients of one player's weights alone."""
        generator = network is self.generator
        for weights, wanted in ((self.generator_weights, generator), (self.discriminator_weights, not generator)):
            for weight in weights:
                weight.requires_grad_(wanted)
                weight.grad = None

    def _update(self, adam: torch.optim.Adam, weights: list[nn.Parameter], loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        for weight in weights:
            if weight.grad is None:  # a penalty does not reach the last bias: its running variance decays all the same
                weight.grad = torch.zeros_like(weight)
        self.processes.mean_gradients(weights)
        broken = clean_gradients(weights)
        if broken:
            self.figures["broken_gradients"] = float(self.figures.get("broken_gradients", 0.0)) + broken
        adam.step()
        for weight in weights:
            weight.grad = None


def one_hot(classes: Tensor, count: int) -> Tensor:
    """Return class vectors float [N, count] of classes int64 [N]."""
    return F.one_hot(classes, count).float()

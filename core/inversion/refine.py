"""Refinement of codes by gradient: many images at once, each with its own loss, its own rate and its own end.

HandsOff (Xu et al. 2023, equation 2): minimise perceptual(X, G(w)) + λ |X - G(w)|² subject to |w - w_e| ≤ c, where w_e
is the encoder's answer; Adam, projected after each step.

Deterministic: for one seed, machine, configuration and list of images the result is the same bit for bit. Cutting the
list otherwise (another batch, other neighbours) changes the order of floating-point sums and so the last bits, never
the method: no image's loss, rate or end depends on another image.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from core.callbacks import Progress, ShouldStop, ignore_progress, never_stop, stop_if_asked
from core.errors import InversionError, Problem
from core.generators.stylegan2 import Generator
from core.inversion.config import InversionConfig
from core.inversion.encoder import Encoder, check_match, encode
from core.inversion.objective import Objective, bytes_per_image, distance_from, project
from core.inversion.perceptual import Features, Perceptual
from core.inversion.report import InversionReport, InvertedImage
from core.inversion.start import best_candidates, latent_spread
from core.pixels import to_bytes, to_float

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


def invert(
    generator: Generator,
    images: Tensor,
    *,
    encoder: Encoder | None,
    perceptual: Perceptual,
    config: InversionConfig,
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: Progress = ignore_progress,
    should_stop: ShouldStop = never_stop,
) -> list[InvertedImage]:
    """Codes whose images look like ``images``, in their order.

    images: uint8 [N, 3, H, W] of the generator's resolution. Generator, encoder and perceptual distance lie on
    ``device``. Without an encoder the start is the mean code or the best of some random codes, and every report says
    so. ``seed`` matters to that choice alone. ``progress`` counts steps of images. Raises :class:`InversionError` where
    an image cannot be inverted, :class:`core.errors.Stopped` between steps once ``should_stop`` says so.
    """
    _check_images(generator, images)
    if encoder is not None:
        check_match(generator, encoder)
    objective = Objective.of(generator, perceptual, config)
    batch = config.batch or max(1, config.memory_budget // bytes_per_image(objective, generator, device))
    chunk = math.ceil(len(images) / math.ceil(len(images) / batch))  # even chunks
    radius = _radius(generator, encoder, config, seed)
    total = len(images) * max(1, config.steps)
    results: list[InvertedImage] = []
    for first in range(0, len(images), chunk):
        stop_if_asked(should_stop)
        target = to_float(images[first : first + chunk].to(device))
        features = objective.features(target)
        centre, start = _start(objective, encoder, target, features, seed)
        refined = _Refinement(objective, target, features, centre, radius)
        for done in refined.run(should_stop):
            progress(first * max(1, config.steps) + done, total)
        results += _results(objective, target, features, centre, start, radius, refined, first)
        progress((first + len(target)) * max(1, config.steps), total)
    return results


def _check_images(generator: Generator, images: Tensor) -> None:
    wanted = (3, *generator.config.resolution)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != wanted or not len(images):
        given = f"{images.dtype} {list(images.shape)}"
        detail = f"{given} where one or more images uint8 [N, {', '.join(map(str, wanted))}] are needed"
        raise InversionError("these images do not fit the generator", [Problem(detail, "images")])


def _radius(generator: Generator, encoder: Encoder | None, config: InversionConfig, seed: int) -> float | None:
    if config.constraint != "ball":
        return None
    if encoder is not None:
        return config.radius
    spread = latent_spread(generator, seed)
    if config.norm == "flat":
        spread *= math.sqrt(generator.num_ws * generator.config.w_dim)
    return config.radius_without_encoder * spread


def _start(
    objective: Objective, encoder: Encoder | None, target: Tensor, features: Features, seed: int
) -> tuple[Tensor, str]:
    """Codes to start from, and the centre of the ball, [N, num_ws, w_dim]; and what they are."""
    generator, config = objective.generator, objective.config
    if encoder is not None:
        codes, name = encode(generator, encoder, target, config.encoder_iterations, config.noise), "encoder"
    elif config.start_candidates:
        codes, name = best_candidates(objective, target, features, seed), f"best_of_{config.start_candidates}"
    else:
        codes, name = generator.w_avg.expand(len(target), generator.num_ws, -1), "w_avg"
    if config.space == "w":
        codes = codes.mean(1, keepdim=True).expand_as(codes)
    return codes.clone(), name


@dataclass
class _Active:
    """State of the images still being refined; the first dimension of everything is the image."""

    index: Tensor  # [n], position in the chunk
    codes: Tensor  # [n, num_ws or 1, w_dim]
    momentum: Tensor  # as codes
    variance: Tensor  # as codes
    centre: Tensor  # [n, num_ws, w_dim]
    target: Tensor  # [n, 3, H, W]
    anchor: Tensor  # [n], the loss that the next gain is measured against
    stale: Tensor  # [n], steps since the last gain
    position: Tensor  # [n], place in the schedule of rates; a plateau skips ahead to the ramp-down
    features: Features

    def keep(self, kept: Tensor) -> "_Active":
        """Only the images where ``kept`` [n] is true."""
        tensors = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name != "features"}
        return _Active(**tensors, features=tuple(tap[kept] for tap in self.features))


class _Refinement:
    """One chunk: ``run`` refines it; then ``codes`` holds each image's best and ``steps`` how many updates it took."""

    def __init__(
        self, objective: Objective, target: Tensor, features: Features, centre: Tensor, radius: float | None
    ) -> None:
        self.objective, self.config, self.radius = objective, objective.config, radius
        count = len(target)
        self.codes = centre.clone()  # [N, num_ws, w_dim]
        self.loss = torch.full((count,), math.inf, device=target.device)
        self.steps = torch.zeros(count, dtype=torch.long, device=target.device)
        rows = centre if self.config.space == "w_plus" else centre[:, :1]
        self.active = _Active(
            index=torch.arange(count, device=target.device),
            codes=rows.clone(),
            momentum=torch.zeros_like(rows),
            variance=torch.zeros_like(rows),
            centre=centre,
            target=target,
            anchor=torch.full((count,), math.inf, device=target.device),
            stale=torch.zeros(count, dtype=torch.long, device=target.device),
            position=torch.zeros(count, dtype=torch.long, device=target.device),
            features=features,
        )

    def run(self, should_stop: ShouldStop) -> Iterator[int]:
        """Refine until every image has left; yields how many of N * steps are done."""
        count, step = len(self.codes), 0
        while True:
            stop_if_asked(should_stop)
            gradient = self._evaluate()
            self._leave_or_ramp_down(step)
            step += 1
            left = len(self.active.index)
            yield (count - left) * self.config.steps + int(self.active.position.sum())
            if not left:
                return
            self._update(gradient[self.kept], step)

    def _evaluate(self) -> Tensor:
        """Loss and gradient at the present codes; remembers the best codes."""
        now = self.active
        with torch.enable_grad():
            codes = now.codes.detach().requires_grad_()
            loss = self.objective.loss(codes, now.centre, now.target, now.features)  # [n]
            (gradient,) = torch.autograd.grad(loss.sum(), codes)
        loss = loss.detach()
        better = loss < self.loss[now.index]
        self.loss[now.index[better]] = loss[better]
        self.codes[now.index[better]] = now.codes[better].expand(-1, self.codes.shape[1], -1)
        gained = loss < now.anchor * (1 - self.config.tolerance)
        now.anchor = torch.where(gained, loss, now.anchor)
        now.stale = torch.where(gained, 0, now.stale + 1)
        return gradient

    def _leave_or_ramp_down(self, step: int) -> None:
        """Images at the end of the schedule leave; those on a plateau go to its ramp-down, or leave from within it."""
        now, steps = self.active, self.config.steps
        ramp_down = steps - math.ceil(self.config.ramp_down * steps)
        plateau = now.stale >= self.config.patience
        falling = now.position >= ramp_down
        now.stale = torch.where(plateau, 0, now.stale)
        now.position = torch.where(plateau & ~falling, ramp_down, now.position)
        self.kept = (now.position < steps) & ~(plateau & falling)
        self.steps[now.index[~self.kept]] = step
        if not self.kept.all():
            self.active = now.keep(self.kept)

    def _update(self, gradient: Tensor, step: int) -> None:
        """Adam (Kingma and Ba 2015, algorithm 1) with one rate an image, then projection into the ball."""
        now, (beta1, beta2) = self.active, ADAM_BETAS
        now.momentum.lerp_(gradient, 1 - beta1)
        now.variance.lerp_(gradient.square(), 1 - beta2)
        mean = now.momentum / (1 - beta1**step)
        root = (now.variance / (1 - beta2**step)).sqrt() + ADAM_EPSILON
        rate = learning_rate(now.position, self.config)[:, None, None]
        now.codes = now.codes - rate * mean / root
        now.position = now.position + 1
        if self.radius is not None:
            now.codes = project(now.codes, now.centre, self.radius, self.config.norm)


def learning_rate(position: Tensor, config: InversionConfig) -> Tensor:
    """Rates [n] at places [n] of the schedule: linear rise, plateau, fall by a cosine (HandsOff's code, after
    StyleGAN2).
    """
    t = (position.to(torch.float32) + 1) / max(1, config.steps)
    up = (t / config.ramp_up).clamp(max=1) if config.ramp_up else torch.ones_like(t)
    down = ((1 - t) / config.ramp_down).clamp(0, 1) if config.ramp_down else torch.ones_like(t)
    return config.learning_rate * up * (0.5 - 0.5 * torch.cos(down * math.pi))


@torch.no_grad()
def _results(
    objective: Objective,
    target: Tensor,
    features: Features,
    centre: Tensor,
    start: str,
    radius: float | None,
    refined: _Refinement,
    first: int,
) -> list[InvertedImage]:
    """One chunk's results; ``first`` is the place of the chunk's first image in the whole list."""
    config, codes = objective.config, refined.codes
    lost = [Problem("its loss is never finite", f"images[{first + i}]") for i in _indices(~refined.loss.isfinite())]
    if lost:
        raise InversionError("these images cannot be inverted with this generator and encoder", lost)
    image = objective.draw(codes).clamp(-1, 1)
    perceptual, l2 = objective.image_losses(image, target, features)
    start_perceptual, start_l2 = objective.image_losses(objective.draw(centre).clamp(-1, 1), target, features)
    psnr, start_psnr = _psnr(l2), _psnr(start_l2)
    norm = distance_from(codes, centre, config.norm)
    spread = (codes - codes.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
    codes, pictures = codes.cpu(), to_bytes(image).cpu()
    return [
        InvertedImage(
            w_plus=codes[i].clone(),
            reconstruction=pictures[i].clone(),
            report=InversionReport(
                perceptual_name=objective.perceptual.name,
                start=start,
                start_perceptual=float(start_perceptual[i]),
                start_psnr=float(start_psnr[i]),
                perceptual=float(perceptual[i]),
                l2=float(l2[i]),
                psnr=float(psnr[i]),
                norm_name=config.norm,
                norm=float(norm[i]),
                radius=radius,
                layer_spread=float(spread[i]),
                steps=int(refined.steps[i]),
                flagged=bool(psnr[i] < config.poor_psnr),
            ),
        )
        for i in range(len(codes))
    ]


def _indices(mask: Tensor) -> list[int]:
    return [int(i) for i in mask.nonzero().flatten()]


def _psnr(l2: Tensor) -> Tensor:
    """dB from the mean squared error of images in [0, 1]; capped where both are equal."""
    return -10 * l2.clamp(min=1e-10).log10()

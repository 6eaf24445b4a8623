"""Refinement of codes by gradient: many images at once, each with its own loss, its own rate and its own end.

HandsOff (Xu et al. 2023, equation 2): minimise perceptual(X, G(w)) + λ |X - G(w)|² subject to |w - w_e| ≤ c, where w_e
is the encoder's answer; Adam, projected after each step. Adam's coordinates are ours: see
:mod:`core.inversion.coordinates`.

Deterministic: for one seed, machine, configuration and list of images the result is the same bit for bit. Cutting the
list otherwise (another batch, other neighbours) changes the order of floating-point sums and so the last bits, never
the method: no image's loss, rate or end depends on another image.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from core import checkpoint_io
from core.callbacks import ShouldStop, stop_if_asked
from core.errors import InversionError, Problem
from core.generators.interface import Invertible
from core.image_arrays import to_bytes, to_float
from core.inversion.batching import images_at_once
from core.inversion.code_encoder import CodeEncoder
from core.inversion.config import InversionConfig
from core.inversion.coordinates import principal_axes
from core.inversion.encoder import check_match, encode
from core.inversion.initial_codes import best_candidates, latent_spread
from core.inversion.objective import Objective, distance_from
from core.inversion.perceptual.distance import Features, Perceptual
from core.inversion.refinement import Refinement
from core.inversion.report import InversionReport, InvertedImage, flags
from core.run import Run

PAPER_RADIUS = 0.5
"""c_reg of HandsOff."""
_RUN = "inversion"
CHECKPOINT_EVERY = 100
"""Steps of a batch between two checkpoints."""


def invert(
    sampler: Invertible,
    images: Tensor,
    *,
    encoder: CodeEncoder | None,
    perceptual: Perceptual,
    config: InversionConfig,
    run: Run | None = None,
) -> list[InvertedImage]:
    """Codes whose images look like ``images``, in their order.

    images: uint8 [N, 3, H, W] of the generator's resolution. Generator, encoder and perceptual distance lie on
    ``run.device``. Without an encoder the start is the mean code or the best of some random codes, as every report
    states; ``run.seed`` matters to that choice alone. ``run.progress`` counts steps of images. ``run.checkpoint``:
    called every 100 steps of a batch unless ``checkpoint_every`` is given; ``resume_from`` continues to the same
    result, bit for bit. A batch that the device's memory cannot hold after all is halved.

    Raises :class:`InversionError` where an image cannot be inverted, :class:`core.errors.ResumeError` for the state of
    another inversion, :class:`core.errors.Stopped` between steps once ``should_stop`` says so.
    """
    run = run or Run()
    _check_images(sampler, images)
    if encoder is not None:
        check_match(sampler, encoder)
    work = _Inversion(Objective.of(sampler, perceptual, config), encoder, images, torch.device(run.device), run.seed)
    if run.resume_from is not None:
        work.resume(run.resume_from)
    total = len(images) * max(1, config.steps)
    steps = 0
    while work.first < len(images):
        try:
            for done in work.refine_batch(run.should_stop):
                run.progress(done, total)
                steps += 1
                if run.checkpoint is not None and steps % (run.checkpoint_every or CHECKPOINT_EVERY) == 0:
                    run.checkpoint(work.to_bytes())
        except torch.OutOfMemoryError:
            if work.batch == 1:
                raise
            work.halve()
    run.progress(total, total)
    return work.results(run.should_stop)


def _check_images(sampler: Invertible, images: Tensor) -> None:
    wanted = (3, *sampler.resolution)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != wanted or not len(images):
        given = f"{images.dtype} {list(images.shape)}"
        detail = f"{given} where one or more images uint8 [N, {', '.join(map(str, wanted))}] are needed"
        raise InversionError("these images do not fit the generator", [Problem(detail, "images")])


def _radius(sampler: Invertible, encoder: CodeEncoder | None, config: InversionConfig) -> float | None:
    if config.constraint != "ball":
        return None
    if encoder is not None and config.radius is not None:
        return config.radius
    spread = latent_spread(sampler)  # a fact of the generator, whatever the seed
    if config.norm == "flat":
        spread *= math.sqrt(sampler.rows * sampler.width)
    return config.radius_without_encoder * spread if encoder is None else max(PAPER_RADIUS, spread)


class _Inversion:
    """All images: those before ``first`` are refined, the batch of ``batch`` images from there is the current one."""

    def __init__(
        self, objective: Objective, encoder: CodeEncoder | None, images: Tensor, device: torch.device, seed: int
    ) -> None:
        self.objective, self.encoder, self.images, self.device, self.seed = objective, encoder, images, device, seed
        self.radius = _radius(objective.sampler, encoder, objective.config)
        self.axes = principal_axes(objective.sampler) if objective.config.coordinates == "principal" else None
        count = len(images)
        self.batch = math.ceil(count / math.ceil(count / images_at_once(objective, device)))  # even batches
        self.first = 0
        codes = torch.zeros(count, objective.sampler.rows, objective.sampler.width, device=device)
        self.codes, self.centres = codes, codes.clone()
        self.loss, self.l2 = torch.zeros(count, device=device), torch.zeros(count, device=device)
        self.steps = torch.zeros(count, dtype=torch.long, device=device)
        self.at_hand: Refinement | None = None

    def refine_batch(self, should_stop: ShouldStop) -> Iterator[int]:
        """Refine the current batch, begun or not; yields steps of images done in all."""
        stop_if_asked(should_stop)
        if self.at_hand is None:
            self.at_hand = self._begin()
        steps = max(1, self.objective.config.steps)
        for done in self.at_hand.run(should_stop):
            yield self.first * steps + done
        place = slice(self.first, self.first + self.batch)
        self.codes[place], self.centres[place] = self.at_hand.codes, self.at_hand.centre
        self.loss[place], self.l2[place] = self.at_hand.loss, self.at_hand.l2
        self.steps[place] = self.at_hand.steps
        self.first, self.at_hand = min(self.first + self.batch, len(self.images)), None

    def _begin(self, centre: Tensor | None = None) -> Refinement:
        target = self._target(self.first, self.batch)
        features = self.objective.features(target)
        if centre is None:
            centre = self._start(target, features)
        return Refinement(self.objective, target, features, centre, self.radius, self.axes)

    def _target(self, first: int, count: int) -> Tensor:
        return to_float(self.images[first : first + count].to(self.device))

    def _start(self, target: Tensor, features: Features) -> Tensor:
        """Codes to start from, which are the centre of the ball, [N, rows, width]."""
        sampler, config = self.objective.sampler, self.objective.config
        if self.encoder is not None:
            codes = encode(sampler, self.encoder, target, config.encoder_iterations)
        elif config.start_candidates:
            codes = best_candidates(self.objective, target, features, self.seed)
        else:
            codes = sampler.centre.expand(len(target), sampler.rows, -1)
        if config.one_row:
            codes = codes.mean(1, keepdim=True).expand_as(codes)
        return codes.clone()

    def halve(self) -> None:
        """Restart the current batch with half as many images."""
        self.at_hand, self.batch = None, max(1, self.batch // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def to_bytes(self) -> bytes:
        """The state between two steps."""
        tensors = {name: getattr(self, name)[: self.first] for name in _KEPT}
        if self.at_hand is not None:
            tensors |= {f"batch.{name}": tensor for name, tensor in self.at_hand.state().items()}
            tensors["batch_centre"] = self.at_hand.centre
        return checkpoint_io.pack(tensors, _RUN, self._mark, {"first": self.first, "batch": self.batch})

    def resume(self, content: bytes) -> None:
        """Go on from :meth:`to_bytes`. Raises :class:`core.errors.ResumeError`."""
        tensors, facts = checkpoint_io.unpack(content, _RUN, self._mark)
        self.first, self.batch = facts["first"], facts["batch"]
        for name in _KEPT:
            getattr(self, name)[: self.first] = tensors[name].to(self.device)
        if "batch_centre" in tensors:
            self.at_hand = self._begin(tensors["batch_centre"].to(self.device))
            prefix = "batch."
            self.at_hand.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})

    @cached_property
    def _mark(self) -> str:
        """Names the inversion by all that it is given; batches and memory, which may change between attempts, apart."""
        objective, encoder = self.objective, self.encoder
        facts = [objective.config.of_codes(), objective.perceptual.name, objective.autocast, self.seed]
        networks = [objective.perceptual, *([] if encoder is None else [encoder])]
        weights = [tensor for network in networks for tensor in network.state_dict().values()]
        given = [*objective.sampler.tensors(), *weights, self.images]
        return checkpoint_io.fingerprint([*facts, objective.sampler.feature_digest], given)

    def results(self, should_stop: ShouldStop) -> list[InvertedImage]:
        """Codes, reconstructions and reports of all images. Raises :class:`InversionError` for lost ones."""
        lost = [Problem("its loss is never finite", f"images[{i}]") for i in _indices(~self.loss.isfinite())]
        if lost:
            raise InversionError("these images cannot be inverted with this generator and encoder", lost)
        found: list[InvertedImage] = []
        for first in range(0, len(self.images), self.batch):
            stop_if_asked(should_stop)
            found += self._reported(slice(first, first + self.batch))
        return found

    @torch.no_grad()
    def _reported(self, place: slice) -> list[InvertedImage]:
        objective, config = self.objective.exact, self.objective.config
        codes, centre = self.codes[place], self.centres[place]
        target = self._target(place.start, len(codes))
        features = objective.features(target)
        image = objective.draw(codes).clamp(-1, 1)
        perceptual, l2 = objective.image_losses(image, target, features)
        start_perceptual, start_l2 = objective.image_losses(objective.draw(centre).clamp(-1, 1), target, features)
        psnr, start_psnr, noise_psnr = _psnr(l2), _psnr(start_l2), _psnr(self.l2[place])
        norm = distance_from(codes, centre, config.norm)
        spread = (codes - codes.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
        on_cpu, pictures = codes.cpu(), to_bytes(image).cpu()
        return [
            InvertedImage(
                codes=objective.sampler.codes_of(on_cpu[i : i + 1].clone()),
                reconstruction=pictures[i].clone(),
                report=InversionReport(
                    perceptual_name=objective.perceptual.name,
                    start=start_name(self.encoder is not None, config),
                    start_perceptual=float(start_perceptual[i]),
                    start_psnr=float(start_psnr[i]),
                    perceptual=float(perceptual[i]),
                    l2=float(l2[i]),
                    psnr=float(psnr[i]),
                    fitted_noise_psnr=float(noise_psnr[i]) if config.fit_noise else None,
                    norm_name=config.norm,
                    norm=float(norm[i]),
                    radius=self.radius,
                    layer_spread=float(spread[i]),
                    steps=int(self.steps[place][i]),
                    flags=flags(float(perceptual[i]), float(psnr[i]), config),
                ),
            )
            for i in range(len(codes))
        ]


_KEPT = ("codes", "centres", "loss", "l2", "steps")


def start_name(with_encoder: bool, config: InversionConfig) -> str:
    """Where codes begin, in a word: ``encoder``, ``best_of_K`` or ``mean``."""
    if with_encoder:
        return "encoder"
    return f"best_of_{config.start_candidates}" if config.start_candidates else "mean"


def _indices(mask: Tensor) -> list[int]:
    return [int(i) for i in mask.nonzero().flatten()]


def _psnr(l2: Tensor) -> Tensor:
    """dB from the mean squared error of images in [0, 1]; capped where both are equal."""
    return -10 * l2.clamp(min=1e-10).log10()

"""The world of heads as claims need it: labelled sets, inversion, labelers, generated datasets, nets and their scores.

Everything is drawn from (seed, purpose): two arms of one repeat see the same labelled heads, codes and starting nets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.datasets.label_set import LabelItem
from core.evaluation.downstream.baselines import Baseline, Pretrained, pretrain_on, train_baseline
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import ArrayImages, Targets
from core.evaluation.downstream.training import Trained, predict, predict_masks, train_downstream
from core.evaluation.overlap import image_confusions, image_miou, pooled_iou
from core.generators.files import load_generator, shipped_generators
from core.inversion.config import InversionConfig
from core.inversion.encoder import load_encoder
from core.inversion.perceptual import choose_perceptual
from core.inversion.refine import invert
from core.labeling.config import LabelerConfig
from core.labeling.labeler import Labeler
from core.labeling.targets import targets_of
from core.labeling.training import train_labeler
from core.pixels import as_tensor
from core.sampling.config import SamplingConfig
from core.sampling.filtering import candidates_needed
from core.sampling.stream import Sample, draw, latent
from core.tasks.depth import depth_sums
from core.tasks.keypoints import keypoint_hits
from testbed.examples import TEST_SEED, labelled_heads
from testbed.latents import normalise
from testbed.world import CLASS_NAMES, KEYPOINT_NAMES, Rendering, head_parameters, render

CLASSES, POINTS = len(CLASS_NAMES), len(KEYPOINT_NAMES)
TRAIN_SEED = 100
"""Labelled heads of repeat r come from stream TRAIN_SEED + r."""
_SIDE = 64
_PEAK, _SIGMA = 10.0, 1.5
_SHOWN_PIXELS = 8

Scores = dict[str, float]


@dataclass(frozen=True)
class Sizes:
    """How much of everything; the same for every arm."""

    test: int
    generated: int
    inversion_steps: int
    net: DownstreamConfig
    labeler_steps: int | None


SIZES = {
    "full": Sizes(500, 1800, 100, DownstreamConfig(steps=600), None),
    "tiny": Sizes(8, 12, 2, DownstreamConfig(steps=3, batch=4, width=4), 5),
}


class Heads:
    """One repeat: its labelled heads, and whatever is made from them."""

    def __init__(self, repeat: int, sizes: Sizes) -> None:
        self.repeat, self.sizes = repeat, sizes
        self.folder = shipped_generators()["heads64"]

    @cached_property
    def generator(self):
        """The shipped generator."""
        return load_generator(self.folder).network

    @cached_property
    def test(self) -> Rendering:
        """Held-out heads, the same for every arm and repeat."""
        return labelled_heads(TEST_SEED, self.sizes.test)

    def labelled(self, count: int, start: int = 0) -> Rendering:
        """Labelled heads of this repeat's stream."""
        return labelled_heads(TRAIN_SEED + self.repeat, count, start)

    # -- the method --------------------------------------------------------------------------------------------------

    def inverted(self, images: NDArray[np.uint8], steps: int | None = None) -> Tensor:
        """Codes float32 [N, num_ws, w_dim] of images."""
        config = InversionConfig(steps=self.sizes.inversion_steps if steps is None else steps, noise="none")
        found = invert(
            self.generator, as_tensor(images), encoder=load_encoder(self.folder),
            perceptual=choose_perceptual(self.folder, None), config=config,
        )  # fmt: skip
        return torch.stack([one.w_plus for one in found])

    def labeler(
        self, codes: Tensor, heads: Rendering, config: LabelerConfig | None = None, tasks: str = "masks"
    ) -> Labeler:
        """An ensemble trained on codes and the heads' truth. ``tasks``: "masks", or "points and depth"."""
        config = config or self.labeler_config()
        continuous = tasks != "masks"
        targets = targets_of(items_of(heads, continuous), 0 if continuous else CLASSES, config)
        return train_labeler(self.generator, codes, targets, config, noise="none", seed=self.repeat)

    def labeler_config(self, **changes: Any) -> LabelerConfig:
        """The default ensemble, as short as the sizes say."""
        if self.sizes.labeler_steps is not None:
            changes = {"max_steps": self.sizes.labeler_steps, **changes}
        return LabelerConfig(**changes)

    def candidates(
        self, labeler: Labeler, keep: int | None = None, drop: float = 0.1, psi: float = 1.0
    ) -> list[Sample]:
        """Enough samples that ``keep`` stay when the part ``drop`` goes."""
        stop = candidates_needed(keep or self.sizes.generated, drop)
        config = SamplingConfig(seed=self.repeat, start=0, stop=stop, truncation_psi=psi)
        return list(draw(self.generator, labeler, config))

    def truth_of(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """What the renderer draws from the samples' latents (at ψ = 1): masks uint8 [N, 64, 64]."""
        return rendered(
            np.stack([latent(self.repeat, one.index, self.generator.config.z_dim).numpy() for one in samples])
        ).masks

    def drawn(self, count: int, start: int = 1 << 20) -> tuple[NDArray[np.uint8], Tensor, NDArray[np.float32]]:
        """Images of fresh latents (at ψ = 1), their codes, and the latents themselves, float32 [N, z_dim]."""
        z = torch.stack([latent(self.repeat, start + i, self.generator.config.z_dim) for i in range(count)])
        with torch.inference_mode():
            codes = self.generator.map(z).contiguous()
            image = self.generator.synthesize(codes, noise="none").image
        pixels = ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return pixels, codes.clone(), z.numpy()

    # -- nets --------------------------------------------------------------------------------------------------------

    def net(self, images: NDArray[np.uint8], targets: Targets) -> Trained:
        """The downstream net, trained on these."""
        channels = CLASSES if targets.ndim == 3 else targets.shape[1]
        return train_downstream(ArrayImages(images, targets), channels, self.sizes.net, seed=self.repeat)

    def baseline(self, name: Baseline, images: NDArray[np.uint8], targets: Targets) -> Trained:
        """A baseline with the same labels."""
        channels = CLASSES if targets.ndim == 3 else targets.shape[1]
        pretrained = None if name == "from_scratch" else self.pretrained
        return train_baseline(
            name, ArrayImages(images, targets), channels, self.sizes.net, seed=self.repeat, pretrained=pretrained
        )

    @cached_property
    def pretrained(self) -> Pretrained:
        """Where transfer starts: a trunk that has learnt to clean the generator's own pictures, without labels."""
        images = np.concatenate([self.drawn(50, start)[0] for start in range(0, self.sizes.generated, 50)])
        return pretrain_on(ArrayImages(images, np.zeros(images.shape[:3], np.uint8)), self.sizes.net, self.repeat)

    def score(self, net: Trained) -> Scores:
        """mIoU and IoU by class on the held-out heads, in points."""
        iou = pooled_iou(image_confusions(self.test.masks, predict_masks(net, self.test.images), CLASSES))
        named = {
            f"iou {name}": 100 * float(one) for name, one in zip(CLASS_NAMES, iou, strict=True) if np.isfinite(one)
        }
        return {"miou": 100 * float(np.nanmean(iou)), **named}

    def score_maps(self, net: Trained) -> Scores:
        """PCK in percent and depth errors on the held-out heads."""
        maps = predict(net, self.test.images)
        points = decoded(maps[:, :POINTS])
        pck = keypoint_hits(points_of(self.test), points).pck
        depth = depth_sums(self.test.depth, maps[:, POINTS])
        found = {f"PCK-{alpha:g}": 100 * value for alpha, value in pck.items()}
        return {**found, "mNMSE": depth.mnmse, "RMSE": depth.rmse, "RMSE-log": depth.rmse_log}


def rendered(z: NDArray[np.float32]) -> Rendering:
    """The heads that a generator taught by the renderer means by its latents."""
    return render(head_parameters(normalise(z)))


def masks_of(samples: Sequence[Sample]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Images, masks and scores of samples."""
    images, masks = np.stack([one.image for one in samples]), np.stack([one.mask for one in samples])
    return images, masks, np.array([one.score for one in samples])


def image_agreement(truth: NDArray[np.uint8], masks: NDArray[np.uint8]) -> NDArray[np.float64]:
    """mIoU of each image by itself."""
    return image_miou(image_confusions(truth, masks, CLASSES))


def shows(heads: Rendering, name: str) -> NDArray[np.bool_]:
    """Which heads show a class on at least a few pixels."""
    return np.asarray((heads.masks == CLASS_NAMES.index(name)).sum((1, 2)) >= _SHOWN_PIXELS)


def picked(heads: Rendering, indices: NDArray[np.int64]) -> Rendering:
    """Some of the heads."""
    return Rendering(**{name: value[indices] for name, value in vars(heads).items()})


def joined(parts: Sequence[Rendering]) -> Rendering:
    """Heads of several renderings."""
    return Rendering(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


def points_of(heads: Rendering) -> NDArray[np.float32]:
    """float32 [N, K, 3]: x, y, and 2 where visible, else 1."""
    seen = np.where(heads.visible, 2, 1).astype(np.float32)
    return np.concatenate([heads.keypoints, seen[..., None]], axis=2)


def items_of(heads: Rendering, continuous: bool) -> list[LabelItem]:
    """Labelled images: with masks, or with points and depth."""
    points = points_of(heads)
    rows = zip(heads.images, heads.masks, points, heads.depth, strict=True)
    return [
        LabelItem(f"{i:04d}", image, mask, keypoints=one, depth=depth)
        if continuous
        else LabelItem(f"{i:04d}", image, mask)
        for i, (image, mask, one, depth) in enumerate(rows)
    ]


def maps_of(points: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a net learns, [N, K + 1, 64, 64]: heat of every point (peak 10); depth, unknown where not measured."""
    y, x = np.mgrid[:_SIDE, :_SIDE].astype(np.float32) + 0.5
    distance = (points[..., 0, None, None] - x) ** 2 + (points[..., 1, None, None] - y) ** 2
    heat = _PEAK * np.exp(-distance / (2 * _SIGMA**2))
    known = np.where(depth > 0, depth, np.nan)
    return np.concatenate([heat, known[:, None]], axis=1).astype(np.float32)


def decoded(heat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Places of the maxima: [N, K, H, W] → float32 [N, K, 2], x and y at pixel centres."""
    flat = heat.reshape(*heat.shape[:2], -1).argmax(-1)
    return np.stack([flat % heat.shape[3], flat // heat.shape[3]], -1).astype(np.float32) + 0.5

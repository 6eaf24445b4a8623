"""A small head on a frozen self-supervised backbone (DINOv2, DINOv3): the baseline without a generator.

Features of the labelled images, and of a few augmented views of each, are computed once; each repeat trains its head on
them.
"""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.evaluation.downstream.augmentation import augmented
from core.evaluation.downstream.config import DownstreamConfig
from core.evaluation.downstream.images import LabelledImages
from core.evaluation.downstream.loss import TargetFormat, as_target, class_weights, pixel_loss
from core.evaluation.downstream.networks import UNUSABLE, DownstreamNet, require_package, unusable_weights
from core.evaluation.downstream.training import Trained
from core.evaluation.metrics.vision_transformers import SelfSupervised, VisionTransformer
from core.image_arrays import as_tensor, to_float
from core.run import Run

VIEWS, LEAST = 4, 448
"""Views of each labelled image, the image itself among them, and pixels that its shorter side is enlarged to: a patch
then covers two pixels of an image of 64.
"""
_BATCH, _HIDDEN, _STREAM = 8, 128, 44


class HeadOnPatches(DownstreamNet):
    """Batch-norm and two 1 × 1 convolutions on the patches of a backbone, brought up to the image's size."""

    def __init__(self, backbone: VisionTransformer, channels: int, least: int) -> None:
        super().__init__()
        self.trunk, self._least = backbone, least
        width = backbone.network.num_features
        self.head = nn.Sequential(
            nn.BatchNorm2d(width), nn.Conv2d(width, _HIDDEN, 1), nn.ReLU(), nn.Conv2d(_HIDDEN, channels, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores [N, channels, H, W] of images [N, 3, H, W] in [-1, 1]."""
        patches = cast(VisionTransformer, self.trunk).patches((images + 1) / 2, self._least)
        return F.interpolate(self.head(patches), images.shape[2:], mode="bilinear", align_corners=False)


class FrozenFeatures:
    """Features of labelled images by a published backbone, from a file.

    Raises :class:`core.errors.EvaluationError` where timm is not installed or the file holds something else.
    """

    def __init__(
        self,
        name: SelfSupervised,
        weights: Path,
        images: LabelledImages,
        config: DownstreamConfig,
        run: Run,
        *,
        views: int = VIEWS,
        least: int = LEAST,
    ) -> None:
        require_package("timm")
        try:
            self._backbone = VisionTransformer(name, weights).eval().requires_grad_(False).to(run.device)
        except UNUSABLE as error:
            raise unusable_weights(weights, error) from error
        self.name, self._images, self._least = name, images, least
        features, targets = [], []
        generator = torch.Generator().manual_seed(run.seed)
        for view in range(views):
            for start in range(0, len(images), _BATCH):
                run.stop_if_asked()
                pixels, labels = images.take(np.arange(start, min(start + _BATCH, len(images))))
                x, y = to_float(as_tensor(pixels)), as_target(labels)
                if view:
                    kind, strength = config.augment, config.augment_strength
                    x, y = augmented(x, y, kind, generator, config.mirrored, strength)
                with torch.no_grad():
                    found = self._backbone.patches((x.to(run.device) + 1) / 2, least)
                features.append(found.half().cpu())
                targets.append(y)
        self._features, self._targets = torch.cat(features), torch.cat(targets)

    def train_head(self, channels: int, config: DownstreamConfig, *, run: Run, target: TargetFormat) -> Trained:
        """Train a head with the recipe's steps, batch and rate. Raises :class:`core.errors.Stopped` when asked."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            network = HeadOnPatches(self._backbone, channels, self._least).to(run.device)
        head = network.head.train()
        optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=config.steps + 1)
        weights = class_weights(self._images, channels, config.class_weight_power, target)
        random = np.random.default_rng([run.seed, _STREAM])
        for step in range(config.steps):
            run.stop_if_asked()
            pick = torch.from_numpy(random.integers(0, len(self._features), config.batch))
            targets = self._targets[pick].to(run.device)
            output = head(self._features[pick].float().to(run.device))
            output = F.interpolate(output, targets.shape[-2:], mode="bilinear", align_corners=False)
            loss = pixel_loss(output, targets, weights, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
            run.progress(step + 1, config.steps)
        return Trained(network.eval(), channels, chosen_step=config.steps)

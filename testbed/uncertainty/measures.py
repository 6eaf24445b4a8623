"""Image scores of labels, and how well a score finds the bad ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from core.evaluation.rejection import auroc
from core.generators.interface import Codes
from core.generators.stylegan2.generator import StyleGAN2Sampler
from core.labeling.conditioning import fit_conditioning
from core.labeling.config import LabelerConfig
from core.labeling.hypercolumn import SelectedLayers, gather
from core.labeling.labeler import Labeler
from core.labeling.pixel_source import PixelSource
from core.labeling.uncertainty import image_scores

BATCH = 25
_IGNORED = 255


@dataclass(frozen=True)
class Labelled:
    """Labels of N images: masks uint8 [N, H, W], divergence float32 [N, H, W]."""

    masks: NDArray[np.uint8]
    divergence: NDArray[np.float32]


@torch.inference_mode()
def labels_of(sampler: StyleGAN2Sampler, codes: Codes, labelers: Sequence[Labeler]) -> list[Labelled]:
    """Label images by their codes with several labelers, from one synthesis each."""
    parts: list[list[Labelled]] = [[] for _ in labelers]
    for some in codes.split(BATCH):
        features = sampler.synthesize(some, with_features=True).features
        for found, labeler in zip(parts, labelers, strict=True):
            said = labeler.label(features, sampler.resolution)
            found.append(Labelled(said.mask.numpy(), said.divergence.numpy()))
    return [
        Labelled(np.concatenate([one.masks for one in found]), np.concatenate([one.divergence for one in found]))
        for found in parts
    ]


@torch.inference_mode()
def nearest_distances(
    sampler: StyleGAN2Sampler, labelled: Codes, codes: Codes, pixels: int, seed: int
) -> NDArray[np.float32]:
    """Distance of each image's pixels to the nearest of ``pixels`` labelled ones, in 32 principal components of the
    features: float32 [N, H/2, W/2], every other pixel of every other row.
    """
    size = sampler.resolution
    random = np.random.default_rng([seed, 5])
    places = torch.from_numpy(np.sort(random.choice(len(labelled) * size[0] * size[1], pixels, replace=False)))
    source = PixelSource(sampler, labelled, SelectedLayers(sampler.layers, LabelerConfig()), size)
    raw = source.gather(places, lambda x: x, lambda: False)
    source.close()
    conditioning = fit_conditioning(raw, standardise=True, components=32)
    reference = conditioning.apply(raw)
    rows = torch.arange(0, size[0], 2)[:, None] * size[1] + torch.arange(0, size[1], 2)
    found = []
    for some in codes.split(BATCH):
        features = sampler.synthesize(some, with_features=True).features
        for image in range(len(some)):
            mine = conditioning.apply(gather([x[image : image + 1] for x in features], size, rows.flatten()))
            found.append(torch.cdist(mine, reference).amin(1).view(rows.shape).numpy())
    return np.stack(found)


def scores_of(labels: Labelled, classes: int) -> dict[str, NDArray[np.float64]]:
    """Image scores, high = unsure."""
    maps, masks = torch.from_numpy(labels.divergence), torch.from_numpy(labels.masks)
    foreground = np.where(labels.masks > 0, labels.divergence, 0).sum((1, 2), dtype=np.float64)
    return {
        "sum": image_scores(maps, "sum").numpy(),
        "top10_mean": image_scores(maps, "top10_mean").numpy(),
        "class_mean": image_scores(maps, "class_mean", masks, classes).numpy(),
        "foreground mean": foreground / np.maximum(1, (labels.masks > 0).sum((1, 2))),
    }


def found_by(score: NDArray[np.float64], quality: NDArray[np.float64], share: float = 0.25) -> float:
    """AUROC of the labels of lowest quality, 0.5 by chance; NaN where all are alike."""
    return auroc(quality <= np.quantile(quality, share), score)


def without_boundaries(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Truth [N, H, W] in which each pixel next to one of another class is ignored."""
    changed = np.zeros(truth.shape, bool)
    for axis in (1, 2):
        edge = np.diff(truth, axis=axis) != 0
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(0, -1), slice(1, None)
        changed[tuple(low)] |= edge
        changed[tuple(high)] |= edge
    return np.where(changed, np.uint8(_IGNORED), truth)


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def ranking(score: NDArray[np.float64], miou: NDArray[np.float64], accuracy: NDArray[np.float64]) -> dict[str, float]:
    return {
        "worst quarter": found_by(score, miou),
        "worst tenth": found_by(score, miou, 0.1),
        "by pixel accuracy": found_by(score, accuracy),
        "rank correlation": rank_correlation(score, miou),
    }

"""Colour, noise and copy-paste of the augmentation ``strong``; its geometry is that of ``basic`` with shear.

Colours, blur and noise are torchvision's (transforms v2), each image by its own draw. Copy-paste (Ghiasi et al. 2021)
moves one class of another image of the batch, pixels and labels, to the same place; it needs masks.
"""

import importlib
from typing import Any

import torch
from torch import Tensor

from core.torchvision_import import import_torchvision

_PASTED = 0.5
"""Share of a batch's images that receive a class of another image, at strength 1."""


def strong_colours(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Images float32 [N, 3, H, W] in [-1, 1] in other colours, some blurred or with noise. ``strength``: 1 shifts hues
    by up to 54 degrees and brightness, contrast and single channels by up to 40 %.
    """
    import_torchvision()
    v2: Any = importlib.import_module("torchvision.transforms.v2")
    change = v2.Compose(
        [
            v2.ColorJitter(0.4 * strength, 0.4 * strength, 0.6 * strength, 0.15 * strength),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 1.0))], 0.2 * strength),
            v2.RandomApply([v2.GaussianNoise(sigma=0.05 * strength)], 0.5),
            v2.RandomGrayscale(0.05 * strength),
        ]
    )
    # torchvision draws from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(1 << 62, (1,), generator=generator)))
        gains = 1 + 0.2 * strength * (2 * torch.rand(len(images), 3, 1, 1) - 1)
        seen = (gains * (images + 1) / 2).clamp(0, 1)
        return 2 * torch.stack([change(one) for one in seen]) - 1


def copy_paste(
    images: Tensor, masks: Tensor, strength: float, generator: torch.Generator, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Images [N, 3, H, W] and masks int64 [N, H, W], half of them (at strength 1) with one class of another image. The
    class that covers most of the other image, its background, is not pasted, nor are ignored pixels.
    """
    pasted, labels = images.clone(), masks.clone()
    donors = torch.randperm(len(images), generator=generator)
    for index in (torch.rand(len(images), generator=generator) < _PASTED * strength).nonzero()[:, 0].tolist():
        donor = int(donors[index])
        ids, counts = torch.unique(masks[donor], return_counts=True)
        ids, counts = ids[ids != ignore_index], counts[ids != ignore_index]
        if len(ids) < 2:
            continue
        ids = ids[ids != ids[counts.argmax()]]
        chosen = ids[int(torch.randint(len(ids), (1,), generator=generator))]
        where = masks[donor] == chosen
        pasted[index] = torch.where(where, images[donor], pasted[index])
        labels[index] = torch.where(where, chosen, labels[index])
    return pasted, labels

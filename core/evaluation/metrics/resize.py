"""Rules by which images are resized before a feature network sees them.

A distance between features depends on the rule, so each has a name that every result states:

=================  ===================================================================================================
``none``           no resizing: the network takes the image as it is
``tf_bilinear``    bilinear of TensorFlow 1, no half-pixel shift, no antialiasing: the original FID, torch-fidelity
``bilinear``       bilinear with half-pixel centres, no antialiasing: "legacy" of StudioGAN and NoisyTwins
``clean``          bilinear with antialiasing in floating point, as Pillow computes it: "clean" of StudioGAN
``bicubic``        bicubic, no antialiasing, clipped to 0..255: FID_CLIP of StudioGAN and NoisyTwins
``clip``           bicubic with antialiasing on bytes, shorter side to the size, centre crop: OpenAI's CLIP
=================  ===================================================================================================
"""

from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

ResizeRule = Literal["none", "tf_bilinear", "bilinear", "clean", "bicubic", "clip"]
RESIZE_RULES: tuple[ResizeRule, ...] = get_args(ResizeRule)


def resized(images: Tensor, size: int, rule: ResizeRule) -> Tensor:
    """Return float32 [N, C, size, size] in 0..255 of uint8 [N, C, H, W]; for ``none`` the size stays.

    Raises ValueError for an unknown rule.
    """
    values = images.float()
    if rule == "none":
        return values
    if rule == "tf_bilinear":
        return _tf_bilinear(values, size)
    if rule == "bilinear":
        return F.interpolate(values, (size, size), mode="bilinear", align_corners=False)
    if rule == "clean":
        return F.interpolate(values, (size, size), mode="bilinear", align_corners=False, antialias=True)
    if rule == "bicubic":
        return F.interpolate(values, (size, size), mode="bicubic", align_corners=False).clamp(0, 255)
    if rule == "clip":
        return torch.stack([_clip(one, size) for one in images.cpu()]).to(values)
    raise ValueError(f"expected a resize rule of {', '.join(RESIZE_RULES)}, found {rule!r}")


def _tf_bilinear(values: Tensor, size: int) -> Tensor:
    """Bilinear where output pixel i reads the position i · input / output."""
    for axis in (3, 2):
        length = values.shape[axis]
        position = torch.arange(size, dtype=torch.float32, device=values.device) * (length / size)
        low = position.long()
        share = (position - low).reshape([-1 if one == axis else 1 for one in range(4)])
        first = values.index_select(axis, low)
        values = first + (values.index_select(axis, (low + 1).clamp_max(length - 1)) - first) * share
    return values


def _clip(image: Tensor, size: int) -> Tensor:
    """uint8 [C, H, W] → uint8 [C, size, size]."""
    height, width = image.shape[1:]
    shorter = min(height, width)
    wide, high = (int(size * side / shorter) for side in (width, height))
    planes = [Image.fromarray(plane.numpy()).resize((wide, high), Image.Resampling.BICUBIC) for plane in image]
    top, left = round((high - size) / 2), round((wide - size) / 2)
    whole = np.stack([np.asarray(plane) for plane in planes])
    return torch.from_numpy(whole[:, top : top + size, left : left + size].copy())

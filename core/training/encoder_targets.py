"""What an encoder learns from: the generator's own samples, whose codes are known, and real images.

Both depend on seed and step alone, so that a resumed run sees what an unbroken one would.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import InversionError, Problem
from core.generators.interface import Invertible
from core.image_arrays import to_float
from core.training.images import PackedImages

ImageSource = Callable[[int, int], Tensor]
"""``source(step, count)`` → uint8 [count, 3, H, W]: real images for a step, the same whenever it is asked for that
step.
"""


def image_source(images: Tensor, seed: int, mirror: bool) -> ImageSource:
    """Draws from images uint8 [N, 3, H, W], with ``mirror`` each flipped left to right half of the time.

    Raises :class:`InversionError` for images of another form.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or not len(images):
        detail = f"{images.dtype} {list(images.shape)} where uint8 [N, 3, H, W] is needed"
        raise InversionError("these images cannot be learnt from", [Problem(detail, "images")])

    def draw(step: int, count: int) -> Tensor:
        random = _random(seed, step, "images")
        chosen = images[torch.randint(len(images), (count,), generator=random)]
        if not mirror:
            return chosen
        flip = torch.rand(count, generator=random) < 0.5
        return torch.where(flip[:, None, None, None], chosen.flip(3), chosen)

    return draw


def packed_source(images: PackedImages, seed: int, mirror: bool) -> ImageSource:
    """Draw from images in a file, as colour images; with ``mirror`` each is flipped left to right half of the time."""

    def draw(step: int, count: int) -> Tensor:
        random = _random(seed, step, "images")
        chosen = images.read(torch.randint(len(images), (count,), generator=random).tolist())
        chosen = chosen.expand(-1, 3, -1, -1)
        if not mirror:
            return chosen
        flip = torch.rand(count, generator=random) < 0.5
        return torch.where(flip[:, None, None, None], chosen.flip(3), chosen)

    return draw


def real_images(sampler: Invertible, source: ImageSource, step: int, count: int) -> Tensor:
    """Images of a step at the generator's size, float [count, 3, H, W] in [-1, 1] on its device.

    Raises :class:`InversionError` where the source gives something else.
    """
    images = source(step, count)
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[:2] != (count, 3):
        detail = f"{images.dtype} {list(images.shape)} where uint8 [{count}, 3, H, W] is needed"
        raise InversionError("the source of images gave something else", [Problem(detail, "images")])
    floats = to_float(images.to(sampler.device))
    size = sampler.resolution
    return floats if floats.shape[2:] == size else F.adaptive_avg_pool2d(floats, size)


def sample_codes(sampler: Invertible, least_truncation: float, seed: int, step: int, count: int) -> Tensor:
    """Codes of a step's samples, [count, rows, width], each row of a code the same: half of them as they are drawn,
    half truncated by a factor between ``least_truncation`` and 1.
    """
    codes = sampler.random_rows(count, _random(seed, step, "codes").initial_seed())
    random = torch.rand(2, count, 1, generator=_random(seed, step, "truncation")).to(codes.device)
    psi = torch.where(random[0] < 0.5, 1.0, least_truncation + (1 - least_truncation) * random[1])
    return sampler.centre.lerp(codes, psi)[:, None].expand(-1, sampler.rows, -1)


def _random(seed: int, step: int, purpose: str) -> torch.Generator:
    mixed = (seed * 1_000_003 + step) * 7 + ("images", "codes", "truncation").index(purpose)
    return torch.Generator().manual_seed(mixed % 2**63)

"""Augmentation of images and their targets together, each image by its own draw.

``basic``: flip, shift, turn, scale, brightness, contrast, saturation, each image. ``portraits``: the list of "Knowing
the Distance" (appendix A) with its probabilities; the paper gives no magnitudes, ours are moderate. ``strong``: flip,
shift, turn, scale, shear, colour, blur, noise and copy-paste, by a strength.
"""

import io
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from core.evaluation.downstream.config import Augmentation
from core.evaluation.downstream.strong_augmentation import copy_paste, strong_colours
from core.image_arrays import to_bytes, to_float

Effect = Callable[[Tensor, torch.Generator], Tensor]


def augmented(
    images: Tensor,
    targets: Tensor,
    kind: Augmentation,
    generator: torch.Generator,
    mirrored: tuple[tuple[int, int], ...] = (),
    strength: float = 1.0,
    ignore_index: int = 255,
) -> tuple[Tensor, Tensor]:
    """images: float32 [N, 3, H, W] in [-1, 1]. targets: int64 [N, H, W] ids or float32 [N, K, H, W] maps.

    ``mirrored``: pairs of ids, or of channels of maps, that change places in a flipped image. ``strength``: of
    ``strong``.
    """
    if kind == "none":
        return images, targets
    portraits = kind == "portraits"
    grid, flipped = _grid(images, generator, portraits, 0.2 * strength if kind == "strong" else 0.0)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    targets = _moved(_mirrored(targets, flipped, mirrored), grid)
    if kind == "strong":
        if targets.ndim == 3:
            images, targets = copy_paste(images, targets, strength, generator, ignore_index)
        return strong_colours(images, strength, generator).clamp(-1, 1), targets
    return (_portraits if portraits else _basic_colours)(images, generator).clamp(-1, 1), targets


def _uniform(shape: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _chosen(count: int, probability: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) < probability


def _grid(images: Tensor, generator: torch.Generator, portraits: bool, shear: float) -> tuple[Tensor, Tensor]:
    """Where each output pixel is taken from, [N, H, W, 2], and which images are flipped, bool [N]. ``shear``: the most
    that columns move with a row.
    """
    n = len(images)
    flipped = _chosen(n, 0.1 if portraits else 0.5, generator)
    moves = (_chosen(n, 0.1, generator) if portraits else torch.ones(n)).float()
    angle = _uniform(n, -0.26, 0.26, generator) * moves
    scale = 1 + (_uniform(n, 0.8, 1.2, generator) - 1) * moves
    shift = torch.stack([_uniform(n, -0.2, 0.2, generator) for _ in range(2)], 1) * moves[:, None]
    if portraits:
        # CelebA's looser crop: the face further away and a little lower.
        aligned = _chosen(n, 0.3, generator).float()
        scale = scale * (1 + 0.25 * aligned)
        shift = shift - torch.stack([torch.zeros(n), 0.1 * aligned], 1)
    sign = torch.where(flipped, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    slant = _uniform(n, -shear, shear, generator) if shear else torch.zeros(n)
    rows = [torch.stack([cos * sign, slant - sin, shift[:, 0]], 1), torch.stack([sin * sign, cos, shift[:, 1]], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    if portraits:
        tilt = torch.stack([_uniform(n, -0.25, 0.25, generator) for _ in range(2)], 1)
        tilt = tilt * _chosen(n, 0.1, generator).float()[:, None]
        depth = 1 + (grid * tilt[:, None, None]).sum(-1, keepdim=True)
        grid = grid / depth
    return grid, flipped


def _mirrored(targets: Tensor, flipped: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """Targets of flipped images with the ids or channels of each pair exchanged."""
    if not pairs or not flipped.any():
        return targets
    result = targets.clone()
    for left, right in pairs:
        if targets.ndim == 4:
            result[flipped, left], result[flipped, right] = targets[flipped, right], targets[flipped, left]
        else:
            here = flipped[:, None, None]
            result[here & (targets == left)] = right
            result[here & (targets == right)] = left
    return result


def _moved(targets: Tensor, grid: Tensor) -> Tensor:
    """Masks take the nearest id, maps are interpolated; what is unknown (NaN) stays unknown."""
    if targets.ndim == 3:
        moved = F.grid_sample(targets[:, None].float(), grid, "nearest", "reflection", align_corners=False)
        return moved[:, 0].long()
    known = targets.isfinite()
    values = F.grid_sample(targets.nan_to_num(0.0), grid, "bilinear", "reflection", align_corners=False)
    sure = F.grid_sample(known.float(), grid, "bilinear", "reflection", align_corners=False) > 0.999
    return torch.where(sure, values, torch.full_like(values, float("nan")))


def _basic_colours(images: Tensor, generator: torch.Generator) -> Tensor:
    n = len(images)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * _uniform(n, 0.5, 1.5, generator)[:, None, None, None]
    gain, lift = _uniform(n, 0.7, 1.3, generator), _uniform(n, -0.25, 0.25, generator)
    return images * gain[:, None, None, None] + lift[:, None, None, None]


def _portraits(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each effect on its own part of the batch."""
    images = images.clone()
    for effect, probability in _EFFECTS:
        for index in _chosen(len(images), probability, generator).nonzero()[:, 0].tolist():
            images[index] = effect(images[index], generator).clamp(-1, 1)
    return images


def _blur(image: Tensor, generator: torch.Generator) -> Tensor:
    sigma = float(_uniform(1, 0.5, 1.5, generator)) * max(1.0, image.shape[1] / 256)
    reach = max(1, min(round(2 * sigma), image.shape[1] - 1, image.shape[2] - 1))
    at = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[None], (reach, reach, reach, reach), mode="reflect")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)[0]


def _noise(image: Tensor, generator: torch.Generator) -> Tensor:
    return image + float(_uniform(1, 0.02, 0.15, generator)) * torch.randn(image.shape, generator=generator)


def _grey(image: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG001 - the signature of an effect
    return (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True).expand_as(image)


def _smooth_field(image: Tensor, generator: torch.Generator, cells: int) -> Tensor:
    """Smooth random values 0..1, [1, H, W]."""
    coarse = torch.rand(1, 1, cells, cells, generator=generator)
    return F.interpolate(coarse, image.shape[1:], mode="bicubic", align_corners=False)[0].clamp(0, 1)


def _fog(image: Tensor, generator: torch.Generator) -> Tensor:
    density = float(_uniform(1, 0.2, 0.6, generator)) * (0.5 + 0.5 * _smooth_field(image, generator, 3))
    return image * (1 - density) + 0.8 * density


def _shadow(image: Tensor, generator: torch.Generator) -> Tensor:
    """One side of a random line darkened."""
    height, width = image.shape[1:]
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle, offset = _uniform(1, 0, 6.2832, generator), _uniform(1, -0.5, 0.5, generator)
    inside = (x * torch.cos(angle) + y * torch.sin(angle) > offset).float()
    return (image + 1) * (1 - 0.5 * inside) - 1


def _rain(image: Tensor, generator: torch.Generator) -> Tensor:
    """Thin bright strokes that fall a little slantwise."""
    drops = (torch.rand(1, 1, *image.shape[1:], generator=generator) < 0.01).float()
    length = max(3, image.shape[1] // 12)
    stroke = torch.zeros(1, 1, 2 * length + 1, 2 * length + 1)
    for step in range(length):
        stroke[0, 0, length + step, length + step // 4] = 1.0
    streaks = F.conv2d(drops, stroke, padding=length)[0].clamp(0, 1)
    return image * (1 - 0.4 * streaks) + 0.25 * streaks


def _spatter(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blots of one dull colour."""
    field = _smooth_field(image, generator, max(6, image.shape[1] // 8))
    blots = (field > 0.85).float()
    colour = torch.tensor([-0.2, -0.35, -0.55])[:, None, None]
    return image * (1 - 0.7 * blots) + colour * 0.7 * blots


def _hue(image: Tensor, generator: torch.Generator) -> Tensor:
    """Colours turned about the grey axis, and drawn towards or away from it."""
    angle = _uniform(1, -0.35, 0.35, generator)
    saturation = float(_uniform(1, 0.6, 1.4, generator))
    cos, sin = torch.cos(angle), torch.sin(angle) / 3**0.5
    third = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    turn = cos * torch.eye(3) + sin * cross + (1 - cos) * third
    grey = image.mean(0, keepdim=True)
    return grey + saturation * (torch.einsum("oc,chw->ohw", turn, image) - grey)


def _contrast(image: Tensor, generator: torch.Generator) -> Tensor:
    return image * float(_uniform(1, 0.7, 1.3, generator)) + float(_uniform(1, -0.25, 0.25, generator))


def _jpeg(image: Tensor, generator: torch.Generator) -> Tensor:
    pixels = to_bytes(image[None])[0].permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    quality = int(torch.randint(30, 96, (1,), generator=generator))
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    decoded = torch.frombuffer(bytearray(Image.open(stream).convert("RGB").tobytes()), dtype=torch.uint8)
    return to_float(decoded.view(*pixels.shape).permute(2, 0, 1)[None])[0]


_EFFECTS: tuple[tuple[Effect, float], ...] = (
    (_blur, 0.1), (_noise, 0.1), (_grey, 0.1), (_fog, 0.1), (_shadow, 0.1), (_rain, 0.1), (_spatter, 0.1),
    (_hue, 0.1), (_contrast, 0.05), (_jpeg, 0.5),
)  # fmt: skip

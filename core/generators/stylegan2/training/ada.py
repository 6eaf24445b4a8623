"""Adaptive discriminator augmentation (Karras et al. 2020a, section 3 and appendix B): the pipeline, its strength."""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from core.generators.stylegan2.training.ada_filters import OCTAVES, PADDING, SYM6, octave_filters

Transform = Literal[
    "xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac",
    "brightness", "contrast", "lumaflip", "hue", "saturation", "imgfilter", "noise", "cutout",
]  # fmt: skip

BLIT: tuple[Transform, ...] = ("xflip", "rotate90", "xint")
GEOMETRY: tuple[Transform, ...] = ("scale", "rotate", "aniso", "xfrac")
COLOUR: tuple[Transform, ...] = ("brightness", "contrast", "lumaflip", "hue", "saturation")
PIPELINES: dict[str, tuple[Transform, ...]] = {
    "blit": BLIT,
    "geom": GEOMETRY,
    "color": COLOUR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": BLIT + GEOMETRY,
    "bgc": BLIT + GEOMETRY + COLOUR,
    "bgcf": (*BLIT, *GEOMETRY, *COLOUR, "imgfilter"),
    "bgcfn": (*BLIT, *GEOMETRY, *COLOUR, "imgfilter", "noise"),
    "bgcfnc": (*BLIT, *GEOMETRY, *COLOUR, "imgfilter", "noise", "cutout"),
}
"""Pipelines by the names of the released code: groups of transforms."""

TRANSLATION = 1 / 8
"""Largest whole-pixel shift, and standard deviation of a fractional one, as shares of the side."""
SCALE_STD = 0.2
"""Standard deviation of the logarithm (base 2) of isotropic and anisotropic scaling."""
BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD, FILTER_STD = 0.2, 0.5, 1.0, 1.0
NOISE_STD, CUTOUT_SIZE = 0.1, 0.5
EXPECTED_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Expected power spectrum of images over the four octaves of the filter bank, 1/f."""


@dataclass
class AdaptiveStrength:
    """The probability p of each transform, moved so that the mean sign of the discriminator's logits of reals stays at
    a target: p rises where it overfits. p is not limited above.
    """

    target: float = 0.6
    kimg: float = 500.0
    """Thousands of images in which p moves by 1."""
    p: float = 0.0
    signs: float = 0.0
    count: int = 0

    def report(self, real_logits: Tensor) -> None:
        """Add logits of reals, from either phase of the discriminator."""
        self.signs += float(real_logits.detach().sign().sum())
        self.count += real_logits.numel()

    def update(self, images: int) -> float:
        """Move p after ``images`` images since the last update; return the mean sign r_t, or 0 without logits."""
        mean = self.signs / self.count if self.count else 0.0
        if self.count:
            direction = (mean > self.target) - (mean < self.target)
            self.p = max(self.p + direction * images / (self.kimg * 1000), 0.0)
        self.signs, self.count = 0.0, 0
        return mean


class AugmentPipeline:
    """The transforms of a pipeline, applied to images float [N, C, H, W] in [-1, 1] with probability p each.

    Differentiable by the images, also twice. Random numbers are torch's global ones: first the value of a transform,
    then whether each image gets it.
    """

    def __init__(self, transforms: tuple[Transform, ...]) -> None:
        self.transforms = frozenset(transforms)

    def __call__(self, x: Tensor, p: float) -> Tensor:
        """Return the augmented images; exactly ``x`` where p is 0."""
        if p <= 0:
            return x
        x = self._geometry(x, p)
        x = self._colour(x, p)
        if "imgfilter" in self.transforms:
            x = _filtered(x, p)
        if "noise" in self.transforms:
            std = torch.randn(len(x), 1, 1, 1, device=x.device).abs() * NOISE_STD
            x = x + torch.randn_like(x) * _gated(std, p, 0.0)
        if "cutout" in self.transforms:
            x = x * _cutout_mask(x, p)
        return x

    def _geometry(self, x: Tensor, p: float) -> Tensor:
        """Compose all geometric transforms and resample once. The matrix takes output to input positions, in pixels
        from the centre.
        """
        matrix = self._geometry_matrix(x, p)
        moved = (matrix != torch.eye(3, device=x.device)).flatten(1).any(1).nonzero().flatten()
        if not len(moved):
            return x
        if len(moved) == len(x):
            return resampled(x, matrix)
        return x.index_copy(0, moved, resampled(x[moved], matrix[moved]))

    def _geometry_matrix(self, x: Tensor, p: float) -> Tensor:
        """Return the matrices of the geometric transforms, float [N, 3, 3]."""
        count, (height, width), device = len(x), x.shape[2:], x.device
        matrix = torch.eye(3, device=device).expand(count, 3, 3)
        on = self.transforms.__contains__
        if on("xflip"):
            mirrored = _gated((torch.rand(count, device=device) * 2).floor(), p, 0.0)
            matrix = matrix @ _scaling(1 - 2 * mirrored, torch.ones_like(mirrored))
        if on("rotate90"):
            turns = _gated((torch.rand(count, device=device) * 4).floor(), p, 0.0)
            matrix = matrix @ _rotation(turns * (pi / 2))
        if on("xint"):
            shift = _gated((torch.rand(count, 2, device=device) * 2 - 1) * TRANSLATION, p, 0.0)
            matrix = matrix @ _translation((shift[:, 0] * width).round().neg(), (shift[:, 1] * height).round().neg())
        if on("scale"):
            scale = _gated(torch.exp2(torch.randn(count, device=device) * SCALE_STD), p, 1.0)
            matrix = matrix @ _scaling(1 / scale, 1 / scale)
        # Rotation before and after the anisotropic scaling, so that either happens with probability p.
        each = 1 - sqrt(max(0.0, 1 - p))
        if on("rotate"):
            matrix = matrix @ _rotation(_gated(_angle(count, device), each, 0.0))
        if on("aniso"):
            scale = _gated(torch.exp2(torch.randn(count, device=device) * SCALE_STD), p, 1.0)
            matrix = matrix @ _scaling(1 / scale, scale)
        if on("rotate"):
            matrix = matrix @ _rotation(_gated(_angle(count, device), each, 0.0))
        if on("xfrac"):
            shift = _gated(torch.randn(count, 2, device=device) * TRANSLATION, p, 0.0)
            matrix = matrix @ _translation(-shift[:, 0] * width, -shift[:, 1] * height)
        return matrix

    def _colour(self, x: Tensor, p: float) -> Tensor:
        """Compose all colour transforms into an affine map of the colours, and apply it."""
        count, channels, device = len(x), x.shape[1], x.device
        matrix = torch.eye(4, device=device).expand(count, 4, 4)
        luma = torch.tensor([1.0, 1.0, 1.0, 0.0], device=device) / sqrt(3)
        along = torch.outer(luma, luma)
        on = self.transforms.__contains__
        if not self.transforms & set(COLOUR):
            return x
        if on("brightness"):
            shift = _gated(torch.randn(count, device=device) * BRIGHTNESS_STD, p, 0.0)
            matrix = _colour_shift(shift) @ matrix
        if on("contrast"):
            scale = _gated(torch.exp2(torch.randn(count, device=device) * CONTRAST_STD), p, 1.0)
            matrix = torch.diag_embed(torch.stack([scale, scale, scale, torch.ones_like(scale)], 1)) @ matrix
        if on("lumaflip"):
            flipped = _gated((torch.rand(count, 1, 1, device=device) * 2).floor(), p, 0.0)
            matrix = (torch.eye(4, device=device) - 2 * along * flipped) @ matrix
        if on("hue") and channels > 1:
            matrix = _hue_rotation(_gated(_angle(count, device), p, 0.0)) @ matrix
        if on("saturation") and channels > 1:
            scale = _gated(torch.exp2(torch.randn(count, 1, 1, device=device) * SATURATION_STD), p, 1.0)
            matrix = (along + (torch.eye(4, device=device) - along) * scale) @ matrix
        if channels == 1:
            row = matrix[:, :3].mean(1)  # [N, 4]
            return x * row[:, :3].sum(1)[:, None, None, None] + row[:, 3, None, None, None]
        colours = torch.baddbmm(matrix[:, :3, 3:], matrix[:, :3, :3], x.flatten(2))
        return colours.reshape(x.shape)


def _gated(value: Tensor, p: float, neutral: float) -> Tensor:
    """Keep the value of each image with probability p; ``neutral`` takes the place of the others'."""
    gate = torch.rand(len(value), *[1] * (value.dim() - 1), device=value.device) < p
    return torch.where(gate, value, neutral)


def _angle(count: int, device: torch.device) -> Tensor:
    return (torch.rand(count, device=device) * 2 - 1) * pi


def _matrix(rows: list[list[Tensor | float]], like: Tensor) -> Tensor:
    """Stack entries, each [N] or a number, to [N, rows, columns]."""
    entries = [[torch.as_tensor(one, device=like.device, dtype=like.dtype).expand_as(like) for one in r] for r in rows]
    return torch.stack([torch.stack(row, 1) for row in entries], 1)


def _translation(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]], x)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]], x)


def _rotation(angle: Tensor) -> Tensor:
    cosine, sine = angle.cos(), angle.sin()
    return _matrix([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], angle)


def _colour_shift(shift: Tensor) -> Tensor:
    return _matrix([[1, 0, 0, shift], [0, 1, 0, shift], [0, 0, 1, shift], [0, 0, 0, 1]], shift)


def _hue_rotation(angle: Tensor) -> Tensor:
    """Rotate colours around the grey axis (1, 1, 1)."""
    cosine, third, sine = angle.cos(), (1 - angle.cos()) / 3, angle.sin() / sqrt(3)
    same, minus, plus = cosine + third, third - sine, third + sine
    rows: list[list[Tensor | float]] = [[same, minus, plus, 0], [plus, same, minus, 0], [minus, plus, same, 0]]
    return _matrix([*rows, [0, 0, 0, 1]], angle)


def resampled(x: Tensor, matrix: Tensor) -> Tensor:
    """Resample images [N, C, H, W] by matrices [N, 3, 3], from output to input positions in pixels from the centre.

    Reflected margins, upsampling by two with the sym6 wavelet's lowpass, bilinear interpolation, downsampling with the
    same filter: no aliasing, and the identity up to rounding where the matrix is the identity.
    """
    height, width = x.shape[2:]
    x, matrix = _with_margins(x, matrix)
    taps = torch.tensor(SYM6, device=x.device, dtype=x.dtype)
    x = _upsampled(x, taps)
    # A pixel's centre moves by a quarter of a pixel when the resolution doubles.
    ones = torch.ones(len(x), device=x.device)
    double, half = _scaling(2 * ones, 2 * ones), _scaling(ones / 2, ones / 2)
    matrix = _translation(-ones / 2, -ones / 2) @ double @ matrix @ half @ _translation(ones / 2, ones / 2)
    extra = 2 * FILTER_MARGIN
    shape = [len(x), x.shape[1], (height + extra) * 2, (width + extra) * 2]
    to_unit = _scaling(2 / x.shape[3] * ones, 2 / x.shape[2] * ones)
    from_unit = _scaling(shape[3] / 2 * ones, shape[2] / 2 * ones)
    grid = F.affine_grid((to_unit @ matrix @ from_unit)[:, :2], shape, align_corners=False)
    sampled: Tensor = _Sample.apply(x, grid)  # type: ignore[no-untyped-call]
    return _downsampled(sampled, taps, 2 * FILTER_MARGIN)


FILTER_MARGIN = len(SYM6) // 4


def _with_margins(x: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Reflect the images beyond their borders as far as any of them is sampled there."""
    height, width = x.shape[2:]
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor(
        [[-centre_x, centre_x, centre_x, -centre_x], [-centre_y, -centre_y, centre_y, centre_y], [1, 1, 1, 1]],
        device=x.device,
    )
    taken = (matrix @ corners)[:, :2]  # [N, 2, 4]
    reach = torch.stack([taken.amin((0, 2)).neg(), taken.amax((0, 2))])  # [lower and upper, x and y]
    reach = reach + 2 * FILTER_MARGIN - torch.tensor([centre_x, centre_y], device=x.device)
    most = torch.tensor([width - 1, height - 1], device=x.device)
    (left, top), (right, bottom) = reach.clamp_min(0).minimum(most).ceil().int().tolist()
    ones = torch.ones(len(x), device=x.device)
    moved = _translation((left - right) / 2 * ones, (top - bottom) / 2 * ones) @ matrix
    return F.pad(x, (left, right, top, bottom), mode="reflect"), moved


def _upsampled(x: Tensor, taps: Tensor) -> Tensor:
    """[N, C, h, w] → [N, C, 2h, 2w], rows and columns one after the other."""
    channels = x.shape[1]
    kernel = (2 * taps).expand(channels, 1, 1, -1)
    x = F.conv_transpose2d(x, kernel, stride=(1, 2), padding=(0, 5), groups=channels)
    return F.conv_transpose2d(x, kernel.transpose(2, 3), stride=(2, 1), padding=(5, 0), groups=channels)


def _downsampled(x: Tensor, taps: Tensor, crop: int) -> Tensor:
    """[N, C, 2h, 2w] → [N, C, h - crop, w - crop], without ``crop / 2`` rows and columns at each border."""
    channels, edge = x.shape[1], crop - 5
    x = x[:, :, edge : x.shape[2] - edge, edge : x.shape[3] - edge]
    kernel = taps.expand(channels, 1, 1, -1)
    x = F.conv2d(x, kernel, stride=(1, 2), groups=channels)
    return F.conv2d(x, kernel.transpose(2, 3), stride=(2, 1), groups=channels)


def _filtered(x: Tensor, p: float) -> Tensor:
    """Amplify or dampen each octave of frequencies, keeping the expected power."""
    count, channels, height, width = x.shape
    power = torch.tensor(EXPECTED_POWER, device=x.device)
    gains = torch.ones(count, OCTAVES, device=x.device)
    for octave in range(OCTAVES):
        gain = _gated(torch.exp2(torch.randn(count, device=x.device) * FILTER_STD), p, 1.0)
        one = torch.ones(count, OCTAVES, device=x.device)
        one[:, octave] = gain
        gains = gains * one / (power * one.square()).sum(1, keepdim=True).sqrt()
    kernel = (gains @ octave_filters().to(x.device)).repeat_interleave(channels, 0)  # [N C, taps]
    # Each image has its own filter: the batch lies in the channels.
    flat = F.pad(x, (PADDING, PADDING, PADDING, PADDING), mode="reflect").reshape(1, count * channels, *_grown(x))
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=count * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=count * channels)
    return flat.reshape(count, channels, height, width)


def _grown(x: Tensor) -> tuple[int, int]:
    return x.shape[2] + 2 * PADDING, x.shape[3] + 2 * PADDING


def _cutout_mask(x: Tensor, p: float) -> Tensor:
    """0 in a window of half of each side around a random centre, 1 elsewhere; float [N, 1, H, W]."""
    count, _, height, width = x.shape
    size = _gated(torch.full((count, 1, 1), CUTOUT_SIZE, device=x.device), p, 0.0)
    centre = torch.rand(count, 2, device=x.device)[:, :, None, None]  # x, y
    columns = ((torch.arange(width, device=x.device) + 0.5) / width - centre[:, 0]).abs() >= size / 2
    rows = ((torch.arange(height, device=x.device)[:, None] + 0.5) / height - centre[:, 1]).abs() >= size / 2
    return (columns | rows)[:, None].to(x.dtype)


class _Sample(torch.autograd.Function):
    """Bilinear sampling at fixed positions: linear in the image, so that its gradient has a gradient."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        spread: Tensor = _Spread.apply(gradients[0], grid, ctx.shape)  # type: ignore[no-untyped-call]
        return spread, None


class _Spread(torch.autograd.Function):
    """The transpose of :class:`_Sample`."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        image = gradient.new_empty(1).expand(shape)  # its values are not used
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(gradient, image, grid, 0, 0, False, [True, False])[0]
        return spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        sampled: Tensor = _Sample.apply(gradients[0], grid)  # type: ignore[no-untyped-call]
        return sampled, None, None

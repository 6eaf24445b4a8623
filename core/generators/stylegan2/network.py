"""StyleGAN2: z → w+ → image and features (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

Written for speed on a CPU as well as on a GPU. The modulated convolution (section 2.2, equations 1 and 3) scales its
input by the style and its output by the demodulation factor, so that one weight serves the whole batch; the factor
comes from a small matrix product of squared styles with squared weights. The gain of the activation is folded into
what precedes it.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import GeneratorError, Problem
from core.generators.interface import FeatureLayer, Synthesis
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.resample import smooth_upsampled, upsample_image

Noise = Literal["const", "none", "random"]
"""Per-pixel noise: the buffers stored with the weights, none at all, or fresh from torch's global random numbers."""

NoiseMaps = Sequence[Tensor]
"""Noise of the caller's own: one [N or 1, 1, h, w] a convolution, in the order of ``feature_layers`` after the
constant.
"""

LEAK = 0.2
GAIN = sqrt(2)
EPSILON = 1e-8
SHARE = sqrt(0.5)
"""Each of two summed branches is scaled by it, so that the sum keeps the variance."""
LAYOUT = torch.channels_last


class Linear(nn.Module):
    """Linear layer with equalised learning rate: stored weights N(0, 1 / lr_multiplier), scaled when used."""

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)  # [O, I]
        self.bias = nn.Parameter(torch.full((outputs,), bias))  # [O]
        self.weight_scale = lr_multiplier / sqrt(inputs)
        self.bias_scale = lr_multiplier

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """x [N, I] → gain * (W x + b) [N, O]."""
        bias = self.bias * (self.bias_scale * gain)
        return torch.addmm(bias, x, self.weight.t(), alpha=self.weight_scale * gain)


def _unit_second_moment(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class Mapping(nn.Module):
    """z, and a class vector where there are classes, → w (section 2 of Karras et al. 2019)."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.embed = Linear(config.c_dim, config.w_dim) if config.c_dim else None
        widths = [config.z_dim + (config.w_dim if config.c_dim else 0)] + [config.w_dim] * config.mapping_layers
        multiplier = config.mapping_lr_multiplier
        self.layers = nn.ModuleList(
            Linear(inputs, outputs, lr_multiplier=multiplier) for inputs, outputs in pairwise(widths)
        )

    def forward(self, z: Tensor, c: Tensor | None, embedding_noise: Tensor | None = None) -> Tensor:
        """z [N, z_dim], c [N, c_dim] or None → w [N, w_dim]. embedding_noise: float [N, w_dim], added to the class
        embedding before it is normalised.
        """
        x = _unit_second_moment(z)
        if self.embed is not None:
            assert c is not None
            embedding = self.embed(c)
            if embedding_noise is not None:
                embedding = embedding + embedding_noise
            x = torch.cat([x, _unit_second_moment(embedding)], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x, gain=GAIN), LEAK)
        return x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, optionally upsampling by two, then noise, bias, leaky ReLU, gain and clamp."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], up: bool, config: StyleGAN2Config) -> None:
        super().__init__()
        self.up = up
        self.clamp = config.conv_clamp
        self.affine = Linear(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(size))  # [h, w]
        self._kept_power: tuple[Tensor, tuple[int, int], Tensor] | None = None

    def forward(self, x: Tensor, w: Tensor, noise: Noise | Tensor) -> Tensor:
        """x [N, I, h, w], w [N, w_dim] → [N, O, h, w], or twice that size when upsampling."""
        style = self.affine(w)  # [N, I]
        demodulation = (style.square() @ self._power().t() + EPSILON).rsqrt() * GAIN  # [N, O]
        x = x * style[:, :, None, None]
        if self.up:
            x = smooth_upsampled(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))
        else:
            x = F.conv2d(x, self.weight, padding=1)
        demodulation = demodulation.to(x.dtype)  # under autocast that of the convolution, and so all that follows
        offset = (self.bias * GAIN)[:, None, None]  # [O, 1, 1]
        if isinstance(noise, Tensor) or (noise != "none" and not self._is_noiseless()):
            offset = offset + self._noise_map(x, noise) * (self.noise_strength * GAIN)  # [N or 1, O, h, w]
        x = torch.addcmul(offset.to(x.dtype), x, demodulation[:, :, None, None])
        x = F.leaky_relu(x, LEAK)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _power(self) -> Tensor:
        """Squared weights summed over the taps, [O, I]. Of frozen weights it is kept: a pass over all weights costs a
        small batch as much as some of its convolutions.
        """
        weight = self.weight
        if weight.requires_grad or weight.is_inference():
            return weight.square().sum((2, 3))
        known = (weight.data_ptr(), weight._version)
        if self._kept_power is None or self._kept_power[0] is not weight or self._kept_power[1] != known:
            with torch.inference_mode(False), torch.no_grad():
                self._kept_power = weight, known, weight.square().sum((2, 3))
        return self._kept_power[2]

    def _is_noiseless(self) -> bool:
        # A strength of zero still has a gradient; and on a GPU looking at it would stall the stream for little gain.
        trained = torch.is_grad_enabled() and self.noise_strength.requires_grad
        return not trained and self.noise_strength.device.type == "cpu" and not self.noise_strength.item()

    def _noise_map(self, x: Tensor, noise: Noise | Tensor) -> Tensor:
        if isinstance(noise, Tensor):
            return noise
        if noise == "const":
            return self.noise
        return torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device, dtype=x.dtype)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation."""

    def __init__(self, inputs: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.clamp = config.conv_clamp
        self.affine = Linear(config.w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(config.image_channels, inputs))
        self.bias = nn.Parameter(torch.zeros(config.image_channels))
        self.gain = 1 / sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, I, h, w], w [N, w_dim] → [N, image_channels, h, w]."""
        # A handful of outputs: modulating the weight is cheaper here than touching every pixel of x once more.
        weight = self.weight * self.affine(w, gain=self.gain)[:, None, :]  # [N, 3, I]
        image = torch.baddbmm(self.bias[:, None], weight, x.flatten(2)).reshape(len(x), -1, *x.shape[2:])
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)


class Residual(nn.Module):
    """What a block of the residual architecture hands on of its input: twice the size, 1x1 convolution, no style."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.gain = SHARE / sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, I, h, w] → [N, O, 2h, 2w]. The filter comes last: it commutes with a 1x1 convolution."""
        return upsample_image(F.conv2d(x, (self.weight * self.gain)[:, :, None, None]))


class Block(nn.Module):
    """One resolution: an upsampling convolution (not in block 0), a convolution, and what it adds to the image."""

    def __init__(self, index: int, config: StyleGAN2Config) -> None:
        super().__init__()
        channels, size = config.channels[index], config.block_size(index)
        self.conv0 = StyledConv(config.channels[index - 1], channels, size, True, config) if index else None
        self.conv1 = StyledConv(channels, channels, size, False, config)
        residual = index and config.architecture == "resnet"
        self.residual = Residual(config.channels[index - 1], channels) if residual else None
        coloured = index == config.blocks - 1 or config.architecture == "skip"
        self.to_rgb = ToRGB(channels, config) if coloured else None


class Network(nn.Module):
    """A StyleGAN2 generator. Freshly built it has random weights; :mod:`core.generators.files` loads trained ones."""

    w_avg: Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.num_ws = config.num_ws
        self.feature_layers = feature_layers(config)
        self.mapping = Mapping(config)
        self.constant = nn.Parameter(torch.randn(config.channels[0], *config.const_size))
        self.blocks = nn.ModuleList(Block(index, config) for index in range(config.blocks))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def map(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Latents → w+ codes, drawn toward the mean code ``w_avg``: w_avg + psi * (w - w_avg).

        z: float [N, z_dim], standard normal. c: float [N, c_dim], for a class-conditional generator only.
        truncation_cutoff: how many of the first layers are truncated; None for all. Returns float [N, num_ws, w_dim].
        Raises :class:`GeneratorError` where z or c does not fit the generator.
        """
        self._check("z", z, (self.config.z_dim,))
        if (c is not None) != bool(self.config.c_dim):
            needed = "needs class vectors" if self.config.c_dim else "takes no class vectors"
            raise GeneratorError(f"this generator {needed}", [Problem(needed, "c")])
        if c is not None:
            self._check("c", c, (self.config.c_dim,))
        w: Tensor = self.mapping(z, c)
        w_plus = w[:, None].expand(-1, self.num_ws, -1)
        if truncation_psi == 1.0 or truncation_cutoff == 0:
            return w_plus
        truncated = self.w_avg.lerp(w, truncation_psi)[:, None].expand(-1, self.num_ws, -1)
        if truncation_cutoff is None:
            return truncated
        return torch.cat([truncated[:, :truncation_cutoff], w_plus[:, truncation_cutoff:]], dim=1)

    def synthesize(self, w_plus: Tensor, noise: Noise | NoiseMaps = "const", with_features: bool = False) -> Synthesis:
        """w+ codes → images, and on request every layer's features from the same pass.

        w_plus: float [N, num_ws, w_dim]. The features stand in the order of ``feature_layers``: the learned constant,
        then each convolution's output after noise, bias, activation and clamp (in the residual architecture a block's
        second one stands before the sum, scaled for it). Differentiable by codes and weights, also twice. Raises
        :class:`GeneratorError` where w_plus does not fit the generator.
        """
        self._check("w_plus", w_plus, (self.num_ws, self.config.w_dim))
        # Channels last from here on: faster on a CPU, convolutions by a fifth and the depthwise filter by far more.
        x = self.constant.expand(w_plus.shape[0], -1, -1, -1).contiguous(memory_format=LAYOUT)
        features = [x]
        image: Tensor | None = None
        row = 0
        for block in self.blocks:
            assert isinstance(block, Block)
            residual = None if block.residual is None else block.residual(x)
            for conv in (block.conv0, block.conv1):
                if conv is not None:
                    x = conv(x, w_plus[:, row], noise if isinstance(noise, str) else noise[row])
                    if residual is not None and conv is block.conv1:
                        x = x * SHARE
                    features.append(x)
                    row += 1
            if residual is not None:
                x = residual + x
            if block.to_rgb is not None:
                # The next block's first convolution reads the same row of w+ once more.
                colours = block.to_rgb(x, w_plus[:, row])
                image = colours if image is None else colours + upsample_image(image)
        assert image is not None
        return Synthesis(image, tuple(features) if with_features else ())

    def _check(self, name: str, x: Tensor, shape: tuple[int, ...]) -> None:
        if x.shape[1:] != shape or not x.is_floating_point():
            wanted = ", ".join(map(str, ("N", *shape)))
            problem = f"{x.dtype} {list(x.shape)} where floats [{wanted}] are needed"
            raise GeneratorError(f"{name} does not fit this generator", [Problem(problem, name)])


def feature_layers(config: StyleGAN2Config) -> tuple[FeatureLayer, ...]:
    """What a generator of this configuration lets be seen: the learned constant, then every convolution's output."""
    layers = [FeatureLayer("constant", config.channels[0], *config.const_size)]
    for block, channels in config.channels.items():
        convs = ("conv0", "conv1") if block else ("conv1",)
        layers += [FeatureLayer(f"blocks.{block}.{conv}", channels, *config.block_size(block)) for conv in convs]
    return tuple(layers)

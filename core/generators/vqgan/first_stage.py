"""First stage of a VQGAN: images → tokens of a codebook → images (Esser et al. 2021, section 3.1).

Modules have the names of the published files. Behaviour follows the facts of the published code: group normalisation
with 32 groups and epsilon 1e-6, swish, one-headed attention at chosen levels, down-sampling that pads right and bottom.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.generators.vqgan.config import GROUPS, VQGANConfig


class Quantized(NamedTuple):
    """tokens: int64 [N, h, w]. codes: float [N, code_width, h, w]. loss: scalar, of training."""

    tokens: Tensor
    codes: Tensor
    loss: Tensor


class FirstStage(nn.Module):
    """Encoder, quantizer and decoder."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantize: NearestCode | GumbelCode
        if config.quantizer == "gumbel":
            self.quantize = GumbelCode(config.codes, config.latent_channels, config.code_width)
            self.quant_conv: nn.Module = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        else:
            self.quantize = NearestCode(config.codes, config.code_width)
            self.quant_conv = nn.Conv2d(config.latent_channels, config.code_width, 1)
        self.post_quant_conv = nn.Conv2d(config.code_width, config.latent_channels, 1)

    def latent(self, images: Tensor) -> Tensor:
        """Images float [N, C, H, W] in [-1, 1] → float [N, D, h, w] before quantization."""
        latent: Tensor = self.quant_conv(self.encoder(images))
        return latent

    def encode(self, images: Tensor) -> Tensor:
        """Images float [N, C, H, W] in [-1, 1] → tokens int64 [N, h, w]."""
        return self.quantize.tokens(self.latent(images))

    def decode(self, tokens: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens int64 [N, h, w] → images float [N, C, H, W], not clamped, and the decoder's features."""
        return self.decode_codes(self.quantize.vectors(tokens))

    def decode_codes(self, codes: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Codes float [N, code_width, h, w] → images and features, as :meth:`decode`."""
        image, features = self.decoder(self.post_quant_conv(codes))
        return image, features


class NearestCode(nn.Module):
    """The codebook's nearest vector. Gradients pass straight through (van den Oord et al. 2017)."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)

    def tokens(self, latent: Tensor) -> Tensor:
        """Return tokens int64 [N, h, w] of float [N, D, h, w]; the first of equally near vectors."""
        rows = latent.permute(0, 2, 3, 1)
        flat, book = rows.reshape(-1, rows.shape[-1]), self.embedding.weight
        distance = flat.square().sum(1, keepdim=True) + book.square().sum(1) - 2 * flat @ book.T
        return distance.argmin(1).reshape(rows.shape[:-1])

    def vectors(self, tokens: Tensor) -> Tensor:
        """Return codes float [N, D, h, w] of tokens int64 [N, h, w]."""
        return F.embedding(tokens.long(), self.embedding.weight).permute(0, 3, 1, 2)

    def forward(self, latent: Tensor, beta: float = 0.25, beta_on: str = "codebook") -> Quantized:
        """Quantize for training. beta weights the term of the codebook, as the published code does, or with
        ``beta_on="commitment"`` that of the encoder, as the paper does.
        """
        tokens = self.tokens(latent)
        codes = self.vectors(tokens)
        commitment, codebook = (codes.detach() - latent).square().mean(), (codes - latent.detach()).square().mean()
        loss = commitment + beta * codebook if beta_on == "codebook" else beta * commitment + codebook
        return Quantized(tokens, latent + (codes - latent).detach(), loss)


class GumbelCode(nn.Module):
    """The code of the largest logit; in training a Gumbel-softmax sample (Jang et al. 2017).

    The published quantizer also draws noise when it encodes; :meth:`tokens` takes the largest logit, so that encoding
    is deterministic.
    """

    def __init__(self, codes: int, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, codes, 1)
        self.embed = nn.Embedding(codes, width)

    def tokens(self, latent: Tensor) -> Tensor:
        """Return tokens int64 [N, h, w] of float [N, D, h, w]."""
        tokens: Tensor = self.proj(latent).argmax(1)
        return tokens

    def vectors(self, tokens: Tensor) -> Tensor:
        """Return codes float [N, width, h, w] of tokens int64 [N, h, w]."""
        return F.embedding(tokens.long(), self.embed.weight).permute(0, 3, 1, 2)

    def forward(self, latent: Tensor, kl_weight: float = 1e-8, noise: Tensor | None = None) -> Quantized:
        """Quantize for training by one-hot samples with soft gradients. noise: Gumbel, [N, codes, h, w]; None draws it.

        The loss is ``kl_weight`` times the mean divergence of the code probabilities from the uniform distribution.
        """
        logits = self.proj(latent)
        if noise is None:
            noise = -torch.empty_like(logits).exponential_().log()
        soft = (logits + noise).softmax(1)
        tokens = soft.argmax(1)
        hard = F.one_hot(tokens, soft.shape[1]).permute(0, 3, 1, 2).to(soft.dtype)
        codes = torch.einsum("nkhw,kd->ndhw", hard + (soft - soft.detach()), self.embed.weight)
        chance = logits.softmax(1)
        loss = kl_weight * (chance * (chance * chance.shape[1] + 1e-10).log()).sum(1).mean()
        return Quantized(tokens, codes, loss)


class Encoder(nn.Module):
    """Images [N, C, H, W] → [N, latent_channels, h, w]."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.down, width = nn.ModuleList(), config.width
        levels = len(config.multipliers)
        for level in range(levels):
            out = config.level_width(level)
            found = Level(width, out, config.blocks, level in config.attention)
            if level < levels - 1:
                found.downsample = Downsample(out)
            self.down.append(found)
            width = out
        self.mid = Middle(width)
        self.norm_out = nn.GroupNorm(GROUPS, width, 1e-6)
        self.conv_out = nn.Conv2d(width, config.latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the latent before the 1x1 projection."""
        x = self.conv_in(images)
        for level in self.down:
            assert isinstance(level, Level)
            x = level.resized(level.outputs(x)[-1])
        out: Tensor = self.conv_out(F.silu(self.norm_out(self.mid(x))))
        return out


class Decoder(nn.Module):
    """[N, latent_channels, h, w] → images [N, C, H, W] and features."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        width, levels = config.level_width(-1), len(config.multipliers)
        self.conv_in = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.mid = Middle(width)
        ups: list[Level] = []
        for level in reversed(range(levels)):
            out = config.level_width(level)
            ups.insert(0, Level(width, out, config.blocks + 1, level in config.attention))
            if level:
                ups[0].upsample = Upsample(out)
            width = out
        self.up = nn.ModuleList(ups)  # counted from the finest level
        self.norm_out = nn.GroupNorm(GROUPS, width, 1e-6)
        self.conv_out = nn.Conv2d(width, config.channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return images, and the output of the middle and of each residual block with its attention, in order."""
        x = self.mid(self.conv_in(x))
        features = [x]
        for level in reversed(self.up):
            assert isinstance(level, Level)
            features += level.outputs(x)
            x = level.resized(features[-1])
        return self.conv_out(F.silu(self.norm_out(x))), tuple(features)


class Level(nn.Module):
    """Residual blocks of one size, each followed by attention where the level has it."""

    def __init__(self, width: int, out: int, blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(width if first == 0 else out, out) for first in range(blocks))
        self.attn = nn.ModuleList(Attention(out) for _ in range(blocks if attention else 0))

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Return the output of each block, after its attention."""
        found = []
        for number, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[number](x)
            found.append(x)
        return found

    def resized(self, x: Tensor) -> Tensor:
        """Return ``x`` at the size of the next level; as it is after the last one."""
        for name in ("downsample", "upsample"):
            if name in self._modules:
                return getattr(self, name)(x)  # type: ignore[no-any-return]
        return x


class Middle(nn.Module):
    """Block, attention, block at the coarsest size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(width, width)
        self.attn_1 = Attention(width)
        self.block_2 = ResidualBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, h, w] → the same shape."""
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions, added to the input."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width, 1e-6), nn.GroupNorm(GROUPS, out, 1e-6)
        self.conv1, self.conv2 = nn.Conv2d(width, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(width, out, 1) if width != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, h, w] → [N, out, h, w]."""
        inner = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        out: Tensor = self.nin_shortcut(x) + inner
        return out


class Attention(nn.Module):
    """One-headed attention over all positions, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, h, w] → the same shape."""
        normal = self.norm(x)
        query, key, value = (conv(normal).flatten(2).transpose(1, 2) for conv in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(x.shape)
        out: Tensor = x + self.proj_out(mixed)
        return out


class Downsample(nn.Module):
    """Halve the size by a 3x3 convolution of stride 2 after one row and column of zeros right and below."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, h, w] → [N, width, h/2, w/2]."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the size by repetition, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, h, w] → [N, width, 2h, 2w]."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out

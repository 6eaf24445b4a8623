"""Class-conditional transformer over tokens (Esser et al. 2021, section 3.2): the next token from those before it.

The sequence is the class, then the tokens of the grid in rows. A class shares the table of token embeddings: class k is
embedded as token k. Modules have the names of the published files.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.generators.vqgan.config import TransformerConfig


class Transformer(nn.Module):
    """Blocks with causal attention, learned positions, exact GELU, and an output layer of its own."""

    def __init__(self, config: TransformerConfig, codes: int) -> None:
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(codes, config.width)
        self.pos_emb = nn.Parameter(torch.zeros(1, config.positions, config.width))
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, codes, bias=False)

    def states(self, sequence: Tensor) -> list[Tensor]:
        """Return the states after each layer, float [N, T, width], for a sequence int64 [N, T] that begins with the
        class. State i has read positions 0 to i and predicts token i of the grid.
        """
        x = self.tok_emb(sequence) + self.pos_emb[:, : sequence.shape[1]]
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found

    def forward(self, sequence: Tensor) -> Tensor:
        """Return logits float [N, T, codes] of the token after each position."""
        logits: Tensor = self.head(self.ln_f(self.states(sequence)[-1]))
        return logits

    def next_logits(self, last: Tensor, cache: "Cache") -> Tensor:
        """Return logits float [N, codes] of the token after ``last``, int64 [N], which is appended to the cache."""
        x = self.tok_emb(last[:, None]) + self.pos_emb[:, cache.length : cache.length + 1]
        for number, block in enumerate(self.blocks):
            x = block(x, cache.layer(number))
        cache.length += 1
        logits: Tensor = self.head(self.ln_f(x[:, 0]))
        return logits


@dataclass
class LayerCache:
    """Keys and values of one layer, float [N, heads, positions, width], of which ``length`` are filled."""

    keys: Tensor
    values: Tensor


@dataclass
class Cache:
    """Keys and values of all positions so far, so that each token costs one position."""

    layers: list[LayerCache]
    length: int = field(default=0)

    @classmethod
    def empty(cls, config: TransformerConfig, count: int, positions: int, like: Tensor) -> "Cache":
        """Return a cache for ``count`` sequences of ``positions``, on the device and of the type of ``like``."""
        shape = count, config.heads, positions, config.width // config.heads
        return cls([LayerCache(like.new_empty(shape), like.new_empty(shape)) for _ in range(config.layers)])

    def layer(self, number: int) -> tuple[LayerCache, int]:
        """Return the cache of a layer and the number of positions filled."""
        return self.layers[number], self.length


class Block(nn.Module):
    """Attention and a two-layer network, each after a normalisation and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = CausalAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, cache: tuple[LayerCache, int] | None = None) -> Tensor:
        """[N, T, width] → the same shape; with a cache T is 1."""
        x = x + self.attn(self.ln1(x), cache)
        out: Tensor = x + self.mlp(self.ln2(x))
        return out


class CausalAttention(nn.Module):
    """Attention of each position to itself and to those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.key, self.query, self.value, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, cache: tuple[LayerCache, int] | None = None) -> Tensor:
        """[N, T, width] → the same shape."""
        count, length, width = x.shape
        split = count, length, self.heads, width // self.heads
        query, key, value = (layer(x).view(split).transpose(1, 2) for layer in (self.query, self.key, self.value))
        if cache is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            kept, filled = cache
            kept.keys[:, :, filled], kept.values[:, :, filled] = key[:, :, 0], value[:, :, 0]
            past = slice(None, filled + 1)
            mixed = F.scaled_dot_product_attention(query, kept.keys[:, :, past], kept.values[:, :, past])
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, width))
        return out


def filtered(logits: Tensor, temperature: float, top_k: int | None, top_p: float) -> Tensor:
    """Return probabilities float [N, codes] of logits [N, codes]: temperature, then top-k, then top-p.

    top_k: tokens with a logit below the k-th largest are dropped, ties are kept; None keeps all. top_p: the most
    probable tokens are kept until their sum exceeds it, the one that crosses included (Holtzman et al. 2020).
    """
    scaled = logits / temperature
    if top_k is not None and top_k < scaled.shape[1]:
        least = scaled.topk(top_k, dim=1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    if top_p < 1:
        ordered, order = scaled.sort(dim=1, descending=True)
        chance = ordered.softmax(1)
        before = chance.cumsum(1).roll(1, 1)
        before[:, 0] = 0
        dropped = torch.zeros_like(scaled, dtype=torch.bool).scatter(1, order, before > top_p)
        scaled = scaled.masked_fill(dropped, -torch.inf)
    return scaled.softmax(1)


def chosen(chance: Tensor, numbers: Tensor) -> Tensor:
    """Return tokens int64 [N] by inversion: the first whose cumulative probability exceeds float64 ``numbers`` [N]."""
    sums = chance.double().cumsum(1)
    tokens = torch.searchsorted(sums, numbers[:, None] * sums[:, -1:], right=True)[:, 0]
    return tokens.clamp_max(chance.shape[1] - 1)

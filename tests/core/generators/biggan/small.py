"""Small BigGAN generators with random weights."""

from typing import Any

import torch

from core.generators.biggan.config import BigGANConfig, BlockShape
from core.generators.biggan.generator import BigGANGenerator
from core.generators.biggan.network import Network, NormedWeight
from core.generators.interface import GeneratorInfo

BLOCKS = (BlockShape(16, 16, True), BlockShape(16, 8, True))
CLASSES = ("ant", "bee", "cat")


def config(**changes: Any) -> BigGANConfig:
    values: dict[str, Any] = {
        "architecture": "biggan", "blocks": BLOCKS, "z_dim": 6, "classes": 3, "shared_dim": 4, "chunked": True,
        "attention": (0,), **changes,
    }  # fmt: skip
    return BigGANConfig(**values)


def deep(**changes: Any) -> BigGANConfig:
    values = {"architecture": "biggan-deep", "chunked": False, "spectral_norm": "stored", "statistics": 6}
    return config(**{**values, **changes})


def generator(of: BigGANConfig | None = None, name: str = "small", seed: int = 0) -> BigGANGenerator:
    torch.manual_seed(seed)
    network = Network(of or config()).eval().requires_grad_(False)
    for key, tensor in network.state_dict().items():
        if key.endswith(".var"):
            tensor.uniform_(0.5, 1.5)
        elif key.endswith((".u", ".v")):
            tensor.copy_(torch.nn.functional.normalize(torch.randn_like(tensor), dim=0))
        else:
            tensor.normal_(std=1.0 if tensor.dim() < 2 else tensor[0].numel() ** -0.5)
    for module in network.modules():
        if isinstance(module, NormedWeight) and module.kind == "stored":
            module.u.copy_(torch.nn.functional.normalize(module.weight.flatten(1) @ module.v, dim=0))
    return BigGANGenerator(network, GeneratorInfo(name, "CC0-1.0", "noise by class", classes=CLASSES))

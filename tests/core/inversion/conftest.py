"""A generator and a perceptual distance small enough for tests, random but fixed."""

import pytest
import torch

from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.network import Network
from core.inversion.perceptual.distance import LossWeights
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk

CONFIG = StyleGAN2Config(
    resolution=(16, 16), channels={0: 16, 1: 12, 2: 8}, z_dim=8, w_dim=16, mapping_layers=2, mapping_lr_multiplier=1.0
)


@pytest.fixture(scope="session")
def generator() -> Network:
    torch.manual_seed(0)
    network = Network(CONFIG).eval().requires_grad_(False)
    network.w_avg.copy_(network.map(torch.randn(500, 8))[:, 0].mean(0))
    return network


@pytest.fixture(scope="session")
def perceptual() -> DomainPerceptual:
    torch.manual_seed(1)
    return DomainPerceptual("tiny-domain-v1", PerceptualTrunk([[8], [12]]), LossWeights(1.0, 2.0))

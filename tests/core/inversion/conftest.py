"""A generator and a perceptual distance small enough for tests, random but fixed."""

from copy import deepcopy

import pytest
import torch

from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler
from core.generators.stylegan2.network import Network
from core.inversion.perceptual.distance import LossWeights
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk

CONFIG = StyleGAN2Config(
    resolution=(16, 16), channels={0: 16, 1: 12, 2: 8}, z_dim=8, w_dim=16, mapping_layers=2, mapping_lr_multiplier=1.0
)


def bound(network: Network, noise: str = "none") -> StyleGAN2Sampler:
    """Bind a network, with its stored noise or without."""
    return StyleGAN2Generator(network, GeneratorInfo("tiny", options={"noise": noise})).bind()


@pytest.fixture(scope="session")
def network() -> Network:
    torch.manual_seed(0)
    network = Network(CONFIG).eval().requires_grad_(False)
    network.w_avg.copy_(network.map(torch.randn(500, 8))[:, 0].mean(0))
    return network


@pytest.fixture(scope="session")
def generator(network: Network) -> StyleGAN2Sampler:
    return bound(network)


def changed_copy(sampler: StyleGAN2Sampler) -> StyleGAN2Sampler:
    """A sampler of a deep copy of the network, which a test may change."""
    return bound(deepcopy(sampler.generator.network), sampler.generator.noise)


@pytest.fixture(scope="session")
def perceptual() -> DomainPerceptual:
    torch.manual_seed(1)
    return DomainPerceptual("tiny-domain-v1", PerceptualTrunk([[8], [12]]), LossWeights(1.0, 2.0))

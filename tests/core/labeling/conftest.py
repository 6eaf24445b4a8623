import pytest
import torch

from core.generators.interface import Codes
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.generators.stylegan2.network import Network


@pytest.fixture(scope="session")
def network():
    """A sampler of 16x12 pixels, hypercolumns of 8 + 8 + 2 * 6 + 2 * 5 = 38 channels."""
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=(16, 12), channels={0: 8, 1: 6, 2: 5}, const_size=(4, 3), z_dim=6, w_dim=7, mapping_layers=2
    )
    return StyleGAN2Generator(Network(config).eval().requires_grad_(False)).bind()


@pytest.fixture(scope="session")
def codes(network):
    z = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    return Codes({"w_plus": network.generator.network.map(z).contiguous()})


@pytest.fixture(scope="session")
def masks(network, codes):
    """Three classes by the brightness of what is drawn, so that they can be learnt; ids 0, 1 and 3."""
    image = network.synthesize(codes).image.mean(1)
    low, high = image.quantile(0.4), image.quantile(0.8)
    return torch.where(image < low, 0, torch.where(image < high, 1, 3)).to(torch.uint8)

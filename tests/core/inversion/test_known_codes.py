"""Photographs get codes from a family's own encoder; reconstructions that are poor are flagged, not refused."""

import torch

from core.generators.interface import Encodes, GeneratorInfo
from core.generators.vqgan.config import VQGANConfig
from core.generators.vqgan.generator import Network, VQGANGenerator, VQGANSampler
from core.inversion.config import InversionConfig
from core.inversion.known_codes import encoded_codes
from core.inversion.report import InvertedImage


def first_stage() -> VQGANSampler:
    torch.manual_seed(0)
    network = Network(VQGANConfig(8, 32, (1, 1), 1, (), 4, 4, 20))
    return VQGANGenerator(network.eval().requires_grad_(False), GeneratorInfo("small")).bind()


def encoded(images: torch.Tensor) -> list[InvertedImage]:
    sampler = first_stage()
    assert isinstance(sampler, Encodes)
    return encoded_codes(sampler, images, perceptual=None, config=InversionConfig())


def test_codes_are_those_of_the_encoder_and_redraw_the_reported_picture() -> None:
    images = torch.randint(0, 256, (11, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = encoded(images)
    assert len(found) == 11
    redrawn = first_stage().synthesize(found[9].codes).image
    assert torch.equal(((redrawn[0].clamp(-1, 1) + 1) * 127.5).round().byte(), found[9].reconstruction)
    assert {one.report.start for one in found} == {"encoder"}
    assert {one.report.steps for one in found} == {0}


def test_a_poor_reconstruction_is_flagged() -> None:
    (found,) = encoded(torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
    assert found.report.psnr < InversionConfig().poor_psnr
    assert found.report.flags

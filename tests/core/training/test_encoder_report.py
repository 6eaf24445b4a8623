"""Reconstruction by iteration agrees with what can be computed by hand."""

import pytest
import torch

from core.errors import Stopped
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, StyleGAN2Sampler
from core.generators.stylegan2.network import Network
from core.image_arrays import to_bytes, to_float
from core.inversion.encoder import Encoder, EncoderConfig, encode
from core.inversion.perceptual.domain import DomainPerceptual, PerceptualTrunk
from core.training.encoder_report import attempts_picture, own_samples, reconstruction_by_iteration


@pytest.fixture(scope="module")
def networks() -> tuple[StyleGAN2Sampler, Encoder, DomainPerceptual]:
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=(16, 8), channels={0: 8, 1: 6, 2: 4}, const_size=(4, 2), z_dim=5, w_dim=7, mapping_layers=2
    )
    generator = StyleGAN2Generator(Network(config).eval().requires_grad_(False)).bind()
    encoder = Encoder(EncoderConfig((16, 8), 6, 7, channels=(8,), head_channels=4, heads="psp"))
    return generator, encoder.eval().requires_grad_(False), DomainPerceptual("tiny", PerceptualTrunk([[6]]))


def test_each_iteration_is_measured(networks: tuple[StyleGAN2Sampler, Encoder, DomainPerceptual]) -> None:
    generator, encoder, perceptual = networks
    images = own_samples(generator, 9, seed=4)
    assert images.shape == (9, 3, 16, 8)
    assert images.dtype == torch.uint8
    entries = reconstruction_by_iteration(generator, encoder, perceptual, images, iterations=3)
    assert [entry.iteration for entry in entries] == [1, 2, 3]
    target = to_float(images)
    for entry in entries:
        codes = encode(generator, encoder, target, entry.iteration)
        drawn = generator.image_of(codes).clamp(-1, 1)
        l2 = (drawn - target).square().mean((1, 2, 3)) / 4
        assert entry.l2 == pytest.approx(float(l2.median()), rel=1e-4)
        assert entry.psnr == pytest.approx(float((-10 * l2.log10()).median()), rel=1e-4)
        distance = perceptual.distance(drawn, perceptual.features(target))
        assert entry.perceptual == pytest.approx(float(distance.median()), rel=1e-4)
        assert entry.layer_spread > 0


def test_the_picture_shows_the_image_and_every_attempt(
    networks: tuple[StyleGAN2Sampler, Encoder, DomainPerceptual],
) -> None:
    generator, encoder, _ = networks
    images = own_samples(generator, 2, seed=4)
    picture = attempts_picture(generator, encoder, images, iterations=3)
    assert picture.shape == (2 * 16 + 2, 4 * 8 + 3 * 2, 3)
    assert torch.equal(torch.from_numpy(picture[:16, :8].copy()).permute(2, 0, 1), images[0])
    last = to_bytes(generator.image_of(encode(generator, encoder, to_float(images[1:]), 3)))[0]
    assert torch.equal(torch.from_numpy(picture[18:, -8:].copy()).permute(2, 0, 1), last)


def test_it_stops_when_asked(networks: tuple[StyleGAN2Sampler, Encoder, DomainPerceptual]) -> None:
    generator, encoder, perceptual = networks
    with pytest.raises(Stopped):
        reconstruction_by_iteration(
            generator, encoder, perceptual, own_samples(generator, 1, seed=0), should_stop=lambda: True
        )

"""Fitted noise: unit variance, held back from carrying signal, thrown away in the end."""

import copy

import pytest
import torch

from core.errors import InversionError
from core.generators.stylegan2.generator import StyleGAN2Sampler
from core.image_arrays import to_bytes
from core.inversion.config import InversionConfig
from core.inversion.noise import autocorrelation, initial_maps, normalised
from core.inversion.perceptual.domain import DomainPerceptual
from core.inversion.refine import invert
from core.run import Run
from tests.core.inversion.conftest import bound


@pytest.fixture
def noisy(generator: StyleGAN2Sampler) -> StyleGAN2Sampler:
    network = copy.deepcopy(generator.generator.network)
    for block in network.blocks:
        for conv in (block.conv0, block.conv1):
            if conv is not None:
                conv.noise_strength.fill_(0.3)
    return bound(network, "const")


def test_maps_begin_as_the_generators_own(noisy: StyleGAN2Sampler) -> None:
    maps = initial_maps(noisy, 3)
    assert [tuple(m.shape) for m in maps] == [(3, 1, s, s) for s in (4, 8, 8, 16, 16)]
    for one in maps:
        torch.testing.assert_close(one.mean((2, 3)), torch.zeros(3, 1), rtol=0, atol=1e-5)
        torch.testing.assert_close(one.square().mean((2, 3)), torch.ones(3, 1), rtol=0, atol=1e-4)


def test_grain_is_cheap_and_signal_is_dear() -> None:
    grain = normalised(torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)))
    signal = normalised(torch.linspace(-1, 1, 64).expand(1, 1, 64, 64))
    # Of a ramp each neighbour is nearly itself, and each halving, which keeps grain as it is, makes its variance four
    # times as large: 2 (1 + 16 + 256 + 4096) at most.
    assert 3000 < autocorrelation((signal,)) < 8738
    assert autocorrelation((grain,)) < 0.2
    assert autocorrelation((grain, signal)) == pytest.approx(
        float(autocorrelation((grain,)) + autocorrelation((signal,))), rel=1e-4
    )


def test_fitted_maps_take_up_what_the_code_cannot(noisy: StyleGAN2Sampler, perceptual: DomainPerceptual) -> None:
    random = torch.Generator().manual_seed(8)
    z = torch.randn(2, 8, generator=random)
    images = bound(noisy.generator.network).image_of(noisy.generator.network.map(z))
    images = to_bytes(images + 0.2 * torch.randn(images.shape, generator=random))
    config = InversionConfig(steps=30, learning_rate=0.05, fit_noise=True, noise_weight=0.01)
    first, second = (invert(noisy, images, encoder=None, perceptual=perceptual, config=config) for _ in range(2))
    plain = invert(
        noisy, images, encoder=None, perceptual=perceptual, config=InversionConfig(steps=30, learning_rate=0.05)
    )
    for a, b, c in zip(first, second, plain, strict=True):
        assert torch.equal(a.codes.parts["w_plus"], b.codes.parts["w_plus"])
        assert a.report.fitted_noise_psnr is not None
        assert a.report.fitted_noise_psnr > a.report.psnr
        assert a.report.fitted_noise_psnr > c.report.psnr
        assert c.report.fitted_noise_psnr is None
        drawn = noisy.synthesize(a.codes).image.clamp(-1, 1)
        assert torch.equal(to_bytes(drawn)[0], a.reconstruction)


def test_a_checkpoint_holds_the_maps_too(noisy: StyleGAN2Sampler, perceptual: DomainPerceptual) -> None:
    images = to_bytes(bound(noisy.generator.network).image_of(noisy.generator.network.map(torch.ones(1, 8))))
    config = InversionConfig(steps=8, fit_noise=True)
    saved: list[bytes] = []
    whole = invert(
        noisy,
        images,
        encoder=None,
        perceptual=perceptual,
        config=config,
        run=Run(checkpoint=saved.append, checkpoint_every=3),
    )
    resumed = invert(noisy, images, encoder=None, perceptual=perceptual, config=config, run=Run(resume_from=saved[0]))
    assert torch.equal(whole[0].codes.parts["w_plus"], resumed[0].codes.parts["w_plus"])
    assert whole[0].report == resumed[0].report


def test_a_generator_without_noise_is_told(generator: StyleGAN2Sampler, perceptual: DomainPerceptual) -> None:
    images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(InversionError, match="has no noise"):
        invert(generator, images, encoder=None, perceptual=perceptual, config=InversionConfig(steps=1, fit_noise=True))

from itertools import pairwise

import numpy as np
import pytest
import torch

from core.errors import SamplingError, Stopped
from core.generators.interface import Codes, GeneratorInfo
from core.generators.stylegan2.config import StyleGAN2Config
from core.generators.stylegan2.generator import StyleGAN2Generator, latent
from core.generators.stylegan2.network import Network
from core.labeling.config import LabelerConfig
from core.labeling.training import train_ensemble
from core.run import Run
from core.sampling.config import SamplingConfig
from core.sampling.stream import draw, draw_codes, draw_unlabelled


def made(c_dim=0):
    torch.manual_seed(0)
    config = StyleGAN2Config(
        resolution=(16, 16), channels={0: 8, 1: 8, 2: 8}, z_dim=6, w_dim=8, mapping_layers=2, c_dim=c_dim
    )
    network = Network(config).eval().requires_grad_(False)
    network.w_avg.normal_()
    c = torch.eye(c_dim)[torch.arange(4) % c_dim] if c_dim else None
    sampler = StyleGAN2Generator(network, GeneratorInfo("tiny", options={"noise": "none"})).bind()
    codes = Codes({"w_plus": network.map(torch.randn(4, 6), c)})
    masks = (sampler.synthesize(codes).image.mean(1) > 0).to(torch.uint8)
    config = LabelerConfig(members=2, hidden=(8, 4), pixel_batch=64, max_steps=20)
    return sampler, train_ensemble(sampler, codes, masks, 2, config)


@pytest.fixture(scope="module")
def pair():
    return made()


def collect(pair, start, stop, **options):
    return list(draw(*pair, SamplingConfig(seed=7, start=start, stop=stop, batch=4, with_divergence=True, **options)))


def assert_same(one, other):
    assert [sample.index for sample in one] == [sample.index for sample in other]
    for a, b in zip(one, other, strict=True):
        assert a.score == b.score
        assert torch.equal(a.code.parts["w_plus"], b.code.parts["w_plus"])
        for name in ("image", "mask", "divergence", "class_pixels"):
            assert getattr(a, name).tobytes() == getattr(b, name).tobytes()


def test_a_sample_is_what_it_says(pair):
    (sample,) = collect(pair, 5, 6)
    assert sample.index == 5
    assert (sample.image.shape, sample.image.dtype) == ((16, 16, 3), np.uint8)
    assert (sample.mask.shape, sample.mask.dtype) == ((16, 16), np.uint8)
    drawn = sample.code.parts["w_plus"]
    assert (drawn.shape, drawn.dtype) == ((1, 6, 8), torch.float32)
    assert sample.class_pixels.tolist() == [int((sample.mask == i).sum()) for i in range(2)]
    shown = [sample.divergence[sample.mask == class_id].mean() for class_id in np.unique(sample.mask)]
    assert sample.score == pytest.approx(float(np.mean(shown)), rel=1e-4)
    sampler, _ = pair
    code = sampler.generator.network.map(latent(7, 5, 6)[None], truncation_psi=0.7)
    torch.testing.assert_close(drawn, code)


def test_the_stored_code_draws_the_sample_again(pair):
    samples = collect(pair, 0, 4)
    images, labels = draw_codes(*pair, Codes.cat([sample.code for sample in samples]))
    assert np.array_equal(images.numpy(), np.stack([sample.image for sample in samples]))
    assert np.array_equal(labels.mask.numpy(), np.stack([sample.mask for sample in samples]))


@pytest.mark.parametrize("cuts", [[0, 14], [0, 4, 8, 14], [0, 12, 14], [0, 3, 4, 9, 14]])
def test_the_stream_is_the_same_however_it_is_cut_and_whenever_it_is_drawn(pair, cuts):
    whole = collect(pair, 0, 14)
    parts = [sample for start, stop in pairwise(cuts) for sample in collect(pair, start, stop)]
    assert_same(whole, parts)


def test_a_longer_stream_begins_with_the_shorter(pair):
    assert_same(collect(pair, 0, 6), collect(pair, 0, 11)[:6])


def test_latents_depend_on_seed_and_index_alone_and_differ():
    assert torch.equal(latent(3, 10**12, 8), latent(3, 10**12, 8))
    some = torch.stack([latent(seed, index, 64) for seed in (0, 1, 2**40) for index in (0, 1, 2**40)])
    assert len({tuple(z.tolist()) for z in some}) == 9
    many = torch.stack([latent(0, index, 64) for index in range(500)])
    assert abs(many.mean().item()) < 0.03
    assert abs(many.std().item() - 1) < 0.03


def test_classes_of_a_conditional_generator_take_turns():
    pair = made(c_dim=3)
    drawn = collect(pair, 0, 24)
    assert [sample.class_index for sample in drawn] == [0, 1, 2] * 8
    assert_same(drawn[8:12], collect(pair, 8, 12))
    assert [sample.class_index for sample in collect(pair, 1, 5, classes=(2, 0))] == [0, 2, 0, 2]


def test_progress_counts_samples_and_a_stop_comes_between_batches(pair):
    told = []
    config = SamplingConfig(seed=0, start=2, stop=10, batch=4)
    seen = []
    stream = draw(*pair, config, run=Run(progress=lambda *now: told.append(now), should_stop=lambda: len(seen) > 2))
    with pytest.raises(Stopped):
        seen.extend(sample.index for sample in stream)
    assert seen == [2, 3, 4, 5, 6, 7]
    assert told == [(0, 8), (2, 8), (6, 8)]


def test_labels_of_another_size(pair):
    (sample,) = collect(pair, 0, 1, size=(8, 4))
    assert sample.mask.shape == sample.divergence.shape == (8, 4)
    assert sample.image.shape == (16, 16, 3)


def test_what_does_not_fit_is_told(pair):
    with pytest.raises(SamplingError) as caught:
        SamplingConfig(seed=-1, start=0, stop=True, batch=0, size=(0, 1), classes=(-1,))
    assert {problem.pointer for problem in caught.value.problems} == {
        "seed",
        "stop",
        "batch",
        "size",
        "classes",
    }
    with pytest.raises(SamplingError, match="before start"):
        SamplingConfig(seed=0, start=2, stop=1)
    with pytest.raises(SamplingError) as caught:
        collect(pair, 0, 1, size=(32, 16), classes=(1,))
    assert {problem.pointer for problem in caught.value.problems} == {"size", "classes"}
    assert collect(pair, 3, 3) == []


def test_unlabelled_samples_are_those_of_the_labelled_stream(pair):
    sampler, labeler = pair
    config = SamplingConfig(seed=4, start=3, stop=9, batch=4)
    plain = list(draw_unlabelled(sampler, config))
    labelled = list(draw(sampler, labeler, config))
    assert [one.index for one in plain] == [3, 4, 5, 6, 7, 8]
    for one, other in zip(plain, labelled, strict=True):
        assert np.array_equal(one.image, other.image)
        assert torch.equal(one.code.parts["w_plus"], other.code.parts["w_plus"])
    with pytest.raises(SamplingError, match="cannot be drawn"):
        next(draw_unlabelled(sampler, SamplingConfig(seed=4, start=0, stop=1, classes=(0,))))

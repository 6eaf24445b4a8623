"""BigGAN generators: how z is drawn, which statistics are used, and what digests cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.errors import GeneratorError
from core.generators.biggan.config import BigGANConfig
from core.generators.biggan.generator import BigGANSampler
from core.run import Run
from tests.core.generators.biggan import small


def sampler(settings: dict[str, Any]) -> BigGANSampler:
    generator = small.generator()
    prepared = generator.prepare(settings, Run())
    return generator.bind(settings, None if prepared is None else prepared.to_bytes())


def test_truncated_normal_ends_at_two_deviations_and_scaled_normal_does_not() -> None:
    classes = [0] * 400
    cut = sampler({"truncation": 0.5}).draw(1, range(400), classes).parts["z"]
    whole = sampler({"truncation": 0.5, "distribution": "scaled_normal"}).draw(1, range(400), classes).parts["z"]
    assert cut.abs().max() <= 1
    assert whole.abs().max() > 1.2
    assert abs(float(cut.std()) - 0.5 * 0.8796) < 0.02
    assert abs(float(whole.std()) - 0.5) < 0.02


def test_a_code_carries_the_scaled_z_so_that_it_can_be_drawn_again() -> None:
    one = sampler({"truncation": 0.5, "statistics": "stored"})
    codes = one.draw(0, [5], [1])
    other = sampler({"truncation": 0.8, "statistics": "stored"})
    assert torch.equal(one.synthesize(codes).image, other.synthesize(codes).image)
    assert one.feature_digest == other.feature_digest
    assert one.digest != other.digest


def test_truncation_uses_standing_statistics_unless_the_stored_ones_are_asked_for() -> None:
    generator = small.generator()
    assert generator.prepare({}, Run()) is None
    assert generator.prepare({"truncation": 0.5, "statistics": "stored"}, Run()) is None
    statistics = generator.prepare({"truncation": 0.5}, Run())
    assert statistics is not None
    again = generator.prepare({"truncation": 0.5}, Run())
    assert again is not None
    assert statistics.digest == again.digest
    with pytest.raises(GeneratorError, match="standing statistics"):
        generator.bind({"truncation": 0.5})
    codes = generator.bind().draw(0, [1], [2])
    standing = generator.bind({"truncation": 0.5}, statistics.to_bytes())
    stored = generator.bind({"truncation": 0.5, "statistics": "stored"})
    assert not torch.allclose(standing.synthesize(codes).image, stored.synthesize(codes).image)
    assert standing.feature_digest != stored.feature_digest
    other = small.generator(small.config(blocks=small.BLOCKS[:1]))
    with pytest.raises(GeneratorError, match="do not fit the generator"):
        other.bind({"truncation": 0.5}, statistics.to_bytes())


@torch.no_grad()
def test_standing_statistics_make_features_of_unit_variance() -> None:
    generator = small.generator()
    settings = {"truncation": 0.5, "statistics": "standing"}
    one = sampler(settings)
    codes = one.draw(0, range(256), [index % 3 for index in range(256)])
    features = one.synthesize(codes, with_features=True).features[-1]
    mean, var = (one._statistics.tensors[f"output_norm.{part}"][0] for part in ("mean", "var"))
    assert generator.network.output_norm.var.shape == (1, 8)
    drawn = features.mean((0, 2, 3)), features.var((0, 2, 3))
    torch.testing.assert_close(drawn[0], mean, rtol=0, atol=0.2)
    torch.testing.assert_close(drawn[1], var, rtol=0.25, atol=0.05)


def test_gradients_reach_z_through_every_kind_of_layer() -> None:
    for config in (small.config(), small.deep()):
        bound = small.generator(config).bind()
        codes = bound.draw(0, [0], [1])
        codes.parts["z"].requires_grad_()
        (gradient,) = torch.autograd.grad(bound.synthesize(codes).image.sum(), codes.parts["z"])
        assert bool((gradient != 0).all())


def test_samples_without_a_class_are_refused() -> None:
    with pytest.raises(GeneratorError, match="needs a class"):
        small.generator().bind().draw(0, [1])


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"blocks": [[16, 8, True], [16, 8, True]]}, "blocks.1"),
        ({"attention": [2]}, "attention"),
        ({"z_dim": 7}, "z_dim"),
        ({"shared_dim": 0}, "chunked"),
        ({"architecture": "biggan-deep"}, "chunked"),
        ({"spectral_norm": "exact"}, "spectral_norm"),
        ({"norm_eps": 0.0}, "norm_eps"),
        ({"blocks": [[16, 6, True]], "attention": [0], "z_dim": 6}, "blocks.0"),
    ],
)
def test_configurations_are_refused_by_field(changes: dict[str, Any], pointer: str) -> None:
    values = small.config().to_json()
    assert BigGANConfig.from_json(values) == small.config()
    with pytest.raises(GeneratorError) as caught:
        BigGANConfig.from_json(values | changes)
    assert pointer in [problem.pointer for problem in caught.value.problems]
    with pytest.raises(GeneratorError, match="invalid"):
        BigGANConfig.from_json(values | {"colour": 1})


def test_stored_codes_are_exact_floats() -> None:
    codes = sampler({"truncation": 0.3}).draw(2, [0, 1], [0, 1])
    assert codes.parts["z"].dtype == torch.float32
    assert np.isfinite(codes.parts["z"].numpy()).all()


def test_divided_weights_are_kept_and_follow_the_vectors_of_the_statistics() -> None:
    generator = small.generator()
    plain, standing = generator.bind(), sampler({"truncation": 0.5})
    codes = plain.draw(0, [0, 1], [0, 1])
    with torch.inference_mode():
        first = plain.synthesize(codes).image.clone()
    other = generator.bind({"truncation": 0.5}, standing._statistics.to_bytes())
    assert torch.equal(other.synthesize(codes).image, standing.synthesize(codes).image)
    assert torch.equal(plain.synthesize(codes).image, first)
    codes.parts["z"].requires_grad_()
    (gradient,) = torch.autograd.grad(plain.synthesize(codes).image.sum(), codes.parts["z"])
    assert bool(gradient.isfinite().all())

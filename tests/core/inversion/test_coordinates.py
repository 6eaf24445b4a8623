"""Codes are refined along the axes of W, in units of how far the generator's codes spread along each."""

import pytest
import torch
from torch import Tensor

from core.errors import InversionError
from core.generators.stylegan2.generator import StyleGAN2Sampler
from core.image_arrays import to_bytes, to_float
from core.inversion.config import InversionConfig
from core.inversion.coordinates import LEAST_SPREAD, principal_axes
from core.inversion.objective import Objective
from core.inversion.perceptual.domain import DomainPerceptual
from core.inversion.refine import invert
from core.inversion.refinement import learning_rate
from tests.core.inversion.conftest import changed_copy


@pytest.fixture
def uneven(generator: StyleGAN2Sampler) -> StyleGAN2Sampler:
    """A generator most of whose codes differ along two directions of W only."""
    sampler = changed_copy(generator)
    network = sampler.generator.network
    with torch.no_grad():
        last = network.mapping.layers[-1]
        last.weight[2:] *= 1e-3
    network.w_avg.copy_(sampler.random_rows(4096, 0).mean(0))
    return sampler


def test_along_the_axes_the_generators_codes_are_spread_evenly(
    generator: StyleGAN2Sampler, uneven: StyleGAN2Sampler
) -> None:
    axes = principal_axes(generator)
    codes = generator.random_rows(4000, seed=1)
    along = torch.linalg.solve(axes, (codes - codes.mean(0)).T).T
    assert torch.allclose(along.T @ along / len(along), torch.eye(16), atol=0.15)
    lengths = principal_axes(uneven).norm(dim=0)
    assert lengths.min() == pytest.approx(LEAST_SPREAD * float(lengths.max()), rel=1e-4)
    assert torch.equal(principal_axes(uneven), principal_axes(uneven))


def test_of_a_generator_that_draws_one_image_the_axes_are_those_of_w(generator: StyleGAN2Sampler) -> None:
    sampler = changed_copy(generator)
    with torch.no_grad():
        sampler.generator.network.mapping.layers[-1].weight.zero_()
    assert torch.equal(principal_axes(sampler), torch.eye(16))


def _images(generator: StyleGAN2Sampler) -> Tensor:
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    return to_bytes(generator.image_of(generator.generator.network.map(z)))


def test_steps_are_those_of_adam_along_the_axes(generator: StyleGAN2Sampler, perceptual: DomainPerceptual) -> None:
    config = InversionConfig(steps=6, patience=99, one_row=True, constraint="none", precision="float32")
    images = _images(generator)
    found = torch.stack([one.codes.parts["w_plus"][0, 0] for one in invert(
        generator, images, encoder=None, perceptual=perceptual, config=config
    )])  # fmt: skip

    objective = Objective.of(generator, perceptual, config)
    target = to_float(images)
    features, axes, centre = objective.features(target), principal_axes(generator), generator.centre.expand(3, 6, -1)
    u = torch.zeros(3, 16, requires_grad=True)
    optimizer = torch.optim.Adam([u])
    seen = []
    for step in range(config.steps + 1):
        codes = generator.centre + u @ axes.T
        losses = objective.losses(codes[:, None], centre, target, features).total
        seen.append((losses.detach(), codes.detach()))
        optimizer.param_groups[0]["lr"] = learning_rate(torch.tensor([step]), config).item()
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
    best = torch.stack([losses for losses, _ in seen]).argmin(0)
    expected = torch.stack([seen[k][1][i] for i, k in enumerate(best)])
    assert torch.allclose(found, expected, atol=1e-4)


def test_codes_stay_where_the_generators_lie(uneven: StyleGAN2Sampler, perceptual: DomainPerceptual) -> None:
    """Images that the generator cannot draw pull a code anywhere; along what it never varies it hardly goes."""
    images = torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    away = {}
    for coordinates in ("principal", "code"):
        config = InversionConfig(
            steps=40, one_row=True, constraint="none", coordinates=coordinates, precision="float32"
        )
        results = invert(uneven, images, encoder=None, perceptual=perceptual, config=config)
        assert all(one.report.perceptual < one.report.start_perceptual for one in results)
        along = torch.stack([one.codes.parts["w_plus"][0, 0] for one in results]) - uneven.centre
        away[coordinates] = float(along[:, 2:].norm() / along[:, :2].norm())
    assert away["principal"] < 0.2 * away["code"]


def test_other_coordinates_are_no_setting() -> None:
    with pytest.raises(InversionError, match="coordinates"):
        InversionConfig(coordinates="polar")  # type: ignore[arg-type]

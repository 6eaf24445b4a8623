"""A run goes on from its state, or from what is shipped, and its loss means what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from testbed.recipes import heads64, streets64
from testbed.recipes.recipe import NORMALS, VALIDATION_SEED, Recipe
from testbed.recipes.training import FEW, Training, colour_loss, picture_loss, surface_loss
from testbed.shipped import load_shipped


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return replace(heads64.RECIPE, out=tmp_path)


def test_without_a_state_it_goes_on_from_the_shipped_generator(recipe: Recipe) -> None:
    training = Training(recipe).load()
    shipped = load_shipped("heads64").network
    assert training.images == training.log[-1]["images"] > 0
    z = torch.randn(2, recipe.config.z_dim, generator=torch.Generator().manual_seed(0))
    drawn = [g.synthesize(g.map(z), noise="none").image for g in (training.average, training.generator, shipped)]
    assert torch.allclose(drawn[0], drawn[2], atol=1e-5)
    assert torch.allclose(drawn[1], drawn[2], atol=1e-5)


def test_a_saved_state_comes_back_whole(recipe: Recipe) -> None:
    training = Training(recipe)
    training.images = 4096
    with torch.no_grad():
        training.reader[0].bias.fill_(0.5)
    training.save()
    again = Training(recipe).load()
    assert again.images == 4096
    assert torch.equal(again.reader[0].bias, training.reader[0].bias)
    assert torch.equal(again.plaster.layers[0].weight, training.plaster.layers[0].weight)
    assert not Path(f"{recipe.state}.new").exists()


@pytest.mark.parametrize("recipe", [heads64.RECIPE, streets64.RECIPE], ids=lambda one: one.name)
def test_the_loss_is_zero_for_the_picture_itself_and_weighs_pixels(recipe: Recipe) -> None:
    scenes = recipe.stretch(VALIDATION_SEED, 0, 4)
    images, weights = scenes.images, scenes.weights
    assert scenes.codes.shape == (4, recipe.code_size)
    assert weights.mean() == pytest.approx(1.0)
    assert scenes.surface.shape == (4, recipe.surface, 64, 64)
    assert picture_loss(images, images, weights) == 0
    small, large = weights[0, 0] == weights[0].max(), weights[0, 0] == weights[0].min()
    costs = []
    for part in (small, large):
        changed = images[:1].clone()
        changed[0, :, part] += 0.5
        costs.append(float(picture_loss(changed, images[:1], weights[:1])) / int(part.sum()))
    assert costs[0] > 4 * costs[1]


def test_colours_of_parts_are_compared_wherever_they_lie() -> None:
    scenes = heads64.RECIPE.stretch(VALIDATION_SEED, 0, 4)
    images, parts = scenes.images, scenes.parts
    assert parts.sum(1).eq(1).all()
    assert colour_loss(images, images, parts) == 0
    eyes = parts[:, 3:4].expand_as(images)
    assert eyes.any()
    grey, turned = images.clone(), images.clone()
    grey[eyes] += 0.5
    turned[eyes] = images.flip(3)[eyes.flip(3)]  # the same values at other places of the same part
    cost = float(colour_loss(grey, images, parts))
    count = eyes[:, 0].flatten(1).sum(1).float()
    assert cost == pytest.approx(float((0.5 * count / (count + FEW)).mean()) / parts.shape[1], rel=1e-3)
    assert colour_loss(turned, images, parts) < 1e-4


def test_of_a_plane_of_what_is_rare_the_mean_is_asked_for_which_likely_values_never_tell() -> None:
    target = torch.zeros(10, NORMALS + 1, 8, 8)
    target[0, NORMALS] = 1  # there in one picture of ten
    weights = torch.ones(10, 1, 8, 8)
    guess = torch.full((1, NORMALS + 1, 8, 8), 0.02, requires_grad=True)  # the same for all: nothing is known yet
    (pull,) = torch.autograd.grad(surface_loss(guess.expand_as(target), target, weights), guess)
    assert (pull[:, NORMALS] < 0).all()
    (pull,) = torch.autograd.grad(picture_loss(guess.expand_as(target), target, weights), guess)
    assert (pull[:, NORMALS] > 0).all()
    normals = torch.cat([torch.full((10, NORMALS, 8, 8), 0.5), target[:, NORMALS:]], dim=1)
    expected = picture_loss(normals[:, :NORMALS], target[:, :NORMALS], weights)
    assert surface_loss(normals, target, weights) == pytest.approx(float(expected))

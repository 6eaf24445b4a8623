"""Copies are found, and near relatives are not called copies."""

import numpy as np
import pytest

from core.evaluation.metrics.memorization import memorisation, picture_features


@pytest.fixture
def world():
    random = np.random.default_rng(0)
    return (random.standard_normal((n, 6)) for n in (20, 30, 400))


def test_an_independent_dataset_is_clean(world):
    found = memorisation(*world)
    assert found.clean
    assert not found.copies


def test_one_exact_copy_is_found(world):
    labelled, held_out, generated = world
    generated[7] = labelled[3] + 1e-4
    found = memorisation(labelled, held_out, generated)
    assert found.copies == (3,)
    assert found.nearest[3] == 7
    assert not found.clean


def test_close_imitations_of_many_are_found(world):
    labelled, held_out, generated = world
    generated[:20] = labelled + 0.08 * np.random.default_rng(1).standard_normal(labelled.shape)
    found = memorisation(labelled, held_out, generated)
    assert found.chance < 0.01
    assert not found.clean


def test_distances_between_pictures_by_hand():
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[1] = 51
    a, b = picture_features(images)
    assert a.shape == (16 * 16 * 3,)
    assert np.linalg.norm(a - b) == pytest.approx(0.2)


def test_pictures_of_odd_sizes():
    assert picture_features(np.full((1, 37, 50, 3), 255, np.uint8)) == pytest.approx(1 / np.sqrt(768))


def test_pictures_smaller_than_the_grid_keep_their_pixels():
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3), np.uint8)
    assert picture_features(images).shape == (2, 12 * 16 * 3)
    small = picture_features(images[:, :8, :8])
    assert small == pytest.approx(images[:, :8, :8].reshape(2, -1) / 255 / np.sqrt(8 * 8 * 3))

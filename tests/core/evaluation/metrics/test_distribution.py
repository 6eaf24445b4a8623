"""Distances between feature sets: closed forms, hand-made cases, and torch-fidelity's own numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.metrics.distribution import (
    KidSettings,
    class_distances,
    frechet_distance,
    kernel_distance,
    manifold_scores,
)
from core.torchvision_import import import_torchvision


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(0)
    return random.standard_normal((120, 8)), random.standard_normal((150, 8)) * 1.3 + 0.4


def test_frechet_distance_of_gaussians_known_in_closed_form():
    random = np.random.default_rng(0)
    a = random.standard_normal((200_000, 2))
    b = a * [2.0, 1.0] + [3.0, 0.0]
    # |mean|² + (2 - 1)² for the one axis that is twice as wide
    assert frechet_distance(a, b) == pytest.approx(9 + 1, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_like_torch_fidelity(features):
    import_torchvision()
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    stats = [{"mu": x.mean(0), "sigma": np.cov(x, rowvar=False)} for x in features]
    expected = fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    assert frechet_distance(*features) == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_by_hand_and_like_torch_fidelity(features):
    # One feature, k(x, y) = (xy + 1)³: 8 within each side, where xy is 1, and 0 across, where it is -1.
    ones, minus = np.ones((2, 1)), -np.ones((2, 1))
    assert kernel_distance(ones, minus, KidSettings(subsets=1))[0] == pytest.approx(8 + 8 - 2 * 0)
    import_torchvision()
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    x, y = features[0], features[1][:120]
    settings = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}
    expected = mmd2(*(kernel_poly(p, q, **settings) for p, q in ((x, x), (x, y), (y, y))))
    assert kernel_distance(x, y, KidSettings(1, 120))[0] == pytest.approx(float(expected), rel=1e-6)


def test_kernel_distance_takes_seeds_of_jobs(features):
    largest = kernel_distance(*features, KidSettings(2, 50, seed=2**53 - 1))
    assert largest == kernel_distance(*features, KidSettings(2, 50, seed=2**32 - 1))
    assert largest != kernel_distance(*features, KidSettings(2, 50))


def test_manifold_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    generated = np.array([[0.5], [1.5], [100.0], [101.0]])
    scores = manifold_scores(real, generated, neighbours=1)
    # Radii of real: 1, 1, 1, 8. 0.5 lies within 0 and 1; 1.5 within 1 and 2; the far ones nowhere.
    assert scores.precision == 0.5
    assert scores.density == pytest.approx((2 + 2) / 4)  # 10's radius 8 reaches down to 2, not inclusive of 1.5
    assert scores.coverage == 0.75
    # Radii of generated: 1, 1, 1, 1. 0, 1 and 2 lie within; 10 does not.
    assert scores.recall == 0.75


def test_precision_and_recall_like_torch_fidelity(features):
    import_torchvision()
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, generated = (torch.from_numpy(x) for x in features)
    expected = prc_features_to_metric(generated, real, prc_neighborhood=3, prc_batch_size=50, verbose=False)
    scores = manifold_scores(*features, neighbours=3)
    assert scores.precision == pytest.approx(expected["precision"], abs=1e-6)
    assert scores.recall == pytest.approx(expected["recall"], abs=1e-6)


def test_fid_within_each_class_names_classes_of_too_few_images(features):
    real, generated = features
    shows = np.arange(len(real))[:, None] % 2 == np.arange(3)
    other = np.arange(len(generated))[:, None] % 3 == np.arange(3)
    first, _, third = class_distances(real, shows, generated, other, ["cat", "dog", "emu"])
    assert (first.name, first.real, first.generated) == ("cat", 60, 50)
    assert first.fid == pytest.approx(frechet_distance(real[::2], generated[::3]))
    assert first.kid == kernel_distance(real[::2], generated[::3])[0]
    assert (third.name, third.real, third.fid, third.kid) == ("emu", 0, None, None)


def test_class_with_one_image_has_no_fid(features):
    real, generated = features
    shows = np.arange(len(real))[:, None] == np.array([0])
    (one,) = class_distances(real, shows, generated, np.ones((150, 1), bool), ["rare"])
    assert (one.real, one.generated, one.fid) == (1, 150, None)
    with pytest.raises(ValueError, match="least"):
        class_distances(real, shows, generated, np.ones((150, 1), bool), ["rare"], least=1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 6), rank=st.integers(1, 6))
def test_fid_of_gaussians_equals_the_closed_form(seed, width, rank):
    """Samples with exactly the wanted mean and covariance; covariances that commute have a closed form."""
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(random.standard_normal((width, width)))[0]
    means = random.standard_normal((2, width))
    deviations = random.uniform(0.1, 3, (2, width)) * (np.arange(width) < rank)
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    sides = [
        mean + _white(random, 60, width) * deviation @ axes for mean, deviation in zip(means, deviations, strict=True)
    ]
    assert frechet_distance(*sides) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    few = _white(random, 3, 2) @ np.eye(2, 12)  # fewer images than features
    assert frechet_distance(few, 2 * few + 1) == pytest.approx(12 + 2, rel=1e-9)


def _white(random, count, width):
    """Samples of mean 0 and covariance 1, exactly."""
    drawn = random.standard_normal((count, width))
    drawn -= drawn.mean(0)
    return np.linalg.qr(drawn)[0] * np.sqrt(count - 1)


def test_too_few_images_are_refused(features):
    with pytest.raises(ValueError, match="at least 6"):
        manifold_scores(features[0][:5], features[1])
    with pytest.raises(ValueError, match="shapes"):
        frechet_distance(features[0], features[1][:, :3])

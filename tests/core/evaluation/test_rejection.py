"""Rejection by uncertainty: a curve by hand, AUGRC by its closed form, AUROC against torchmetrics."""

import numpy as np
import pytest
import torch

from core.evaluation.rejection import augrc, auroc, rejection_curve
from core.torchvision_import import import_torchvision


def test_curve_by_hand():
    quality, uncertainty = np.array([1.0, 0.0, 0.5, 0.5]), np.array([0.1, 0.9, 0.2, 0.8])
    curve = rejection_curve(quality, uncertainty, (0.0, 0.25, 0.5))
    assert curve.by_uncertainty == pytest.approx((0.5, 2 / 3, 0.75))
    assert curve.ideal == pytest.approx((0.5, 2 / 3, 0.75))
    assert curve.random == 0.5
    assert curve.gain == pytest.approx((0.5 + 2 / 3 + 0.75) / 3 - 0.5)


def test_uncertainty_that_is_upside_down_loses():
    quality = np.linspace(0, 1, 50)
    assert rejection_curve(quality, quality).gain < 0 < rejection_curve(quality, -quality).gain


def test_augrc_by_hand_and_by_its_closed_form():
    # Accepted one by one: losses 0, 1 → generalised risks 0, 0, 1/2 at coverages 0, 1/2, 1.
    assert augrc(np.array([0.0, 1.0]), np.array([0.1, 0.9])) == pytest.approx(0.125)
    random = np.random.default_rng(0)
    bad = random.random(400) < 0.3
    uncertainty = random.standard_normal(400) + bad
    rate = bad.mean()
    expected = (1 - auroc(bad, uncertainty)) * rate * (1 - rate) + rate**2 / 2
    assert augrc(bad.astype(float), uncertainty) == pytest.approx(expected, rel=1e-9)


def test_auroc_by_hand_and_like_torchmetrics():
    assert auroc(np.array([True, False, True, False]), np.array([3.0, 1.0, 2.0, 2.0])) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(np.zeros(3, bool), np.arange(3.0)))
    import_torchvision()
    from torchmetrics.classification import BinaryAUROC

    random = np.random.default_rng(1)
    bad = random.random(200) < 0.4
    uncertainty = np.round(random.random(200) * 0.7 + bad * 0.2, 1)  # many ties, within 0..1
    expected = BinaryAUROC()(torch.from_numpy(uncertainty), torch.from_numpy(bad.astype(int)))
    assert auroc(bad, uncertainty) == pytest.approx(float(expected), abs=1e-6)


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        rejection_curve(np.array([np.nan, 1.0]), np.zeros(2))

import numpy as np
import pytest
import torch

from core.tasks.depth import depth_sums
from core.torchvision_import import import_torchvision


def test_by_hand():
    truth = np.full((8, 8), 2.0, np.float32)
    truth[0, 0] = 0  # never measured
    truth[3, 3] = 4
    predicted = truth.copy()
    predicted[0, 0] = 50
    predicted[3, 3] = 100  # clamped to 80 in the window, not in mNMSE
    predicted[1, 1] = 3  # outside of the window
    sums = depth_sums(truth, predicted)
    assert (sums.pixels, sums.window_pixels) == (63, 16)
    assert sums.mnmse == pytest.approx((96**2 + 1) / (62 * 4 + 16))
    assert sums.rmse == pytest.approx((76**2 / 16) ** 0.5)
    assert sums.rmse_log == pytest.approx((np.log(20) ** 2 / 16) ** 0.5)


def test_sums_add_up_and_nothing_valid_is_nan():
    random = np.random.default_rng(0)
    truth, predicted = random.uniform(0, 5, (2, 6, 10, 12)).astype(np.float32)
    truth[truth < 1] = 0
    parts = sum((depth_sums(t, p) for t, p in zip(truth, predicted, strict=True)), depth_sums(truth[:0], truth[:0]))
    assert parts.rmse_log == pytest.approx(depth_sums(truth, predicted).rmse_log)
    assert parts.mnmse == pytest.approx(depth_sums(truth, predicted).mnmse)
    empty = depth_sums(np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32))
    assert np.isnan([empty.mnmse, empty.rmse, empty.rmse_log]).all()
    with pytest.raises(ValueError, match="shape"):
        depth_sums(truth, predicted[:5])


def test_like_torchmetrics():
    import_torchvision()
    from torchmetrics.regression import MeanSquaredError

    random = np.random.default_rng(0)
    truth = random.uniform(1, 50, (3, 12, 8)).astype(np.float32)
    guess = (truth * random.uniform(0.5, 2.5, truth.shape)).astype(np.float32)
    truth[random.random(truth.shape) < 0.2] = 0
    found = depth_sums(truth, guess)
    window = truth[:, 3:9, 2:6]
    known = window > 0
    near, far = guess[:, 3:9, 2:6][known].clip(1e-3, 80), window[known]
    rmse = MeanSquaredError(squared=False)
    assert found.rmse == pytest.approx(float(rmse(torch.from_numpy(near), torch.from_numpy(far))), rel=1e-5)
    logs = (torch.from_numpy(np.log(one)) for one in (near, far))
    assert found.rmse_log == pytest.approx(float(MeanSquaredError(squared=False)(*logs)), rel=1e-5)
    whole = truth > 0
    error = MeanSquaredError()(torch.from_numpy(guess[whole]), torch.from_numpy(truth[whole]))
    power = MeanSquaredError()(torch.zeros(int(whole.sum())), torch.from_numpy(truth[whole]))
    assert found.mnmse == pytest.approx(float(error / power), rel=1e-5)

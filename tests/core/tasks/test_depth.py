import numpy as np
import pytest

from core.tasks.depth import depth_sums


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

import errno
import io
import tempfile

import pytest
import torch

from core.errors import LabelerError
from core.generators.interface import FeatureLayer
from core.labeling.feature_cache import KeptFeatures

LAYERS = (FeatureLayer("small", 3, 2, 5), FeatureLayer("large", 4, 7, 6))


def images(count):
    random = torch.Generator().manual_seed(0)
    return [[torch.randn(layer[1:], generator=random) for layer in LAYERS] for _ in range(count)]


@pytest.mark.parametrize("memory_bytes", [1 << 20, 0])
def test_what_is_kept_comes_back_in_half_precision_in_any_order(memory_bytes, tmp_path):
    with KeptFeatures(LAYERS, 4, memory_bytes, tmp_path) as kept:
        for features in images(4):
            kept.add(features)
        assert kept.on_disk == (memory_bytes == 0)
        assert len(kept) == 4
        for image in (3, 0, 2, 1):
            for there, given in zip(kept.of(image), images(4)[image], strict=True):
                assert torch.equal(there[0], given.half())
                assert there.permute(0, 2, 3, 1).is_contiguous()


def test_memory_is_left_only_when_it_would_not_do(tmp_path):
    needed = 3 * 2 * (3 * 2 * 5 + 4 * 7 * 6)
    assert not KeptFeatures(LAYERS, 3, needed, tmp_path).on_disk
    with KeptFeatures(LAYERS, 3, needed - 1, tmp_path) as kept:
        assert kept.on_disk


def test_what_half_precision_cannot_hold_is_cut_and_stays_finite():
    kept = KeptFeatures(LAYERS[:1], 1, 1 << 20)
    kept.add([torch.full(LAYERS[0][1:], -1e9)])
    assert float(kept.of(0)[0].max()) == -65504


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_where: Full())
    kept = KeptFeatures(LAYERS, 1, 0, tmp_path)
    with pytest.raises(LabelerError, match="kept on disk") as caught:
        kept.add(images(1)[0])
    assert "No space" in caught.value.problems[0].detail

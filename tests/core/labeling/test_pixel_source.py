import pytest
import torch

from core.callbacks import never_stop
from core.labeling import pixel_source
from core.labeling.config import LabelerConfig
from core.labeling.hypercolumn import SelectedLayers, hypercolumns
from core.labeling.pixel_source import PixelSource


@pytest.mark.parametrize("memory_bytes", [1 << 20, 0])
@pytest.mark.parametrize("at_once", [1 << 20, 1])
def test_gathered_pixels_are_those_of_the_plain_hypercolumns(
    network, codes, memory_bytes, at_once, tmp_path, monkeypatch
):
    monkeypatch.setattr(pixel_source, "SYNTHESIS_BYTES", at_once)
    layers = SelectedLayers(network.layers, LabelerConfig())
    source = PixelSource(network, codes, layers, (9, 12), memory_bytes, tmp_path)
    features = network.synthesize(codes, with_features=True).features
    plain = hypercolumns(features, (9, 12)).permute(0, 2, 3, 1).flatten(0, 2)
    wanted = torch.tensor([0, 5, 107, 108, 500, 971])
    for _ in range(2):
        found = source.gather(wanted, lambda x: x * 2, never_stop)
        torch.testing.assert_close(found, plain[wanted] * 2, rtol=2e-3, atol=2e-3)
    source.close()

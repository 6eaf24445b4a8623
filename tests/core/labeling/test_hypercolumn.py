import pytest
import torch
from torch.nn import functional as F

from core.errors import LabelerError
from core.labeling.bilinear import interpolation
from core.labeling.config import LabelerConfig
from core.labeling.hypercolumn import SelectedLayers, gather, hypercolumns


@pytest.mark.parametrize(("source", "target"), [(4, 64), (64, 64), (64, 32), (5, 7), (7, 5), (1, 3), (3, 1)])
def test_the_matrix_is_torchs_interpolation(source, target):
    x = torch.randn(1, 2, source)
    expected = F.interpolate(x, target, mode="linear", align_corners=False)
    matrix, _, _ = interpolation(source, target)
    torch.testing.assert_close(x @ matrix.t(), expected)


@pytest.mark.parametrize(("source", "target"), [(4, 64), (64, 64), (64, 32), (5, 7), (1, 3), (3, 1)])
def test_the_support_is_where_the_matrix_holds_anything(source, target):
    axis = interpolation(source, target)
    for start in range(target):
        for stop in range(start + 1, target + 1):
            first, last = axis.support(start, stop)
            outside = axis.matrix[start:stop].clone()
            outside[:, first:last] = 0
            assert not outside.any()


@pytest.mark.parametrize("size", [(16, 12), (9, 12), (32, 5), (3, 3)])
def test_gathered_pixels_are_those_of_the_plain_hypercolumn(network, codes, size):
    features = network.synthesize(codes[:3], with_features=True).features
    whole = hypercolumns(features, size).permute(0, 2, 3, 1).reshape(-1, 38)
    pixels = torch.arange(0, len(whole), 5)
    torch.testing.assert_close(gather(features, size, pixels), whole[pixels])


def test_layers_and_channels_can_be_left_out(network, codes):
    features = network.synthesize(codes[:1], with_features=True).features
    config = LabelerConfig(layers=("blocks.2.conv0", "constant"), max_channels=5)
    selected = SelectedLayers(network.layers, config)
    picked = selected.pick(features)
    assert [x.shape[1] for x in picked] == [5, 5]
    assert torch.equal(picked[0], features[0][:, :5])
    assert torch.equal(picked[1], features[4])
    assert selected.channels == 10


def test_unknown_layers_are_named(network):
    with pytest.raises(LabelerError) as caught:
        SelectedLayers(network.layers, LabelerConfig(layers=("constant", "blocks.7.conv0", "mapping")))
    assert [problem.pointer for problem in caught.value.problems] == ["blocks.7.conv0", "mapping"]

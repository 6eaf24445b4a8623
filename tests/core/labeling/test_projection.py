import pytest
import torch

from core.labeling import projection
from core.labeling.aggregation import vote
from core.labeling.conditioning import fit_conditioning
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import Ensemble
from core.labeling.hypercolumn import hypercolumns
from core.labeling.labeler import Head, Labeler
from core.labeling.projection import hidden_tiles, tiles


@pytest.mark.parametrize(
    ("size", "pixels"), [((64, 64), 1024), ((512, 384), 1600), ((5, 1000), 64), ((7, 3), 1), ((4, 4), 99)]
)
def test_tiles_cover_every_pixel_once(size, pixels):
    seen = torch.zeros(size, dtype=torch.int)
    for tile in tiles(size, pixels):
        assert (tile.bottom - tile.top) * (tile.right - tile.left) <= max(pixels, 1) * 1.1
        seen[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert bool((seen == 1).all())


def trained_looking(columns, hidden=(24, 8), members=5, classes=4, components=None):
    """An ensemble whose batch norms have seen data, and a conditioning measured on it."""
    torch.manual_seed(3)
    flat = columns.permute(0, 2, 3, 1).flatten(0, 2)
    conditioning = fit_conditioning(flat, True, components)
    ensemble = Ensemble(members, conditioning.outputs, hidden, classes, seed=4)
    for parameter in ensemble.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.3)
    x = conditioning.apply(flat).t().expand(members, -1, -1)
    with torch.no_grad():
        for _ in range(30):
            ensemble.train()(x)
    return ensemble.eval(), conditioning, x


@pytest.mark.parametrize("size", [(16, 12), (12, 16), (8, 6), (7, 5), (33, 29)])
@pytest.mark.parametrize("components", [None, 20])
@pytest.mark.parametrize("whole_map_pixels", [4096, 20])
def test_hidden_values_are_those_of_the_plain_way(network, codes, size, components, whole_map_pixels, monkeypatch):
    monkeypatch.setattr(projection, "WHOLE_MAP_PIXELS", whole_map_pixels)
    features = network.synthesize(codes[:1], with_features=True).features
    ensemble, conditioning, x = trained_looking(hypercolumns(features, size), components=components)
    plain = torch.baddbmm(ensemble.biases[0], ensemble.weights[0], x).permute(2, 0, 1).flatten(1)  # [P, M H1]
    folded = ensemble.folded(conditioning)
    fast = torch.empty(*size, plain.shape[1])
    for _, tile, hidden in hidden_tiles(features, folded.first_weight, folded.first_bias, size, 50):
        window = fast[tile.top : tile.bottom, tile.left : tile.right]
        window.copy_(hidden.view_as(window))
    torch.testing.assert_close(fast.view_as(plain), plain, rtol=1e-4, atol=1e-4 * plain.abs().max().item())


@pytest.mark.parametrize("hidden", [(24, 8), (16,), (12, 10, 6), ()])
def test_labels_are_those_of_the_plain_way(network, codes, hidden):
    size, count = (16, 12), 4
    features = network.synthesize(codes[:count], with_features=True).features
    ensemble, conditioning, x = trained_looking(hypercolumns(features, size), hidden)
    with torch.no_grad():
        probabilities = ensemble(x).transpose(1, 2).softmax(-1)
    labeler = Labeler(
        (Head("segmentation", ensemble.folded(conditioning)),), network.layers, LabelerConfig(score="sum")
    )
    labels = labeler.label(features, size)
    assert torch.equal(labels.mask.flatten(), vote(probabilities))
    mean = probabilities.mean(0)
    plain = -(mean * mean.log()).sum(-1) + (probabilities * probabilities.log()).sum(-1).mean(0)
    torch.testing.assert_close(labels.divergence.flatten(), plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(labels.scores, plain.double().view(count, -1).sum(1), rtol=1e-4, atol=1e-4)

"""What holds for any layers, sizes, members, classes and precision."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.generators.interface import FeatureLayer
from core.labeling.aggregation import vote
from core.labeling.config import LabelerConfig
from core.labeling.ensemble import FoldedEnsemble
from core.labeling.hypercolumn import hypercolumns
from core.labeling.labeler import Head, Labeler
from core.labeling.targets import DepthTarget
from core.labeling.training import train_labeler
from core.run import Run

SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def labelers(draw):
    """(labeler, features of one image, label size): random weights over random layers."""
    layers = [
        FeatureLayer(f"layer{number}", draw(st.integers(1, 5)), *draw(SIDES))
        for number in range(draw(st.integers(1, 4)))
    ]
    members, outputs = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    hidden = tuple(draw(st.lists(st.integers(1, 6), max_size=3)))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))

    def normal(*shape):
        return torch.randn(shape, generator=random)

    widths = [*hidden, outputs]
    ensemble = FoldedEnsemble(
        members,
        normal(sum(layer.channels for layer in layers), members * widths[0]),
        normal(members * widths[0]),
        tuple(normal(members, a, b) for a, b in pairwise(widths)),
        tuple(normal(members, 1, b) for b in widths[1:]),
    )
    precision = draw(st.sampled_from(["float32", "bfloat16"]))
    config = LabelerConfig(members=members, hidden=hidden, precision=precision)
    labeler = Labeler((Head("segmentation", ensemble),), tuple(layers), config, "none")
    features = [normal(1, layer.channels, layer.height, layer.width) for layer in layers]
    return labeler, features, draw(SIDES)


@settings(max_examples=60)
@given(labelers())
def test_labels_are_those_of_materialised_hypercolumns(case):
    labeler, features, size = case
    ensemble = labeler.heads[0].ensemble
    columns = hypercolumns(features, size)[0].flatten(1).t()
    said = ensemble.say(torch.addmm(ensemble.first_bias, columns, ensemble.first_weight))
    labels = labeler.label(features, size)
    assert labels.mask.shape == (1, *size)
    exact = labeler.config.precision == "float32"
    # Only where the choice is clear: the order of sums differs.
    top = said.topk(2, dim=-1).values
    clear = ((top[..., 0] - top[..., 1]).amin(0) > (1e-3 if exact else 1.0)) & (said.abs().amax((0, 2)) < 30)
    assert torch.equal(labels.mask.flatten()[clear], vote(said)[clear])
    assert bool((labels.divergence >= 0).all())


@settings(max_examples=40)
@given(labelers(), st.randoms(use_true_random=False))
def test_the_order_of_members_changes_nothing(case, random):
    labeler, features, size = case
    order = list(range(labeler.config.members))
    random.shuffle(order)
    head = labeler.heads[0]
    shuffled = Labeler((Head("segmentation", head.ensemble.pick(order)),), labeler.feature_layers, labeler.config)
    one, other = labeler.label(features, size), shuffled.label(features, size)
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.divergence, other.divergence, rtol=1e-4, atol=1e-5)


@settings(max_examples=30)
@given(labelers())
def test_members_that_agree_leave_no_uncertainty(case):
    labeler, features, size = case
    same = labeler.heads[0].ensemble.pick([0] * labeler.config.members)
    agreeing = Labeler((Head("segmentation", same),), labeler.feature_layers, labeler.config)
    assert float(agreeing.label(features, size).divergence.max()) < 1e-5


@settings(max_examples=8)
@given(
    value=st.floats(0.5, 500, width=32),
    members=st.integers(2, 3),
    hidden=st.lists(st.integers(2, 8), max_size=2),
    seed=st.integers(0, 2**20),
)
def test_a_constant_label_set_yields_no_uncertainty(network, codes, value, members, hidden, seed):
    config = LabelerConfig(members=members, hidden=hidden, components=8, pixel_batch=96, max_steps=60)
    target = DepthTarget(torch.full((4, 16, 12), value))
    labeler = train_labeler(network, codes[:4], [target], config, run=Run(seed=seed))
    labels = labeler.label(network.synthesize(codes, with_features=True).features, (16, 12))
    assert float((labels.depth - value).abs().max()) < 1e-5 * value
    assert float(labels.uncertainty["depth"].max()) < 1e-9 * value**2

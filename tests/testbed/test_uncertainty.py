"""The trials of uncertainty: which score finds the bad labels."""

import json

import numpy as np
import pytest
import torch

from core.labeling.conditioning import Conditioning
from testbed.filtering import kept_by_classes
from testbed.uncertainty.__main__ import page
from testbed.uncertainty.ensembles import ARMS, DropoutEnsemble, RandomFeatureEnsemble
from testbed.uncertainty.measures import Labelled, found_by, scores_of, without_boundaries
from testbed.uncertainty.trials import SIZES, Trials
from testbed.worlds import HEADS

IDENTITY = Conditioning(torch.zeros(8), None, None)


def test_members_that_see_half_of_the_features_have_no_weight_for_the_others():
    ensemble = RandomFeatureEnsemble(3, 8, (5,), 2, seed=1).eval()
    x = torch.randn(3, 8, 6)
    before = ensemble(x)
    seen = ensemble.get_buffer("seen")
    assert seen.sum(1).flatten().tolist() == [4, 4, 4]
    assert torch.equal(ensemble(x + (1 - seen) * 9), before), "what a member does not see changes nothing"
    folded = ensemble.folded(IDENTITY)
    weights = folded.first_weight.view(8, 3, 5)
    assert all((weights[seen[member, :, 0] == 0, member] == 0).all() for member in range(3))


def test_dropout_acts_while_members_learn_alone():
    ensemble, x = DropoutEnsemble(2, 8, (40,), 2, seed=1), torch.randn(2, 8, 50)
    torch.manual_seed(0)
    assert not torch.equal(ensemble.train()(x), ensemble(x))
    assert torch.equal(ensemble.eval()(x), ensemble(x))


def test_boundaries_are_left_out_on_both_sides():
    truth = np.zeros((1, 4, 5), np.uint8)
    truth[0, :, 3:] = 1
    assert (without_boundaries(truth)[0] == [[0, 0, 255, 255, 1]] * 4).all()


def test_class_mean_finds_an_image_with_a_doubtful_small_part_where_the_sum_does_not():
    masks = np.zeros((4, 10, 10), np.uint8)
    masks[:, 0, :2] = 1
    divergence = np.full(masks.shape, 0.01, np.float32)
    divergence[1:, 5:] = 0.05
    divergence[0, 0, :2] = 0.6
    scores = scores_of(Labelled(masks, divergence), 2)
    quality = np.array([0.4, 0.9, 0.9, 0.9])
    assert (found_by(scores["class_mean"], quality), found_by(scores["sum"], quality)) == (1.0, 0.0)


def test_quotas_by_true_areas_keep_a_class_that_is_not_found():
    score, truth = np.arange(20) / 20, np.zeros((20, 2))
    truth[:, 0], truth[10:, 1] = 1, 0.5
    predicted = np.where([True, False], truth, 0)
    assert kept_by_classes(score, predicted, 10).tolist() == list(range(10))
    assert sum(kept_by_classes(score, truth, 10) >= 10) == 5


@pytest.mark.slow
def test_trials_run_and_continue(tmp_path):
    trials = Trials(HEADS, SIZES["tiny"], tmp_path)
    cells = trials.run(1)
    assert set(cells[0]["scores"]) == set(ARMS)
    again = Trials(HEADS, SIZES["tiny"], tmp_path).run(1)
    assert json.dumps(again) == json.dumps(cells), "finished cells are read"
    assert "| plain | class_mean |" in page(cells)

from math import log

import pytest
import torch

from core.labeling.aggregation import vote
from core.labeling.uncertainty import class_scores, image_scores, js_divergence


def test_divergence_is_zero_in_agreement_and_ln_2_between_two_certain_opposites():
    agreeing = torch.tensor([[[0.2, 0.8]], [[0.2, 0.8]]])
    opposed = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert js_divergence(agreeing).item() == pytest.approx(0, abs=1e-6)
    assert js_divergence(opposed).item() == pytest.approx(log(2))


def test_votes_count_choices_and_not_confidence_and_ties_go_to_the_smaller_id():
    def members(*rows):
        return torch.tensor(rows)[:, None]

    barely, surely = [0.4, 0.6, 0.0], [0.99, 0.0, 0.01]
    assert vote(members(barely, barely, surely)).tolist() == [1]
    assert vote(members([0.0, 0.1, 0.9], [0.1, 0.9, 0.0])).tolist() == [1]
    assert vote(members([0.5, 0.5, 0.0])).tolist() == [0]


def test_image_scores():
    maps = torch.zeros(2, 4, 5)
    maps[0, 0, :4] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert image_scores(maps, "sum").tolist() == [10, 0]
    assert image_scores(maps, "top10_mean").tolist() == [3.5, 0]  # the two highest of twenty
    assert image_scores(torch.full((1, 2, 2), 0.5), "top10_mean").tolist() == [0.5]


def test_class_scores_are_means_over_the_pixels_of_the_class():
    divergence = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
    mask = torch.tensor([[[0, 0], [2, 0]]], dtype=torch.uint8)
    scores = class_scores(divergence, mask, 3)[0]
    assert scores[[0, 2]].tolist() == pytest.approx([11 / 3, 5])
    assert scores[1].isnan()


def test_class_mean_weighs_a_small_part_as_much_as_a_large_one():
    maps, mask = torch.zeros(2, 10, 10), torch.zeros(2, 10, 10, dtype=torch.uint8)
    mask[:, 0, :2] = 3  # a part of two pixels
    maps[0, 0, :2], maps[1, 5:] = 0.6, 0.1  # unsure of the part; a little unsure of half of the rest
    small, large = image_scores(maps, "class_mean", mask, 4).tolist()
    assert (small, large) == (pytest.approx(0.3), pytest.approx(0.1 * 50 / 98 / 2))
    total = image_scores(maps, "sum").tolist()
    assert total[0] < total[1], "by the sum the image with the doubtful part seems the better one"

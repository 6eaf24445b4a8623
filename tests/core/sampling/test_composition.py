"""Composition by content: met exactly, at the least uncertainty, or refused with numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SamplingError
from core.sampling.composition import Demand, candidates_for, compose, prevalence
from core.sampling.filtering import keep_most_certain

HAT = Demand(1, 0.5, min_area=0.1)


def test_by_hand():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    areas = np.array([[1, 0], [1, 0], [1, 0], [0.8, 0.2], [0.95, 0.05], [0.9, 0.1]])
    # Two of four have to show it; only 3 and 5 do on a tenth of their pixels. The rest: the most certain two.
    assert compose(scores, areas, 4, [HAT]).tolist() == [0, 1, 3, 5]
    assert compose(scores, areas, 4, []).tolist() == [0, 1, 2, 3]


@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.05, 1.0))
def test_what_is_asked_for_is_met_or_refused(seed, count, fraction):
    random = np.random.default_rng(seed)
    scores, shows = random.random(40), random.random(40) < 0.3
    areas = np.stack([1 - shows, shows], 1).astype(float)
    demand = Demand(1, fraction)
    try:
        kept = compose(scores, areas, count, [demand])
    except SamplingError:
        assert shows.sum() < demand.needed(count)
        return
    assert len(set(kept.tolist())) == count
    assert shows[kept].sum() >= demand.needed(count)
    # Of those that show it, and of those that do not, the most certain ones were taken.
    for part in (shows, ~shows):
        taken = np.intersect1d(kept, np.flatnonzero(part))
        places = np.flatnonzero(part)
        assert np.array_equal(taken, places[keep_most_certain(scores[part], len(taken))])


def test_refusals_name_the_class_and_the_numbers():
    scores, areas = np.zeros(10), np.tile([1.0, 0.0], (10, 1))
    with pytest.raises(SamplingError) as caught:
        compose(scores, areas, 4, [HAT])
    assert str(caught.value.problems[0]) == "class 1: 0 of 10 candidates show it, and 2 are needed"


def test_demands_that_exclude_each_other():
    areas = np.array([[1, 0.0], [1, 0], [0, 1.0], [0, 1]])
    with pytest.raises(SamplingError, match="exclude each other"):
        compose(np.zeros(4), areas, 2, [Demand(0, 1.0), Demand(1, 1.0)])


def test_prevalence_first_then_the_plan():
    areas = np.zeros((100, 2))
    areas[:10, 1] = 0.5
    (seen,) = prevalence(areas, [HAT])
    assert (seen.shown, seen.share) == (10, 0.1)
    assert seen.low == pytest.approx(0.0552, abs=1e-4)  # Wilson's interval of 10 in 100
    assert seen.high == pytest.approx(0.1744, abs=1e-4)
    assert candidates_for(100, [HAT], [seen], most=5000) == int(np.ceil(50 / seen.low))
    assert candidates_for(100, [HAT], [seen], most=400) == 400
    with pytest.raises(SamplingError, match="does not draw enough") as caught:
        candidates_for(100, [HAT], [seen], most=200, names=["face", "hat"])
    assert "class 'hat': 50 images are needed and 200 may be drawn" in str(caught.value)


def test_what_is_never_drawn_is_refused_at_once():
    seen = prevalence(np.zeros((50, 2)), [HAT])
    with pytest.raises(SamplingError, match="does not draw enough"):
        candidates_for(10, [HAT], seen, most=10**6)


def test_demands_that_make_no_sense():
    with pytest.raises(SamplingError) as caught:
        Demand(1, 0.0, 2.0)
    assert [problem.pointer for problem in caught.value.problems] == ["min_fraction", "min_area"]

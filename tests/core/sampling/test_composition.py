"""Composition by content: prevalence is looked at first, and says how many to draw or that it is no use."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SamplingError
from core.sampling.composition import (
    GROWTH,
    PILOT,
    Demand,
    ImageClassDemand,
    Prevalence,
    candidates_wanted,
    prevalence,
)
from core.sampling.selection import select
from tests.core.sampling.tables import Table

HAT = Demand(1, 0.5, min_area=0.1, name="hat")


@pytest.mark.parametrize(
    ("shown", "images", "interval"),
    [
        (0, 0, (0.0, 1.0)),
        (0, 64, (0.0, 0.056626022971156334)),
        (64, 64, (0.9433739770288436, 1.0)),
        (10, 100, (0.05522854161313613, 0.1743673043676654)),
        (3, 1000, (0.0010207654054443251, 0.008783171789427854)),
    ],
)
def test_prevalence_interval_equals_that_of_earlier_releases(shown, images, interval):
    # With z = 1.96 by our own formula, before SciPy was used.
    assert Prevalence("hat", 1, images, shown).interval == pytest.approx(interval, rel=1e-9, abs=1e-12)


def test_prevalence_first_then_the_plan():
    areas = np.zeros((100, 2))
    areas[:10, 1] = 0.5
    (seen,) = prevalence(Table(np.zeros(100), areas), 100, [HAT])
    assert (seen.needed, seen.images, seen.shown, seen.share) == (50, 100, 10, 0.1)
    low, high = seen.interval
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)  # Wilson's interval of 10 in 100
    assert candidates_wanted(112, [seen], most=5000) == GROWTH * 100, "so few tell little"
    assert candidates_wanted(900, [seen], most=5000) == 900
    assert candidates_wanted(112, [seen], most=300) == 300
    later = Prevalence(seen.what, 50, 400, 40)
    assert candidates_wanted(112, [later], most=5000) == ceil(50 / later.interval[0])
    with pytest.raises(SamplingError, match="rarely or never draws") as caught:
        candidates_wanted(112, [seen], most=200)
    assert "class 'hat': 50 images are needed and 200 may be drawn" in str(caught.value)


def test_uncertain_candidates_do_not_count():
    rows = prevalence(Table([0.1, 0.2, 0.3], [[0, 1.0], [0, 0], [0, 1]]), 2, [HAT], max_uncertainty=0.2)
    assert [(row.what, row.needed, row.shown) for row in rows] == [
        ("class 'hat'", 1, 1),
        ("uncertainty up to 0.2", 2, 2),
    ]
    assert candidates_wanted(3, rows, most=3) == 3


def test_what_is_never_drawn_is_refused_after_a_pilot():
    few = Prevalence("class 'hat'", 10, PILOT // 2, 0)
    assert candidates_wanted(20, [few], most=10**6) == GROWTH * PILOT // 2
    with pytest.raises(SamplingError, match="0 of 1000 drawn images"):
        candidates_wanted(20, [Prevalence("class 'hat'", 10, PILOT, 0)], most=10**6)


@given(share=st.floats(0.0, 1.0), fraction=st.floats(0.01, 1.0), most=st.integers(100, 50_000), seed=st.integers(0, 99))
def test_looking_and_drawing_comes_to_an_end(share, fraction, most, seed):
    """Each look asks for more than there is, or for no more, or refuses; never for more than `most`."""
    drawn = np.random.default_rng(seed).random(max(most, 111)) < share
    needed, there, looks = ceil(100 * fraction), 111, 0
    while True:
        row = Prevalence("class 'hat'", needed, there, int(drawn[:there].sum()))
        try:
            wanted = candidates_wanted(111, [row], most)
        except SamplingError:
            assert row.shown < needed
            return
        if wanted <= there:
            assert row.shown >= needed
            return
        assert there < wanted <= most
        there, looks = wanted, looks + 1
        assert looks < 20


def test_demands_that_make_no_sense():
    with pytest.raises(SamplingError) as caught:
        Demand(1, 0.0, 2.0)
    assert [problem.pointer for problem in caught.value.problems] == ["min_fraction", "min_area"]


def test_image_classes_are_counted_by_the_index_of_each_candidate_across_missing_ranges():
    scores = [0.5, 0.1, 0.2, 0.3, 0.9, 0.8, 0.7]
    table = Table(scores, np.zeros((7, 1)))
    ranges = ((4, 8), (10, 13))  # indices 8 and 9 could not be drawn
    odd = ImageClassDemand(1, 2, 2, ranges, "odd")
    found = np.concatenate([odd.counts(block) for block in table.blocks()])
    assert found.tolist() == [False, True, False, True, False, True, False]
    everything = select(table, 5, [odd, ImageClassDemand(0, 2, 3, ranges, "even")])
    assert list(everything.places(table)) == [0, 1, 2, 3, 6]
    with pytest.raises(SamplingError, match="cannot meet"):
        select(table, 5, [ImageClassDemand(1, 2, 4, ranges, "odd")])
    (row,) = prevalence(table, 5, [odd])
    assert (row.what, row.needed, row.shown) == ("image class 'odd'", 2, 3)

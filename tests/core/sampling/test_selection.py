"""Selection in passes keeps what sorting everything would keep, meets what is asked for, or refuses with numbers."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SamplingError
from core.sampling.composition import Demand
from core.sampling.filtering import class_quotas, keep_most_certain
from core.sampling.selection import Dropped, dropped, select
from tests.core.sampling.tables import Table

HAT = Demand(1, 0.5, min_area=0.1, name="hat")
AREAS = [[1, 0], [1, 0], [1, 0], [0.8, 0.2], [0.95, 0.05], [0.9, 0.1]]


def test_by_hand():
    table = Table([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], AREAS)
    # Two of four have to show it; only 3 and 5 do on a tenth of their pixels. The rest: the most certain two.
    assert list(select(table, 4, [HAT]).places(table)) == [0, 1, 3, 5]
    assert list(select(table, 4).places(table)) == [0, 1, 2, 3]
    assert dropped(table, select(table, 4, [HAT]), None, 5) == Dropped(2, 0, (4, 2), ())


def test_what_is_dropped_is_counted_by_reason():
    table = Table([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], AREAS)
    kept, certain = select(table, 2, [Demand(1, 1.0, min_area=0.1)]), select(table, 5)
    assert list(kept.places(table)) == [3, 5]
    # By uncertainty alone 0 to 4 would be kept; 0, 1, 2, 4 gave way to those that show the class, and 5 was kept.
    assert dropped(table, kept, certain, 3) == Dropped(0, 4, (), (0, 1, 2))
    assert dropped(table, kept, select(table, 2), 3) == Dropped(2, 2, (4, 2), (0, 1))


@given(
    scores=st.lists(
        st.one_of(st.sampled_from([0.0, -0.0, 0.5, 1.0, inf]), st.floats(allow_nan=False)), min_size=1, max_size=40
    ),
    size=st.integers(1, 50),
    data=st.data(),
)
def test_without_demands_it_keeps_what_sorting_keeps(scores, size, data):
    table = Table(scores, np.zeros((len(scores), 0)), size)
    count = data.draw(st.integers(0, len(scores)))
    assert list(select(table, count).places(table)) == keep_most_certain(scores, count).tolist()


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.05, 1.0), st.integers(1, 41))
def test_what_is_asked_for_is_met_or_refused(seed, count, fraction, size):
    random = np.random.default_rng(seed)
    # Few values, so that there are ties.
    scores, shows = random.integers(0, 12, 40) / 8, random.random(40) < 0.3
    table = Table(scores, np.stack([1 - shows, shows], 1), size)
    demand = Demand(1, fraction)
    try:
        kept = np.array(list(select(table, count, [demand]).places(table)))
    except SamplingError:
        assert shows.sum() < demand.needed(count)
        return
    assert len(set(kept.tolist())) == count
    assert shows[kept].sum() >= demand.needed(count)
    # Of those that show it, and of those that do not, the most certain ones were taken.
    for part in (shows, ~shows):
        taken, places = np.intersect1d(kept, np.flatnonzero(part)), np.flatnonzero(part)
        assert np.array_equal(taken, places[keep_most_certain(scores[part], len(taken))])


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_several_demands_are_met_together(seed, count):
    random = np.random.default_rng(seed)
    scores, areas = random.integers(0, 9, 60) / 8, (random.random((60, 3)) < [0.9, 0.4, 0.2]).astype(float)
    demands = [Demand(0, 0.5), Demand(1, 0.2), Demand(2, 0.1)]
    table = Table(scores, areas, 7)
    usable = areas[scores <= 0.75] > 0
    enough = len(usable) >= count and all(usable[:, one.class_id].sum() >= one.needed(count) for one in demands)
    try:
        kept = list(select(table, count, demands, max_uncertainty=0.75).places(table))
    except SamplingError:
        assert not enough or sum(one.needed(count) for one in demands) > count
        return
    assert enough
    assert len(kept) == count
    assert scores[kept].max() <= 0.75
    assert all(areas[kept, one.class_id].sum() >= one.needed(count) for one in demands)


def test_refusals_name_everything_with_its_numbers():
    table = Table(np.zeros(10), np.tile([1.0, 0.0], (10, 1)))
    with pytest.raises(SamplingError) as caught:
        select(table, 12, [HAT])
    assert [str(problem) for problem in caught.value.problems] == [
        "class 'hat': 0 of 10 candidates show it, and 6 are needed",
        "count: 10 of which 12 shall be kept",
    ]


def test_demands_that_exclude_each_other():
    table = Table(np.zeros(4), [[1, 0.0], [1, 0], [0, 1.0], [0, 1]])
    with pytest.raises(SamplingError, match="contradictory"):
        select(table, 2, [Demand(0, 1.0), Demand(1, 1.0)])


def test_quotas_keep_the_rare_class_that_is_always_uncertain():
    # Two of ten show the hat, and they are the least certain.
    table = Table(np.arange(10), [[1, 0.0]] * 8 + [[0.9, 0.1]] * 2)
    assert list(select(table, 5).places(table)) == [0, 1, 2, 3, 4]
    quotas = class_quotas(table, 5)
    assert [(one.class_id, one.needed(5)) for one in quotas] == [(0, 5), (1, 1)]
    assert list(select(table, 5, quotas=quotas).places(table)) == [0, 1, 2, 3, 8]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 61))
def test_quotas_never_ask_for_more_than_there_is_room_for(seed, count, size):
    random = np.random.default_rng(seed)
    scores, areas = random.integers(0, 9, 60) / 8, (random.random((60, 4)) < [0.9, 0.4, 0.2, 0.0]).astype(float)
    table = Table(scores, areas, size)
    quotas = class_quotas(table, count)
    kept = list(select(table, count, quotas=quotas).places(table))
    assert len(kept) == count
    rarest = min(quotas, key=lambda one: one.needed(count), default=None)
    if rarest is not None:
        assert areas[kept, rarest.class_id].sum() >= rarest.needed(count)
    if count == 60:
        assert kept == list(range(60))

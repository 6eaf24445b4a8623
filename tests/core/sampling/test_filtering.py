from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SamplingError
from core.sampling.filtering import candidates_needed, class_quotas, keep_most_certain
from core.sampling.selection import select
from tests.core.sampling.tables import Table


@given(st.integers(0, 5000), st.integers(0, 99))
def test_exactly_the_count_remains_and_no_fewer_candidates_would_do(count, percent):
    fraction = Fraction(percent, 100)
    needed = candidates_needed(count, percent / 100)
    assert needed - ceil(fraction * needed) == count
    assert needed == 0 or needed - 1 - ceil(fraction * (needed - 1)) < count


def test_known_values():
    assert candidates_needed(200, 0.1) == 223
    assert candidates_needed(27, 0.1) == 30
    assert candidates_needed(10**9, 0.0) == 10**9


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, float("inf")]), max_size=30), st.data())
def test_the_lowest_stay_in_order_and_earlier_wins_a_tie(scores, data):
    count = data.draw(st.integers(0, len(scores)))
    kept = keep_most_certain(scores, count).tolist()
    assert kept == sorted(sorted(range(len(scores)), key=lambda i: (scores[i], i))[:count])


def test_what_cannot_be_kept_is_told():
    with pytest.raises(SamplingError, match="count"):
        keep_most_certain([0.1, 0.2], 3)
    with pytest.raises(SamplingError, match="candidate 1"):
        keep_most_certain([0.1, float("nan")], 1)
    with pytest.raises(SamplingError) as caught:
        candidates_needed(-1, 1.0)
    assert {problem.pointer for problem in caught.value.problems} == {"count", "drop_fraction"}


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=30), st.data())
def test_a_quota_is_the_share_of_the_candidates_that_could_be_kept(rows, data):
    scores = [score / 4 for score, *_ in rows]
    areas = [[float(a), float(b)] for _, a, b in rows]
    limit = data.draw(st.sampled_from([0.5, float("inf")]))
    usable = [area for score, area in zip(scores, areas, strict=True) if score <= limit]
    count = data.draw(st.integers(0, len(usable)))
    found = {one.class_id: one.needed(count) for one in class_quotas(Table(scores, areas, 4), count, limit)}
    for class_id in (0, 1):
        shown = sum(area[class_id] for area in usable)
        share = shown * count // len(usable) if usable else 0
        assert found.get(class_id, 0) == max(share, min(shown, ceil(count / 100)))


def test_the_last_images_of_a_rare_class_are_kept():
    # 1,000 candidates: class 1 on the 3 least certain ones, class 2 on the 20 least certain ones.
    scores = [number / 1000 for number in range(1000)]
    areas = [[1.0, float(number >= 997), float(number >= 980)] for number in range(1000)]
    table = Table(scores, areas, 128)
    needed = {one.class_id: one.needed(900) for one in class_quotas(table, 900)}
    assert needed == {0: 900, 1: 3, 2: 18}
    kept = set(select(table, 900, quotas=class_quotas(table, 900)).places(table))
    assert {997, 998, 999} <= kept
    assert len(kept) == 900

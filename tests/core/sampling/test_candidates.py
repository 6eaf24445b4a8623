"""Rows of candidates: what is written is read back, in blocks, whatever the parts were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SamplingError
from core.sampling.candidates import CandidateTable


@given(parts=st.lists(st.integers(1, 7), max_size=5), classes=st.integers(0, 3), size=st.integers(1, 9))
def test_parts_become_one_table(tmp_path_factory, parts, classes, size):
    random = np.random.default_rng(0)
    scores, areas = random.random(sum(parts)), random.random((sum(parts), classes))
    table = CandidateTable(tmp_path_factory.mktemp("table") / "rows", classes, size)
    with table.path.open("wb") as file:
        for end, count in zip(np.cumsum(parts), parts, strict=True):
            CandidateTable.write(file, scores[end - count : end], areas[end - count : end])
    blocks = list(table.blocks())
    assert len(table) == len(scores)
    assert all(len(block.scores) <= size for block in blocks)
    assert np.array_equal(np.concatenate([np.zeros(0), *(block.scores for block in blocks)]), scores)
    assert np.array_equal(np.concatenate([np.zeros((0, classes)), *(block.areas for block in blocks)]), areas)
    assert [place for block in blocks for place in block.places] == list(range(len(scores)))


def test_a_score_that_is_no_number_is_refused(tmp_path):
    with (tmp_path / "rows").open("wb") as file, pytest.raises(SamplingError, match="candidate 1"):
        CandidateTable.write(file, [0.5, float("nan")], np.zeros((2, 2)))

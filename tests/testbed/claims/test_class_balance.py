"""Images are replaced or added by what they show."""

import numpy as np
import pytest

from core.errors import LabelSetError
from testbed.claims.class_balance import add, substitute

SHOWS = np.array([False, True, False, False, True, True, False])


def test_by_hand():
    chosen = np.array([0, 1, 2, 3])
    assert substitute(chosen, SHOWS, 2).tolist() == [0, 1, 4, 5]  # the last two without it go
    assert add(chosen, SHOWS, 1).tolist() == [0, 1, 2, 3, 4]
    assert add(chosen, ~SHOWS, 1).tolist() == [0, 1, 2, 3, 6]
    assert substitute(chosen, SHOWS, 0).tolist() == chosen.tolist()


def test_too_few_are_told_with_numbers():
    with pytest.raises(LabelSetError) as caught:
        add(np.array([1, 4]), SHOWS, 2)
    assert "1 further images of the pool show the class; 2 are needed" in str(caught.value)
    with pytest.raises(LabelSetError) as caught:
        substitute(np.array([0, 1]), SHOWS, 2)
    assert "1 of the chosen images do not show the class; 2 were to be replaced" in str(caught.value)

"""What pages of reports are made of."""

import numpy as np
import pytest

from core.evaluation.report import page


def test_words_are_read_from_the_left_and_heads_are_escaped():
    made = page.table(("<gate>", "what was found"), [("one", "many words")], words={1})
    assert "<th>&lt;gate&gt;</th>" in made
    assert '<th class="words">what was found</th>' in made
    assert '<td>one</td><td class="words">many words</td>' in made
    assert made.startswith('<div class="wide"><table><tr><th>')


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (np.nan, "–"), (1.0, "1"), (130.36684, "130.4"), (-6323806.44, "-6.324e+06")]
)
def test_values_of_any_size_are_short(value, said):
    assert page.digits(value) == said

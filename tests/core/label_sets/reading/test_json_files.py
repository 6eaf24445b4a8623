"""Values of JSON files that strangers send."""

import pytest

from core.label_sets.reading.json_files import is_number, parse_json, shortened


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (0, True),
        (-1.5, True),
        (10**400, False),
        (float("nan"), False),
        (float("inf"), False),
        (True, False),
        ("1", False),
    ],
)
def test_only_finite_numbers_are_numbers(value, is_one):
    assert is_number(value) is is_one


def test_a_damaged_document_is_told_in_words():
    for content, words in ((b"[" * 100_000, "nested too deeply"), (b"{", "not valid JSON"), (b"1" * 11, "at most 10")):
        with pytest.raises(ValueError, match=words):
            parse_json(content, 10 if words.startswith("at most") else 1 << 20)


def test_long_values_are_cut():
    assert shortened("ab") == "'ab'"
    assert len(shortened("a" * 100)) <= 40

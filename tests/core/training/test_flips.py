"""Flips are off where the names of classes tell left from right."""

from __future__ import annotations

import pytest

from core.training.flips import choose_flips, flip_warnings


@pytest.mark.parametrize(
    ("asked", "classes", "expected"),
    [
        (None, ["cat", "dog"], True),
        (None, [], True),
        (None, ["turn_left", "turn_right"], False),
        (None, ["Right hand"], False),
        (None, ["bright", "leftover"], True),
        (True, ["left"], True),
        (False, ["cat"], False),
    ],
)
def test_flips_follow_the_request_or_the_names_of_classes(
    asked: bool | None, classes: list[str], expected: bool
) -> None:
    assert choose_flips(asked, classes)[0] is expected


def test_an_asymmetric_mean_image_is_a_warning_where_nothing_was_asked() -> None:
    assert "21% of an image's contrast" in flip_warnings(True, None, 0.21)[0]
    assert flip_warnings(True, None, 0.05) == flip_warnings(True, True, 0.5) == flip_warnings(False, None, 0.5) == []

"""Long tails: sizes of classes by the published rule."""

from __future__ import annotations

from collections import Counter

import pytest

from core.errors import ImageSetError
from core.training.long_tail import class_sizes, long_tailed


def test_sizes_are_those_of_cifar10_lt() -> None:
    assert class_sizes(5000, 10, 100) == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_images_of_a_class_are_drawn_by_the_seed_and_stay_in_order() -> None:
    classes = ["2", "10", "1"] * 40
    kept = long_tailed(classes, 10.0)
    assert Counter(classes[at] for at in kept) == {"1": 40, "2": 12, "10": 4}
    assert kept == sorted(kept) == long_tailed(classes, 10.0)
    assert kept != long_tailed(classes, 10.0, seed=1)


def test_a_class_with_fewer_images_keeps_all() -> None:
    classes = ["a"] * 100 + ["b"] * 3 + ["c"] * 50
    assert Counter(classes[at] for at in long_tailed(classes, 4.0)) == {"a": 100, "b": 3, "c": 25}


def test_a_long_tail_of_one_class_is_refused() -> None:
    with pytest.raises(ImageSetError, match="at least 2 classes, found 1"):
        long_tailed(["a", None, "a"], 10.0)

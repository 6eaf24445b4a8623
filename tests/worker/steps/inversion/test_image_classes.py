"""Classes of labelled images for generators whose codes need one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.errors import LabelSetError
from core.label_sets.classes import ClassMap
from core.label_sets.image_classes import ImageClass
from core.label_sets.label_set import LabelItem, LabelSet
from tests.core.generators.biggan import small
from worker.steps.inversion.invert import _image_classes


def labels(*classes: ImageClass | None) -> LabelSet:
    image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    items = (LabelItem(f"i{at}", image, mask, image_class=one) for at, one in enumerate(classes))
    return LabelSet(tuple(items), ClassMap({0: "ground", 1: "thing"}))


def source(needs_class: bool = True) -> Any:
    generator = small.generator()
    if not needs_class:
        generator.code = type(generator.code)(generator.code.parts)
    return SimpleNamespace(generator=generator, info=generator.info)


def test_names_and_indices_become_class_indices() -> None:
    assert _image_classes(labels("cat", 0, "cat"), source()) == [2, 0, 2]
    assert _image_classes(labels(None, "wasp"), source(needs_class=False)) == []


def test_every_image_without_a_class_of_the_generator_is_named() -> None:
    with pytest.raises(LabelSetError, match="needs the class of each image") as caught:
        _image_classes(labels(None, "wasp", 1, 7), source())
    assert [(one.pointer, one.detail.partition(";")[0]) for one in caught.value.problems] == [
        ("i0", "has no class in image_classes.csv"),
        ("i1", "no class is named 'wasp'"),
        ("i3", "expected 0 to 2, found 7"),
    ]

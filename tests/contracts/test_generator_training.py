"""Settings of trainings: their JSON Schema, and everything that is wrong with a request at once."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts.generator_training import TRAINABLE, training_violations
from contracts.generator_training.images import ImageFacts

FAMILY = "stylegan2"


@pytest.mark.parametrize("name", TRAINABLE)
def test_schema_of_the_settings_accepts_each_preset(name: str) -> None:
    family = TRAINABLE[name]
    Draft202012Validator.check_schema(family.schema)
    assert all(rule["description"] for rule in family.schema["properties"].values())
    for preset, values in family.presets.items():
        Draft202012Validator(family.schema).validate(dict(values))
        assert training_violations(name, preset, {}) == []


def names(preset: str = "small", **settings: Any) -> list[str]:
    return sorted({one.name for one in training_violations(FAMILY, preset, settings)})


def test_every_violation_is_named() -> None:
    assert names(batch=2.0, r1_gamma=-1, ada_pipeline="x", widths=[0], kimg=None) == [
        "ada_pipeline", "batch", "kimg", "r1_gamma", "widths",
    ]  # fmt: skip
    assert names("cifar", colour=1, twins_weight=0.1) == ["colour", "noise_std", "preset"]
    assert names(r1_gamma=None, ema_rampup=None) == []
    assert names(batch=6) == ["stddev_group"]
    assert [one.name for one in training_violations("gpt", "small", {})] == ["family"]


def facts(**changed: Any) -> ImageFacts:
    usual: dict[str, Any] = {"height": 64, "width": 96, "training": 400, "held_out": 200, "classes": {}, "flips": False}
    return ImageFacts(**{**usual, **changed})


@pytest.mark.parametrize(
    ("changed", "settings", "expected"),
    [
        ({}, {}, None),
        ({"width": 65}, {}, "times one power of two, such as 64x64 or 64x96; found 64x65"),
        ({"training": 15}, {}, "expected at least 16 images for training, found 15"),
        ({"held_out": 7}, {}, "expected at least 8 held-out images, found 7"),
        ({"classes": {"owl": 1, "cat": 300}}, {}, "fewer in 1 classes: owl"),
        ({}, {"noise_std": 0.5}, "expected images with classes"),
        ({}, {"flip": True}, "not to be mirrored"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    changed: dict[str, Any], settings: dict[str, Any], expected: str | None
) -> None:
    family = TRAINABLE[FAMILY]
    found = family.image_violations(facts(**changed), family.configured("small", settings))
    assert [expected in one.detail for one in found] == ([True] if expected else [])  # type: ignore[operator]

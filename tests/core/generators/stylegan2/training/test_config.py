"""Settings of generator training and their presets."""

import json

import pytest

from core.errors import GeneratorError
from core.generators.stylegan2.training import ada
from core.generators.stylegan2.training.config import ADA_PIPELINES, DIFFAUGMENT_PARTS, PRESETS, GanConfig
from core.generators.stylegan2.training.diffaugment import PARTS


def test_every_wrong_setting_is_named() -> None:
    wrong = {
        "kimg": 0, "batch": 1, "r1_gamma": -1.0, "style_mixing": 1.5, "augmentation": "mirror", "ada_pipeline": "xyz",
        "diffaugment": ["blur"], "precision": "float8", "widths": [0], "noise_beta": 1, "generator_rate": float("nan"),
    }  # fmt: skip
    with pytest.raises(GeneratorError) as caught:
        GanConfig.from_json(wrong)
    assert wrong.keys() <= {problem.pointer for problem in caught.value.problems}
    with pytest.raises(GeneratorError, match="colour: unknown field"):
        GanConfig.from_json({"colour": 1})
    with pytest.raises(GeneratorError, match="expected one of small, default, cifar10-lt"):
        GanConfig.from_json({}, preset="cifar")


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(GeneratorError) as caught:
        GanConfig(batch=6, stddev_group=4, twins_weight=0.1)
    assert [problem.pointer for problem in caught.value.problems] == ["stddev_group", "noise_std"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    config = PRESETS[name]
    assert GanConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert GanConfig.from_json({}, preset=name) == config
    assert GanConfig.from_json({"kimg": 3.5, "widths": [8, 4]}, name).widths == (8, 4)


def test_presets_of_the_paper_have_its_settings() -> None:
    cifar, inaturalist = PRESETS["cifar10-lt"], PRESETS["inaturalist-lt"]
    assert (cifar.noise_std, cifar.noise_beta, cifar.twins_weight, cifar.twins_gamma) == (0.75, 0.99, 0.01, 0.05)
    assert (cifar.discriminator, cifar.augmentation, cifar.path_length_weight) == ("orig", "diffaugment", 0.0)
    assert cifar.kimg * 1000 / cifar.batch == 120_000
    assert (inaturalist.twins_start, inaturalist.lecam_weight, inaturalist.r1_gamma) == (25_000, 0.01, 0.2048)
    assert PRESETS["imagenet-lt"].path_length_start == 60_000
    assert PRESETS["animal-faces"].stddev_group == 32
    assert {config.batch for name, config in PRESETS.items() if name not in ("small", "default")} == {128}


def test_gradient_penalty_grows_with_the_images() -> None:
    assert GanConfig().r1_weight((64, 64)) == pytest.approx(0.3)
    assert GanConfig().r1_weight((16, 16)) == 0.1
    assert GanConfig().r1_weight((128, 128)) == pytest.approx(1.2)
    assert GanConfig(r1_gamma=5.0).r1_weight((64, 64)) == 5.0


def test_names_of_augmentations_are_those_that_exist() -> None:
    assert set(ADA_PIPELINES) == set(ada.PIPELINES)
    assert set(DIFFAUGMENT_PARTS) == set(PARTS)

"""Interpreters trained on small generators: what they learn, resuming, memory, files, and labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import LabelerError, Stopped
from core.generators.interface import Codes, Sampler
from core.label_sets.label_set import LabelItem
from core.labeling.config import LabelerConfig
from core.labeling.cross_validation import cross_validate
from core.labeling.files import LabelerInfo, load_labeler, save_labeler
from core.labeling.interpreter.config import InterpreterConfig
from core.labeling.interpreter.labeler import InterpreterLabeler
from core.labeling.interpreter.training import train_interpreter
from core.labeling.labeler import VotedCollapse
from core.labeling.methods import config_from_json, train_by_method
from core.run import Run
from core.sampling.config import SamplingConfig
from core.sampling.stream import draw
from tests.core.generators.biggan import small

CONFIG = InterpreterConfig(heads=3, widths=(6, 5, 4), steps=40, learning_rate=1e-2, measure_every=20)
INFO = LabelerInfo({"classes": [{"id": 0, "name": "ground"}], "ignore_index": 255}, "ab" * 32)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return small.generator().bind()


@pytest.fixture(scope="module")
def codes(sampler: Sampler) -> Codes:
    return sampler.draw(0, range(8), [index % 3 for index in range(8)])


@pytest.fixture(scope="module")
def masks(sampler: Sampler, codes: Codes) -> Tensor:
    """Two classes by the brightness of what is drawn."""
    image = sampler.synthesize(codes).image.mean(1)
    return (image > image.median()).to(torch.uint8)


def train(sampler: Sampler, codes: Codes, masks: Tensor, classes: int = 2, **more: Any) -> InterpreterLabeler:
    return train_interpreter(sampler, codes, masks, classes, more.pop("config", CONFIG), **more)


def test_foreground_is_learnt_from_class_conditional_features(sampler: Sampler, codes: Codes, masks: Tensor) -> None:
    points: list[dict[str, float]] = []
    config = replace(CONFIG, held_out=2)
    labeler = train(sampler, codes, masks, config=config, run=Run(log=lambda point: points.append(dict(point))))
    assert [point["step"] for point in points] == [20, 40]
    report = labeler.report
    assert report["loss_curve"][-1][1] < report["loss_curve"][0][1]
    assert (len(report["held_out"]["images"]), report["class_pixels"][0] > 0) == (2, True)
    labels = labeler.label_synthesis(sampler.synthesize(codes, with_features=True), (16, 16))
    assert (labels.mask == masks).float().mean() > 0.8
    assert labels.divergence.shape == (8, 16, 16)
    assert 0 <= float(labels.divergence.min()) < float(labels.divergence.max()) <= np.log(3)
    smaller = labeler.label_synthesis(sampler.synthesize(codes[:2], with_features=True), (8, 8))
    assert smaller.mask.shape == (2, 8, 8)


def test_an_interpreter_is_trained_on_all_images_after_the_held_out_ones_are_scored(
    sampler: Sampler, codes: Codes, masks: Tensor
) -> None:
    image = np.zeros((*masks.shape[1:], 3), np.uint8)
    items = [LabelItem(str(at), image, mask.numpy()) for at, mask in enumerate(masks)]
    config = replace(CONFIG, steps=20, held_out=2)
    kept: list[bytes] = []
    told: list[tuple[int, int]] = []
    run = Run(checkpoint=kept.append, checkpoint_every=10, progress=lambda *at: told.append(at))
    labeler = train_by_method(sampler, codes, items, 2, config, run=run)
    scored = train(sampler, codes, masks, config=config)
    of_all = train(sampler, codes, masks, config=replace(config, held_out=0))
    assert isinstance(labeler, InterpreterLabeler)
    assert labeler.config == config
    report = labeler.report
    assert report["trained_on_all"]
    assert report["held_out"] == scored.report["held_out"]
    assert report["pixels"] == of_all.report["pixels"] > scored.report["pixels"]
    seen = sampler.synthesize(codes, with_features=True)
    labels = labeler.label_synthesis(seen, (16, 16))
    assert torch.equal(labels.divergence, of_all.label_synthesis(seen, (16, 16)).divergence)
    assert (len(kept), told[-1]) == (2, (40, 40))
    for content in kept:
        again = train_by_method(sampler, codes, items, 2, config, run=Run(resume_from=content))
        assert torch.equal(again.label_synthesis(seen, (16, 16)).divergence, labels.divergence)
        assert again.reports == labeler.reports


def test_several_classes_and_stylegan2_features_are_learnt_too(network: Any, request: Any) -> None:
    codes, masks = request.getfixturevalue("codes_of_stylegan2"), request.getfixturevalue("masks_of_stylegan2")
    ignored = masks.clone()
    ignored[:, :2] = 255
    labeler = train_interpreter(network, codes, ignored, 4, CONFIG)
    labels = labeler.label_synthesis(network.synthesize(codes, with_features=True), (16, 12))
    assert (labels.mask == masks)[:, 2:].float().mean() > 0.7
    assert labeler.condition_dim == 0
    assert labeler.report["class_pixels"][2] == 0


@pytest.fixture
def codes_of_stylegan2(network: Any) -> Codes:
    z = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    return Codes({"w_plus": network.generator.network.map(z).contiguous()})


@pytest.fixture
def masks_of_stylegan2(network: Any, codes_of_stylegan2: Codes) -> Tensor:
    image = network.synthesize(codes_of_stylegan2).image.mean(1)
    low, high = image.quantile(0.4), image.quantile(0.8)
    return torch.where(image < low, 0, torch.where(image < high, 1, 3)).to(torch.uint8)


def test_resumed_and_memory_bounded_training_gives_the_same_weights(
    sampler: Sampler, codes: Codes, masks: Tensor
) -> None:
    kept: list[bytes] = []
    whole = train(sampler, codes, masks, run=Run(checkpoint=kept.append, checkpoint_every=15))
    assert len(kept) == 2
    resumed = train(sampler, codes, masks, run=Run(resume_from=kept[0]))
    bounded = train(sampler, codes, masks, run=Run(memory_bytes=0))
    for other in (resumed, bounded):
        assert other.report == whole.report
        for name, tensor in whole.network.state_dict().items():
            assert torch.equal(tensor, other.network.state_dict()[name]), name
    with pytest.raises(Stopped):
        train(sampler, codes, masks, run=Run(should_stop=lambda: True))


def test_an_interpreter_comes_back_from_disk_prunes_and_collapses(
    sampler: Sampler, codes: Codes, masks: Tensor, tmp_path: Path
) -> None:
    labeler = train(sampler, codes, masks, config=replace(CONFIG, steps=3)).collapsed(VotedCollapse((1, 0), 2))
    save_labeler(tmp_path, labeler, INFO)
    loaded = load_labeler(tmp_path).labeler
    assert isinstance(loaded, InterpreterLabeler)
    assert (loaded.config, loaded.report, loaded.collapse) == (labeler.config, labeler.report, labeler.collapse)
    synthesis = sampler.synthesize(codes, with_features=True)
    one, other = (each.label_synthesis(synthesis, (16, 16)) for each in (labeler, loaded))
    assert torch.equal(one.mask, other.mask)
    assert torch.equal(one.divergence, other.divergence)
    said = loaded.say_synthesis(synthesis, (16, 16), torch.tensor([0, 300]), "segmentation")
    assert said.shape == (3, 2, 2)
    assert torch.allclose(said.exp().sum(-1), torch.ones(3, 2))
    assert loaded.pruned(1).label_synthesis(synthesis, (16, 16)).divergence.abs().max() < 1e-6
    with pytest.raises(LabelerError):
        loaded.pruned(4)
    (tmp_path / "labeler.safetensors").write_bytes(b"x")
    with pytest.raises(LabelerError, match="damaged"):
        load_labeler(tmp_path)


def test_a_stream_is_labelled_by_an_interpreter_of_the_same_features(
    sampler: Sampler, codes: Codes, masks: Tensor
) -> None:
    labeler = train(sampler, codes, masks, config=replace(CONFIG, steps=3))
    drawn = list(draw(sampler, labeler, SamplingConfig(seed=1, start=0, stop=3, batch=2)))
    assert [one.class_index for one in drawn] == [0, 1, 2]
    assert drawn[0].mask.shape == (16, 16)
    other = small.generator(small.deep()).bind()
    with pytest.raises(LabelerError, match="the labeler was trained on"):
        labeler.check_source(other)


def test_the_method_of_the_settings_decides_and_cross_validation_takes_both(
    sampler: Sampler, codes: Codes, masks: Tensor
) -> None:
    assert config_from_json(CONFIG.to_json()) == CONFIG
    assert isinstance(config_from_json({}), LabelerConfig)
    images = np.zeros((16, 16, 3), np.uint8)
    items = [LabelItem(str(at), images, mask.numpy()) for at, mask in enumerate(masks)]
    few = replace(CONFIG, steps=4)
    assert isinstance(train_by_method(sampler, codes, items, 2, few), InterpreterLabeler)
    found = cross_validate(sampler, codes, items, 2, few, folds=2)
    assert len(found) == 8
    assert found[0].confidence.shape == found[0].correct.shape == (256,)
    points = [replace(item, keypoints=np.zeros((1, 3), np.float32)) for item in items]
    with pytest.raises(LabelerError, match="cannot be learnt by an interpreter"):
        train_by_method(sampler, codes, points, 2, few)


def test_labels_and_settings_that_do_not_fit_are_named(sampler: Sampler, codes: Codes, masks: Tensor) -> None:
    wrong = masks.clone()
    wrong[0, 0, 0] = 7
    with pytest.raises(LabelerError) as caught:
        train(sampler, codes[:4], wrong[:4], config=replace(CONFIG, held_out=4))
    assert {problem.pointer for problem in caught.value.problems} == {"masks", "held_out"}
    with pytest.raises(LabelerError) as caught:
        InterpreterConfig(heads=0, widths=(1, 2), head="5x5", learning_rate=0.0)  # type: ignore[arg-type]
    assert {problem.pointer for problem in caught.value.problems} == {"heads", "widths", "head", "learning_rate"}
    with pytest.raises(LabelerError, match="invalid interpreter settings"):
        InterpreterConfig.from_json({**CONFIG.to_json(), "hidden": [1]})

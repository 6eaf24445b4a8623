import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.errors import LabelerError
from core.generators.files import save_generator
from core.generators.interface import GeneratorInfo
from core.generators.stylegan2.generator import StyleGAN2Generator
from core.labeling.config import LabelerConfig
from core.labeling.files import LabelerInfo, load_labeler, save_labeler
from core.labeling.labeler import VotedCollapse
from core.labeling.training import train_ensemble

CONFIG = LabelerConfig(members=2, hidden=(8, 4), pixel_batch=64, max_steps=5, layers=("constant", "blocks.1.conv1"))
INFO = LabelerInfo({"classes": [{"id": 0, "name": "ground"}], "ignore_index": 255}, "ab" * 32, scores={"mean_iou": 0.5})


@pytest.fixture
def stored(network, codes, masks, tmp_path):
    labeler = train_ensemble(network, codes, masks, 4, CONFIG)
    return tmp_path / "labeler", labeler, save_labeler(tmp_path / "labeler", labeler, INFO)


def test_round_trip(stored, network, codes):
    folder, labeler, info = stored
    loaded = load_labeler(folder)
    assert loaded.info == info
    assert loaded.labeler.config == CONFIG
    assert loaded.labeler.feature_digest == network.feature_digest
    assert loaded.labeler.report == labeler.report
    features = network.synthesize(codes, with_features=True).features
    again, before = (one.label(features, (16, 12)) for one in (loaded.labeler, labeler))
    for name in ("mask", "divergence", "scores"):
        assert torch.equal(getattr(again, name), getattr(before, name))


def test_linear_members_are_kept_too(network, codes, masks, tmp_path):
    config = LabelerConfig(members=3, hidden=(), pixel_batch=64, max_steps=5)
    labeler = train_ensemble(network, codes, masks, 4, config).pruned(2)
    save_labeler(tmp_path, labeler, INFO)
    loaded = load_labeler(tmp_path).labeler
    features = network.synthesize(codes, with_features=True).features
    assert torch.equal(loaded.label(features, (16, 12)).divergence, labeler.label(features, (16, 12)).divergence)
    assert loaded.heads[0].ensemble.weights == ()


def test_votes_are_collapsed_and_uncertainty_is_not(stored, network, codes, tmp_path):
    _, labeler, _ = stored
    few = replace(labeler, collapse=VotedCollapse((1, 0, 255, 1), 2))
    save_labeler(tmp_path / "few", few, INFO)
    loaded = load_labeler(tmp_path / "few").labeler
    assert (loaded.voted_classes, loaded.class_count) == (4, 2)
    features = network.synthesize(codes, with_features=True).features
    all_classes, collapsed = (one.label(features, (16, 12)) for one in (labeler, loaded))
    assert torch.equal(collapsed.mask, torch.tensor([1, 0, 255, 1], dtype=torch.uint8)[all_classes.mask.long()])
    assert torch.equal(collapsed.divergence, all_classes.divergence)
    assert torch.equal(collapsed.scores, all_classes.scores)
    save_labeler(tmp_path / "short", replace(few, collapse=VotedCollapse((1, 0), 2)), INFO)
    with pytest.raises(LabelerError, match="damaged"):
        load_labeler(tmp_path / "short")


def test_missing_and_damaged_files_are_told(stored, tmp_path):
    folder, _, _ = stored
    with pytest.raises(LabelerError, match="no labeler"):
        load_labeler(tmp_path)
    content = bytearray((folder / "labeler.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "labeler.safetensors").write_bytes(content)
    with pytest.raises(LabelerError, match="damaged"):
        load_labeler(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "else"},
        {"config": {"members": 0}},
        {"config": {"members": 3}},
        {"info": {}},
        {"feature_layers": [[1]]},
        {"tasks": [{"task": "segmentation", "outputs": 5, "report": {}}]},
        {"tasks": [{"task": "else", "outputs": 4, "report": {}}]},
        {"tasks": []},
    ],
)
def test_a_wrong_description_is_told(stored, change):
    folder, _, _ = stored
    description = json.loads((folder / "labeler.json").read_text())
    (folder / "labeler.json").write_text(json.dumps(description | change))
    with pytest.raises(LabelerError):
        load_labeler(folder)


def test_the_three_lines_of_the_guide_label_images(stored, network, tmp_path, monkeypatch):
    info = GeneratorInfo("tiny", licence="CC0-1.0", domain="heads")
    save_generator(tmp_path / "generator", StyleGAN2Generator(network.generator.network, info))
    guide = (Path(__file__).parents[3] / "docs" / "labeling.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert len([line for line in block.splitlines() if " = " in line]) == 3
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(block, "labeling.md", "exec"), names)
    assert names["images"].shape == (4, 16, 12, 3)
    assert names["labels"].mask.shape == (4, 16, 12)
    assert names["labels"].scores.shape == (4,)

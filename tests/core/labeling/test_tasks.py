"""Keypoints, depth, and all tasks at once over one set of features."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import LabelerError, ResumeError
from core.labeling.config import LabelerConfig
from core.labeling.files import LabelerInfo, load_labeler, save_labeler
from core.labeling.targets import DepthTarget, KeypointTarget, MaskTarget
from core.labeling.training import train_labeler
from core.run import Run
from core.tasks.depth import depth_sums

SIZE = (16, 12)
CONFIG = LabelerConfig(
    members=3, hidden=(24, 8), components=24, pixel_batch=96, epochs=30, max_steps=150, measure_every=50, held_out=2,
    keypoint_sigma=24.0, train_on_all=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def brightness(network, codes):
    return network.synthesize(codes).image.mean(1)  # [N, H, W]


@pytest.fixture(scope="module")
def points(brightness):
    """The brightest and the darkest pixel of the middle, and a point that is never there."""
    found = []
    for image in brightness:
        for value in (image, -image):
            at = int(value.flatten().argmax())
            found.append([at % 12 + 0.5, at // 12 + 0.5, 2])
        found.append([0, 0, 0])
    return torch.tensor(found).view(-1, 3, 3)


@pytest.fixture(scope="module")
def depths(brightness):
    depth = 40 + 10 * (brightness - brightness.mean()) / brightness.std()
    depth = depth.clamp_min(0.5)
    depth[:, 0] = 0
    return depth


@pytest.fixture(scope="module")
def targets(masks, points, depths):
    return [DepthTarget(depths), MaskTarget(masks, 4), KeypointTarget(points, SIZE, CONFIG)]


@pytest.fixture(scope="module")
def trained(network, codes, targets):
    return train_labeler(network, codes, targets, CONFIG, run=Run(seed=3))


@pytest.fixture(scope="module")
def labels(network, codes, trained):
    return trained.label(network.synthesize(codes, with_features=True).features, SIZE)


def test_all_tasks_at_once(trained, labels, masks, depths):
    assert trained.tasks == ("segmentation", "keypoints", "depth")
    assert (labels.mask == masks).float().mean() > 0.8
    assert depth_sums(depths.numpy(), labels.depth.numpy()).mnmse < 0.01
    assert labels.keypoints.shape == (9, 3, 3)
    assert set(labels.uncertainty) == set(labels.task_scores) == set(trained.tasks)
    assert torch.equal(labels.divergence, labels.uncertainty["segmentation"])
    assert all(float(maps.min()) >= 0 for maps in labels.uncertainty.values())


def test_heatmaps_peak_at_the_points_and_nowhere_for_what_is_not_there(trained, labels, points):
    distance = (labels.keypoints[:, :2, :2] - points[:, :2, :2]).norm(dim=2)
    assert distance.median() <= 2
    there, absent = labels.keypoints[:, :2, 2], labels.keypoints[:, 2, 2]
    assert there.min() > 3 * absent.max()
    report = trained.head("keypoints").report
    assert report["held_out"]["accuracy"] <= 1
    assert report["class_weights"][1] > report["class_weights"][0]


@pytest.mark.parametrize("task", ["segmentation", "keypoints", "depth"])
def test_a_task_beside_others_is_learnt_as_if_alone(network, codes, targets, trained, task):
    (mine,) = [target for target in targets if target.task == task]
    alone = train_labeler(network, codes, [mine], CONFIG, run=Run(seed=3)).heads[0].ensemble
    assert torch.equal(alone.first_weight, trained.head(task).ensemble.first_weight)


def test_training_resumes_in_the_middle_of_the_second_task(network, codes, targets, trained):
    kept, told = [], []
    run = Run(seed=3, checkpoint=kept.append, checkpoint_every=100, progress=lambda *at: told.append(at))
    train_labeler(network, codes, targets, CONFIG, run=run)
    assert told[-1] == (450, 450)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    resumed = train_labeler(network, codes, targets, CONFIG, run=Run(seed=3, resume_from=kept[1]))
    for head, other in zip(resumed.heads, trained.heads, strict=True):
        assert torch.equal(head.ensemble.first_weight, other.ensemble.first_weight)
        assert json.dumps(head.report) == json.dumps(other.report)
    with pytest.raises(ResumeError, match="another training of a labeler"):
        train_labeler(network, codes, targets[:2], CONFIG, run=Run(seed=3, resume_from=kept[1]))


def test_round_trip_and_pruning(network, codes, trained, labels, tmp_path):
    info = LabelerInfo({"classes": [], "ignore_index": 255}, "ab" * 32, keypoints=["a", "b", "c"], depth_unit="m")
    save_labeler(tmp_path, trained, info)
    loaded = load_labeler(tmp_path)
    assert loaded.info.keypoints == ["a", "b", "c"]
    features = network.synthesize(codes, with_features=True).features
    again = loaded.labeler.label(features, SIZE)
    assert torch.equal(again.keypoints, labels.keypoints)
    assert torch.equal(again.depth, labels.depth)
    one = trained.pruned(1)
    assert one.config.members == 1
    assert float(one.label(features, SIZE).uncertainty["depth"].max()) == 0
    with pytest.raises(LabelerError):
        trained.pruned(4)


def test_tasks_resume_in_either_training_of_any_task(network, codes, targets):
    config = replace(CONFIG, max_steps=20, measure_every=10, train_on_all=True)
    kept = []
    trained = train_labeler(
        network, codes, targets, config, run=Run(seed=3, checkpoint_every=10, checkpoint=kept.append)
    )
    assert len(kept) == 6, "two trainings of each of three tasks"
    for content in kept:
        resumed = train_labeler(network, codes, targets, config, run=Run(seed=3, resume_from=content))
        assert [head.report for head in resumed.heads] == [head.report for head in trained.heads]
        for one, other in zip(resumed.heads, trained.heads, strict=True):
            assert torch.equal(one.ensemble.first_weight, other.ensemble.first_weight)


def test_calibration_changes_no_vote_and_lowers_the_likelihood(network, codes, masks, trained):
    report = trained.head("segmentation").report["calibration"]
    assert report["nll_after"] <= report["nll_before"]
    config = LabelerConfig.from_json({**CONFIG.to_json(), "calibrate": False})
    plain = train_labeler(network, codes, [MaskTarget(masks, 4)], config, run=Run(seed=3))
    features = network.synthesize(codes, with_features=True).features
    assert torch.equal(plain.label(features, SIZE).mask, trained.label(features, SIZE).mask)


def test_pixels_can_be_drawn_by_class(network, codes, masks):
    rare = torch.where(torch.rand(masks.shape, generator=torch.Generator().manual_seed(0)) < 0.02, 2, masks).byte()
    config = LabelerConfig.from_json({**CONFIG.to_json(), "balance_by": "sampling", "class_balance": 1.0})
    labeler = train_labeler(network, codes, [MaskTarget(rare, 4)], config)
    counts = np.bincount(
        labeler.label(network.synthesize(codes, with_features=True).features, SIZE).mask.flatten(), minlength=4
    )
    assert counts[2] > 2 * int((rare == 2).sum())  # noise that is drawn as often as the other classes takes its share


@pytest.mark.parametrize(("is_", "std"), [("std", 2.0), ("variance", 2**0.5)])
def test_heat_is_an_unnormalised_gaussian(is_, std):
    config = LabelerConfig(keypoint_sigma=2.0, keypoint_sigma_at=16, keypoint_sigma_is=is_)
    target = KeypointTarget(np.array([[[3.5, 2.5, 2], [1, 1, 0]]], np.float32), (8, 16), config)
    heat = target.at(torch.arange(128)).view(8, 16, 2)
    assert heat[2, 3, 0] == 10
    assert float(heat[2, 5, 0]) == pytest.approx(10 * np.exp(-4 / (2 * std**2)))
    assert not heat[..., 1].any()


def test_wrong_targets_are_told(network, codes, masks, points, depths):
    wrong = [
        KeypointTarget(points[:8], SIZE, CONFIG),
        DepthTarget(-depths),
        MaskTarget(masks[:, :8], 4),
    ]
    with pytest.raises(LabelerError) as caught:
        train_labeler(network, codes, wrong, CONFIG)
    assert {problem.pointer for problem in caught.value.problems} == {"targets", "keypoints", "depth"}
    with pytest.raises(LabelerError, match="no label can be learned"):
        train_labeler(network, codes, [DepthTarget(torch.zeros_like(depths))], CONFIG)

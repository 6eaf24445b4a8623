"""A net learns, repeats itself, goes on where it stopped, and is chosen on validation."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import EvaluationError, ResumeError, Stopped
from core.evaluation.downstream.config import PRESETS, DownstreamConfig
from core.evaluation.downstream.images import ArrayImages
from core.evaluation.downstream.loss import TargetFormat
from core.evaluation.downstream.networks import build_network
from core.evaluation.downstream.training import Start, fine_tune, predict, predict_masks, train_downstream
from core.evaluation.metrics.published_weights import TRUNKS
from core.run import Run
from core.tasks.keypoints import heatmaps, peaks
from core.torchvision_import import import_torchvision

QUICK = DownstreamConfig(steps=60, batch=16, width=8)


def discs(count: int, seed: int):
    """Bright discs on dark ground: images uint8 [N, 32, 32, 3], masks uint8 [N, 32, 32]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre = random.uniform(8, 24, (count, 2))
    masks = ((x - centre[:, :1, None]) ** 2 + (y - centre[:, 1:, None]) ** 2 < 36).astype(np.uint8)
    return np.repeat((40 + 170 * masks)[..., None], 3, axis=3).astype(np.uint8), masks


def same(first, second):
    a, b = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_discs_and_repeats_itself():
    first, second = (train_downstream(ArrayImages(*discs(32, 0)), 2, QUICK, run=Run(seed=3)) for _ in range(2))
    fresh, truth = discs(16, 1)
    assert np.mean(predict_masks(first, fresh) == truth) > 0.95
    assert same(first, second)


def test_half_precision_learns_as_well_and_keeps_weights_in_full():
    config = replace(QUICK, precision="bfloat16")
    first, second = (train_downstream(ArrayImages(*discs(32, 0)), 2, config, run=Run(seed=3)) for _ in range(2))
    fresh, truth = discs(16, 1)
    assert np.mean(predict_masks(first, fresh) == truth) > 0.95
    assert all(one.dtype == torch.float32 for one in first.network.parameters())
    assert same(first, second)


def test_it_goes_on_where_it_stopped():
    images = ArrayImages(*discs(8, 0))
    config = replace(QUICK, steps=12, validate_every=4)
    settings = {"validation": ArrayImages(*discs(4, 2))}
    kept: list[bytes] = []
    asked = iter(range(100))
    with pytest.raises(Stopped):
        train_downstream(
            images, 2, config, **settings,
            run=Run(seed=1, should_stop=lambda: next(asked) >= 7, checkpoint=kept.append, checkpoint_every=5),
        )  # fmt: skip
    resumed = train_downstream(images, 2, config, run=Run(seed=1, resume_from=kept[-1]), **settings)
    whole = train_downstream(images, 2, config, run=Run(seed=1), **settings)
    assert same(resumed, whole)
    assert resumed.scores == whole.scores
    assert resumed.chosen_step == max(whole.scores, key=lambda one: one[1])[0]


def test_a_checkpoint_of_another_training_is_refused():
    images = ArrayImages(*discs(4, 0))
    kept: list[bytes] = []
    config = replace(QUICK, steps=3)
    train_downstream(images, 2, config, run=Run(checkpoint=kept.append, checkpoint_every=2))
    with pytest.raises(ResumeError, match="cannot continue"):
        train_downstream(images, 2, config, run=Run(seed=1, resume_from=kept[0]))
    with pytest.raises(ResumeError, match="cannot continue"):
        train_downstream(images, 2, config, run=Run(resume_from=b"nonsense"))


def test_maps_are_learnt_where_they_are_known():
    images, masks = discs(32, 0)
    maps = np.stack([masks, 1.0 - masks], 1).astype(np.float32)
    maps[::2, 1, :16] = np.nan
    maps[:4] = np.nan
    trained = train_downstream(
        ArrayImages(images, maps), 2, replace(QUICK, steps=100, learning_rate=1e-2, augment="none"), run=Run()
    )
    fresh, truth = discs(8, 1)
    found = predict(trained, fresh)
    assert np.abs(found[:, 0] - truth).mean() < 0.2
    assert np.abs(found[:, 1] - (1.0 - truth)).mean() < 0.2


def test_points_are_found_by_a_short_training():
    """Of a heatmap one pixel in a hundred is warm: unweighed, a net learns to say that none is."""
    random = np.random.default_rng(4)
    size, count, heat = 48, 8, 10.0
    colours = random.integers(60, 255, (count, 3))

    def dots(images):
        places = random.uniform(4, size - 4, (images, count, 2)).astype(np.float32)
        y, x = np.mgrid[:size, :size] + 0.5
        pictures = random.integers(0, 90, (images, size, size, 3))
        for k in range(count):
            near = (x - places[:, k, 0, None, None]) ** 2 + (y - places[:, k, 1, None, None]) ** 2 < 5
            pictures = np.where(near[..., None], colours[k], pictures)
        points = np.concatenate([places, np.full((images, count, 1), 2, np.float32)], axis=2)
        return pictures.astype(np.uint8), points

    images, points = dots(128)
    fresh, truth = dots(32)
    targets = ArrayImages(images, heatmaps(points, (size, size), 1.0, heat))
    trained = train_downstream(
        targets, count, replace(QUICK, steps=120, augment="none"), run=Run(), target=TargetFormat(heat=heat)
    )
    found = peaks(predict(trained, fresh))
    assert np.mean(np.abs(found[..., :2] - truth[..., :2]).max(axis=2) <= 2) >= 0.5


def test_fine_tuning_on_real_images_corrects_wrong_labels():
    images, masks = discs(16, 0)
    # Fine-tuning takes a third of the steps at 0.15 of the rate.
    config = replace(QUICK, steps=60, learning_rate=2e-2)
    wrong = train_downstream(ArrayImages(images, 1 - masks), 2, config, run=Run())
    upside_down = fine_tune(wrong, ArrayImages(images, masks), replace(config, steps=180), run=Run())
    fresh, truth = discs(8, 1)
    assert np.mean(predict_masks(upside_down, fresh) == truth) > np.mean(predict_masks(wrong, fresh) == truth) + 0.5


def test_a_frozen_trunk_stays_as_it_was():
    start = build_network(QUICK, 3)
    before = {name: value.clone() for name, value in start.trunk.state_dict().items()}
    trained = train_downstream(
        ArrayImages(*discs(8, 0)), 2, replace(QUICK, steps=3), run=Run(), start=Start(network=start, freeze_trunk=True)
    )
    after = trained.network.trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("masks", [np.full((2, 8, 8), 7, np.uint8), np.full((2, 8, 8), 255, np.uint8)])
def test_masks_that_say_nothing_are_refused(masks):
    with pytest.raises(EvaluationError, match="unusable masks"):
        train_downstream(ArrayImages(np.zeros((2, 8, 8, 3), np.uint8), masks), 2, QUICK, run=Run())


def test_settings_tell_all_that_is_wrong_at_once():
    with pytest.raises(EvaluationError) as caught:
        DownstreamConfig(network="resnet", steps=0, learning_rate=0.0)
    assert [problem.pointer for problem in caught.value.problems] == ["network", "steps", "learning_rate"]


@pytest.mark.parametrize(
    "name",
    [
        "deeplabv3_mobilenet",
        "unet_resnet18",
        pytest.param("deeplabv3_resnet50", marks=pytest.mark.slow),
        pytest.param("deeplabv3_resnet101", marks=pytest.mark.slow),
    ],
)
def test_published_nets_train_and_keep_the_size(name):
    import_torchvision()  # segmentation_models_pytorch asks for it by name
    if name == "unet_resnet18":
        pytest.importorskip("segmentation_models_pytorch", exc_type=ImportError)
    config = replace(QUICK, network=name, steps=1, batch=2)
    trained = train_downstream(ArrayImages(*discs(4, 0)), 2, config, run=Run())
    assert predict(trained, discs(2, 1)[0]).shape == (2, 2, 32, 32)


def test_trunk_weights_come_from_a_file(tmp_path):
    given = build_network(QUICK, 2)
    path = tmp_path / "trunk.pt"
    torch.save({**given.trunk.state_dict(), "fc.weight": torch.zeros(2)}, path)
    found = build_network(QUICK, 5, path)
    assert torch.equal(found.trunk.state_dict()["0.0.weight"], given.trunk.state_dict()["0.0.weight"])
    torch.save({}, path)
    with pytest.raises(EvaluationError) as caught:
        build_network(QUICK, 5, path)
    assert "trunk.pt" in str(caught.value)


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "resnet50"])
def test_published_classifiers_fit_the_trunks(name, tmp_path):
    """torchvision's own files hold whole classifiers; the trunks are parts of these."""
    import_torchvision()
    models = importlib.import_module("torchvision.models")
    state = getattr(models, name)(weights=None).state_dict()
    torch.save(state, tmp_path / "trunk.pth")
    network = next(net for net, trunk in TRUNKS.items() if trunk == name)
    found = build_network(replace(QUICK, network=network), 2, tmp_path / "trunk.pth").trunk.state_dict()
    first = {"mobilenet_v3_large": ("0.0.weight", "features.0.0.weight"), "resnet50": ("conv1.weight",) * 2}[name]
    assert torch.equal(found[first[0]], state[first[1]])


def test_the_papers_settings_are_there_by_name():
    assert PRESETS["handsoff"].network == "deeplabv3_resnet101"
    assert PRESETS["knowing_the_distance"].betas == (0.9, 0.99)

import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import LabelerError, ResumeError, Stopped
from core.generators.interface import Codes
from core.labeling import trainer
from core.labeling.config import LabelerConfig
from core.labeling.training import train_ensemble
from core.run import Run

SMALL = LabelerConfig(
    members=3, hidden=(24, 8), components=24, pixel_batch=96, epochs=30, max_steps=150, measure_every=50
)


def weights(labeler):
    ensemble = labeler.heads[0].ensemble
    return [ensemble.first_weight, ensemble.first_bias, *ensemble.weights, *ensemble.biases]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture(scope="module")
def trained(network, codes, masks):
    return train_ensemble(network, codes[:8], masks[:8], 4, SMALL, run=Run(seed=5))


def test_it_learns(network, codes, masks):
    longer = LabelerConfig(**{**vars(SMALL), "epochs": 60, "max_steps": 300})
    labeler = train_ensemble(network, codes[:8], masks[:8], 4, longer, run=Run(seed=5))
    labels = labeler.label(network.synthesize(codes, with_features=True).features, (16, 12))
    assert (labels.mask[:8] == masks[:8]).float().mean() > 0.9
    assert (labels.mask[8] == masks[8]).float().mean() > 0.7
    assert labels.mask.dtype == torch.uint8
    assert labels.divergence.shape == (9, 16, 12)


def test_it_says_how_it_went(trained):
    report = trained.report
    assert report["steps"] == 150
    assert [step for step, _ in report["loss_curve"]] == [50, 100, 150]
    assert report["loss_curve"][-1][1] < report["loss_curve"][0][1]
    assert report["class_pixels"][2] == 0
    assert report["class_weights"][2] == 0
    assert report["class_weights"][3] > report["class_weights"][0]
    assert report["held_out"] is None


def test_the_same_seed_gives_the_same_labeler_and_another_seed_another(network, codes, masks, trained):
    assert same(trained, train_ensemble(network, codes[:8], masks[:8].numpy(), 4, SMALL, run=Run(seed=5)))
    assert not same(trained, train_ensemble(network, codes[:8], masks[:8], 4, SMALL, run=Run(seed=6)))


def test_members_do_not_depend_on_their_number(network, codes, masks, trained):
    single = train_ensemble(
        network, codes[:8], masks[:8], 4, LabelerConfig(**{**vars(SMALL), "members": 1}), run=Run(seed=5)
    )
    first = trained.heads[0].ensemble.first_weight[:, :24]
    torch.testing.assert_close(single.heads[0].ensemble.first_weight, first, rtol=1e-2, atol=1e-3)


def test_resuming_gives_the_same_labeler(network, codes, masks, trained):
    kept = []
    again = {"seed": 5, "checkpoint_every": 70}
    train_ensemble(network, codes[:8], masks[:8], 4, SMALL, run=Run(**again, checkpoint=kept.append))
    assert len(kept) == 2
    for content in kept:
        resumed = train_ensemble(network, codes[:8], masks[:8], 4, SMALL, run=Run(**again, resume_from=content))
        assert same(resumed, trained)
        assert resumed.report == trained.report
    with pytest.raises(ResumeError, match="another training"):
        train_ensemble(network, codes[:7], masks[:7], 4, SMALL, run=Run(**again, resume_from=kept[0]))
    with pytest.raises(ResumeError, match="cannot be read"):
        train_ensemble(network, codes[:8], masks[:8], 4, SMALL, run=Run(**again, resume_from=b"nonsense"))


def test_batches_larger_than_a_pool_are_still_batches(network, codes, masks, monkeypatch):
    monkeypatch.setattr(trainer, "POOL_BYTES", 1)
    config = LabelerConfig(members=1, hidden=(8,), pixel_batch=800, epochs=2)  # of 1536 pixels
    assert train_ensemble(network, codes[:8], masks[:8], 4, config).report["steps"] == 4


def test_several_small_pools_do_as_well(network, codes, masks, monkeypatch):
    monkeypatch.setattr(trainer, "POOL_BYTES", 4 * 24 * 500)
    kept = []
    arguments = (network, codes[:8], masks[:8], 4, SMALL)
    labeler = train_ensemble(*arguments, run=Run(checkpoint=kept.append, checkpoint_every=60))
    labels = labeler.label(network.synthesize(codes[:8], with_features=True).features, (16, 12))
    assert (labels.mask == masks[:8]).float().mean() > 0.85
    assert same(labeler, train_ensemble(*arguments, run=Run(resume_from=kept[1])))


def test_features_on_disk_give_the_same_labeler(network, codes, masks, trained, tmp_path, monkeypatch):
    opened = []
    temporary = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **where: opened.append(temporary(**where)) or opened[-1])
    mapped = train_ensemble(network, codes[:8], masks[:8], 4, SMALL, run=Run(seed=5, memory_bytes=0, folder=tmp_path))
    assert same(mapped, trained)
    assert mapped.report == trained.report
    assert [file.closed for file in opened] == [True]
    assert not list(tmp_path.iterdir())


def test_held_out_images_end_training_and_the_best_is_kept(network, codes, masks):
    config = LabelerConfig(
        members=2,
        hidden=(16,),
        components=None,
        pixel_batch=64,
        epochs=1000,
        max_steps=None,
        measure_every=20,
        held_out=3,
        patience=3,
        schedule="constant",
        train_on_all=False,
    )
    told: list[dict[str, float]] = []
    report = train_ensemble(network, codes, masks, 4, config, run=Run(log=told.append)).report
    assert [[point["step"], point["loss"]] for point in told] == report["loss_curve"]
    assert [[point["step"], point["accuracy"]] for point in told] == report["held_out"]["curve"]
    curve = [value for _, value in report["held_out"]["curve"]]
    assert report["stopped_early"]
    assert report["steps"] < report["steps_planned"]
    assert len(report["held_out"]["images"]) == 3
    assert report["held_out"]["accuracy"] == max(curve)
    assert max(curve[-3:]) <= max(curve[:-3])


def test_the_labeler_is_trained_on_all_images_after_the_held_out_ones_are_scored(network, codes, masks):
    config = LabelerConfig(**{**vars(SMALL), "held_out": 3})
    scored = train_ensemble(network, codes, masks, 4, replace(config, train_on_all=False), run=Run(seed=5))
    of_all = train_ensemble(network, codes, masks, 4, SMALL, run=Run(seed=5))
    kept, told = [], []
    run = Run(seed=5, checkpoint_every=70, checkpoint=kept.append, progress=lambda *at: told.append(at))
    labeler = train_ensemble(network, codes, masks, 4, config, run=run)
    report = labeler.report
    assert report["trained_on_all"]
    assert (report["pixels"], scored.report["pixels"]) == (9 * 16 * 12, 6 * 16 * 12)
    assert (report["held_out"], report["calibration"]) == (scored.report["held_out"], scored.report["calibration"])
    temperature = report["calibration"]["temperature"]
    last, plain = weights(labeler)[-1], weights(of_all)[-1]
    assert torch.equal(last, plain / temperature) or torch.allclose(last, plain / temperature, rtol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(weights(labeler)[:2], weights(of_all)[:2], strict=True))
    assert (len(kept), told[-1]) == (4, (300, 300)), "two trainings of 150 steps, two checkpoints each"
    for content in kept:
        resumed = train_ensemble(
            network, codes, masks, 4, config, run=Run(seed=5, checkpoint_every=70, resume_from=content)
        )
        assert same(resumed, labeler)
        assert resumed.report == labeler.report


def test_training_on_all_images_takes_as_many_steps_as_were_best(network, codes, masks):
    config = LabelerConfig(
        members=2, hidden=(16,), components=None, pixel_batch=64, epochs=1000, max_steps=None, measure_every=20,
        held_out=3, patience=3, schedule="constant",
    )  # fmt: skip
    report = train_ensemble(network, codes, masks, 4, config).report
    step, _ = max(report["held_out"]["curve"], key=lambda point: point[1])
    assert report["steps"] == report["steps_planned"] == step


def test_an_image_is_held_out_with_all_its_codes(network, codes, masks):
    settings = {**vars(SMALL), "held_out": 3, "train_on_all": False}
    origins = [0, 1, 2, 3, 4, 0, 1, 2, 3]
    report = train_ensemble(
        network, codes, masks, 4, LabelerConfig(**settings), origins=origins, run=Run(seed=3)
    ).report
    held = report["held_out"]["images"]
    assert len(held) == 3
    assert all(place < 5 for place in held), "an image is measured on its first code"
    of_them = sum(origin in held for origin in origins)
    assert of_them > 3
    assert report["pixels"] == (9 - of_them) * 16 * 12
    with pytest.raises(LabelerError) as wrong:
        train_ensemble(network, codes, masks, 4, LabelerConfig(**{**settings, "held_out": 5}), origins=origins)
    assert [problem.detail for problem in wrong.value.problems] == ["5 images leave none to train on"]
    with pytest.raises(LabelerError) as wrong:
        train_ensemble(network, codes, masks, 4, SMALL, origins=origins[:8])
    assert [(problem.detail, problem.pointer) for problem in wrong.value.problems] == [("8 for 9 codes", "origins")]


def test_ignored_pixels_teach_nothing(network, codes, masks):
    spoilt = masks[:8].clone()
    spoilt[:, ::2] = 2  # rows of nonsense
    spoilt[:, ::2] = 255
    labeler = train_ensemble(network, codes[:8], spoilt, 4, SMALL)
    assert labeler.report["pixels"] == 8 * 8 * 12
    labels = labeler.label(network.synthesize(codes[:8], with_features=True).features, (16, 12))
    assert (labels.mask == masks[:8]).float().mean() > 0.8


def test_labels_may_be_coarser_than_the_image_and_come_out_at_any_size(network, codes, masks):
    labeler = train_ensemble(network, codes[:8], masks[:8, ::2, ::2], 4, SMALL)
    features = network.synthesize(codes[:2], with_features=True).features
    assert labeler.label(features, (16, 12)).mask.shape == (2, 16, 12)
    assert labeler.label(features, (5, 6)).divergence.shape == (2, 5, 6)


def test_the_paper_preset_trains_on_raw_features(network, codes, masks):
    config = LabelerConfig.from_json({"preset": "paper", "members": 2, "hidden": [16, 8]})
    report = train_ensemble(network, codes[:8], masks[:8], 4, config).report
    assert report["components"] is None
    assert report["steps"] == 4 * 8 * 16 * 12 // 64


def test_it_stops_when_asked_and_tells_how_far_it_is(network, codes, masks):
    told = []
    with pytest.raises(Stopped):
        train_ensemble(
            network,
            codes[:8],
            masks[:8],
            4,
            SMALL,
            run=Run(progress=lambda done, total: told.append((done, total)), should_stop=lambda: len(told) == 5),
        )
    assert told == [(step, 150) for step in range(1, 6)]


def test_everything_that_does_not_fit_is_told_at_once(network, codes, masks):
    wrong = np.full((8, 16, 12), 9, np.uint8)
    with pytest.raises(LabelerError) as caught:
        train_ensemble(
            network, Codes({"w_plus": codes[:8].parts["w_plus"] * torch.nan}), wrong, 4, LabelerConfig(held_out=8)
        )
    assert {problem.pointer for problem in caught.value.problems} == {"w_plus", "masks", "held_out"}
    for bad in (masks[:7], masks[:8].float(), torch.zeros(8, 17, 12, dtype=torch.uint8)):
        with pytest.raises(LabelerError, match="masks"):
            train_ensemble(network, codes[:8], bad, 4)
    with pytest.raises(LabelerError, match="no label can be learned"):
        train_ensemble(network, codes[:8], torch.zeros(8, 16, 12, dtype=torch.uint8), 4)


def test_features_of_another_generator_are_refused(network, codes, trained):
    features = network.synthesize(codes[:1], with_features=True).features
    with pytest.raises(LabelerError, match="another generator"):
        trained.label(features[:-1], (16, 12))

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.errors import LabelerError, ResumeError, Stopped
from core.label_sets.label_set import LabelItem
from core.labeling.config import LabelerConfig
from core.labeling.cross_validation import cross_validate
from core.labeling.targets import MaskTarget
from core.labeling.training import train_labeler
from core.run import Run

CONFIG = LabelerConfig(
    members=2, hidden=(8,), components=16, pixel_batch=96, max_steps=40, measure_every=20, held_out=1
)


@pytest.fixture(scope="module")
def items(masks):
    blank = np.zeros((16, 12, 3), np.uint8)
    return [LabelItem(f"{number}", blank, mask.numpy()) for number, mask in enumerate(masks)]


@pytest.fixture(scope="module")
def found(network, codes, items):
    return cross_validate(network, codes, items, 4, CONFIG, folds=3)


def test_every_image_is_labelled_by_a_labeler_of_the_others(network, codes, masks, items, found):
    assert len(found) == 9
    # An image's label depends on nothing in its own mask.
    changed = [LabelItem(one.name, one.image, one.mask * 0, None, None) if one.name == "4" else one for one in items]
    again = cross_validate(network, codes, changed, 4, CONFIG, folds=9)
    whole = cross_validate(network, codes, items, 4, CONFIG, folds=9)
    assert np.array_equal(again[4].mask, whole[4].mask)
    assert not all(np.array_equal(a.mask, b.mask) for a, b in zip(again, whole, strict=True))
    others = [n for n in range(9) if n != 4]
    alone = train_labeler(network, codes[others], [MaskTarget(masks[others], 4)], replace(CONFIG, train_on_all=False))
    label = alone.label(network.synthesize(codes[4:5], with_features=True).features, (16, 12))
    assert np.array_equal(label.mask[0].numpy(), whole[4].mask)
    assert whole[4].score == label.scores.numpy()


def test_confidence_is_held_against_the_truth(network, codes, items):
    sure = replace(CONFIG, members=1)  # of one member, the mean says what the vote says
    for label, item in zip(cross_validate(network, codes, items, 4, sure, folds=3), items, strict=True):
        assert np.array_equal(label.correct, (label.mask == item.mask).ravel())
        assert (label.confidence >= 0.25).all()
        assert (label.confidence <= 1).all()


def test_it_goes_on_after_the_last_finished_fold(network, codes, items, found):
    kept, counted = [], []

    def stop_in_the_third_fold():
        return len(kept) == 2

    with pytest.raises(Stopped):
        cross_validate(
            network, codes, items, 4, CONFIG, 3, run=Run(checkpoint=kept.append, should_stop=stop_in_the_third_fold)
        )
    resumed = cross_validate(
        network, codes, items, 4, CONFIG, 3, run=Run(resume_from=kept[1], progress=lambda *at: counted.append(at))
    )
    assert counted[0] == (6, 9)
    assert counted[-1] == (9, 9)
    for one, other in zip(resumed, found, strict=True):
        assert all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))
    for content, told in ((kept[1], "another cross-validation"), (kept[1][:50], "cannot be read")):
        with pytest.raises(ResumeError, match=told):
            cross_validate(network, codes, items, 4, CONFIG, 3, run=Run(seed=1, resume_from=content))


def test_too_few_images_are_told(network, codes, items):
    with pytest.raises(LabelerError, match="cross-validated"):
        cross_validate(network, codes[:2], items[:2], 4, CONFIG)
    three = cross_validate(network, codes[:3], items[:3], 4, CONFIG, folds=5)
    assert len(three) == 3
    assert torch.isfinite(torch.tensor([float(one.score[0]) for one in three])).all()


def test_no_labeler_has_seen_another_code_of_the_image_that_it_judges(network, codes, items):
    # The last three codes are of the first three images once more.
    origins = [*range(6), 0, 1, 2]
    found = cross_validate(network, codes, items, 4, CONFIG, folds=6, origins=origins)
    assert len(found) == 6
    seventh = replace(items[6], mask=items[6].mask * 0)
    again = cross_validate(network, codes, [*items[:6], seventh, *items[7:]], 4, CONFIG, folds=6, origins=origins)
    assert np.array_equal(again[0].mask, found[0].mask), "the seventh's label taught a labeler that judged the first"
    assert not all(np.array_equal(a.mask, b.mask) for a, b in zip(again, found, strict=True))
    with pytest.raises(LabelerError, match="cross-validated"):
        cross_validate(network, codes, items, 4, CONFIG, origins=[0, 1, 0, 1, 0, 1, 0, 1, 0])

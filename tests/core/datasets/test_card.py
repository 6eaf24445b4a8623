"""The card says what is true, in plain words, and nothing in it can break out of its place."""

import json

import pytest

from core.datasets.card import histogram_lines, write_card
from core.datasets.quality_warnings import (
    DatasetFacts,
    DroppedFacts,
    GeneratorFacts,
    HeldOutFacts,
    InvertedLabel,
    SteeredClass,
    inversion_verdict,
    plain_warnings,
    reasons_against,
)
from core.datasets.statistics import DatasetStatistics
from core.label_sets.classes import ClassMap
from core.label_sets.label_set import ClassShare

CLASSES = ClassMap({0: "background", 1: "head", 4: "hat", 5: "glasses"})
HALF = ClassShare(0.25, 25)


def statistics(count=90, **images):
    result = DatasetStatistics()
    for number in range(count):
        pixels = {"0": 3000, "1": 1000}
        if number < images.get("hat", 45):
            pixels["4"] = 90
        if number < images.get("glasses", 45):
            pixels["5"] = 6
        result.add({"uncertainty": 10 + number, "pixels": pixels})
    return result


HATS = SteeredClass(4, 0.9, 0.001)


def facts(**changes):
    values = {
        "name": "heads",
        "classes": CLASSES,
        "statistics": statistics(),
        "requested": 90,
        "candidates": 100,
        "complete": True,
        "size": (64, 48),
        "generator": GeneratorFacts("heads64", "ab" * 32, "Apache-2.0", "rendered heads"),
        "label_count": 50,
        "label_shares": dict.fromkeys(CLASSES.ids, HALF),
        "inversion": [InvertedLabel(f"{number:03d}", 30 + number, 0.1) for number in range(5)],
        "perceptual": "lpips-alex",
        "digests": {"label_set": "cd" * 32, "labeler": "ef" * 32},
        "settings": {"seed": 7, "truncation_psi": 0.7, "drop_fraction": 0.1},
        "pictures": {"Contact sheet": "contact_sheet.png"},
        "held_out": HeldOutFacts(5, 0.631, 0.93, {0: 0.9, 1: 0.8, 4: 0.2, 5: 0.7}),
        "dropped": DroppedFacts(uncertain=10),
    }
    return DatasetFacts(**{**values, **changes})


def test_a_good_dataset_has_no_warnings():
    assert plain_warnings(facts()) == []
    assert "Before you use it" not in write_card(facts())


def test_labelled_images_that_trained_the_generator_are_named():
    names = [f"{number:03d}" for number in range(7)]
    (line,) = plain_warnings(facts(seen_in_training=names))
    assert line.startswith(
        "7 of 50 labelled images also trained the generator (000, 001, 002, 003, 004 and 2 more): it redraws"
    )
    assert line in write_card(facts(seen_in_training=names))


def test_what_the_card_says():
    card = write_card(facts())
    for line in (
        "90 generated images of 48 × 64 pixels",
        "Of 100 drawn images these were dropped: 10 as the most uncertain (image score class_mean).",
        "mean over the classes that it shows of the Jensen-Shannon divergence",
        "Mean IoU 0.631, pixel accuracy 0.930, on 5 labelled images that were kept aside.",
        "| 4 | hat | 1.11 % | 45 (50.00 %) | 25 (50.00 %) |",
        "![Contact sheet](contact_sheet.png)",
        "ab" * 32,
        "cd" * 32,
        '"truncation_psi": 0.7',
        "The id 255 marks pixels to ignore",
        "smallest 10, mean 54.5, largest 99",
        "No person has checked these labels.",
    ):
        assert line in card
    assert write_card(facts()) == card


def test_the_card_separates_what_was_dropped_for_composition_from_what_was_uncertain():
    steered = facts(dropped=DroppedFacts(uncertain=6, composition=48), candidates=144, steered=[HATS])
    card = write_card(steered)
    words = (
        "6 as the most uncertain (image score class_mean); 48 for the composition, in favour of images that show the "
        "classes asked for."
    )
    assert f"Of 144 drawn images these were dropped: {words}" in card
    assert "## Composition" in card
    assert "| hat | 90.00 % of the images | 0.10 % |" in card
    assert "## Composition" not in write_card(facts())


def test_a_sound_steered_class_is_not_warned_of():
    assert plain_warnings(facts(steered=[SteeredClass(5, 0.5, 0.001)])) == []


def test_reasons_against_a_dataset_come_first_among_the_warnings():
    poor = facts(inversion=[InvertedLabel("a", 16.3, 0.4)] * 3, label_count=3)
    assert plain_warnings(poor)[: len(reasons_against(poor))] == reasons_against(poor)
    assert len(reasons_against(poor)) == 1 < len(plain_warnings(poor))
    assert reasons_against(facts()) == []


def test_rare_classes_are_named_after_the_reasons_against():
    shares = {**dict.fromkeys(CLASSES.ids, HALF), 5: ClassShare(0.001, 3)}
    held_out = HeldOutFacts(5, 0.6, 0.9, {0: 0.9, 1: 0.8, 4: 0.19, 5: 0.01})
    warned = plain_warnings(facts(label_shares=shares, held_out=held_out))
    assert warned[:2] == [
        "Rare class 'hat': its held-out IoU is 0.19. Its labels are often wrong or missing: "
        "label more images that show it.",
        "Rare class 'glasses': 3 of 50 labelled images show it and its held-out IoU is 0.01. "
        "Its labels are often wrong or missing: label more images that show it.",
    ]
    card = write_card(facts(label_shares=shares, held_out=held_out))
    assert card.index("Rare class 'glasses'") < card.index("## Classes")
    boundary = {**shares, 5: ClassShare(0.001, 10)}
    assert plain_warnings(facts(label_shares=boundary)) == []


def test_the_card_says_that_the_labeler_was_trained_on_all_images_after_the_score():
    trained = facts(held_out=HeldOutFacts(5, 0.631, 0.93, None, trained_on_all=True))
    assert "kept aside. Then the labeler was trained again on all labelled images." in write_card(trained)


def test_front_matter():
    front = write_card(facts()).split("---\n")[1]
    assert "license: apache-2.0\n" in front
    assert '- "n<1K"\n' in front
    assert "- image-segmentation\n" in front
    own = facts(generator=GeneratorFacts("g", "ab", "NVIDIA: non-commercial", "faces"), name='a: "b"\n---\nx')
    front = write_card(own).split("\n---\n")[0]
    assert 'license: other\nlicense_name: "NVIDIA: non-commercial"\n' in front
    assert f"pretty_name: {json.dumps(own.name)}\n" in front


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"complete": False, "requested": 200}, "not complete: 90 of 200 images"),
        ({"requested": 91}, "90 images are there and 91 were asked for"),
        ({"statistics": statistics(hat=0)}, "No image shows class 'hat' (25 of 50 labelled images do)"),
        ({"statistics": statistics(glasses=3)}, "Only 3.3 % of the images show class 'glasses'"),
        ({"label_shares": {0: HALF, 1: HALF, 4: ClassShare(0, 0), 5: HALF}}, "No labelled image shows class 'hat'"),
        ({"inversion": [InvertedLabel("a", 12.0, 0.7)] * 3}, "cannot redraw the labelled images (median PSNR 12.0 dB)"),
        ({"inversion": [InvertedLabel("a", 25, 0.2, flagged=n < 2) for n in range(5)]}, "2 of 5 labelled images"),
        ({"statistics": DatasetStatistics()}, "holds no images"),
        ({"label_count": 15}, "Only 15 labelled images: 16 to a few hundred are recommended"),
        ({"held_out": HeldOutFacts(5, 0.41, 0.9, None)}, "held-out mIoU is 0.410"),
        ({"steered": [HATS]}, "asks for class 'hat' and counts predicted pixels, but its held-out IoU is 0.20"),
        ({"steered": [HATS], "label_shares": {**dict.fromkeys(CLASSES.ids, HALF), 4: ClassShare(0.1, 1)},
          "held_out": None}, "but 1 labelled image shows it"),
        ({"steered": [HATS], "held_out": HeldOutFacts(5, 0.7, 0.9, {0: 0.9, 1: 0.8})}, "its IoU is not known"),
    ],
)  # fmt: skip
def test_warnings_in_plain_words(changes, words):
    found = plain_warnings(facts(**changes))
    assert any(words in line for line in found)
    assert "## Before you use it" in write_card(facts(**changes))


@pytest.mark.parametrize(
    ("psnr", "words"), [(31.0, "redraws the labelled images closely"), (24.0, "loses detail"), (15.0, "cannot redraw")]
)
def test_inversion_verdict(psnr, words):
    rows = [
        InvertedLabel(str(number), psnr + number, 0.25, flagged=number == 0, dropped=number == 0) for number in range(3)
    ]
    verdict = inversion_verdict(facts(inversion=rows))
    assert words in verdict
    assert f"median PSNR {psnr + 1:.1f} dB (worst {psnr:.1f})" in verdict
    assert "1 of 3 are flagged as reconstructed badly; 1 were left out" in verdict
    assert "lpips-alex" in verdict
    assert "nothing is known" in inversion_verdict(facts(inversion=[]))


def test_histogram():
    result = DatasetStatistics()
    for score in (0, 1, 1, 1, 2):
        result.add({"uncertainty": score, "pixels": {"0": 1}})
    lines = histogram_lines(result)
    assert [line.split()[0] for line in lines] == ["0", "1", "1.33", "1.78"]
    assert [line.split()[-1] for line in lines] == ["1", "3", "0", "1"]
    assert histogram_lines(DatasetStatistics()) == []


def test_names_from_elsewhere_stay_text():
    classes = ClassMap({0: "a|b", 1: "<script>alert(1)</script>", 4: "[x](http://evil)", 5: "```"})
    card = write_card(facts(classes=classes, settings={"labels": "```\n# out"}))
    assert "<script>" not in card
    assert "[x](" not in card
    assert "| a\\|b |" in card
    assert card.count("```") == 6

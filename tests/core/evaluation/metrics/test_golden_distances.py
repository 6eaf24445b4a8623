"""Distances and resize rules against the values of torch-fidelity, prdc, StudioGAN and CLIP."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.evaluation.metrics.distribution import (
    KidSettings,
    class_distances,
    frechet_distance,
    kernel_distance,
    manifold_scores,
    squared_mmd,
)
from core.evaluation.metrics.resize import resized
from core.image_arrays import to_bytes


@pytest.fixture(scope="module")
def values(shared: Path):
    return json.loads((shared / "golden" / "metrics" / "values.json").read_text())


@pytest.fixture(scope="module")
def inputs(shared: Path):
    return {name: one.numpy() for name, one in load_file(shared / "golden" / "metrics" / "io.safetensors").items()}


@pytest.mark.parametrize(
    ("case", "first", "second"),
    [
        ("real_fake", "real", "fake"),
        ("real_real", "real", "real"),
        ("few_fake", "real_few", "fake"),
        ("real_first100_last100", "first", "last"),
    ],
)
def test_fid_equals_the_reference(case: str, first: str, second: str, values, inputs) -> None:
    sides = {**inputs, "first": inputs["real"][:100], "last": inputs["real"][100:]}
    expected = values[f"fid.{case}"]["torch_fidelity_float64"]
    assert frechet_distance(sides[first], sides[second]) == pytest.approx(expected, rel=1e-7, abs=1e-10)


def test_fid_of_equal_covariances_of_low_rank_is_exact(values, inputs) -> None:
    """The references round roots of eigenvalues near zero: 0.1599995 where 0.16 is exact."""
    few = inputs["real_few"].astype(np.float64)
    moved = few + 0.1
    found = frechet_distance(few, moved)
    assert found == pytest.approx(0.16, abs=1e-12)
    assert found == pytest.approx(values["fid.few_few"]["torch_fidelity_float64"], abs=1e-6)


def test_class_fid_equals_the_reference(values, inputs) -> None:
    shows = [inputs[f"labels.{side}"][:, None] == np.arange(3) for side in ("real", "fake")]
    found = class_distances(inputs["real"], shows[0], inputs["fake"], shows[1], ["a", "b", "c"])
    assert [one.fid for one in found] == pytest.approx(values["ifid"]["per_class"], rel=1e-10)


def test_kid_equals_the_reference(values, inputs) -> None:
    expected = values["kid.subsets5_size100_seed2020"]
    found = kernel_distance(inputs["real"], inputs["fake"], KidSettings(5, 100, seed=2020))
    assert found[0] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-10)
    assert found[1] == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-10)
    real, fake = (inputs[side][:180].astype(np.float64) for side in ("real", "fake"))
    assert squared_mmd(real, fake) == pytest.approx(values["kid.mmd2.unbiased.first180"], rel=1e-10)


@pytest.mark.parametrize("neighbours", [3, 5])
def test_precision_recall_density_coverage_equal_the_reference(neighbours: int, values, inputs) -> None:
    found = manifold_scores(inputs["real"], inputs["fake"], neighbours)
    assert vars(found) == pytest.approx(values[f"prdc.naver.k{neighbours}"], rel=1e-12)


@pytest.mark.parametrize("image", ["a", "b"])
@pytest.mark.parametrize(
    ("rule", "size", "case"),
    [
        ("tf_bilinear", 299, "tf1_legacy_299"),
        ("bilinear", 299, "studiogan_legacy_299"),
        ("clean", 299, "clean_pil_299"),
        ("bicubic", 224, "studiogan_clip_bicubic_224"),
    ],
)
def test_resize_rules_equal_the_references(image: str, rule, size: int, case: str, inputs) -> None:
    given = torch.from_numpy(inputs[f"image.{image}"]).permute(2, 0, 1)[None]
    found = resized(given, size, rule)
    assert found[..., ::4, ::4].numpy() == pytest.approx(inputs[f"resize.{image}.{case}"], abs=5e-4)
    mean, deviation = inputs[f"resize.{image}.{case}.mean_std"]
    assert (float(found.double().mean()), float(found.double().std())) == pytest.approx((mean, deviation), rel=1e-6)


@pytest.mark.parametrize("image", ["a", "b"])
def test_clip_rule_equals_the_reference_bytes(image: str, inputs) -> None:
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    found = resized(torch.from_numpy(inputs[f"image.{image}"]).permute(2, 0, 1)[None], 224, "clip")
    normal = ((found / 255 - mean) / deviation)[..., ::4, ::4]
    assert normal.numpy() == pytest.approx(inputs[f"resize.{image}.openai_clip_preprocess"], abs=1e-6)


def test_rounding_to_bytes_equals_the_reference(inputs) -> None:
    found = to_bytes(torch.from_numpy(inputs["quantize.in"])).numpy()
    assert np.abs(found.astype(int) - inputs["quantize.out"]).max() == 0

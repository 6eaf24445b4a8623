"""Claims are measured in paired repeats that survive an interruption, and written down as they are."""

import json

import numpy as np
import pytest

from testbed.claims.claims import CLAIMS, Claim, Contrast
from testbed.claims.document import write_document
from testbed.claims.heads import SIZES, Heads, decoded, maps_of, points_of
from testbed.claims.running import run_claim
from testbed.examples import labelled_heads


def fake(better: float, calls: list[int]):
    def arm(heads: Heads):
        calls.append(heads.repeat)
        return {"miou": 50 + better + heads.repeat}

    return arm


def test_an_interrupted_claim_goes_on_where_it_was(tmp_path):
    calls: list[int] = []
    claim = Claim(
        "transfer", "Better?", "+32", {"a": fake(10, calls), "b": fake(0, [])},
        (Contrast("a", "b", bound=5), Contrast("b", "a"), Contrast("a", "b", wants="within", bound=1)), 3,
    )  # fmt: skip
    first = run_claim(claim, 1, "tiny", tmp_path)
    assert [one["holds"] for one in first["contrasts"]] == [None, None, None], "one repeat shows nothing"
    result = run_claim(claim, 3, "tiny", tmp_path)
    assert calls == [0, 1, 2]
    assert [one["holds"] for one in result["contrasts"]] == [True, False, False]
    assert result["contrasts"][0]["difference"] == pytest.approx({"mean": 10, "low": 10, "high": 10, "repeats": 3})
    assert json.loads((tmp_path / "transfer.json").read_text()) == result
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")

    missing = write_document(tmp_path, tmp_path / "claims.md")
    assert missing == [name for name in CLAIMS if name != "transfer"]
    text = (tmp_path / "claims.md").read_text()
    assert "| a | b | miou | +10.00 (+10.00 to +10.00) | above 5 | holds |" in text
    assert "**not shown**" in text
    assert "3 repeats of 3 planned" in text


def test_every_contrast_names_arms_of_its_claim():
    for claim in CLAIMS.values():
        assert {arm for one in claim.contrasts for arm in (one.first, one.second)} <= set(claim.arms)


def test_heat_is_decoded_to_where_it_came_from():
    heads = labelled_heads(3, 4)
    maps = maps_of(points_of(heads), heads.depth)
    inside = ((heads.keypoints > 1) & (heads.keypoints < 63)).all(2)
    found = decoded(maps[:, :-1])
    assert np.abs(found - heads.keypoints)[inside].max() <= 0.5
    assert np.isnan(maps[:, -1][heads.depth == 0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_arm_runs(name):
    heads = Heads(0, SIZES["tiny"])
    metrics = {arm: set(run(heads)) for arm, run in CLAIMS[name].arms.items()}
    for one in CLAIMS[name].contrasts:
        assert one.metric in metrics[one.first] & metrics[one.second] or one.metric.startswith("iou ")

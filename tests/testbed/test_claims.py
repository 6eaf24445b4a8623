"""Claims are measured in paired repeats that survive an interruption, and written down as they are."""

import json

import numpy as np
import pytest

from core.generators.files import shipped_generators
from testbed.claims.__main__ import main
from testbed.claims.claims import CLAIMS, MAIN, MAIN_REPEATS, Claim, Contrast
from testbed.claims.document import _verdict, results_folder, write_document
from testbed.claims.running import run_claims
from testbed.claims.trial import SIZES, Trial, picked
from testbed.worlds import HEADS, STREETS, WORLDS


def fake(better: float, calls: list[int]):
    def arm(trial: Trial):
        calls.append(trial.repeat)
        return {"miou": 50 + better + trial.repeat}

    return arm


def test_an_interrupted_claim_goes_on_where_it_was(tmp_path):
    calls: list[int] = []
    claim = Claim(
        "transfer", "Better?", "+32", {"a": fake(10, calls), "b": fake(0, [])},
        (Contrast("a", "b", bound=5), Contrast("b", "a"), Contrast("a", "b", wants="within", bound=1)), 3,
    )  # fmt: skip
    folder = results_folder(tmp_path / "claims", "heads", "short")
    first = run_claims([claim], 1, "short", HEADS, folder)["transfer"]
    assert [one["holds"] for one in first["contrasts"]] == [None, None, None], "one repeat shows nothing"
    result = run_claims([claim], None, "short", HEADS, folder)["transfer"]
    assert calls == [0, 1, 2]
    assert [one["holds"] for one in result["contrasts"]] == [True, False, False]
    assert result["contrasts"][0]["difference"] == pytest.approx({"mean": 10, "low": 10, "high": 10, "repeats": 3})
    assert json.loads((folder / "transfer.json").read_text()) == result
    assert (folder / "transfer.png").read_bytes().startswith(b"\x89PNG")

    (folder / "transfer.md").write_text("The generator draws no hats.\n")
    missing = write_document(tmp_path / "claims", tmp_path / "claims.md")
    planned = [f"{name} ({world})" for name, one in CLAIMS.items() for world in one.worlds]
    assert missing == [one for one in planned if one != "transfer (heads)"]
    text = (tmp_path / "claims.md").read_text()
    assert "| a | b | miou | +10.00 (+10.00 to +10.00) | above 5 | holds |" in text
    assert "| b | a | miou | -10.00 (-10.00 to -10.00) | above 0 | **does not hold** |" in text
    assert "| a | b | miou | +10.00 (+10.00 to +10.00) | within ± 1 | **does not hold** |" in text
    assert f"**heads**: **3 of 15 planned repeats**, {SIZES['short'].words}" in text
    assert "![transfer, heads](claims/heads-short/transfer.png)" in text
    assert "The generator draws no hats." in text
    assert "Older weights" not in text.replace("**older weights**", "")
    older = {**result, "generator": "4d2d" * 16}
    (folder / "transfer.json").write_text(json.dumps(older))
    write_document(tmp_path / "claims", tmp_path / "claims.md")
    shipped = result["generator"][:12]
    assert f"`4d2d4d2d4d2d`. **Older weights**: `{shipped}` are shipped now." in (tmp_path / "claims.md").read_text()


def test_make_claims_measures_the_main_claims_five_times_each(monkeypatch):
    asked = []

    def record(claims, repeats, size, world, folder):
        asked.append(([one.name for one in claims], repeats, size, world.name))
        return {}

    monkeypatch.setattr("testbed.claims.__main__.run_claims", record)
    assert main(["--main", "--size", "tiny"]) == 0
    names = [name for name in CLAIMS if name in MAIN]
    assert asked == [(names, MAIN_REPEATS, "tiny", world) for world in ("heads", "streets")]
    assert len(names) == 6
    with pytest.raises(SystemExit):
        main(["--main", "transfer"])


def test_a_run_that_is_killed_leaves_what_its_whole_repeats_show(tmp_path):
    def breaks(trial: Trial):
        if trial.repeat == 2:
            raise KeyboardInterrupt
        return {"miou": 40.0 + trial.repeat / 10}

    arms = {"a": fake(10, []), "b": breaks}
    claim = Claim("transfer", "Better?", "+32", arms, (Contrast("a", "b", bound=5),), 3)
    folder = results_folder(tmp_path / "claims", "heads", "short")
    with pytest.raises(KeyboardInterrupt):
        run_claims([claim], 3, "short", HEADS, folder)
    write_document(tmp_path / "claims", tmp_path / "claims.md")
    text = (tmp_path / "claims.md").read_text()
    assert "**2 of 15 planned repeats**" in text
    assert "| a | b | miou | +20.45 " in text


@pytest.mark.parametrize("what", ["generator", "inversion", "sizes"])
def test_results_of_another_experiment_are_not_gone_on_with(tmp_path, what):
    calls: list[int] = []
    claim = Claim("transfer", "Better?", "+32", {"a": fake(1, calls), "b": fake(0, [])}, (Contrast("a", "b"),), 1)
    run_claims([claim], 1, "tiny", HEADS, tmp_path)
    path = tmp_path / "transfer.json"
    path.write_text(path.read_text().replace(f'"{what}": "', f'"{what}": "other'))
    run_claims([claim], 1, "tiny", HEADS, tmp_path)
    assert calls == [0, 0]


def test_claims_of_one_run_share_their_trials(tmp_path):
    trials: list[Trial] = []

    def arm(trial: Trial):
        trials.append(trial)
        return {"miou": 1.0}

    claims = [Claim(name, "?", "", {"a": arm}, (Contrast("a", "a"),), 2) for name in ("one", "other")]
    run_claims(claims, None, "tiny", HEADS, tmp_path)
    assert [trial.repeat for trial in trials] == [0, 0, 1, 1]
    assert trials[0] is trials[1]


def test_every_contrast_names_arms_of_its_claim():
    for claim in CLAIMS.values():
        assert {arm for one in claim.contrasts for arm in (one.first, one.second)} <= set(claim.arms)
        assert set(claim.worlds) <= set(WORLDS)


@pytest.mark.parametrize("world", list(WORLDS.values()), ids=list(WORLDS))
def test_worlds_know_what_latents_mean_and_hold_their_classes(world):
    scenes = world.labelled(3, 40, 0)
    assert scenes.images.shape[1:] == (64, 64, 3)
    assert scenes.masks.max() < len(world.classes)
    assert (scenes.masks == world.classes.index(world.rare)).any()
    assert (scenes.depth > 0).any()
    assert np.array_equal(picked(scenes, np.array([7, 2])).masks, world.labelled(3, 40, 0).masks[[7, 2]])
    if world.points is not None:
        assert world.points(scenes).shape == (40, len(world.keypoints), 3)


@pytest.mark.slow
def test_what_several_arms_need_is_made_once():
    trial = Trial(HEADS, 0, SIZES["tiny"])
    assert trial.codes() is trial.codes()
    few = trial.usual_candidates(3)
    more = trial.usual_candidates(5)
    assert [one.index for one in more] == [0, 1, 2, 3, 4]
    assert all(a is b for a, b in zip(few, more, strict=False))
    again = trial.candidates(trial.usual_labeler, 5)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(more, again, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("world", [HEADS, STREETS], ids=["heads", "streets"])
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_arm_runs(name, world):
    if world.name not in CLAIMS[name].worlds or world.generator not in shipped_generators():
        pytest.skip("not of this world, or its generator is not shipped")
    trial = Trial(world, 0, SIZES["tiny"])
    metrics = {arm: set(run(trial)) for arm, run in CLAIMS[name].arms.items()}
    for one in CLAIMS[name].contrasts:
        assert one.metric in metrics[one.first] & metrics[one.second]


@pytest.mark.parametrize(
    ("wants", "low", "high", "verdict"),
    [
        ("above", 1.5, 3.0, "holds"),
        ("above", -1.0, 3.0, "**not shown**"),
        ("above", -3.0, 1.0, "**does not hold**"),
        ("within", -0.5, 0.9, "holds"),
        ("within", -0.5, 1.2, "**not shown**"),
        ("within", -4.0, -1.1, "**does not hold**"),
    ],
)
def test_the_contrary_is_told_from_what_is_not_shown(wants, low, high, verdict):
    apart = {"difference": {"low": low, "high": high}, "wants": wants, "bound": 1.0}
    assert _verdict({**apart, "holds": verdict == "holds"}) == verdict

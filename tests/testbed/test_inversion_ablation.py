"""The ablation, tried tiny: every column is there, and what is done is not done again."""

import json

import numpy as np
import pytest

from core.labeling.config import LabelerConfig
from testbed.inversion_ablation import EXTRA, MAIN, TEACHER, Ablation, Arm, Sizes, main, table

TINY = Sizes(labels=3, held_out=2, generated=3)
ARMS = (Arm("encoder", 0), Arm("mean", 2), Arm("encoder", 2, {"one_row": True}))
LABELER = LabelerConfig(members=1, max_steps=3)


def first_class(images):
    return np.zeros(images.shape[:3], np.uint8)


def test_the_arms_are_those_of_the_question():
    assert [(arm.start, arm.steps) for arm in MAIN] == [
        (start, steps) for start in ("encoder", "mean") for steps in (0, 50, 100, 300)
    ]
    assert len({arm.name for arm in (*MAIN, *EXTRA)}) == 13


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    ablation = Ablation(TINY, first_class, tmp_path, LABELER)
    (first,) = ablation.run(ARMS[:1], 1)
    assert first["psnr_labels"] > 5
    assert all(0 <= first[name] <= 1 for name in first if name.startswith("miou"))
    assert {"miou_held_out", "miou_generated"} <= set(first)
    cells = ablation.run(ARMS, 1)
    assert cells[0] == first
    assert cells[1]["psnr_labels"] != first["psnr_labels"]
    monkeypatch.setattr(Ablation, "_measure", lambda *_: pytest.fail("this was done already"))
    assert Ablation(TINY, first_class, tmp_path, LABELER).run(ARMS, 1) == cells
    assert json.loads(json.dumps(cells)) == cells
    lines = table(cells).splitlines()
    assert len(lines) == 2 + 3
    assert lines[4].startswith("| encoder, 2 steps, one_row True | ")


def test_the_teacher_s_codes_draw_heads_best(tmp_path):
    sizes = Sizes(labels=3, held_out=2, generated=3, exact=True)
    taught, mean = Ablation(sizes, None, tmp_path, LABELER).run([TEACHER, Arm("mean", 0)], 1)
    assert taught["psnr_labels"] > mean["psnr_labels"] + 3
    assert 0 <= taught["miou_generated_exact"] <= 1
    assert "miou_generated" not in taught


def test_repeats_are_summed_up():
    cells = [{"arm": "a", "psnr_labels": 20.0}, {"arm": "a", "psnr_labels": 22.0}, {"arm": "b", "psnr_labels": 19.0}]
    assert table(cells).splitlines()[2:] == ["| a | 21.000 ± 1.414 |", "| b | 19.000 |"]


def test_one_arm_with_another_labeler_by_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = ["--exact", "--labels", "3", "--held-out", "2", "--generated", "3", "--arm", "mean, 0 steps"]
    main([*tiny, "--labeler", '{"members": 1, "max_steps": 3}', "--json", "cells.json"])
    (cell,) = json.loads((tmp_path / "cells.json").read_text())
    assert (cell["arm"], cell["labeler"]["max_steps"]) == ("mean, 0 steps", 3)
    assert "| mean, 0 steps | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--arm", "encoder, 7 steps"], "encoder, 100 steps"),
        (["--labeler", '{"steps": 3, "member": 1}'], "member: unknown field"),
        (["--labeler", "{"], "--labeler"),
    ],
)
def test_what_is_wrong_in_the_command_is_named(wrong, told, capsys):
    with pytest.raises(SystemExit):
        main(wrong)
    assert told in capsys.readouterr().err

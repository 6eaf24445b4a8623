"""The figures of README are made by its own commands, and say how far they depend on the labels."""

import json

import pytest

from testbed import readme


def test_the_table_has_a_mean_and_an_interval_over_label_draws():
    draws = [{"generated": 0.60, "labels": 0.50, "extra": 0.1}, {"generated": 0.62, "labels": 0.54}]
    lines = readme.table(draws).splitlines()
    # Student's t of one degree of freedom, 12.706, times half the difference.
    assert lines[2:] == ["| generated | 0.610 | 0.483 to 0.737 |", "| labels | 0.520 | 0.266 to 0.774 |"]
    assert readme.table(draws[:1]).splitlines()[2] == "| generated | 0.600 | – |"


def test_finished_draws_are_not_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readme, "OUT", tmp_path)
    made = []

    class Service:
        def __enter__(self):
            return "http://127.0.0.1:1"

        def __exit__(self, *error):
            return None

    def measured(draw, facts, url, folder):
        made.append(draw)
        return {"generated": 0.6 + draw / 10}

    monkeypatch.setattr(readme, "service", lambda data: Service())
    monkeypatch.setattr(readme, "measured_draw", measured)
    assert readme.main(["--draws", "1"]) == 0
    assert readme.main(["--draws", "3", "--json"]) == 0
    assert made == [0, 1, 2]
    assert [one["draw"] for one in json.loads(capsys.readouterr().out.split("\n", 3)[3])] == [0, 1, 2]
    assert readme.main(["--draws", "3", "--count", "7"]) == 0
    assert made == [0, 1, 2, 0, 1, 2], "other settings are another measurement"


@pytest.mark.slow
def test_readmes_commands_end_in_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readme, "OUT", tmp_path)
    small = ["--draws", "1", "--count", "10", "--labels", "4", "--held-out", "6", "--steps", "2"]
    settings = ["inversion.steps=1", "labeler.members=2", "labeler.max_steps=3"]
    assert readme.main([*small, *(part for one in settings for part in ("--set", one))]) == 0
    assert "| generated |" in capsys.readouterr().out

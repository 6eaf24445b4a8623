"""Names and sources of checkpoints, as `offhand generators add` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offhand.commands.generators import import_text, looks_like_a_file, name_of, prepared_text, report_lines
from offhand.errors import ClientError
from offhand.sdk.client import Client
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.quality_reports import report_file
from tests.api.worlds import PICTURE, keep
from tests.offhand.conftest import Run


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder/FFHQ_256 (final).pkl", "ffhq-256-final"),
        ("https://example.com/a/afhqcat.pkl?download=1", "afhqcat"),
        ("C:\\models\\g.safetensors", "g"),
        ("ada-afhqcat", "ada-afhqcat"),
        ("x" * 100 + ".pt", "x" * 63),
        ("folder/cats.pkl.gz", "cats"),
    ],
)
def test_a_name_comes_from_the_source(source: str, name: str) -> None:
    assert name_of(source) == name


@pytest.mark.parametrize("source", ["upl_01jd0c5w6w3m8z4k1x2y3z4a5b", "§§.pkl"])
def test_where_none_comes_it_is_asked_for(source: str) -> None:
    with pytest.raises(ClientError, match="--name"):
        name_of(source)


def test_what_looks_like_a_file() -> None:
    assert all(map(looks_like_a_file, ("g.pkl", "a/b", "g.safetensors", "g.pt.gz")))
    assert not any(map(looks_like_a_file, ("ada-afhqcat", "https://example.com/g.pkl", "upl_1")))


def test_what_was_found_is_import_text() -> None:
    report = {
        "format": "rosinality",
        "network": "g_ema",
        "architecture": "skip",
        "parameters": 30_034_338,
        "classes": 0,
        "findings": {"mean code": "measured"},
        "notes": ["The file has no mean code."],
    }
    cats: Any = {"name": "cats", "width": 256, "height": 128, "id": "gen_1", "licence": "", "report": report}
    text = import_text(cats, None)
    assert "cats  128×256 (height × width)  gen_1" in text, "as in the API's resolution"
    assert "30,034,338" in text
    assert "licence     not given" in text
    assert "mean code   measured\n" in text
    assert "note        The file has no mean code." in text


def test_generator_of_the_service_is_not_prepared_and_the_reason_is_printed(run: Run) -> None:
    refused = run("generators", "prepare", "tiny", "--set", "encoder_steps=9", "--no-wait")
    assert refused.exit_code == 4
    assert "tiny comes with the service" in refused.output
    wrong = run("generators", "prepare", "tiny", "--set", "encoder_step=9", "--no-wait", "--json")
    assert "did you mean `encoder_steps`?" in wrong.stdout


def test_text_about_a_prepared_generator_names_each_part() -> None:
    prepared = {
        "perceptual": {"network": "xrays-domain-v1", "steps": 1500, "losses": {"repair": 0.1}},
        "encoder": {"id": "enc_1", "train_on": "samples", "heads": "e4e", "steps": 3000},
    }
    text = prepared_text({"name": "xrays", "prepared": prepared})  # type: ignore[typeddict-item]
    assert "perceptual  network xrays-domain-v1, steps 1500" in text
    assert "encoder     id enc_1, train_on samples, heads e4e, steps 3000" in text


def test_quality_report_shows_samples_beside_training_images_with_classes_and_notes() -> None:
    measures = {"kid": 0.5, "precision": 0.25, "recall": None, "density": 1.0, "coverage": 0.75}
    spec = {"extractor": "inception", "generated": 2000}
    score = {"spec": spec, "fid": 12.345, **measures, "notes": ["A note."]}
    rows = [
        {"name": "cat", "fid": 3.0, "real": 5, "generated": 9},
        {"name": "dog", "fid": None, "real": 1, "generated": 2},
    ]
    lines = report_lines(
        {
            "generator": {"name": "cats"},
            "images": {"name": "photos"},
            "headline": "FID 12.35. No sign of memorisation.",
            "scores": [{**score, "by_class": rows}],
            "training_scores": [{**score, "spec": {**spec, "generated": 900}, "fid": 1.5, "by_class": []}],
            "notes": ["Another note."],
        }
    )
    text = "\n".join(lines)
    assert "cats against image set photos\nFID 12.35. No sign of memorisation." in text
    table = [line.split() for line in text.splitlines() if line.startswith("inception")]
    assert table[0] == ["inception", "samples", "2000", "12.35", "0.5", "0.25", "-", "1", "0.75"]
    assert table[1][:5] == ["inception", "training", "images", "900", "1.5"]
    assert "  cat: FID 3 (5 held-out images, 9 samples)" in text
    assert "  dog: FID - (1 held-out images, 2 samples)" in text
    assert text.endswith("  note  Another note.\n  note  A note.")


def test_assessment_is_refused_with_the_names_of_image_sets_and_a_stored_report_is_saved(
    run: Run, client: Client, db: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    refused = run("generators", "assess", "tiny", "--images", "none", "--no-wait")
    assert refused.exit_code == 4
    assert "no image set 'none'" in refused.output
    missing = run("generators", "report", "tiny", "--json")
    assert "/reports" in missing.stdout
    job = client.sample_sets.draw("tiny", 1)
    generator = client.generators.get("tiny")["id"]
    score = {
        "spec": {"extractor": "pixels", "generated": 9}, "fid": 1.5, "kid": None, "precision": 1.0, "recall": 1.0,
        "density": 1.0, "coverage": 1.0, "by_class": [], "notes": [],
    }  # fmt: skip
    report = {
        "generator": {"name": "tiny"}, "images": {"name": "photos"}, "headline": "FID 1.5.", "notes": [],
        "scores": [score], "training_scores": [score],
    }  # fmt: skip
    for name, content, media_type in (
        ("report.json", json.dumps(report).encode(), "application/json"),
        ("report.html", b"<!doctype html>", "text/html"),
        ("report.png", PICTURE, "image/png"),
    ):
        keep(db, objects, generator, report_file(job["id"], name), content, media_type)
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    shown = run("generators", "report", "tiny", "--out", str(page), "--picture", str(picture))
    assert shown.exit_code == 0, shown.output
    assert "tiny against image set photos\nFID 1.5." in shown.stdout
    assert (page.read_bytes(), picture.read_bytes()) == (b"<!doctype html>", PICTURE)
    assert json.loads(run("generators", "report", "tiny", "--json").stdout)["headline"] == "FID 1.5."

"""The pages for people: what they show, and that nothing in them is anybody else's program."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.routes.pages import EXAMPLE_GENERATOR
from store.database.database import Database
from store.objects import ObjectStore
from store.resources.artifacts import get_labeler
from store.resources.generators import find_generator
from store.settings import Settings
from tests.api.worlds import (
    INFO,
    PICTURE,
    TENANT,
    add_encoder,
    add_labeler,
    add_photographs,
    add_trained_generator,
    end_job,
    finish_dataset,
    keep,
)

Start = Callable[..., dict[str, Any]]


def test_an_empty_service_says_what_to_type(http: TestClient) -> None:
    page = http.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "offhand generate" in page.text
    assert "--generator tiny" in page.text


def test_the_first_command_names_the_generator_that_draws_its_example(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    assert "examples/heads50.zip" not in http.get("/").text, "heads64 is not there"
    shipped = Settings().shipped_folder
    assert shipped is not None
    assert (shipped / EXAMPLE_GENERATOR).is_dir()
    assert (repository / "examples" / "heads50.zip").is_file()
    monkeypatch.setattr("api.routes.pages.EXAMPLE_GENERATOR", "tiny")
    assert "offhand generate examples/heads50.zip --generator tiny" in http.get("/").text


def test_warnings_and_scores_stand_on_the_job_page(
    http: TestClient, start: Start, db: Database, objects: ObjectStore
) -> None:
    job = start()
    nasty = "Class '<script>alert(1)</script>' is rare."
    warned = {**INFO, "warnings": [*INFO["warnings"], nasty]}
    finish_dataset(db, objects, job, info=warned)
    page = http.get(f"/jobs/{job['id']}").text
    assert page.count(INFO["do_not_use"][0]) == 1, "a reason against it is not repeated among the warnings"
    assert page.count("2 of 12 labelled images show it") == 1
    for words in (
        "Do not use this dataset",
        "Only 12 labelled images.",
        "0.430 (labelled images kept aside: 2)",
        "median PSNR 16.3 dB, median lpips 0.412; 11 of 12 labelled images flagged",
        "48 of 60",
    ):
        assert words in page
    assert "<script>alert" not in page


def test_jobs_are_shown_with_progress_and_contact_sheets(
    http: TestClient, start: Start, db: Database, objects: ObjectStore
) -> None:
    finished, waiting = start(), start()
    finish_dataset(db, objects, finished)
    page = http.get("/").text
    assert f'href="/jobs/{waiting["id"]}"' in page
    sheet = f"/v1/datasets/{finished['result']['dataset']}/contact-sheet"
    assert f'src="{sheet}"' in page
    assert 'data-active="true"' in page
    one = http.get(f"/jobs/{finished['id']}").text
    assert "/archive" in one
    assert 'data-active="false"' in one


def test_a_job_shows_what_it_learnt_from(http: TestClient, start: Start, db: Database, objects: ObjectStore) -> None:
    job = start()
    labeler = get_labeler(db, add_labeler(db, objects, http.get("/v1/generators/tiny").json()["id"]), tenant=TENANT)
    with db.write() as connection:
        end_job(connection, job["id"], "failed", result=job["result"] | {"labeler": labeler.id})
    assert f"/v1/labelers/{labeler.id}/pictures/pictures/head_01.png" in http.get(f"/jobs/{job['id']}").text


def test_jobs_of_every_kind_have_a_page(
    http: TestClient, start: Start, db: Database, objects: ObjectStore, upload: str
) -> None:
    dataset = start()
    finish_dataset(db, objects, dataset)
    generator = http.get("/v1/generators/tiny").json()["id"]
    exported = http.post(f"/v1/datasets/{dataset['result']['dataset']}/exports", json={"format": "masks"}).json()
    trained = http.post("/v1/encoders", json={"generator": "tiny", "train_on": "both", "labels": upload}).json()
    encoder = add_encoder(db, objects, generator)
    with db.write() as connection:
        end_job(connection, exported["id"], "succeeded")
        end_job(connection, trained["id"], "succeeded", result={"encoder": encoder})
    assert http.get("/").status_code == 200
    assert f'dataset</dt><dd><a href="/jobs/{dataset["id"]}"' in http.get(f"/jobs/{exported['id']}").text
    page = http.get(f"/jobs/{trained['id']}").text
    assert f"/v1/encoders/{encoder}/pictures/attempts.png" in page
    assert "train encoder" in page


def test_pages_of_image_sets_show_their_pictures_while_they_are_there(
    http: TestClient, db: Database, objects: ObjectStore, upload: str
) -> None:
    made = add_photographs(db, objects)
    body = {"source": upload, "height": 16, "width": 16}
    added = http.post("/v1/image-sets", json=body | {"name": "new"}).json()["id"]
    previewed = http.post("/v1/image-sets/previews", json=body).json()["id"]
    keep(db, objects, upload, f"previews/{previewed}.png", PICTURE, "image/png")
    with db.write() as connection:
        end_job(connection, added, "succeeded", result={"image_set": made})
        end_job(connection, previewed, "succeeded")
    page = http.get(f"/jobs/{added}").text
    for words in (
        "Image set photos",
        "700 of 16 × 24",
        "200 held out",
        "CC BY 4.0",
        "left out: 1; the report names them",
    ):
        assert words in page
    assert f"/v1/image-sets/{made}/contact-sheet" in page
    assert f'src="/v1/image-sets/previews/{previewed}"' in http.get(f"/jobs/{previewed}").text
    http.delete(f"/v1/image-sets/{made}")
    http.delete(f"/v1/uploads/{upload}")
    for job in (added, previewed):
        answer = http.get(f"/jobs/{job}")
        assert (answer.status_code, "/v1/image-sets/" in answer.text) == (200, False)


def test_what_a_job_made_can_be_fetched_from_its_page(
    http: TestClient, start: Start, db: Database, objects: ObjectStore, held_out: str
) -> None:
    job = start()
    finish_dataset(db, objects, job)
    dataset = job["result"]["dataset"]
    keep(db, objects, dataset, "galleries/001-head.png", PICTURE, "image/png")
    exported = http.post(f"/v1/datasets/{dataset}/exports", json={"format": "coco"}).json()
    wish = {"dataset": dataset, "labels": held_out}
    evaluated = http.post("/v1/evaluations", json=wish).json()
    keep(db, objects, dataset, "exports/coco.zip", b"PK", "application/zip")
    keep(db, objects, dataset, f"evaluations/{evaluated['id']}/report.json", b"{}", "application/json")
    with db.write() as connection:
        end_job(connection, exported["id"], "succeeded")
        end_job(connection, evaluated["id"], "succeeded")
    page = http.get(f"/jobs/{job['id']}").text
    assert f"{job['request']['count']} of {job['request']['count']} images" in page
    for path in (f"/v1/datasets/{dataset}/files/galleries/001-head.png", f"/v1/datasets/{dataset}/archive"):
        assert f'"{path}"' in page
        assert http.get(path).status_code == 200
    assert f"/v1/datasets/{dataset}/archive?format=coco" in http.get(f"/jobs/{exported['id']}").text
    assert f"/v1/evaluations/{evaluated['id']}/report" in http.get(f"/jobs/{evaluated['id']}").text
    assert f"/v1/evaluations/{evaluated['id']}/report" in page, "the verdict is one step from the dataset"


def test_names_are_escaped(http: TestClient, start: Start, db: Database) -> None:
    nasty = "<script>alert(1)</script>"
    job = start(labels_map={nasty: nasty})
    problems = [{"detail": nasty, "pointer": nasty}]
    with db.write() as connection:
        end_job(
            connection, job["id"], "failed", error_code="bad_label_set", error_detail=nasty, error_problems=problems
        )
    for path in ("/", f"/jobs/{job['id']}"):
        page = http.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page


def test_long_lists_come_in_pages(http: TestClient, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.pages.JOBS_ON_A_PAGE", 3)
    for _ in range(5):
        start()
    first = http.get("/").text
    older = re.search(r'href="(/\?page_token=[^"]+)"', first)
    assert older is not None
    assert http.get(older.group(1)).text.count("<article") == 2


def test_a_job_that_is_not_there(http: TestClient) -> None:
    page = http.get("/jobs/job_none")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


def test_pages_need_nothing_from_elsewhere(http: TestClient) -> None:
    page = http.get("/").text
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        assert http.get(path).status_code == 200
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert not re.findall(r"<script(?! src=)|<style| style=| on\w+=", page)


def test_page_of_a_training_shows_samples_curves_and_warnings_while_it_goes_on(
    http: TestClient, db: Database, objects: ObjectStore
) -> None:
    add_photographs(db, objects)
    body = {"images": "photos", "name": "pets", "hours": 3}
    job = http.post("/v1/generators/trainings", json=body).json()["id"]
    with db.read() as connection:
        like = find_generator(connection, "tiny", tenant=TENANT).info
    made = add_trained_generator(db, objects, like, "training")
    with db.write() as connection:
        end_job(connection, job, "running", result={"generator": made})
    page = http.get(f"/jobs/{job}").text
    for words in ("Generator trained", "After 12,000 images (1.5 h)", "recall 0.40", "returned to 8000 images"):
        assert words in page
    for name in ("samples", "curves"):
        assert f'src="/v1/generators/{made}/{name}?' in page
        assert http.get(f"/v1/generators/{made}/{name}").content == PICTURE
    document = http.get(f"/v1/generators/{made}").json()
    assert (document["state"], document["preview"], document["training"]["returns"]) == ("training", None, 1)
    assert http.get(document["training"]["report"]).json() == {"curves": []}
    refused = http.post("/v1/sample-sets", json={"generator": "trained", "count": 2}).json()
    assert refused["errors"][0]["detail"] == "the generator 'trained' is not ready"

"""How long datasets stay, and the names that point at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from store.database.database import Database
from store.objects import ObjectStore
from store.sweep import sweep
from store.tables import datasets
from tests.api.protocol.test_errors import problem
from tests.api.worlds import end_job, finish_dataset

Make = Callable[..., str]


@pytest.fixture
def make(db: Database, objects: ObjectStore, start: Callable[..., dict[str, Any]]) -> Make:
    """A finished dataset; its id."""

    def make(**wishes: Any) -> str:
        job = start(**wishes)
        finish_dataset(db, objects, job)
        return str(job["result"]["dataset"])

    return make


def age(db: Database, dataset: str, **columns: float) -> None:
    with db.write() as connection:
        connection.execute(update(datasets).where(datasets.c.id == dataset).values(**columns))


def test_a_deleted_dataset_can_be_taken_back_for_a_day(
    http: TestClient, make: Make, db: Database, objects: ObjectStore
) -> None:
    dataset = make()
    path = f"/v1/datasets/{dataset}"
    assert http.delete(path).status_code == 204
    assert http.delete(path).status_code == 204
    assert http.get(f"{path}/manifest").status_code == 410
    assert http.get(f"{path}/shards/000000.tar").status_code == 410
    assert http.get(path).json()["deleted_at"]
    assert http.get("/v1/datasets").json()["items"] == []
    sweep(db, objects)
    assert http.post(f"{path}/undelete").json()["deleted_at"] is None
    assert http.get(f"{path}/shards/000000.tar").status_code == 200
    http.delete(path)
    age(db, dataset, deleted_at=0.0)
    assert sweep(db, objects) > 0
    assert http.post(f"{path}/undelete").status_code == 410
    assert http.get(f"{path}/manifest").status_code == 410


def test_what_is_being_made_is_not_deleted(http: TestClient, start: Callable[..., dict[str, Any]]) -> None:
    assert http.delete(f"/v1/datasets/{start()['result']['dataset']}").status_code == 409


def test_a_pinned_dataset_stays(http: TestClient, make: Make, db: Database, objects: ObjectStore) -> None:
    dataset = make()
    path = f"/v1/datasets/{dataset}"
    assert http.patch(path, json={"pinned": True}).json()["pinned"] is True
    age(db, dataset, expires_at=0.0)
    sweep(db, objects)
    assert http.get(path).json()["expires_at"] is None
    assert http.get(f"{path}/manifest").status_code == 200
    assert http.patch(path, json={"pinned": False}).json()["expires_at"] is not None
    assert http.get(f"{path}/manifest").status_code == 200, "a day is left to fetch it"
    age(db, dataset, expires_at=0.0)
    assert http.get(f"{path}/manifest").status_code == 410


def test_an_alias_moves_on_success_alone(
    http: TestClient, make: Make, start: Callable[..., dict[str, Any]], db: Database
) -> None:
    first = make(alias="latest")
    assert http.get("/v1/dataset-aliases/latest").json()["dataset"] == first
    failed = start(alias="latest")
    with db.write() as connection:
        end_job(connection, failed["id"], "failed")
    assert http.get("/v1/dataset-aliases/latest").json()["dataset"] == first
    second = make(alias="latest")
    assert http.get("/v1/dataset-aliases").json()["items"][0]["dataset"] == second
    assert http.put("/v1/dataset-aliases/latest", json={"dataset": first}).json()["dataset"] == first
    assert http.put("/v1/dataset-aliases/stable", json={"dataset": first}).status_code == 200
    assert http.put("/v1/dataset-aliases/stable", json={"dataset": failed["result"]["dataset"]}).status_code == 422
    assert http.delete("/v1/dataset-aliases/latest").status_code == 204
    assert http.get("/v1/dataset-aliases/latest").status_code == 404
    assert http.delete("/v1/dataset-aliases/latest").status_code == 404


def test_an_alias_of_a_deleted_dataset_is_gone_until_it_points_elsewhere(http: TestClient, make: Make) -> None:
    first, path = make(alias="latest"), "/v1/dataset-aliases/latest"
    http.delete(f"/v1/datasets/{first}")
    assert http.get(f"/v1/datasets/{first}").json()["state"] == "deleted"
    assert first in problem(http.get(path), 410, "gone")["detail"]
    assert [one["dataset_state"] for one in http.get("/v1/dataset-aliases").json()["items"]] == ["deleted"]
    refused = problem(http.put(path, json={"dataset": first}), 422, "invalid_request")
    assert refused["errors"] == [{"detail": f"the dataset {first!r} is deleted", "pointer": "#/dataset"}]
    http.post(f"/v1/datasets/{first}/undelete")
    assert http.get(path).json()["dataset"] == first
    http.delete(f"/v1/datasets/{first}")
    second = make()
    assert http.put(path, json={"dataset": second}).json()["dataset"] == second
    assert http.get(path).status_code == 200
    http.delete(f"/v1/datasets/{second}")
    assert http.delete(path).status_code == 204


def test_a_deleted_alias_is_made_again_by_the_job_that_names_it(
    http: TestClient, make: Make, start: Callable[..., dict[str, Any]], db: Database, objects: ObjectStore
) -> None:
    make(alias="latest")
    running = start(alias="latest")
    assert http.delete("/v1/dataset-aliases/latest").status_code == 204
    finish_dataset(db, objects, running)
    assert http.get("/v1/dataset-aliases/latest").json()["dataset"] == running["result"]["dataset"]


def test_an_alias_of_an_expired_dataset_is_gone(http: TestClient, make: Make, db: Database) -> None:
    dataset = make(alias="latest")
    age(db, dataset, expires_at=0.0)
    assert "expired" in problem(http.get("/v1/dataset-aliases/latest"), 410, "gone")["detail"]
    states = {one["name"]: one["dataset_state"] for one in http.get("/v1/dataset-aliases").json()["items"]}
    assert states["latest"] == "expired"
    http.patch(f"/v1/datasets/{dataset}", json={"pinned": True})
    assert http.get("/v1/dataset-aliases/latest").status_code == 200


def test_nobody_moves_an_alias_unseen(http: TestClient, make: Make) -> None:
    """Of two pipelines that both look and then move it, the second is told that it is not what it saw."""
    first, second, path = make(), make(), "/v1/dataset-aliases/stable"
    here = {"If-Match": "*"}
    problem(http.put(path, json={"dataset": first}, headers=here), 412, "precondition_failed")
    absent = {"If-None-Match": "*"}
    made = http.put(path, json={"dataset": first}, headers=absent)
    assert made.status_code == 200
    problem(http.put(path, json={"dataset": second}, headers=absent), 412, "precondition_failed")
    seen = http.get(path)
    assert seen.headers["ETag"] == made.headers["ETag"]
    assert http.get(path, headers={"If-None-Match": seen.headers["ETag"]}).status_code == 304
    only = {"If-Match": seen.headers["ETag"]}
    moved = http.put(path, json={"dataset": second}, headers=only)
    assert moved.json()["dataset"] == second
    problem(http.put(path, json={"dataset": first}, headers=only), 412, "precondition_failed")
    problem(http.delete(path, headers=only), 412, "precondition_failed")
    assert http.get(path).json()["dataset"] == second, "nothing was changed"
    assert http.delete(path, headers={"If-Match": f'"other", {moved.headers["ETag"]}'}).status_code == 204
    problem(http.delete(path, headers=here), 404, "not_found")


@pytest.mark.parametrize("name", ["ds_1", "Latest", "a" * 64, "-x"])
def test_names_that_are_none(http: TestClient, make: Make, wish: dict[str, Any], name: str) -> None:
    assert http.put(f"/v1/dataset-aliases/{name}", json={"dataset": make()}).status_code == 422
    assert http.post("/v1/jobs", json=wish | {"alias": name}).status_code == 422


def test_fresh_data_and_a_seed_exclude_each_other(http: TestClient, wish: dict[str, Any]) -> None:
    answer = http.post("/v1/jobs", json=wish | {"fresh": True, "seed": 1})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"detail": "fresh and a seed exclude each other", "pointer": "#/fresh"}]
    seeds = {http.post("/v1/jobs", json=wish | {"fresh": True, "seed": None}).json()["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_the_page_of_a_job_offers_no_deleted_dataset(http: TestClient, make: Make) -> None:
    dataset = make()
    job = http.get(f"/v1/datasets/{dataset}").json()["job"]
    assert f"/v1/datasets/{dataset}/archive" in http.get(f"/jobs/{job}").text
    http.delete(f"/v1/datasets/{dataset}")
    assert f"/v1/datasets/{dataset}/archive" not in http.get(f"/jobs/{job}").text

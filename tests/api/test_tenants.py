"""Two tenants, random calls: what one makes, the other can neither see, change, use, nor tell from what is absent."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from store.database.database import Database
from store.objects import ObjectStore
from store.settings import Settings
from store.tenancy.api_keys import create_key
from store.tenancy.tenants import add_tenant
from store.webhooks.endpoints import create_endpoint
from tests.api.worlds import finish_dataset

ZIP = {"Content-Type": "application/zip"}
ABSENT = "absent_0000000000000000000000"


class World:
    """Two tenants with one of everything each, and their clients."""

    def __init__(self, settings: Settings, db: Database, objects: ObjectStore, archive: bytes) -> None:
        settings.api.keys = "required"
        settings.egress.trusted_hosts = ["hooks.test"]
        self.app = create_app(settings)
        self.clients: dict[str, TestClient] = {}
        self.ids: dict[str, dict[str, str]] = {}
        for tenant in ("acme", "other"):
            add_tenant(db, tenant)
            key = create_key(db, tenant=tenant, name=f"key of {tenant}", scopes=["admin"], days=1)
            client = self.clients[tenant] = TestClient(
                self.app,
                base_url="http://offhand.test",
                raise_server_exceptions=False,
                headers={"Authorization": f"Bearer {key.secret}"},
            )
            upload = client.post("/v1/uploads", content=archive, headers=ZIP).json()["id"]
            wish = {"labels": upload, "generator": "tiny", "count": 20, "alias": f"of-{tenant}"}
            job = client.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "same"}).json()
            done = client.post("/v1/jobs", json=wish).json()
            finish_dataset(db, objects, done, tenant=tenant)
            hook = create_endpoint(
                db, tenant=tenant, url="http://hooks.test/", lookup=lambda host, port: ["127.0.0.1"]
            ).endpoint.id
            delivery = client.post(f"/v1/webhook-endpoints/{hook}/test").json()["id"]
            self.ids[tenant] = {
                "upload_id": upload,
                "job_id": job["id"],
                "dataset_id": done["result"]["dataset"],
                "name": f"of-{tenant}",
                "key_id": key.key.id,
                "endpoint_id": hook,
                "delivery_id": delivery,
            }

    def all_ids(self, tenant: str) -> set[str]:
        return {value for name, value in self.ids[tenant].items() if name != "name"}


@pytest.fixture
def world(settings: Settings, db: Database, objects: ObjectStore, archive: bytes) -> Iterator[World]:
    made = World(settings, db, objects, archive)
    yield made
    for client in made.clients.values():
        client.close()
    made.app.state.backend.close()


def operations(world: World) -> list[tuple[str, str]]:
    """Method and template of every route that has a place for an id."""
    document = world.clients["acme"].get("/openapi.json").json()
    return [
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if "{" in path and not path.startswith("/v1/generators")
    ]


def filled(template: str, ids: dict[str, str], fallback: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: ids.get(found.group(1), fallback), template)


BODIES: list[Any] = [None, {}, {"enabled": False}, {"pinned": True}, {"format": "coco"}, {"overlap_hours": 0}]


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_crosses(world: World, data: st.DataObject) -> None:
    method, template = data.draw(st.sampled_from(operations(world)))
    me, them = data.draw(st.sampled_from([("acme", "other"), ("other", "acme")]))
    body = data.draw(st.sampled_from(BODIES)) if method in ("POST", "PUT", "PATCH") else None
    theirs = filled(template, world.ids[them], "x")
    answer = world.clients[me].request(method, theirs, json=body)
    assert answer.status_code in (404, 415, 422), (method, theirs, answer.text)
    absent = world.clients[me].request(method, filled(template, {}, ABSENT), json=body)
    if answer.status_code == 404 and "{name}" not in template:
        for identifier in world.all_ids(them):
            assert identifier not in absent.text
        # The same words, but for the ids that the caller sent.
        same = answer.json()["detail"]
        for identifier in world.all_ids(them):
            same = same.replace(identifier, ABSENT)
        assert same.replace("'x'", f"'{ABSENT}'").replace("/x", f"/{ABSENT}") == absent.json()["detail"]


@pytest.mark.parametrize("field", ["labels", "dataset"])
def test_an_id_in_a_body_crosses_no_more(world: World, field: str) -> None:
    mine, theirs = world.clients["acme"], world.ids["other"]
    if field == "labels":
        answers = [
            mine.post("/v1/jobs", params=params, json={"labels": theirs["upload_id"], "generator": "tiny", "count": 1})
            for params in ({}, {"validate_only": "true"})
        ]
    else:
        answers = [mine.put("/v1/dataset-aliases/mine", json={"dataset": theirs["dataset_id"]})]
    for answer in answers:
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["detail"].startswith("no ")


def test_lists_and_keys_are_the_tenants_own(world: World) -> None:
    document = world.clients["acme"].get("/openapi.json").json()
    lists = [path for path, item in document["paths"].items() if "get" in item and "{" not in path and "/v1/" in path]
    assert len(lists) >= 8
    for path, (me, them) in itertools.product(lists, [("acme", "other"), ("other", "acme")]):
        text = json.dumps(world.clients[me].get(path, params={"page_size": 200}).json())
        assert not [identifier for identifier in world.all_ids(them) if identifier in text], path
    jobs = {tenant: ids["job_id"] for tenant, ids in world.ids.items()}
    assert jobs["acme"] != jobs["other"], "the same idempotency key of two tenants is two keys"


def test_what_was_not_allowed_changed_nothing(world: World) -> None:
    mine, theirs = world.clients["acme"], world.ids["other"]
    for method, template in operations(world):
        if method != "GET":
            mine.request(method, filled(template, theirs, "x"), json={})
    other = world.clients["other"]
    assert other.get(f"/v1/jobs/{theirs['job_id']}").json()["state"] == "queued"
    assert other.get(f"/v1/datasets/{theirs['dataset_id']}/manifest").status_code == 200
    assert other.get(f"/v1/uploads/{theirs['upload_id']}").status_code == 200
    assert other.get(f"/v1/webhook-endpoints/{theirs['endpoint_id']}").json()["enabled"] is True
    assert other.get("/v1/dataset-aliases/of-other").json()["dataset"] == theirs["dataset_id"]

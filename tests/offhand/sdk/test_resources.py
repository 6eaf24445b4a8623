"""The objects of the client against the real service, and the paths of all of their requests."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from offhand.errors import Refused
from offhand.sdk.client import Client
from offhand.sdk.resources.resource import Resource
from store.database.database import Database
from store.objects import ObjectStore
from tests.api.worlds import finish_dataset


@pytest.fixture
def dataset(client: Client, labels: Path, db: Database, objects: ObjectStore) -> str:
    job = client.datasets.generate(labels, "tiny", 5)
    finish_dataset(db, objects, job)
    return str(job["result"]["dataset"])


def test_a_dataset_is_pinned_deleted_and_restored(client: Client, dataset: str) -> None:
    assert client.datasets.pin(dataset)["pinned"] is True
    assert client.datasets.unpin(dataset)["pinned"] is False
    client.datasets.delete(dataset)
    assert client.datasets.get(dataset)["state"] == "deleted"
    assert client.datasets.undelete(dataset)["state"] == "ready"
    assert next(client.datasets.list())["id"] == dataset


def test_an_alias_is_set_and_deleted(client: Client, dataset: str) -> None:
    assert client.aliases.set("heads-kept", dataset)["dataset"] == dataset
    assert client.aliases.get("heads-kept")["dataset"] == dataset
    assert "heads-kept" in [alias["name"] for alias in client.aliases.list()]
    client.aliases.delete("heads-kept")
    with pytest.raises(Refused, match="heads-kept"):
        client.aliases.get("heads-kept")


def test_the_quota_is_listed_with_its_use(client: Client) -> None:
    limits = {item["name"]: item for item in client.quota()}
    assert limits["queued_jobs"]["limit"] > 0


def test_a_webhook_endpoint_is_changed(client: Client) -> None:
    endpoint = client.webhooks.create("https://93.184.215.14/hook", ["job.failed"])
    changed = client.webhooks.update(endpoint["id"], enabled=False, description=None)
    assert (changed["enabled"], changed["events"]) == (False, ["job.failed"])
    assert client.webhooks.get(endpoint["id"]) == changed
    client.webhooks.delete(endpoint["id"])


def test_an_upload_is_deleted(client: Client, labels: Path) -> None:
    upload = client.uploads.create(labels)
    client.uploads.delete(upload["id"])
    with pytest.raises(Refused, match=upload["id"]):
        client.uploads.get(upload["id"])


#: Values for parameters, by their names.
VALUES: dict[str, Any] = {"labels": "upl_1", "source": "upl_1", "count": 1, "kind": "png"}


def calls(client: Client) -> Iterator[tuple[str, Any]]:
    """Yield the name and the result of every method that sends requests for ids alone; ids contain a slash."""
    for name, resource in vars(client).items():
        if not isinstance(resource, Resource):
            continue
        for method, function in inspect.getmembers(resource, inspect.ismethod):
            if method.startswith("_") or (name, method) in {
                ("uploads", "create"),
                ("uploads", "create_checkpoint"),
                ("uploads", "create_images"),
                ("uploads", "create_examples"),
                ("uploads", "id_of"),
                ("datasets", "download"),
                ("datasets", "download_export"),
                ("jobs", "wait"),
            }:
                continue
            required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
            values = {p.name: VALUES.get(p.name, "one/two") for p in required if p.kind is not p.VAR_KEYWORD}
            answer = function(**values)
            if isinstance(answer, Iterator):
                list(answer)
            yield f"{name}.{method}", answer


def test_every_request_of_the_sdk_is_a_route_of_the_service() -> None:
    """Ids are quoted: `one/two` is one segment of a path."""
    routes = {
        (method.upper(), re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))))
        for path, methods in create_app().openapi()["paths"].items()
        for method in methods
    }
    sent: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        sent.append((request.method, path))
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(204)  # the job has ended
        document = {"id": "job_1", "state": "succeeded", "items": [], "secret": "", "pictures": [{"url": "/picture"}]}
        return httpx.Response(200, json=document)

    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        called = [name for name, _ in calls(client)]
    assert len(called) >= 45
    unknown = {
        (method, path)
        for method, path in sent
        if path != "/picture" and not any(verb == method and route.fullmatch(path) for verb, route in routes)
    }
    assert not unknown, json.dumps(sorted(unknown), indent=1)

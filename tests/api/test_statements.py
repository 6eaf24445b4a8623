"""What requests ask of the database: how many statements, however much there is already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import Engine
from starlette.testclient import TestClient

from api.app import create_app
from store.database.database import Database
from store.settings import Settings
from store.tables import tenants
from store.tenancy.api_keys import create_key, revoke_key
from store.tenancy.tenants import add_tenant

Start = Callable[..., dict[str, Any]]


@contextmanager
def asked() -> Iterator[list[str]]:
    """The statements that are run meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("method", "path", "most"), [("POST", "/v1/jobs", 16), ("GET", "/v1/jobs/{id}", 5), ("GET", "/v1/jobs", 5)]
)
def test_a_request_takes_few_statements(
    http: TestClient, start: Start, wish: dict[str, Any], method: str, path: str, most: int
) -> None:
    job = start()
    counted = []
    for more in (1, 20):
        for _ in range(more):
            start()
        with asked() as seen:
            answer = http.request(method, path.format(id=job["id"]), json=wish if method == "POST" else None)
        assert answer.is_success
        counted.append(len(seen))
    assert counted[0] == counted[1] <= most, seen


def test_a_key_takes_three_statements_more_and_the_answer_another(http: TestClient, wish: dict[str, Any]) -> None:
    http.post("/v1/jobs", json=wish)
    with asked() as without:
        http.post("/v1/jobs", json=wish)
    with asked() as seen:
        assert http.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "k"}).status_code == 202
    assert len(seen) == len(without) + 4, "found, kept; a transaction that keeps the answer"


def test_an_api_key_is_looked_up_in_one_statement_each_time(settings: Settings, db: Database) -> None:
    settings.api.keys = "required"
    add_tenant(db, "acme")
    made = create_key(db, tenant="acme", name="test", scopes=["read"], days=1)
    app = create_app(settings)
    with TestClient(app, headers={"Authorization": f"Bearer {made.secret}"}) as http:
        assert http.get("/v1/jobs").status_code == 200  # writes down that it was used
        with asked() as seen:
            limit = http.get("/v1/jobs").headers["ratelimit-policy"]
        assert len([one for one in seen if "FROM api_keys" in one]) == 1
        assert not [one for one in seen if one.startswith("SELECT tenants.limits")]
        with db.write() as connection:
            connection.execute(update(tenants).where(tenants.c.id == "acme").values(limits={"requests_per_minute": 7}))
        assert http.get("/v1/jobs").headers["ratelimit-policy"] == '"requests";q=7;w=60' != limit
        revoke_key(db, made.key.id, tenant="acme")
        assert http.get("/v1/jobs").status_code == 401, "another program ended it a moment ago"


def test_what_a_post_answers_is_what_the_job_says(http: TestClient, start: Start) -> None:
    """The answer is written from what was put in, and not from what would be read again."""
    start(priority=2)
    for changes in ({}, {"priority": 5, "labels_map": {"team": "eyes"}}):
        job = start(**changes)
        assert http.get(job["urls"]["self"]).json() == job

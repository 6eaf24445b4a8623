"""OpenAPI links: which answer holds the id that another call takes, so that a program can walk from one to the next."""

import re
from collections.abc import Iterator
from typing import Any

JOB = "#/components/schemas/Job'"
PARAMETER = re.compile(r"\{(\w+)\}")


def add_links(paths: dict[str, Any]) -> None:
    """Give the answers of every collection links to what can be done with one of its items.

    A list leads on by its first item, a POST by what it has made.
    """
    jobs = [path for path in paths if path.startswith("/v1/jobs/{job_id}")]
    for collection, item in _collections(paths):
        key = "name" if item.endswith("/{name}") else "id"
        below = [path for path in paths if path == item or path.startswith(f"{item}/")]
        _link(paths, collection, "get", "200", below, f"$response.body#/items/0/{key}")
        _link(paths, collection, "post", "201", below, f"$response.body#/{key}")
    for path, operations in paths.items():
        accepted = operations.get("post", {}).get("responses", {}).get("202", {})
        if JOB in str(accepted.get("content")) and path not in jobs:
            _link(paths, path, "post", "202", jobs, "$response.body#/id")


def _collections(paths: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths that list things, each with the path of one of them."""
    for item, operations in paths.items():
        collection, _, last = item.rpartition("/")
        if PARAMETER.fullmatch(last) and "get" in operations and collection in paths:
            yield collection, item


def _link(paths: dict[str, Any], source: str, method: str, status: str, targets: list[str], found: str) -> None:
    """Link one answer to the operations at ``targets`` that need nothing beyond what it and its request hold."""
    answer = paths[source].get(method, {}).get("responses", {}).get(status)
    if answer is None:
        return
    known = {name: f"$request.path.{name}" for name in PARAMETER.findall(source)}
    for target in targets:
        needed = PARAMETER.findall(target)
        missing = [name for name in needed if name not in known]
        if len(missing) != 1:
            continue
        parameters = {name: known.get(name, found) for name in needed}
        for operation in paths[target].values():
            name = operation["operationId"]
            answer.setdefault("links", {})[name] = {"operationId": name, "parameters": parameters}

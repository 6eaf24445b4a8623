"""`offhand datasets`: list datasets, show one, keep or delete one."""

import json
from typing import TYPE_CHECKING, Any

from offhand.commands.delivery import DatasetId, dataset_id_of, quality_lines, quality_of
from offhand.documents import Dataset, Document
from offhand.terminal.groups import listing_group
from offhand.terminal.options import Json, Url, connect
from offhand.terminal.output import Output, ending
from offhand.terminal.tables import table

if TYPE_CHECKING:
    from offhand.sdk.client import Client


def list_datasets(client: "Client", output: Output) -> None:
    """Print a table, newest first."""
    found = list(client.datasets.list())
    rows = [
        [
            one["id"],
            one["name"] or "",
            one["state"],
            str(one["count"]),
            _score(one),
            "pinned" if one["pinned"] else (one["expires_at"] or "")[:10],
            one["created_at"][:19],
        ]
        for one in found
    ]
    columns = ["DATASET", "NAME", "STATE", "IMAGES", "HELD-OUT MIOU", "EXPIRES", "CREATED"]
    output.result(found, table(columns, rows) if found else "no datasets; `offhand generate` makes one")


def _score(dataset: Dataset) -> str:
    held_out = (dataset["quality"] or {}).get("held_out") or {}
    score = held_out.get("mean_iou")
    return "" if score is None else f"{score:.3f}"


group = listing_group("Datasets of the service.", "List datasets.", list_datasets)


@group.command("show")
def show(dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Show a dataset: counts, scores, warnings, verdict of its newest evaluation."""
    with ending(as_json) as output, connect(url) as client:
        found = client.datasets.get(dataset_id_of(client, dataset))
        quality = quality_of(client, found)
        output.result({**found, **quality}, "\n".join([*_facts(found), *quality_lines(quality)]))


@group.command("pin")
def pin(dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Keep a dataset until it is unpinned or deleted."""
    with ending(as_json) as output, connect(url) as client:
        found = client.datasets.pin(dataset_id_of(client, dataset))
        output.result(found, f"{found['id']} is pinned: it does not expire")


@group.command("unpin")
def unpin(dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Let a dataset expire again."""
    with ending(as_json) as output, connect(url) as client:
        found = client.datasets.unpin(dataset_id_of(client, dataset))
        output.result(found, f"{found['id']} expires at {found['expires_at']}")


@group.command("rm")
def rm(dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Delete a dataset; it can be restored for 24 hours."""
    with ending(as_json) as output, connect(url) as client:
        dataset_id = dataset_id_of(client, dataset)
        client.datasets.delete(dataset_id)
        restore = f"offhand datasets undelete {dataset_id}"
        output.result(
            {"deleted": dataset_id}, f"{dataset_id} is deleted; within 24 hours it comes back with: {restore}"
        )


@group.command("undelete")
def undelete(dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Restore a dataset that was deleted less than 24 hours ago."""
    with ending(as_json) as output, connect(url) as client:
        found = client.datasets.undelete(dataset_id_of(client, dataset))
        output.result(found, f"{found['id']} is {found['state']}")


@group.command("stats")
def stats(dataset: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Print a dataset's label statistics."""
    with ending(as_json) as output, connect(url) as client:
        found = client.datasets.statistics(dataset_id_of(client, dataset))
        output.result(found, statistics_text(found))


def _facts(dataset: Dataset) -> list[str]:
    name = f"  {dataset['name']}" if dataset["name"] else ""
    kept = "pinned" if dataset["pinned"] else f"expires {dataset['expires_at']}" if dataset["expires_at"] else "kept"
    return [
        f"{dataset['id']}{name}: {dataset['state']}, {dataset['count']} images",
        f"  job            {dataset['job']}",
        f"  created        {dataset['created_at'][:19]}, {kept}",
    ]


def statistics_text(statistics: Document) -> str:
    """Return statistics as lines ``path  value``; nested names are joined with dots."""
    rows = [[name, value] for name, value in _flat(statistics, "")]
    return table(["STATISTIC", "VALUE"], rows) if rows else "no statistics"


def _flat(value: Any, place: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [row for name, inner in value.items() for row in _flat(inner, f"{place}.{name}" if place else name)]
    if isinstance(value, float):
        return [(place, f"{value:.6g}")]
    return [(place, value if isinstance(value, str) else json.dumps(value))]

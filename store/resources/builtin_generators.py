"""The generators that come with the service, listed from their JSON files without torch.

Opening the database calls this module, so it works on connections and imports nothing that needs an open database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from store.database.clock import database_now
from store.ids import new_id
from store.resources.descriptions import resolution_of
from store.tables import generators as table

#: Name of the description in a generator's folder (written by core.generators.files), and among the files of an
#: imported one.
DESCRIPTION = "generator.json"


def read_builtin(folder: Path | None) -> list[dict[str, Any]]:
    """Return the row of each `<folder>/<name>/generator.json`, in the order of names.

    A folder that cannot be read as a generator is left out: a half-written one is not an error of the service.
    """
    rows = [_described(path) for path in sorted(folder.glob(f"*/{DESCRIPTION}"))] if folder is not None else []
    return [row for row in rows if row is not None]


def builtin_differ(connection: Connection, rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether a row of `read_builtin` is not recorded, or is recorded with another description."""
    known = {row.name: row.info for row in connection.execute(select(table).where(table.c.builtin))}
    return any(known.get(values["name"]) != values["info"] for values in rows)


def record_builtin(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Record rows of `read_builtin` as generators that every tenant sees."""
    for values in rows:
        builtin = (table.c.name == values["name"]) & table.c.builtin
        if not connection.execute(update(table).where(builtin).values(**values)).rowcount:
            new = {"id": new_id("gen"), "tenant": None, "builtin": True, "created_at": database_now()}
            connection.execute(insert(table).values(**new, **values))


def _described(path: Path) -> dict[str, Any] | None:
    try:
        description = json.loads(path.read_text("utf-8"))
        height, width = resolution_of(description)
        info = description["info"]
        return {
            "name": path.parent.name,
            "digest": str(info["digest"]),
            "height": height,
            "width": width,
            "licence": str(info.get("licence", "")),
            "info": description,
            "state": "ready",
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None

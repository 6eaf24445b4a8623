"""Well-known public checkpoints by name: where they are, and what is known about them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class CatalogueEntry(BaseModel):
    """One checkpoint. Unless `verified`, this project has not downloaded it from its URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(examples=["ada-afhqcat"])
    url: str
    sha256: str | None = Field(description="As its makers published it; null where they did not.")
    format: str = Field(examples=["nvidia-pytorch"])
    licence: str
    domain: str
    resolution: tuple[int, int] = Field(description="Height and width.")
    quirks: list[str] = Field(description="Notes for its use.")
    verified: bool = Field(description="Whether this project has fetched and imported it from this URL.")


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Every entry by name."""
    listed: Any = json.loads((Path(__file__).parent / "catalogue.json").read_text("utf-8"))
    return {entry["name"]: CatalogueEntry(**entry) for entry in listed["checkpoints"]}

"""Names of datasets."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.base import Document, Request
from store.resources.aliases import Alias as StoredAlias


class AliasRequest(Request):
    """Dataset that an alias is to name."""

    dataset: str = Field(description="A dataset that is ready (`ds_…`).", max_length=64)


class Alias(Document):
    """A name that points at a dataset."""

    name: str = Field(examples=["latest"])
    dataset: str
    dataset_state: Literal["ready", "deleted", "expired"] = Field(
        description="Of a deleted or expired dataset the alias itself answers 410."
    )
    url: str = Field(description="The dataset.")
    moved_at: datetime


def alias_document(alias: StoredAlias) -> Alias:
    """Return the document of an alias."""
    url = f"/v1/datasets/{alias.dataset_id}"
    state = alias.gone or "ready"
    return Alias(name=alias.name, dataset=alias.dataset_id, dataset_state=state, url=url, moved_at=alias.moved_at)

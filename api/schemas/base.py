"""Base classes of all documents."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from store.database.paging import Page
from store.requests.base import Spec

S = TypeVar("S")
T = TypeVar("T")


class Document(BaseModel):
    """An answer. Times are RFC 3339 in UTC."""

    model_config = ConfigDict(from_attributes=True)


class Request(Spec):
    """A request body: unknown fields are refused, for a misspelt field is a wrong result."""


class ListOf(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_page_token: str | None = Field(default=None, description="Absent on the last page.")


def list_of(page: Page[S], document: Callable[[S], T]) -> ListOf[T]:
    """A page of the store's, each item as its document."""
    return ListOf(items=[document(item) for item in page.items], next_page_token=page.next_page_token)


Info = dict[str, Any]

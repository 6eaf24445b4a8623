"""What all documents share."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from store.spec import Spec

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


Info = dict[str, Any]

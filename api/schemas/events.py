"""The log of a job."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Document, Info


class Event(Document):
    """One line of a job's log. `number` counts up from 1 without gaps."""

    number: int
    at: datetime
    level: str
    name: str = Field(description="`noun.verb`", examples=["step.finished"])
    data: Info

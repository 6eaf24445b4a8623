"""What all request bodies have in common."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Unknown fields are refused, numbers are finite, and what was accepted does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

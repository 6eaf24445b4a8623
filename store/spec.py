"""What all request bodies have in common."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Unknown fields are refused, and `"20"` for 20; numbers are finite, and what was accepted does not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

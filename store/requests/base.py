"""Base classes of all request bodies."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

#: Seeds stay below 2^53, so that a JSON reader with doubles does not lose digits.
MAX_SEED = 2**53 - 1
#: Names of datasets. Without `_`, so that none looks like an id.
ALIAS = r"^[a-z0-9][a-z0-9.-]{0,62}$"
#: Names of the caller's own, in any script; control characters would break lists on a terminal.
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
#: Names and values of the caller's own marks.
Tag = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class Spec(BaseModel):
    """Unknown fields are refused, and `"20"` for 20; numbers are finite, and what was accepted does not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, document: Any) -> Any:
        """20.0 is a whole number in JSON."""
        return _whole(document)

    @model_validator(mode="wrap")
    @classmethod
    def _name_close_fields(cls, document: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse an unknown field with the name of the field that it probably is."""
        try:
            return handler(document)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if not any(_is_unknown_field(one) for one in found):
                raise
            known = [field.alias or name for name, field in cls.model_fields.items()]
            raise ValidationError.from_exception_data(
                cls.__name__, [_with_close_name(one, known) for one in found]
            ) from None


class JobSpec(Spec):
    """Fields that the request for a job of any kind has."""

    kind: str
    name: Name | None = Field(
        None, description="The caller's name for the job, shown in lists; what the job makes has it too."
    )
    priority: int = Field(
        0, ge=-100, le=100, description="Among the caller's own jobs: higher ones are worked on first."
    )
    labels_map: dict[Tag, Annotated[str, StringConstraints(max_length=255)]] = Field(
        default_factory=dict, max_length=32, description="The caller's own marks of the job, for filtering lists."
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a refusal: the known name that is close to `name`, else all of them."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"expected one of: {', '.join(known)}" if known else "there are none here"


def _is_unknown_field(found: ErrorDetails) -> bool:
    return found["type"] == "extra_forbidden" and len(found["loc"]) == 1


def _with_close_name(found: ErrorDetails, known: Iterable[str]) -> InitErrorDetails:
    """A problem of a model as one that can be raised again."""
    detail = found["msg"]
    if _is_unknown_field(found):
        detail = f"no such field; {did_you_mean(str(found['loc'][0]), known)}"
    # The text is a value of the template, for it may hold braces itself.
    problem = PydanticCustomError(found["type"], "{detail}", {"detail": detail})
    return InitErrorDetails(type=problem, loc=found["loc"], input=found["input"])


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value

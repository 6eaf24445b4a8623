"""What all request bodies have in common."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError


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

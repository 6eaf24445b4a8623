"""Settings as fields of a data class, each with its JSON Schema: one definition for checks, documents and programs."""

from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any

from contracts.sampling_settings import Violation, violations


def setting(default: Any, description: str, **rule: Any) -> Any:
    """Return the field of a data class. rule: its JSON Schema, without description and default."""
    return field(default=default, metadata={"schema": {**rule, "description": description}})


def number(default: float | None, description: str, *, nullable: bool = False, **bounds: float) -> Any:
    """Return the field of a number."""
    if not nullable:
        return setting(default, description, type="number", **bounds)
    return setting(default, description, anyOf=[{"type": "number", **bounds}, {"type": "null"}])


def share(default: float, description: str) -> Any:
    """Return the field of a number from 0 to 1."""
    return number(default, description, minimum=0, maximum=1)


def whole(default: int, description: str, minimum: int) -> Any:
    """Return the field of a whole number."""
    return setting(default, description, type="integer", minimum=minimum)


def choice(default: str, description: str, options: tuple[str, ...]) -> Any:
    """Return the field of one of several names."""
    return setting(default, description, enum=list(options))


def schema_of(settings: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of the settings of a data class."""
    rules = {one.name: {**one.metadata["schema"], "default": _json(one.default)} for one in _settings(settings)}
    return {"type": "object", "additionalProperties": False, "properties": rules}


def field_violations(settings: Any) -> list[Violation]:
    """Return every value of an instance that its schema refuses."""
    schema, values = schema_of(type(settings)), to_json(settings)
    found = violations(schema, values)
    # Validators of JSON Schema take 2.0 for a whole number.
    found += [
        Violation(name, f"expected a whole number, found {values[name]!r}")
        for name, rule in schema["properties"].items()
        if rule.get("type") == "integer" and isinstance(values[name], float)
    ]
    required = (name for name, rule in schema["properties"].items() if "anyOf" not in rule)
    found += [Violation(name, "expected a value, found null") for name in required if values[name] is None]
    return found


def to_json(settings: Any) -> dict[str, Any]:
    """Return the settings of an instance as JSON values."""
    return {one.name: _json(getattr(settings, one.name)) for one in _settings(type(settings))}


def from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON values as the constructor of a data class takes them: lists become tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _settings(settings: type[Any]) -> list[Field[Any]]:
    return [one for one in fields(settings) if "schema" in one.metadata]


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

"""Sampling settings of a generator: checked against the JSON Schema that each generator stores."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

Setting = bool | int | float | str | None
"""Value of one setting; null stands for the default."""


class Violation(NamedTuple):
    """One setting that the schema refuses: its name, and what was expected and found."""

    name: str
    detail: str


def violations(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Violation]:
    """Return every unknown setting and every value outside of the schema, by name."""
    known: Mapping[str, Any] = schema.get("properties", {})
    given = {name: value for name, value in settings.items() if value is not None}
    listed = ", ".join(sorted(known)) or "none"
    found = [Violation(name, f"unknown setting; this generator has: {listed}") for name in given.keys() - known.keys()]
    for name in given.keys() & known.keys():
        value = given[name]
        if isinstance(value, float) and not isfinite(value):
            found.append(Violation(name, f"expected a finite number, found {value}"))
            continue
        found += [Violation(name, error.message) for error in Draft202012Validator(known[name]).iter_errors(value)]
    return sorted(found)


def with_own_defaults(schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a family's settings with a generator's own defaults, which have to be valid settings."""
    if not defaults:
        return schema
    known = schema.get("properties", {})
    own = {name: {**rule, "default": defaults[name]} if name in defaults else rule for name, rule in known.items()}
    return {**schema, "properties": own}


def with_defaults(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings of the schema: the given values, defaults for those that are absent or null."""
    given = {name: value for name, value in settings.items() if value is not None}
    return {name: given.get(name, rule.get("default")) for name, rule in schema.get("properties", {}).items()}

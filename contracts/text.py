"""Text from files and callers, made fit for logs, databases, JSON and terminals."""

from typing import Any

#: Characters of an error's detail, and of a name inside it.
DETAIL_LENGTH, NAME_LENGTH = 4000, 200


def printable(text: str, length: int = DETAIL_LENGTH) -> str:
    r"""Return ``text`` with every character escaped that is not printable, except line feeds and tabs.

    Lone surrogates, NUL, terminal escapes and marks that turn the direction of writing become ``\ud800``, ``\x00``
    and the like. A longer text is cut to ``length`` characters, the last of which is "…".
    """
    # Cut before, so that a huge text costs nothing, and after, because an escape is up to ten characters long.
    shown = text[: length + 1]
    if not shown.isprintable():
        shown = "".join(one if one.isprintable() or one in "\n\t" else _escaped(one) for one in shown)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def name(text: str, length: int = NAME_LENGTH) -> str:
    """Return ``text`` as :func:`printable` does, on one line: for names of files, tensors, classes and fields."""
    return printable(text[: length + 1].replace("\n", "\\n").replace("\t", "\\t"), length)


def printable_json(value: Any) -> Any:
    """Return a JSON value with each text and each key in it printable, at any length."""
    if isinstance(value, str):
        return printable(value, 10 * len(value) + 1)
    if isinstance(value, list):
        return [printable_json(one) for one in value]
    if isinstance(value, dict):
        return {printable_json(key): printable_json(one) for key, one in value.items()}
    return value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")

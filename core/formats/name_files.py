"""Class names in the files that tools write beside label files: lists of lines, and YAML with ``names``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import yaml

from core.formats.texts import TextError, decode_text
from core.formats.translation import BACKGROUND, Translation

#: Lists of names, one a line, in the order of ids: labelme, Label Studio and labelImg, Darknet and CVAT.
NAME_LISTS = ("class_names.txt", "classes.txt", "obj.names", "predefined_classes.txt", "labels.txt")
_YAML = (".yaml", ".yml")
_MOST_BYTES = 1 << 20
_NUMBERED = re.compile(r"(\d{1,3})\s*[:,;\s]\s*(\S.*)")
#: labelme's names for what is not labelled, which has no id, and for the background.
_IGNORED_LINE, _BACKGROUND_LINES = "__ignore__", ("_background_", "__background__")


@dataclass(frozen=True)
class NamedClasses:
    """``names``: by id. ``origin``: the entry that holds them. ``settings``: keys of the YAML files."""

    names: Mapping[int, str]
    origin: str
    settings: Mapping[str, str] = field(default_factory=dict)


def is_name_list(entry: str) -> bool:
    """Return whether an entry is a list of class names by its own name."""
    name = PurePosixPath(entry).name
    return name in NAME_LISTS or name.endswith(".names")


def named_classes(out: Translation) -> NamedClasses | None:
    """Return the names that the archive holds; None where it holds none. YAML goes before lists.

    Adds a problem where a file is unreadable, and where two files name the classes in different ways.
    """
    found = list(_from_yaml(out))
    settings = {key: value for one in found for key, value in one.settings.items()}
    listed = [one for one in found if one.names] or list(_from_lists(out))
    if not listed:
        return NamedClasses({}, found[0].origin, settings) if settings else None
    first = listed[0]
    for other in listed[1:]:
        if dict(other.names) != dict(first.names):
            out.problem(f"names other classes than {first.origin}: remove the one that is wrong", other.origin)
    return NamedClasses(first.names, first.origin, settings)


def _from_yaml(out: Translation) -> Iterator[NamedClasses]:
    for entry in sorted(out.entries, key=lambda name: (PurePosixPath(name).stem not in ("data", "dataset"), name)):
        if not entry.lower().endswith(_YAML):
            continue
        try:
            root = _composed(out.bytes_of(entry))
            nodes = dict(_pairs(root))
            names = _names(nodes["names"]) if "names" in nodes else {}
        except (TextError, yaml.YAMLError, RecursionError, ValueError) as error:
            out.problem(f"names no classes: {error}", entry)
            continue
        plain = {key: node.value if isinstance(node, yaml.ScalarNode) else "" for key, node in nodes.items()}
        yield NamedClasses(names, entry, plain)


def _composed(content: bytes) -> yaml.Node | None:
    # Nodes and not values: ``no``, ``1.0`` and dates stay text, doubled keys are seen, aliases are not expanded.
    return yaml.compose(decode_text(content[:_MOST_BYTES]), Loader=yaml.SafeLoader)


def _pairs(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(key.value, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def _names(node: yaml.Node) -> dict[int, str]:
    if isinstance(node, yaml.SequenceNode):
        pairs = list(enumerate(node.value))
    elif isinstance(node, yaml.MappingNode):
        pairs = [(_id(key), value) for key, value in _pairs(node)]
    else:
        raise ValueError("names is neither a list nor a map from ids to names")
    names: dict[int, str] = {}
    for class_id, value in pairs:
        if not isinstance(value, yaml.ScalarNode):
            raise ValueError(f"the name of class {class_id} is not text")
        if class_id in names:
            raise ValueError(f"class {class_id} is named twice: {names[class_id]!r} and {value.value!r}")
        names[class_id] = value.value
    return names


def _id(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"the class id {text[:40]!r} is not a whole number")
    return int(text)


def _from_lists(out: Translation) -> Iterator[NamedClasses]:
    for entry in sorted(filter(is_name_list, out.entries)):
        try:
            lines = [line.strip() for line in decode_text(out.bytes_of(entry)[:_MOST_BYTES]).splitlines()]
        except TextError as error:
            out.problem(str(error), entry)
            continue
        lines = [line for line in lines if line and line != _IGNORED_LINE]
        lines = [BACKGROUND if line in _BACKGROUND_LINES else line for line in lines]
        numbered = [_NUMBERED.fullmatch(line) for line in lines]
        if lines and all(match and int(match[1]) == place for place, match in enumerate(numbered)):
            lines = [match[2] for match in numbered if match]
        if lines:
            yield NamedClasses(dict(enumerate(lines)), entry)

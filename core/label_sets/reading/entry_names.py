"""Names that an archive's entries may have, and entries that are ignored."""

import re
import unicodedata

MAX_COMPONENT_BYTES = 255
MAX_NAME_BYTES = 1024
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def written_name(name: str, flagged: bool) -> str:
    """Return the name of a zip entry as it was written. ``flagged``: whether the zip declares it as UTF-8.

    Without the flag a name is read as code page 437; where its bytes are UTF-8 (macOS, old Java) it is taken as that.
    """
    if flagged or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def normalised(name: str) -> str:
    """Return one spelling for names that writers spell differently.

    Without the leading ``./`` and the closing ``/`` of folders; backslashes, which tools on Windows write between
    folders, as ``/``; accents composed (NFC), which macOS writes decomposed.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    while name.startswith("./"):
        name = name[2:]
    return "" if name == "." else name.removesuffix("/")


def fault(name: str) -> str | None:
    """Why a :func:`normalised` name is refused, or None."""
    if "\0" in name:
        return "a NUL byte in its name"
    if name.startswith("/"):
        return "an absolute path"
    if re.match(r"[A-Za-z]:", name):
        return "a drive letter in its path"
    components = name.split("/")
    if ".." in components:
        return "a path that leaves the archive (..)"
    if "" in components or "." in components:
        return "an empty or . component in its path"
    if not name.isprintable():
        return "a control character, or bytes that are not UTF-8, in its name"
    encoded = [len(component.encode()) for component in components]
    if max(encoded) > MAX_COMPONENT_BYTES or sum(encoded) + len(encoded) - 1 > MAX_NAME_BYTES:
        return f"a name that is too long ({MAX_COMPONENT_BYTES} bytes a component, {MAX_NAME_BYTES} in all)"
    return None


def is_dropping(name: str) -> bool:
    """Whether an operating system left this behind (``__MACOSX/``, ``.DS_Store``, ``Thumbs.db``, ``._x``)."""
    components = name.split("/")
    return "__MACOSX" in components or components[-1] in _DROPPINGS or components[-1].startswith("._")


class NameRegister:
    """Names seen so far, to find those that some file system would take for one another."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, bool]] = {}
        self._files: set[str] = set()

    def add(self, name: str, folder: bool) -> str | None:
        """Record ``name``; what it collides with in words, or None. A folder may be named any number of times."""
        components = name.split("/")
        for depth in range(1, len(components) + 1):
            path = "/".join(components[:depth])
            is_folder = folder or depth < len(components)
            key = unicodedata.normalize("NFC", path).casefold()
            other, other_is_folder = self._seen.setdefault(key, (path, is_folder))
            if other != path:
                return f"a name that differs only by case or accents from {other!r}"
            if other_is_folder != is_folder:
                return f"{path!r} is both a file and a folder"
            if depth == len(components) and not folder and key in self._files:
                return "a name that appears twice"
        if not folder:
            self._files.add(key)
        return None

"""Licence of photographs, as a file beside them states it."""

import re
from pathlib import PurePosixPath

_LICENCES, _READMES = ("license", "licence", "copying"), ("readme",)
_SUFFIXES = ("", ".txt", ".md", ".rst")
#: The key that dataset cards of the Hugging Face hub have.
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)
_KEY = re.compile(r"^licen[sc]e\s*:\s*[\"']?([^\"'\n#]+)", re.IGNORECASE | re.MULTILINE)
MOST_CHARACTERS = 10_000


def may_state_licence(name: str) -> bool:
    """Return whether a file of this name, at most one folder deep, may state a licence."""
    path = PurePosixPath(name.lower())
    return len(path.parts) <= 2 and path.suffix in _SUFFIXES and path.stem in (*_LICENCES, *_READMES)


def licence_of(beginnings: dict[str, bytes]) -> str:
    """Return the text of a LICENSE or COPYING file; else what a README says of a licence; else nothing.

    beginnings: content of the files that :func:`may_state_licence` selects. Files nearer to the top come first.
    """
    texts = [
        (PurePosixPath(name.lower()).stem, content.decode("utf-8", "replace").strip())
        for name, content in sorted(beginnings.items(), key=lambda one: (one[0].count("/"), one[0]))
    ]
    whole = [text for stem, text in texts if stem in _LICENCES and text]
    parts = [part for stem, text in texts if stem in _READMES and (part := _stated(text))]
    return next(iter([*whole, *parts]), "")[:MOST_CHARACTERS]


def _stated(readme: str) -> str:
    """Return the licence of a README's front matter, else its paragraphs that have the word licence."""
    front = _FRONT_MATTER.match(readme)
    key = _KEY.search(front.group(1)) if front else None
    if key:
        return key.group(1).strip()
    paragraphs = re.split(r"\n\s*\n", readme)
    return "\n\n".join(one.strip() for one in paragraphs if re.search(r"\blicen[sc]e", one, re.IGNORECASE))

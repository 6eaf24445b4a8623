"""Find the picture of an archive that a name in an annotation file means.

Tools write names in many ways: with folders of another computer, backslashes, ``%20``, another Unicode form, as URLs,
without a suffix, or with the prefix that Label Studio puts before uploads. All formats resolve names here, by one rule:

1. the exact path, from the folder of the annotation file, then from each folder above it (or from ``images/`` in one);
2. else the longest common tail of the path, where one picture has it;
3. else the base name, where one picture has it;
4. else the name is refused.

Equal base names in different folders are different images.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_IMAGES = "images"
#: Label Studio stores an upload as ``1a2b3c4d-NAME`` and what it downloads as ``1a2b3c__NAME``.
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-|[0-9a-f]{6,8}__")
_MOST_SHOWN, _LONGEST = 120, 4096

Parts = tuple[str, ...]


class ImageNameError(ValueError):
    """No picture, or more than one, fits the name. The message names the cause and reads after the file's name."""


@dataclass(frozen=True, order=True)
class _Match:
    """Rank of a fit, the best is the largest: exact path, common components from the end, literal spelling of which
    reading of the name.
    """

    exact: int
    tail: int
    literal: int


@dataclass(frozen=True)
class _Claim:
    match: _Match
    entry: str


class ImageNames:
    """An index of an archive's pictures by the names that other tools write for them.

    ``entries``: names of all files in the archive, or of those among which images are looked for.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        #: The entries that are pictures, in order.
        self.pictures: list[str] = []
        self._others: set[str] = set()
        # By base name, alone and with its folder; names without a suffix are looked up among stems.
        self._loose: dict[tuple[bool, Parts], list[str]] = {}
        self._stored: dict[tuple[bool, str], list[str]] = {}
        for entry in sorted(entries):
            base = entry.rpartition("/")[2]
            if not base.lower().endswith(PICTURE_SUFFIXES):
                self._others.add(_loose(base))
                continue
            self.pictures.append(entry)
            folder = tuple(_loose(one) for one in entry.split("/")[-2:-1])
            for suffixed, name in ((True, base), (False, _stem(base))):
                for parts in {(_loose(name),), (*folder, _loose(name))}:
                    self._loose.setdefault((suffixed, parts), []).append(entry)
                self._stored.setdefault((suffixed, _stored(name)), []).append(entry)

    def find(self, written: str, beside: str = "") -> str:
        """Return the entry that ``written`` means in the annotation file ``beside`` (an entry's name).

        Raises :class:`ImageNameError` where no picture fits, or several fit equally well.
        """
        return self._claim(written, beside).entry

    def find_all(self, written: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | ImageNameError]:
        """Return the entry, or the error, for each pair of a name and the annotation file that holds it.

        Two names that mean different images (``left/1.png``, ``right/1.png``) never get the same picture: the better
        fit keeps it, the other is refused; both are, where they fit equally well.
        """
        answers: dict[tuple[str, str], str | ImageNameError] = {}
        claims: dict[str, dict[tuple[str, str], _Match]] = {}
        for key in written:
            try:
                claim = self._claim(*key)
            except ImageNameError as error:
                answers[key] = error
            else:
                answers[key] = claim.entry
                claims.setdefault(claim.entry, {})[key] = claim.match
        for entry, made in claims.items():
            answers.update(_losers(entry, made))
        return answers

    def _claim(self, written: str, beside: str) -> _Claim:
        if len(written) > _LONGEST:
            raise ImageNameError(f"lists an image with a name of {len(written):,} characters")
        paths = [parts for path in _paths(written) if (parts := _parts(path))]
        ranked: dict[str, _Match] = {}
        for place, parts in enumerate(paths):
            for entry in self._candidates(parts):
                match = _match(parts, entry, beside, len(paths) - place)
                ranked[entry] = max(match, ranked.get(entry, match))
        if not ranked:
            # A stored upload keeps nothing of its path: the base name alone decides.
            keys = [(_has_suffix(parts[-1]), _stored(parts[-1])) for parts in paths]
            ranked = {entry: _Match(0, 1, 0) for key in keys for entry in self._stored.get(key, ())}
        if not ranked:
            raise ImageNameError(self._missing(written, paths))
        best = max(ranked.values())
        found = [entry for entry in ranked if ranked[entry] == best]
        if len(found) > 1:
            found = _closest(found, beside)
        if len(found) > 1:
            shown = ", ".join(sorted(found)[:4])
            wanted = "write the path as it stands in the archive"
            raise ImageNameError(f"names the image {_shown(written)}, which may be any of {shown}: {wanted}")
        return _Claim(best, found[0])

    def _candidates(self, parts: Parts) -> Sequence[str]:
        """The pictures with the base name: those in a folder of the same name alone, where there are any."""
        suffixed = _has_suffix(parts[-1])
        keys = [(suffixed, tuple(map(_loose, parts[-2:]))), (suffixed, (_loose(parts[-1]),))]
        return next((self._loose[key] for key in keys if key in self._loose), ())

    def _missing(self, written: str, paths: Sequence[Parts]) -> str:
        text = f"lists the image {_shown(written)}, which the archive does not hold"
        if any(_loose(parts[-1]) in self._others for parts in paths):
            kinds = ", ".join(PICTURE_SUFFIXES)
            text = f"lists the image {_shown(written)}, which is of no kind that is read: convert it to one of {kinds}"
        return text


def names_picture(written: str) -> bool:
    """Whether the text looks like the name or the address of a picture, with its suffix."""
    return any(_has_suffix(path) for path in _paths(written))


def image_titles(entries: Iterable[str]) -> dict[str, str]:
    """Return a short unique title for each picture entry: its stem, or the end of its path where stems are equal.

    ``left/0001.png, right/0001.png`` → ``left/0001, right/0001``; ``a.jpg, a.png`` → ``a.jpg, a.png``.
    """
    groups: dict[str, list[str]] = {}
    for entry in entries:
        groups.setdefault(PurePosixPath(entry).stem, []).append(entry)
    titles: dict[str, str] = {}
    for stem, group in groups.items():
        titles.update({group[0]: stem} if len(group) == 1 else _distinct(group))
    taken: dict[str, int] = {}
    for title in titles.values():
        taken[title] = taken.get(title, 0) + 1
    return {entry: title if taken[title] == 1 else entry for entry, title in titles.items()}


def _distinct(group: Sequence[str]) -> dict[str, str]:
    """The shortest ends of paths that tell all of ``group`` apart, without suffixes where that is enough."""
    paths = {entry: PurePosixPath(entry) for entry in group}
    bare = {entry: path.with_suffix("").parts for entry, path in paths.items()}
    parts = bare if len(set(bare.values())) == len(group) else {entry: path.parts for entry, path in paths.items()}
    depth = 1
    while len({one[-depth:] for one in parts.values()}) < len(group):
        depth += 1
    return {entry: "/".join(one[-depth:]) for entry, one in parts.items()}


def _losers(entry: str, made: Mapping[tuple[str, str], _Match]) -> dict[tuple[str, str], ImageNameError]:
    """Refusals for names that claim a picture which another name claims with more right."""
    first = max(made, key=lambda key: made[key])
    rivals = {key for key in made if not _same_image(key, made[key], first, made[first])}
    tied = next((key for key in made if key in rivals and made[key] == made[first]), None)
    refused = {}
    for key in made:
        rival = first if key in rivals else tied
        if rival is None:
            continue
        text = f"lists the image {_shown(key[0])}, which the archive does not hold"
        if made[key] == made[first]:
            text = f"lists the image {_shown(key[0])}, which may be {entry}"
        refused[key] = ImageNameError(f"{text}: {entry} fits {_shown(rival[0])} as well, in {rival[1] or 'it'}")
    return refused


def _same_image(one: tuple[str, str], match: _Match, other: tuple[str, str], other_match: _Match) -> bool:
    """Whether two names that fit one picture can mean one image.

    They do not where their paths differ, and where of files in two folders one alone has the exact path.
    """
    apart = one[1].rpartition("/")[0] != other[1].rpartition("/")[0]
    return _agree(one[0], other[0]) and not (apart and bool(match.exact) != bool(other_match.exact))


def _agree(first: str, second: str) -> bool:
    """Whether two written names can mean one image: the path of one ends as the whole of the other."""
    for one in map(_bare, _paths(first)):
        for other in map(_bare, _paths(second)):
            length = min(len(one), len(other))
            if length and one[-length:] == other[-length:]:
                return True
    return False


def _bare(path: str) -> Parts:
    """The components of a path as they are compared, without a picture's suffix."""
    parts = [_loose(part) for part in _parts(path)]
    return (*parts[:-1], _stem(parts[-1]) if _has_suffix(parts[-1]) else parts[-1]) if parts else ()


def _paths(written: str) -> list[str]:
    """The paths that a written name may stand for: as it is, and of a URL its path or the file in its query."""
    text = written.strip().replace("\\", "/")
    paths = [text, unquote(text)]
    if "://" in text or "?" in text or text.startswith("/data/"):
        try:
            address = urlsplit(text)
            query = parse_qsl(address.query)
        except ValueError:
            return paths
        paths += [address.path, unquote(address.path)]
        if not address.path.lower().endswith(PICTURE_SUFFIXES):
            paths += [_decoded(value) if key == "fileuri" else value for key, value in query]
    return paths


def _decoded(value: str) -> str:
    """The path in Label Studio's ``fileuri``: base64 of a storage URL."""
    try:
        return urlsplit(base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_").decode()).path
    except (binascii.Error, ValueError):
        return value


def _parts(path: str) -> Parts:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _loose(name: str) -> str:
    """A name as file systems and URLs compare it: decoded, composed, without case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", unquote(name)).casefold())


def _stored(base: str) -> str:
    """A base name as Label Studio stores it, without the prefix."""
    cleaned = re.sub(r"[^-\w.]", "", _loose(base).strip().replace(" ", "_"))
    return _UPLOAD_PREFIX.sub("", cleaned, count=1) if _UPLOAD_PREFIX.match(cleaned) else cleaned


def _stem(base: str) -> str:
    return base.rpartition(".")[0]


def _has_suffix(name: str) -> bool:
    return unquote(name).lower().endswith(PICTURE_SUFFIXES)


def _match(parts: Parts, entry: str, beside: str, rank: int) -> _Match:
    """``rank``: of this reading of the written name, the more literal the higher."""
    own = entry.split("/")
    if not _has_suffix(parts[-1]):
        own[-1] = _stem(own[-1])
    wanted, held = [_loose(one) for one in parts], [_loose(one) for one in own]
    tail = 0
    for one, other in zip(reversed(wanted), reversed(held), strict=False):
        if one != other:
            break
        tail += 1
    literal = unicodedata.normalize("NFC", parts[-1]) == unicodedata.normalize("NFC", own[-1])
    exact = _exactness(held[: len(held) - tail], beside) if tail == len(wanted) else 0
    return _Match(exact, tail, rank * literal)


def _exactness(folder: Sequence[str], beside: str) -> int:
    """How near the folder that the whole written path starts from is to the annotation file: 0 for elsewhere."""
    home = [_loose(one) for one in beside.split("/")[:-1]]
    for depth in range(len(home), -1, -1):
        if list(folder) == home[:depth]:
            return 2 * depth + 2
        if list(folder) == [*home[:depth], _IMAGES]:
            return 2 * depth + 1
    return 0


def _closest(found: Sequence[str], beside: str) -> list[str]:
    """Those of equal fits that share most folders with the annotation file, or lie in the folder of its split."""
    split = re.split(r"[_.\-]", PurePosixPath(beside).stem)[-1] if beside else ""
    depths = {entry: _shared(entry, beside) for entry in found}
    nearest = [entry for entry in found if depths[entry] == max(depths.values())]
    named = [entry for entry in nearest if split and split in entry.split("/")[:-1]]
    return named if len(named) == 1 else nearest


def _shared(entry: str, beside: str) -> int:
    count = 0
    for one, other in zip(entry.split("/")[:-1], beside.split("/")[:-1], strict=False):
        if one != other:
            break
        count += 1
    return count


def _shown(written: str) -> str:
    return repr(written if len(written) <= _MOST_SHOWN else f"…{written[-_MOST_SHOWN:]}")

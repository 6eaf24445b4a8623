"""A first look at an upload: its first bytes, and whether it is whole. A worker checks the rest."""

import struct
from typing import BinaryIO

from api.protocol.errors import ApiError
from api.protocol.problems import ProblemItem
from api.protocol.request_bodies import Magic

ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
GZIP = b"\x1f\x8b"
PARQUET = b"PAR1"
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257

END_RECORD = struct.Struct("<4s4H2LH")
LONGEST_COMMENT = 0xFFFF
ZIP64 = 0xFFFFFFFF
#: Of safetensors' header, as its own reader has it.
LONGEST_HEADER = 100_000_000


def begins_like_an_archive(beginning: bytes) -> bool:
    """Return whether these are the first bytes of a zip, tar or gzip file."""
    return beginning.startswith((ZIP, EMPTY_ZIP, GZIP)) or beginning[TAR_MAGIC_AT:].startswith(TAR_MAGIC)


def begins_like_a_checkpoint(beginning: bytes) -> bool:
    """A pickle of protocol 2 to 5, or safetensors: the length of a JSON header, then the header."""
    pickled = len(beginning) > 1 and beginning[0] == 0x80 and 2 <= beginning[1] <= 5
    return pickled or (beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") <= LONGEST_HEADER)


#: What an upload may be. A checkpoint that torch saved is a zip.
UPLOADED = Magic(
    "a zip, tar or tar.gz archive, a checkpoint (.pkl, .pt, .safetensors), or images in parquet",
    TAR_MAGIC_AT + len(TAR_MAGIC),
    lambda beginning: (
        begins_like_an_archive(beginning) or begins_like_a_checkpoint(beginning) or beginning.startswith(PARQUET)
    ),
)


def refuse_broken(file: BinaryIO, size: int, name: str) -> None:
    """Raise 422 ``broken_archive`` for a zip that is empty, or cut off: its directory stands at its end.

    Reads at most 64 KiB, however large the archive says it is. A tar has no directory; the worker reads it through.
    """
    if not file.read(len(ZIP)).startswith((ZIP, EMPTY_ZIP)):
        return
    tail_size = min(size, LONGEST_COMMENT + END_RECORD.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    at = tail.rfind(EMPTY_ZIP)
    if at < 0 or len(tail) - at < END_RECORD.size:
        raise _broken(name, "the archive is cut off: it has no directory at its end")
    _, _, _, _, entries, directory_size, directory_start, _ = END_RECORD.unpack_from(tail, at)
    if entries == 0:
        raise _broken(name, "the archive is empty")
    if ZIP64 in (directory_size, directory_start):
        return  # the 64-bit record holds the truth; the worker reads it
    if directory_start + directory_size > size - tail_size + at:
        raise _broken(name, "the archive is cut off: its directory lies outside of it")


def _broken(name: str, detail: str) -> ApiError:
    return ApiError("broken_archive", detail.capitalize() + ".", [ProblemItem(detail=detail, pointer=name)])

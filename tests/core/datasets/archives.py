"""Labelled archives made by code: one that is right, and what the tests need to spoil it."""

import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"classes": [{"id": 0, "name": "background"}, {"id": 1, "name": "head"}, {"id": 4, "name": "hat"}]}


def picture(image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, format, **options)
    return stream.getvalue()


def photograph(seed: int = 0, height: int = 12, width: int = 16) -> np.ndarray:
    """Random uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def mask(seed: int = 0, height: int = 12, width: int = 16, ids: tuple[int, ...] = (0, 1, 4)) -> np.ndarray:
    """Random uint8 [H, W] that shows each of ``ids``."""
    values = np.random.default_rng(seed).choice(np.array(ids, np.uint8), (height, width))
    values.flat[: len(ids)] = ids
    return values


def good_files(count: int = 3) -> dict[str, bytes]:
    """Name → content of a label set without fault."""
    files = {"classes.json": json.dumps(CLASSES).encode()}
    for number in range(count):
        files[f"images/{number:03d}.png"] = picture(photograph(number))
        files[f"masks/{number:03d}.png"] = picture(mask(number))
    return files


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w", format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=format) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand. ``rows``: filter byte and packed samples by row; ``extra``: chunks before the data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + data

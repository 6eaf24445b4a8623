"""Contents of single files, bounded."""

from pathlib import Path

MOST_IMAGE_BYTES = 64 << 20


def image_content(path: Path) -> bytes:
    """Return the bytes of an image's file; of one beyond 64 MiB only the beginning, which no decoder takes."""
    with path.open("rb") as file:
        return file.read(MOST_IMAGE_BYTES)

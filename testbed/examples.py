"""Make `examples/heads50.zip`: 50 labelled heads as a person would upload them.

    python -m testbed.examples

The heads come from stream EXAMPLE_SEED; the held-out test heads are stream TEST_SEED, and choices about recipes are
made on stream VALIDATION_SEED. No generator of ours is trained on any of the three.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from testbed.world import CLASS_NAMES, Rendering, draw_latents, head_parameters, render

EXAMPLE_SEED = 50
TEST_SEED = 60
VALIDATION_SEED = 70
ARCHIVE = Path("examples/heads50.zip")
PALETTE = (
    (0, 0, 0), (230, 180, 140), (92, 60, 200), (255, 255, 255), (120, 60, 20),
    (255, 128, 0), (220, 0, 0), (255, 0, 150), (0, 220, 220), (60, 200, 60),
)  # fmt: skip


def labelled_heads(seed: int, count: int, start: int = 0) -> Rendering:
    """Heads `start … start + count - 1` of a stream with their truth."""
    return render(head_parameters(draw_latents(seed, start, count)))


def write_archive(path: Path, heads: Rendering) -> None:
    """Write `images/`, `masks/` (palette PNG) and `classes.json`; equal heads give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = {"classes": [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES)], "ignore_index": 255}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "classes.json", (json.dumps(classes, indent=2) + "\n").encode())
        for i, (image, mask) in enumerate(zip(heads.images, heads.masks, strict=True)):
            _add(archive, f"images/head{i:03d}.png", _png(image))
            _add(archive, f"masks/head{i:03d}.png", _png(mask))


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(pixels)
    if pixels.ndim == 2:
        image = image.convert("P")
        image.putpalette([channel for colour in PALETTE for channel in colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    write_archive(ARCHIVE, labelled_heads(EXAMPLE_SEED, 50))
    print(f"wrote {ARCHIVE}: {ARCHIVE.stat().st_size:,} bytes")

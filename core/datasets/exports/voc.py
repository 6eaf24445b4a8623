"""``voc``: the folders of Pascal VOC 2012's segmentation task."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.exports.facts import ExportFacts, stem
from core.datasets.exports.package import Package
from core.datasets.palette import voc_colours
from core.datasets.samples import IMAGE, StoredSample


def export_voc(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``JPEGImages`` (PNG, so that nothing is lost), ``SegmentationClass``, ``ImageSets``, ``labelmap.txt``.

    A mask's value is the class id, its palette that of VOC. ``labelmap.txt`` names a colour for every id, gaps
    included, and last the one of ignored pixels.
    """
    colours = voc_colours()
    lines = ["# label:color_rgb:parts:actions"]
    for class_id, name in enumerate(facts.names_without_gaps()):
        # Colons and commas separate fields; "#" begins a comment.
        safe = name.translate(str.maketrans(":,#", "   ")).strip()
        lines.append(f"{safe}:{','.join(str(part) for part in colours[class_id])}::")
    ignored = ",".join(str(part) for part in colours[facts.classes.ignore_index])
    lines.append(f"ignored:{ignored}::")
    package.add("labelmap.txt", ("\n".join(lines) + "\n").encode())
    listing = scratch / "voc-train"
    with listing.open("w") as names:
        for sample in samples:
            name = stem(sample.index)
            package.add(f"JPEGImages/{name}.png", sample.file(IMAGE))
            package.add(f"SegmentationClass/{name}.png", _mask_png(sample.mask(), colours))
            names.write(name + "\n")
    package.add_file("ImageSets/Segmentation/train.txt", listing)


def _mask_png(mask: NDArray[np.uint8], colours: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()

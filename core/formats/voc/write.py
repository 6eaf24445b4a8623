"""``voc``: the folders of Pascal VOC 2012's segmentation task."""

import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.samples import IMAGE, StoredSample
from core.formats.facts import CLASS_MAP, ExportFacts, stem
from core.formats.package import Package
from core.label_sets.palette import voc_colours

#: Value of pixels that count for nothing, in every mask of this format.
VOID = 255


def export_voc(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``JPEGImages`` (PNG, so that nothing is lost), ``SegmentationClass``, ``ImageSets``, ``labelmap.txt``.

    A mask's value is the class id, or 255 where the dataset has its ignore index; its palette is that of VOC.
    ``labelmap.txt`` names a colour for every id, gaps included, and last the one of ignored pixels.
    """
    colours = voc_colours()
    written = _written_names(facts.names_without_gaps())
    lines = ["# label:color_rgb:parts:actions"]
    void = next(name for name in ("ignored", "void", "ignored pixels") if name not in written.values())
    for class_id, name in [*written.items(), (VOID, void)]:
        lines.append(f"{name}:{','.join(str(part) for part in colours[class_id])}::")
    package.add("labelmap.txt", ("\n".join(lines) + "\n").encode())
    package.add(CLASS_MAP, facts.class_map(written))
    listings = {part: scratch / f"voc-{part}" for part in facts.parts}
    with ExitStack() as stack:
        lists = {part: stack.enter_context(path.open("w")) for part, path in listings.items()}
        for part, sample in facts.parted(samples):
            name, mask = stem(sample.index), sample.mask()
            mask = np.where(mask == facts.classes.ignore_index, np.uint8(VOID), mask)
            package.add(f"JPEGImages/{name}.png", sample.file(IMAGE))
            package.add(f"SegmentationClass/{name}.png", _mask_png(mask, colours))
            lists[part].write(name + "\n")
    for part, path in listings.items():
        package.add_file(f"ImageSets/Segmentation/{part}.txt", path)


def _written_names(names: list[str]) -> dict[int, str]:
    """Return the names as ``labelmap.txt`` can hold them, all different: colons and commas separate fields there, and
    ``#`` begins a comment.
    """
    safe = {place: name.translate(str.maketrans(":,#", "   ")).strip() for place, name in enumerate(names)}
    written = {place: name for place, name in safe.items() if name == names[place]}
    taken = set(written.values())
    for place, name in safe.items():
        if place not in written:
            base = name or f"class {place}"
            choices = (base, *(f"{base} {number}" for number in range(2, len(names) + 2)))
            written[place] = next(one for one in choices if one not in taken)
            taken.add(written[place])
    return dict(sorted(written.items()))


def _mask_png(mask: NDArray[np.uint8], colours: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(mask)
    image.putpalette(colours.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()

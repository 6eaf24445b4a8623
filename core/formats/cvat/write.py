"""``cvat``: the XML of "CVAT for images 1.1", a run-length mask for each class in each image."""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from core.datasets.samples import IMAGE, StoredSample
from core.formats.facts import CLASS_MAP, ExportFacts, stem
from core.formats.package import Package
from core.label_sets.palette import colours


def export_cvat(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``images/NAME.png`` and ``annotations.xml``; labels carry names, and no class is without a label.
    With a split, ``subset`` names each image's part.
    """
    path = scratch / "cvat.xml"
    with path.open("w", encoding="utf-8") as xml:
        xml.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        xml.write(_task(facts))
        for place, (part, sample) in enumerate(facts.parted(samples)):
            mask = sample.mask()
            height, width = mask.shape
            name = f"{stem(sample.index)}.png"
            package.add(f"images/{name}", sample.file(IMAGE))
            subset = f' subset="{part}"' if len(facts.parts) > 1 else ""
            xml.write(f'<image id="{place}" name="{name}"{subset} width="{width}" height="{height}">\n')
            for class_id in facts.classes.ids:
                if (where := mask == class_id).any():
                    xml.write(_mask(facts.classes.name(class_id), where))
            xml.write("</image>\n")
        xml.write("</annotations>\n")
    package.add_file("annotations.xml", path)
    package.add(CLASS_MAP, facts.class_map(facts.classes.names))


def _task(facts: ExportFacts) -> str:
    table = colours(facts.classes)
    labels = "".join(
        f"<label><name>{escape(facts.classes.name(one))}</name>"
        f"<color>#{bytes(table[one]).hex()}</color><type>mask</type><attributes></attributes></label>\n"
        for one in facts.classes.ids
    )
    return (
        f"<meta><task><name>{escape(facts.name)}</name><size>{facts.count}</size><mode>annotation</mode>\n"
        f"<labels>\n{labels}</labels></task></meta>\n"
    )


def _mask(label: str, where: NDArray[np.bool_]) -> str:
    """Run lengths over the box around the region, row by row, beginning with what does not belong to it."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    top, left = int(rows[0]), int(columns[0])
    box = where[top : rows[-1] + 1, left : columns[-1] + 1]
    flat = box.ravel()
    bounds = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], bounds, [flat.size]]))
    counts = [*([0] if flat[0] else []), *lengths.tolist()]
    return (
        f'<mask label={quoteattr(label)} source="auto" occluded="0" rle="{", ".join(map(str, counts))}" '
        f'left="{left}" top="{top}" width="{box.shape[1]}" height="{box.shape[0]}" z_order="0"></mask>\n'
    )

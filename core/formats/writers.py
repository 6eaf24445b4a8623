"""A finished dataset in other people's formats: one zip each, made sample by sample.

============  ========================================================================================================
``coco``      one JSON of run-length masks, one annotation for each class in each image; another of keypoints
``yolo``      a text file of polygons for each image, and ``data.yaml``
``voc``       palette masks in the folders of Pascal VOC, with ``labelmap.txt``
``masks``     the layout that is also read as labelled images: ``masks/``, ``keypoints.json``, ``depth/``
``hf``        parquet files with image features, as the ``datasets`` library reads them; keypoints and depth beside
``cvat``      XML of run-length masks ("CVAT for images 1.1")
============  ========================================================================================================

Class ids are those of the label set in every one of them: nothing shifts, and where a format wants ids without gaps,
the gaps are filled with names that no pixel has. Pixels with the ignore index are left out where a format lists what is
there, and keep their value where a format has a mask (255 in ``voc``). All names of classes are different in every
format. A part for validation is drawn by fraction and seed. No clock goes in: the same dataset gives the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from core.datasets.samples import StoredSample
from core.errors import LabelSetError, Problem
from core.formats.coco.write import export_coco
from core.formats.cvat.write import export_cvat
from core.formats.facts import ExportFacts, Split
from core.formats.hf.write import export_hf
from core.formats.masks.write import export_masks
from core.formats.package import Package, Writable
from core.formats.voc.write import export_voc
from core.formats.yolo.write import export_yolo
from core.tasks.task import Task

ExportFormat = Literal["coco", "yolo", "voc", "masks", "hf", "cvat"]
Exporter = Callable[[Iterable[StoredSample], ExportFacts, Package, Path], None]

EXPORTERS: Mapping[ExportFormat, Exporter] = {
    "coco": export_coco,
    "yolo": export_yolo,
    "voc": export_voc,
    "masks": export_masks,
    "hf": export_hf,
    "cvat": export_cvat,
}
assert set(EXPORTERS) == set(get_args(ExportFormat))
#: What each format has a place for.
HOLDS: Mapping[ExportFormat, tuple[Task, ...]] = {
    "coco": ("segmentation", "keypoints"),
    "yolo": ("segmentation",),
    "voc": ("segmentation",),
    "masks": ("segmentation", "keypoints", "depth"),
    "hf": ("segmentation", "keypoints", "depth"),
    "cvat": ("segmentation",),
}
#: Fraction for validation where the caller gives none: trainers of YOLO require a validation part.
DEFAULT_FRACTIONS: Mapping[ExportFormat, float] = {"yolo": 0.1}


def split_for(format: ExportFormat, fraction: float | None = None, seed: int = 0) -> Split:
    """Return the split of an export. ``fraction``: None for the format's own, which is 0 except for ``yolo``."""
    return Split(DEFAULT_FRACTIONS.get(format, 0.0) if fraction is None else fraction, seed)


def export(
    format: ExportFormat, samples: Iterable[StoredSample], facts: ExportFacts, target: Writable, scratch: Path
) -> None:
    """Write the zip of ``samples`` to ``target`` (``write`` alone is used), one sample in memory at a time.

    ``scratch``: an empty folder for what can only be written at the end. ``facts.documents`` come first in the zip,
    ``SHA256SUMS`` over all other files comes last. Raises :class:`core.errors.ShardError` for a damaged sample and
    :class:`core.errors.LabelSetError` where the format has no place for any label of the dataset; labels of tasks that
    it has no place for are left out.
    """
    if not set(facts.tasks) & set(HOLDS[format]):
        told = f"{format} has no place for {' and '.join(facts.tasks) or 'no labels'}: choose masks or hf"
        raise LabelSetError(f"{facts.name} cannot be exported like this", [Problem(told, "format")])
    facts = replace(facts, split=facts.split or split_for(format))
    with closing(Package(target, scratch)) as package:
        for name, content in facts.documents.items():
            package.add(name, content)
        EXPORTERS[format](samples, facts, package, scratch)
        package.finish()

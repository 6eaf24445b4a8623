"""``masks``: the layout that is also read as labelled images, so that a dataset can label the next one."""

import json
from collections.abc import Iterable
from pathlib import Path

from core.datasets.exports.facts import ExportFacts, stem
from core.datasets.exports.package import Package
from core.datasets.samples import IMAGE, MASK, StoredSample


def export_masks(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:  # noqa: ARG001 - one signature for all formats
    """``images/NAME.png``, ``masks/NAME.png`` (palette PNG, the value is the class id) and ``classes.json``."""
    package.add("classes.json", json.dumps(facts.classes.to_json(), indent=1, ensure_ascii=False).encode())
    for sample in samples:
        name = stem(sample.index)
        package.add(f"images/{name}.png", sample.file(IMAGE))
        package.add(f"masks/{name}.png", sample.file(MASK))

"""``masks``: the layout that is also read as labelled images, so that a dataset can label the next one."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from core.datasets.samples import DEPTH, IMAGE, MASK, StoredSample
from core.formats.facts import ExportFacts, stem
from core.formats.package import Package
from core.label_sets.depth_maps import DEPTH_FILE, DEPTHS
from core.label_sets.keypoints import KEYPOINTS


def export_masks(samples: Iterable[StoredSample], facts: ExportFacts, package: Package, scratch: Path) -> None:
    """``images/NAME.png`` and, of each task that the dataset has: ``masks/NAME.png`` (palette PNG, the value is the
    class id) with ``classes.json``; ``keypoints.json``; ``depth/NAME.npy`` (float32) with ``depth.json``. With a split,
    ``train.txt`` and ``val.txt`` list the names of each part.
    """
    points = scratch / "keypoints"
    if facts.classes.names:
        package.add("classes.json", _json(facts.classes.to_json()))
    if facts.depth:
        # The maps hold depth in its unit already, and 0 where there is none.
        package.add(DEPTH_FILE, _json({"unit": facts.depth.unit, "scale": 1.0, "invalid": 0.0}))
    listings = {part: scratch / f"masks-{part}" for part in facts.parts}
    with points.open("w") as rows, ExitStack() as stack:
        lists = {part: stack.enter_context(path.open("w")) for part, path in listings.items()}
        rows.write(f'{{"keypoints": {json.dumps(facts.keypoints.to_json() if facts.keypoints else [])}, "images": {{')
        separator = ""
        for part, sample in facts.parted(samples):
            name = stem(sample.index)
            lists[part].write(name + "\n")
            package.add(f"images/{name}.png", sample.file(IMAGE))
            if facts.classes.names:
                package.add(f"masks/{name}.png", sample.file(MASK))
            if facts.depth:
                package.add(f"{DEPTHS}/{name}.npy", sample.file(DEPTH))
            if (found := sample.keypoints()) is not None:
                rows.write(f"{separator}\n{json.dumps(name)}: {json.dumps(found[:, :3].tolist())}")
                separator = ","
        rows.write("}}\n")
    if facts.keypoints:
        package.add_file(KEYPOINTS, points)
    if len(listings) > 1:
        for part, path in listings.items():
            package.add_file(f"{part}.txt", path)


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
